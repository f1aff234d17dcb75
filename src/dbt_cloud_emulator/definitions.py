"""What is defined once as the JSON of the API: accounts, projects, environments, jobs.

Every field that the official OpenAPI description (v2) has is there; what the emulator has no notion of is null.
"""

from __future__ import annotations

from typing import Any

from dbt_cloud_emulator.config import AccountConfig, EnvironmentConfig, JobConfig, ProjectConfig

DEFINED_AT = "2024-05-27 10:42:16.179903+00:00"
TIMES = {"created_at": DEFINED_AT, "updated_at": DEFINED_AT}
SEATS = dict.fromkeys(("developer_seats", "it_seats", "explorer_seats", "analyst_seats", "read_only_seats"), 0)
NULL_IN_ACCOUNTS = (
    *("lock_reason", "lock_cause", "unlocked_at", "billing_email_address", "enterprise_login_slug", "starter_repo_url"),
    *("trial_end_date", "static_subdomain", "vanity_subdomain", "run_locked_until", "copilot_locked_until"),
    *("docs_job_id", "freshness_job_id"),
)
NULL_IN_PROJECTS = (
    *("connection_id", "repository_id", "semantic_layer_config_id", "docs_job_id", "freshness_job_id", "connection"),
    *("environments", "repository", "group_permissions", "docs_job", "freshness_job", "fusion_readiness"),
    "default_version",
)
NULL_IN_ENVIRONMENTS = (
    *("connection_id", "repository_id", "extended_attributes_id", "dbt_project_subdirectory", "created_by_id"),
    *("repository", "connection", "jobs", "custom_environment_variables"),
)
NULL_IN_JOBS = (
    *("deferring_environment_id", "deferring_job_definition_id", "job_completion_trigger_condition"),
    *("lifecycle_webhooks_url", "account", "project", "fusion_readiness"),
    # Not described; dbt-jobs-as-code names them all, and takes no other.
    *("force_node_selection", "is_fusion_ready_override", "deactivation_reason", "next_run", "next_run_humanized"),
)
SCHEDULE = {"cron": "0 * * * *", "date": {"type": "every_day"}, "time": {"type": "every_hour", "interval": 1}}


def account(account: AccountConfig) -> dict[str, Any]:
    return {
        **dict.fromkeys(NULL_IN_ACCOUNTS),
        "id": account.id,
        "name": account.name,
        "state": 1,
        "plan": "enterprise",
        "run_slots": account.run_slots,
        **SEATS,
        "locked": False,
        "pending_cancel": False,
        "pod_memory_request_mebibytes": 600,
        "develop_pod_memory_request_mebibytes": 0,
        "run_duration_limit_seconds": 86400,
        "queue_limit": 50,
        "business_critical": False,
        "git_auth_level": "personal",
        "identifier": f"act_{account.id}",
        "agent_credit_locked": False,
        "account_migration_events": [],
        "groups": [],
        **TIMES,
    }


def project(project: ProjectConfig) -> dict[str, Any]:
    return {
        **dict.fromkeys(NULL_IN_PROJECTS),
        "id": project.id,
        "account_id": project.account_id,
        "name": project.name,
        "description": "",
        "dbt_project_subdirectory": project.subdirectory or None,
        "state": 1,
        "type": 0,
        **TIMES,
    }


def environment(environment: EnvironmentConfig, project: ProjectConfig) -> dict[str, Any]:
    return {
        **dict.fromkeys(NULL_IN_ENVIRONMENTS),
        "id": environment.id,
        "account_id": project.account_id,
        "project_id": project.id,
        "name": environment.name,
        "type": environment.type,
        "deployment_type": environment.deployment_type,
        "credentials_id": environment.credentials_id,
        "dbt_version": environment.dbt_version,
        "raw_dbt_version": environment.dbt_version,
        "use_custom_branch": environment.branch is not None,
        "custom_branch": environment.branch,
        "supports_docs": True,
        "state": 1,
        **TIMES,
    }


def job(job: JobConfig, account_id: int, dbt_version: str) -> dict[str, Any]:
    """A job, without what is part of it on request only. `dbt_version` is that of its environment."""
    return {
        **dict.fromkeys(NULL_IN_JOBS),
        "id": job.id,
        "account_id": account_id,
        "project_id": job.project_id,
        "environment_id": job.environment_id,
        "name": job.name,
        "description": job.description,
        "dbt_version": job.dbt_version,
        "raw_dbt_version": job.dbt_version or dbt_version,
        "execute_steps": job.execute_steps,
        "execution": job.execution.model_dump(),
        "generate_docs": job.generate_docs,
        "run_generate_sources": job.run_generate_sources,
        "generate_sources": job.run_generate_sources,
        "job_type": job.job_type,
        "settings": job.settings.model_dump(),
        "state": job.state,
        "deactivated": job.deactivated,
        "triggers": job.triggers.model_dump(),
        "triggers_on_draft_pr": False,
        "schedule": SCHEDULE,
        "lifecycle_webhooks": False,
        "run_lint": False,
        "errors_on_lint_failure": True,
        "run_compare_changes": False,
        "compare_changes_flags": "--select state:modified",
        "cost_optimization_features": [],
        "run_failure_count": 0,
        "is_deferrable": False,
        "is_system": False,
        "cron_humanized": "Every hour",
        **TIMES,
    }
