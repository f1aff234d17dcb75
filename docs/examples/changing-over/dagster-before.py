from dagster import EnvVar, asset
from dagster_dbt.cloud import DbtCloudClientResource


@asset
def nightly(dbt_cloud: DbtCloudClientResource):
    client = dbt_cloud.get_dbt_client()
    client.run_job_and_poll(job_id=12345, poll_timeout=3600)


resources = {"dbt_cloud": DbtCloudClientResource(auth_token=EnvVar("DBT_CLOUD_API_TOKEN"), account_id=7)}
