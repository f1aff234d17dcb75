"""The same way with this action's own modules: a finished run, its artifacts, the materializations; no publishing.

python our_assets.py URL ACCOUNT RUN FOLDER
"""

import asyncio
import os
import resource
import sys
import time
from pathlib import Path

from dbt_cloud_run.assets.assets import materializations
from dbt_cloud_run.assets.nodes import Repository
from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.cloud.client import WHOLE_RUN, CloudClient
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.collect.attempts import ending_of
from dbt_cloud_run.collect.collect import collect
from dbt_cloud_run.collect.keeping import Keeping
from dbt_cloud_run.ledger.ledger import build_ledger
from dbt_cloud_run.redaction import Secret


async def main(url: str, account: int, run_id: int, folder: Path) -> None:
    clock = SystemClock()
    began = time.monotonic()
    async with CloudClient(url, account, Secret(os.environ["TOKEN"]), clock) as client:
        keeping = Keeping(
            kept=folder,
            scratch=folder,
            patterns=("manifest.json", "run_results.json"),
            step_artifacts="results",
            packs=True,
        )
        run = await client.get_run(run_id, WHOLE_RUN)
        found = await collect(run, 1, ending_of(run), client=client, reader=Reader(clock), keeping=keeping)
    repository = Repository(project_directory=".", exists=lambda _: False)
    assets = materializations(build_ledger([found.attempt]), found.manifest, repository)
    print(f"seconds {time.monotonic() - began:.6f}")
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}\nassets {len(assets)}")


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
