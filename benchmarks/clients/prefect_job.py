"""prefect-dbt's flow: trigger, wait, retry what failed, and (`assets`) create asset materializations.

python prefect_job.py HOST JOB INTERVAL (verdict|assets)      (with prefect-dbt's environment)

Its retry reads the steps from an answer that it asked for without them, and ends with an AttributeError where the
platform leaves them out then, as its API description says. So that it can be compared, it is given them here.
"""

import asyncio
import os
import sys
import time

from prefect_dbt.cloud import DbtCloudCredentials, DbtCloudJob
from prefect_dbt.cloud.jobs import DbtCloudJobRun, run_dbt_cloud_job

host, job_id, interval, mode = sys.argv[1:]
build = DbtCloudJobRun._build_trigger_job_run_options


async def with_steps(self, job, run):
    async with self._dbt_cloud_credentials.get_administrative_client() as client:
        run = (await client.get_run(self.run_id, include_related=["run_steps"])).json()["data"]
    return await build(self, job=job, run=run)


DbtCloudJobRun._build_trigger_job_run_options = with_steps
credentials = DbtCloudCredentials(api_key=os.environ["TOKEN"], account_id=1, domain=host)
job = DbtCloudJob(dbt_cloud_credentials=credentials, job_id=int(job_id), interval_seconds=int(interval))
try:
    asyncio.run(run_dbt_cloud_job(dbt_cloud_job=job, targeted_retries=3, create_assets=mode == "assets"))
    print("ended success")
except Exception as error:
    print(f"ended {type(error).__name__}: {error}")
print(f"verdict {time.time():.6f}", flush=True)
