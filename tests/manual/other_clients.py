"""Clients that this project did not write, pointed at the emulator: trigger a run, wait for it, read its artifacts.

    python other_clients.py CLIENT HOST:PORT

Runs in the client's own virtual environment, which `clients.py` makes. Exit status 0 when everything was as it should
be.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from datetime import UTC
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


def with_airflow_operator(host: str) -> dict[str, Any]:
    """Airflow's operator: triggers and waits; its second try retries from the point of failure."""
    connection = {"conn_type": "dbt_cloud", "login": str(ACCOUNT), "password": TOKEN, "host": host}
    os.environ["AIRFLOW_CONN_DBT_CLOUD_DEFAULT"] = json.dumps(connection)
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudJobRunException
    from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator
    from airflow.sdk import DAG

    options: dict[str, Any] = {"job_id": JOB, "check_interval": 1, "timeout": 240, "retry_from_failure": True}
    with DAG("other_clients"):
        operator = DbtCloudRunJobOperator(task_id="build", **options)

    class Instance:
        """What the operator reads of a task instance."""

        try_number = 1
        run_id, dag_id, task_id, map_index = "manual", "dag", "build", -1

        def xcom_push(self, **_: Any) -> None:
            """Keep nothing."""

    instance = Instance()
    try:
        run_id = operator.execute({"ti": instance})
    except DbtCloudJobRunException as error:
        print("failed, as it does the first time:", error)
        instance.try_number = 2
        run_id = operator.execute({"ti": instance})
    run = operator.hook.get_job_run(run_id).json()["data"]
    return {"status": run["status"], "rows": 1, "which": "operator"}


def with_dagster(host: str) -> dict[str, Any]:
    """dagster-dbt's workspace client: lists, triggers with steps of its own, polls, artifacts, logs."""
    from datetime import datetime, timedelta

    from dagster_dbt.cloud_v2.client import DbtCloudWorkspaceClient

    client = DbtCloudWorkspaceClient(
        account_id=ACCOUNT,
        token=TOKEN,
        access_url=f"https://{host}",
        request_max_retries=0,
        request_retry_delay=0.1,
        request_timeout=30,
    )
    client.verify_connection()
    print("jobs:", [job["name"] for job in client.list_jobs(project_id=10, environment_id=20)])
    client.get_account_details(), client.get_project_details(10), client.get_environment_details(20)
    client.get_job_details(JOB)
    run_id = client.trigger_job_run(JOB, ["dbt build --exclude tag:flaky"])["id"]
    run = client.poll_run(run_id, poll_timeout=240)
    now = datetime.now(UTC)
    runs, total = client.get_runs_batch(10, 20, now - timedelta(hours=1), now + timedelta(hours=1))
    print("runs:", len(runs), total, "artifacts:", len(client.list_run_artifacts(run_id)))
    client.get_run_manifest_json(run_id)
    print("logs:", len(client.get_run_logs(run_id)))
    results = client.get_run_results_json(run_id)
    client.cancel_run(client.trigger_job_run(JOB)["id"])
    return {
        "status": 10 if run["status"] in (10, 20) else run["status"],
        "rows": len(results["results"]),
        "which": "dbt",
    }


def with_dbt_cloud_cli(host: str) -> dict[str, Any]:
    """dbt-cloud-cli: the commands of its command line for jobs and runs, as its classes."""
    from dbt_cloud.command.job.get import DbtCloudJobGetCommand
    from dbt_cloud.command.job.list import DbtCloudJobListCommand
    from dbt_cloud.command.job.run import DbtCloudJobRunCommand
    from dbt_cloud.command.run.cancel import DbtCloudRunCancelCommand
    from dbt_cloud.command.run.get import DbtCloudRunGetCommand
    from dbt_cloud.command.run.get_artifact import DbtCloudRunGetArtifactCommand
    from dbt_cloud.command.run.list import DbtCloudRunListCommand
    from dbt_cloud.command.run.list_artifacts import DbtCloudRunListArtifactsCommand

    common = {"api_token": TOKEN, "dbt_cloud_host": host, "account_id": ACCOUNT}

    def call(command: Any, **values: Any) -> Any:
        answer = command(**common, **values).execute()
        answer.raise_for_status()
        return answer.json()

    print("jobs:", len(call(DbtCloudJobListCommand)["data"]))
    call(DbtCloudJobGetCommand, job_id=JOB)
    run_id = call(DbtCloudJobRunCommand, job_id=JOB, steps_override=["dbt build"])["data"]["id"]
    while (run := call(DbtCloudRunGetCommand, run_id=run_id)["data"])["status"] < 10:
        time.sleep(1)
    call(DbtCloudRunListCommand, job_id=str(JOB), limit=5)
    paths = call(DbtCloudRunListArtifactsCommand, run_id=run_id)["data"]
    call(DbtCloudRunGetArtifactCommand, run_id=run_id, path="manifest.json", step=4)
    other = call(DbtCloudJobRunCommand, job_id=JOB)["data"]["id"]
    call(DbtCloudRunCancelCommand, run_id=other)
    return {"status": 10 if run["status"] in (10, 20) else run["status"], "rows": len(paths), "which": "cli"}


def with_dbt_jobs_as_code(host: str) -> dict[str, Any]:
    """dbt-jobs-as-code: what it reads before it would change a job."""
    from dbt_jobs_as_code.client import DBTCloud

    client = DBTCloud(ACCOUNT, TOKEN, base_url=f"https://{host}")
    jobs = client.get_jobs(project_ids=[10])
    client.get_jobs(project_ids=[10, 11], environment_ids=[20])
    job = client.get_job(JOB)
    client.get_job_missing_fields(JOB)
    print("environments:", len(client.get_environments(project_ids=[10])))
    return {"status": 10 if job.id == JOB else 0, "rows": len(jobs), "which": "reads"}


def with_prefect_dbtcloud(host: str) -> dict[str, Any]:
    """prefect-dbtcloud: the client below its task, which triggers, waits and lists artifacts."""
    from prefect_dbtcloud.exceptions import DbtCloudRunFailed
    from prefect_dbtcloud.utils import dbtCloudClient

    client = dbtCloudClient(ACCOUNT, TOKEN, api_domain=host)
    run = client.trigger_job_run(JOB, "prefect-dbtcloud", {"steps_override": ["dbt seed", "dbt run"]})
    try:
        client.wait_for_job_run(run["id"], max_wait_time=300)
    except DbtCloudRunFailed as error:
        print("failed, as it does the first time:", error)
        run = client.trigger_job_run(JOB, "prefect-dbtcloud")
        client.wait_for_job_run(run["id"], max_wait_time=300)
    paths = client.list_run_artifact_links(run["id"])
    return {"status": 10, "rows": len(paths), "which": "task"}


CLIENTS = {
    "dbtc": with_dbtc,
    "airflow-hook": with_airflow,
    "airflow-operator": with_airflow_operator,
    "prefect-dbt": with_prefect,
    "dagster-dbt": with_dagster,
    "dbt-cloud-cli": with_dbt_cloud_cli,
    "dbt-jobs-as-code": with_dbt_jobs_as_code,
    "prefect-dbtcloud": with_prefect_dbtcloud,
}


def main() -> int:
    client, host = sys.argv[1:]
    started = time.monotonic()
    found = CLIENTS[client](host)
    print(f"{client}: {found} in {time.monotonic() - started:.1f} s")
    return 0 if found["status"] == 10 and found["rows"] else 1


if __name__ == "__main__":
    sys.exit(main())
