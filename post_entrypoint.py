#!/opt/dbt-cloud-run/venv/bin/python -Iu
"""The post step, after the job: leaves no run behind that nobody waits for. Interpreter as in `entrypoint.py`."""

import os
import sys

try:
    from dbt_cloud_run.post import main

    status = main(os.environ)
except KeyboardInterrupt:
    status = 130
sys.exit(status)
