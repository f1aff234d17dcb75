"""dbtc: trigger and poll; after a failure its retry from failure.

python dbtc_job.py HOST JOB INTERVAL      (with dbtc's environment)
"""

import os
import sys
import time

from dbtc import dbtCloudClient

host, job_id, interval = sys.argv[1:]
cloud = dbtCloudClient(service_token=os.environ["TOKEN"], host=host).cloud
run = cloud.trigger_job(1, int(job_id), {"cause": "dbtc"}, should_poll=True, poll_interval=int(interval))
run = run.get("data", run)
for _ in range(3):
    if run["status"] != 20:
        break
    run = cloud.trigger_job_from_failure(1, int(job_id), should_poll=True, poll_interval=int(interval))
    run = run.get("data", run)
print("ended", "success" if run["status"] == 10 else run["status"])
print(f"verdict {time.time():.6f}", flush=True)
