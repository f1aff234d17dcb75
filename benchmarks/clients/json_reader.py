"""A plain reader: fetch manifest and run results into memory, decode them with `json`, and list what was built.

python json_reader.py MANIFEST_URL RUN_RESULTS_URL
"""

import json
import os
import sys
import time

import httpx

began = time.monotonic()
with httpx.Client(headers={"Authorization": f"Token {os.environ['TOKEN']}"}, timeout=60) as client:
    manifest, results = (json.loads(client.get(url).content) for url in sys.argv[1:])
nodes = manifest["nodes"]
built = [
    (nodes[row["unique_id"]]["relation_name"], nodes[row["unique_id"]]["depends_on"]["nodes"])
    for row in results["results"]
    if row["status"] in ("success", "warn") and row["unique_id"].startswith(("model.", "seed.", "snapshot."))
]
print(f"seconds {time.monotonic() - began:.6f}")
print(f"assets {sum(relation is not None for relation, _ in built)}")
