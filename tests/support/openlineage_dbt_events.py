"""What openlineage-dbt makes of dbt's artifacts, as JSON. It runs in that package's own environment.

python openlineage_dbt_events.py DUCKDB_PATH MANIFEST RUN_RESULTS [CATALOG]
"""

import json
import sys
from pathlib import Path

from openlineage.client.serde import Serde
from openlineage.common.provider.dbt.cloud import DbtCloudArtifactProcessor

path, manifest, run_results, *catalog = sys.argv[1:]
processor = DbtCloudArtifactProcessor(
    producer="https://example.com",
    job_namespace="dbt",
    manifest=json.loads(Path(manifest).read_text()),
    run_result=json.loads(Path(run_results).read_text()),
    profile={"type": "duckdb", "name": "shop", "details": {"path": path}},
    catalog=json.loads(Path(catalog[0]).read_text()) if catalog else None,
)
print(json.dumps([Serde.to_dict(event) for event in processor.parse().events()]))
