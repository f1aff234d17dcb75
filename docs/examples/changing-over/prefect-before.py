from prefect import flow
from prefect_dbt.cloud import DbtCloudCredentials, DbtCloudJob
from prefect_dbt.cloud.jobs import run_dbt_cloud_job


@flow
def nightly():
    credentials = DbtCloudCredentials.load("dbt-cloud")
    job = DbtCloudJob(dbt_cloud_credentials=credentials, job_id=12345, timeout_seconds=3600)
    return run_dbt_cloud_job(dbt_cloud_job=job, targeted_retries=3, create_assets=True)
