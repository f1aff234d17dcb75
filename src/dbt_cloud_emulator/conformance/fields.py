"""The objects of the API: the fields that action and emulator know of, with their types. Source: the description (v2).

The description states no field as nullable, while recorded answers have nulls in many: so null is of every type but
where a field is listed in `NEVER_NULL`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from dbt_cloud_emulator.timing import parse_timestamp

Fields = Mapping[str, str]

ID, INT, TEXT, FLAG, TIME, CLOCK, TEXTS, INTS, OBJECT, LIST, ANY = (
    *("id", "integer", "text", "boolean", "time", "duration", "texts", "integers", "object", "list", "any"),
)
_CLOCK = re.compile(r"(\d+ days?, )?\d+:\d\d:\d\d(\.\d+)?")


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and parse_timestamp(value) is not None
    except ValueError:
        return False


_IS: dict[str, Callable[[Any], bool]] = {
    ID: lambda value: type(value) is int and value > 0,
    INT: lambda value: type(value) is int,
    TEXT: lambda value: isinstance(value, str),
    FLAG: lambda value: isinstance(value, bool),
    TIME: _is_time,
    CLOCK: lambda value: isinstance(value, str) and _CLOCK.fullmatch(value) is not None,
    TEXTS: lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    INTS: lambda value: isinstance(value, list) and all(type(item) is int for item in value),
    OBJECT: lambda value: isinstance(value, dict),
    LIST: lambda value: isinstance(value, list),
    ANY: lambda _: True,
}


def _of(**names: str) -> Fields:
    """Fields by type: `_of(integer="a b", text="c")`."""
    return {field: kind for kind, fields in names.items() for field in fields.split()}


RUN = _of(
    id="id trigger_id account_id environment_id project_id job_definition_id job_id",
    integer="status deferring_run_id retrying_run_id",
    text="dbt_version git_branch git_sha status_message status_humanized owner_thread_id executed_by_thread_id "
    "artifact_s3_path duration_humanized queued_duration_humanized run_duration_humanized created_at_humanized "
    "finished_at_humanized retry_not_supported_reason href",
    boolean="artifacts_saved has_docs_generated has_sources_generated notifications_sent in_progress is_complete "
    "is_success is_error is_cancelled is_running can_retry used_repo_cache",
    integers="blocked_by",
    time="created_at updated_at dequeued_at started_at finished_at last_checked_at last_heartbeat_at should_start_at",
    duration="duration queued_duration run_duration",
    object="trigger job environment deprecation audit",
    list="run_steps",
)
# A step as it is described within a run; what is there besides; and a step that is asked for by its id.
STEP = _of(id="run_id account_id index", integer="status", text="name logs debug_logs log_path debug_log_path")
MORE_OF_A_STEP = _of(
    id="id",
    text="status_humanized truncated_debug_logs",
    time="started_at finished_at",
    duration="duration",
    object="run_step_command",
)
WHOLE_STEP = {
    **STEP,
    **MORE_OF_A_STEP,
    **_of(text="status_color duration_humanized", time="created_at updated_at", object="run_step_invocation"),
}
TRIGGER = _of(
    id="job_definition_id",
    integer="azure_pull_request_id github_pull_request_id gitlab_merge_request_id non_native_pull_request_id "
    "threads_override timeout_seconds_override",
    text="cause cause_category git_branch git_sha schema_override dbt_version_override target_name_override",
    boolean="generate_docs_override",
    texts="steps_override",
)
JOB = _of(
    id="id account_id project_id environment_id",
    integer="state deferring_environment_id deferring_job_definition_id run_failure_count",
    text="name description dbt_version raw_dbt_version job_type compare_changes_flags lifecycle_webhooks_url",
    boolean="generate_docs run_generate_sources generate_sources is_deferrable lifecycle_webhooks run_compare_changes "
    "run_lint errors_on_lint_failure triggers_on_draft_pr",
    texts="execute_steps cost_optimization_features",
    time="created_at updated_at",
    object="execution settings triggers schedule account project environment",
    any="job_completion_trigger_condition fusion_readiness",
)
WITHIN_A_JOB: Mapping[str, Fields] = {
    "execution": _of(integer="timeout_seconds"),
    "settings": _of(integer="threads", text="target_name"),
    "triggers": _of(boolean="github_webhook git_provider_webhook schedule on_merge"),
}
ACCOUNT = _of(
    id="id",
    integer="state run_slots developer_seats it_seats explorer_seats analyst_seats read_only_seats queue_limit "
    "run_duration_limit_seconds pod_memory_request_mebibytes develop_pod_memory_request_mebibytes docs_job_id "
    "freshness_job_id",
    text="name plan lock_reason lock_cause billing_email_address enterprise_login_slug starter_repo_url "
    "git_auth_level identifier static_subdomain vanity_subdomain",
    boolean="locked pending_cancel business_critical agent_credit_locked",
    time="created_at updated_at unlocked_at trial_end_date run_locked_until copilot_locked_until",
    list="account_migration_events groups",
)
NEVER_NULL = {
    "a run": {"id", "status", "job_definition_id", "account_id", "project_id", "environment_id", "created_at"},
    "a step": {"index", "name", "status"},
    "a trigger": {"cause"},
    "a job": {"id", "name", "account_id", "project_id", "environment_id", "execute_steps", "state"},
    "an account": {"id", "name"},
}


def problems(what: str, value: object, fields: Fields) -> list[str]:
    """What is not as described: fields that are missing, or of another type."""
    if not isinstance(value, dict):
        return [f"{what} is no object"]
    found = [f"{name} is missing" for name in fields if name not in value]
    for name, kind in fields.items():
        if name not in value:
            continue
        if value[name] is None:
            found += [f"{name} is null"] if name in NEVER_NULL.get(what, ()) else []
        elif not _IS[kind](value[name]):
            found.append(f"{name} is no {kind}")
    return found
