from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator

nightly = DbtCloudRunJobOperator(
    task_id="nightly",
    dbt_cloud_conn_id="dbt_cloud",
    project_name="warehouse",
    environment_name="Production",
    job_name="Nightly",
    check_interval=60,
    timeout=3600,
    retry_from_failure=True,
    retries=2,
)
