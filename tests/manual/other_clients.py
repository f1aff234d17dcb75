"""Clients that nobody here wrote, pointed at the emulator: trigger a run, wait for it, read its artifacts.

    python other_clients.py dbtc|airflow|prefect HOST:PORT

Runs in the client's own virtual environment; see "Other clients" in tests/README.md. Exit status 0 when everything was
as it should be.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

ACCOUNT, JOB, TOKEN = 1, 1005, "demo-token"  # of the emulator's default configuration: build, then docs


def with_dbtc(host: str) -> dict[str, Any]:
    """dbtc: trigger, poll, its own "retry from failure" on a failure, artifact of a step."""
    from dbtc import dbtCloudClient

    client = dbtCloudClient(service_token=TOKEN, host=host).cloud
    jobs = client.list_jobs(ACCOUNT)["data"]
    print("jobs:", [job["name"] for job in jobs])
    run = client.trigger_job(ACCOUNT, JOB, {"cause": "dbtc"}, should_poll=True, poll_interval=1)
    run = run.get("data", run)
    if run["status"] == 20:
        print("failed, as it does the first time:", run["id"])
        run = client.trigger_job_from_failure(ACCOUNT, JOB, should_poll=True)
        run = run.get("data", run)
    full = client.get_run(ACCOUNT, run["id"], include_related=["run_steps"])["data"]
    build = next(step["index"] for step in full["run_steps"] if "deps" not in step["name"] and "dbt" in step["name"])
    results = client.get_run_artifact(ACCOUNT, run["id"], "run_results.json", step=build)
    print("artifacts:", len(client.list_run_artifacts(ACCOUNT, run["id"])["data"]))
    return {"status": full["status"], "rows": len(results["results"]), "which": results["args"]["which"]}


def with_airflow(host: str) -> dict[str, Any]:
    """The hook of Airflow's provider: look-up by name, trigger, wait, retry, artifact of a step."""
    connection = {"conn_type": "dbt_cloud", "login": str(ACCOUNT), "password": TOKEN, "host": host}
    os.environ["AIRFLOW_CONN_DBT_CLOUD_DEFAULT"] = json.dumps(connection)
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook, DbtCloudJobRunException

    hook = DbtCloudHook()
    found = hook.get_job_by_name(project_name="shop", environment_name="Production", job_name="Build and docs")
    if found["id"] != JOB:
        raise SystemExit(f"another job was found: {found}")
    run_id = hook.trigger_job_run(job_id=JOB, cause="airflow").json()["data"]["id"]
    try:
        hook.wait_for_job_run_status(run_id, check_interval=1, timeout=120)
    except DbtCloudJobRunException as error:
        print("failed, as it does the first time:", error)
        run_id = hook.retry_failed_job_run(job_id=JOB).json()["data"]["id"]
        hook.wait_for_job_run_status(run_id, check_interval=1, timeout=120)
    run = hook.get_job_run(run_id, include_related=["run_steps,job"]).json()["data"]
    build = next(step["index"] for step in run["run_steps"] if "deps" not in step["name"] and "dbt" in step["name"])
    results = hook.get_job_run_artifact(run_id, "run_results.json", step=build).json()
    print("artifacts:", len(hook.list_job_run_artifacts(run_id).json()["data"]))
    return {"status": run["status"], "rows": len(results["results"]), "which": results["args"]["which"]}


def with_prefect(host: str) -> dict[str, Any]:
    """prefect-dbt: its flow that triggers, waits and retries the failed nodes by `steps_override`."""
    from prefect_dbt.cloud import DbtCloudCredentials
    from prefect_dbt.cloud.jobs import trigger_dbt_cloud_job_run_and_wait_for_completion as flow

    credentials = DbtCloudCredentials(api_key=TOKEN, account_id=ACCOUNT, domain=host)
    run = asyncio.run(flow(credentials, JOB, poll_frequency_seconds=1, retry_filtered_models_attempts=1))
    print("artifacts:", len(run["artifact_paths"]))
    return {"status": run["status"], "rows": len(run["artifact_paths"]), "which": "run " + str(run["id"])}


def main() -> int:
    client, host = sys.argv[1:]
    started = time.monotonic()
    found = {"dbtc": with_dbtc, "airflow": with_airflow, "prefect": with_prefect}[client](host)
    print(f"{client}: {found} in {time.monotonic() - started:.1f} s")
    return 0 if found["status"] == 10 and found["rows"] else 1


if __name__ == "__main__":
    sys.exit(main())
