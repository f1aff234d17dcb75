"""The hook of Airflow's provider: trigger and wait; after a failure its retry of the failed run.

python airflow_job.py HOST JOB INTERVAL      (with the provider's environment)
"""

import json
import os
import sys
import time

host, job_id, interval = sys.argv[1:]
connection = {"conn_type": "dbt_cloud", "login": "1", "password": os.environ["TOKEN"], "host": host}
os.environ["AIRFLOW_CONN_DBT_CLOUD_DEFAULT"] = json.dumps(connection)

from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook, DbtCloudJobRunException  # noqa: E402

hook = DbtCloudHook()
run_id = hook.trigger_job_run(job_id=int(job_id), cause="airflow").json()["data"]["id"]
ended = "failure"
for _ in range(4):
    try:
        hook.wait_for_job_run_status(run_id, check_interval=int(interval), timeout=3600)
        ended = "success"
        break
    except DbtCloudJobRunException:
        run_id = hook.retry_failed_job_run(job_id=int(job_id)).json()["data"]["id"]
print("ended", ended)
print(f"verdict {time.time():.6f}", flush=True)
