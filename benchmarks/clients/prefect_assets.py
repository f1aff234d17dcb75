"""prefect-dbt's own way from a finished run to asset materializations: its function, called within a flow.

python prefect_assets.py HOST ACCOUNT JOB RUN      (with prefect-dbt's environment)
"""

import asyncio
import os
import resource
import sys
import time

from prefect import flow
from prefect_dbt.cloud import DbtCloudCredentials, DbtCloudJob, jobs

host, account, job_id, run_id = sys.argv[1:]
count = 0
emit = jobs._emit_asset_materialization


def counted(*arguments: object) -> None:
    global count
    count += 1
    emit(*arguments)


jobs._emit_asset_materialization = counted


@flow
async def materialize() -> None:
    credentials = DbtCloudCredentials(api_key=os.environ["TOKEN"], account_id=int(account), domain=host)
    job = DbtCloudJob(dbt_cloud_credentials=credentials, job_id=int(job_id))
    run = jobs.DbtCloudJobRun(dbt_cloud_job=job, run_id=int(run_id))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    await jobs._materialize_dbt_cloud_assets(run)
    print(f"seconds {time.monotonic() - began:.6f}")
    print(f"before {before * 1024}\npeak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}")


asyncio.run(materialize())
print(f"assets {count}")
