"""Runs, steps, jobs and their surroundings as the JSON of the API. Source: the official OpenAPI description (v2)."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Any

from dbt_cloud_emulator import artifacts, definitions
from dbt_cloud_emulator.config import EnvironmentConfig, JobConfig
from dbt_cloud_emulator.engine import Engine
from dbt_cloud_emulator.status import Status
from dbt_cloud_emulator.store import Run, Step, Trigger
from dbt_cloud_emulator.timing import clock_duration, spoken_age, spoken_duration, timestamp, utcnow

HUMANIZED = {1: "Queued", 2: "Starting", 3: "Running", 10: "Success", 20: "Error", 30: "Cancelled"}
COLORS = {1: "blue", 2: "blue", 3: "blue", 10: "green", 20: "red", 30: "grey"}


class Renderer:
    """Makes the JSON; `ui_url` begins the `href` of runs."""

    def __init__(self, engine: Engine, ui_url: str) -> None:
        self._engine = engine
        self._config = engine.config
        self._store = engine.store
        self._ui_url = ui_url.rstrip("/")

    def run(self, run: Run, related: frozenset[str] = frozenset(), *, listed: bool = False) -> dict[str, Any]:
        """A run. What was not asked for is null; steps are an empty list then, and never part of a listed run."""
        job = self._config.job(run.job_id)
        reason = self._engine.refusal(run)
        asked = frozenset() if listed else related
        return {
            "id": run.id,
            "trigger_id": run.trigger_id,
            "account_id": run.account_id,
            "environment_id": run.environment_id,
            "project_id": run.project_id,
            "job_definition_id": run.job_id,
            "job_id": run.job_id,
            "deferring_run_id": None,
            "retrying_run_id": run.retrying_run_id,
            **_state(run),
            "dbt_version": run.dbt_version,
            "git_branch": run.git_branch,
            "git_sha": run.git_sha,
            "owner_thread_id": None,
            "executed_by_thread_id": None,
            "artifacts_saved": run.artifacts_saved,
            "artifact_s3_path": f"prod/runs/{run.id}/artifacts/target" if run.artifacts_saved else None,
            "has_docs_generated": run.has_docs_generated,
            "has_sources_generated": run.has_sources_generated,
            "notifications_sent": run.status.is_complete,
            "blocked_by": self._blockers(run, job),
            **_times(run),
            "can_retry": reason is None,
            "retry_not_supported_reason": reason,
            "href": f"{self._ui_url}/deploy/{run.account_id}/projects/{run.project_id}/runs/{run.id}/",
            "used_repo_cache": False if "used_repo_cache" in asked else None,
            "repo_cache_restore": None,
            "deprecation": {"count": 0},
            "trigger": self.trigger(run) if "trigger" in related else None,
            "job": self.job(job) if "job" in related and job is not None else None,
            "environment": self.environment(self._config.environment(run.environment_id))
            if "environment" in asked
            else None,
            "repository": None,
            "audit": _audit(run) if "audit" in related and self._config.behaviour.audit else None,
            "run_steps": self.steps(run, full="debug_logs" in asked) if "run_steps" in asked else [],
            "run_retries": [r.id for r in self._store.of_job(run.job_id) if r.retrying_run_id == run.id]
            if "run_retries" in asked
            else None,
        }

    def _blockers(self, run: Run, job: JobConfig | None) -> list[int]:
        if run.status is not Status.QUEUED or job is None or job.job_type == "ci":
            return []
        return [other.id for other in self._store.active_before(run)]

    def trigger(self, run: Run) -> dict[str, Any]:
        values = {name: getattr(run.trigger, name) for name in Trigger.__slots__ if name != "actor"}
        return {
            "id": run.trigger_id,
            "job_definition_id": run.job_id,
            "cause_humanized": run.trigger.cause,
            "created_at": timestamp(run.created_at),
            **values,
        }

    def steps(self, run: Run, *, full: bool) -> list[dict[str, Any]]:
        """The steps as far as they are told yet; after the end of a run they may be late."""
        behaviour, last = self._config.behaviour, artifacts.last_step(run)
        if _is_within(behaviour.steps_delay, run.finished_at):
            return []
        found = [self.step(run, step, full=full) for step in run.steps]
        for step in found:
            if last is not None and step["id"] == last.id and _is_within(behaviour.step_end_delay, run.finished_at):
                running = {"status": int(Status.RUNNING), "status_humanized": HUMANIZED[Status.RUNNING]}
                step |= {**running, "status_color": COLORS[Status.RUNNING], "finished_at": None, "logs": ""}
        return found

    def step(self, run: Run, step: Step, *, full: bool) -> dict[str, Any]:
        """A step with its logs; the debug log is cut to its last lines unless `full`."""
        behaviour = self._config.behaviour
        late = _is_within(behaviour.logs_delay, step.finished_at)
        debug = "" if late else artifacts.read_log(run, step, "debug.log")
        is_heavy = behaviour.heavy_log_bytes and step is artifacts.last_step(run) and not late
        padding = _padding(behaviour.heavy_log_bytes) if is_heavy else ""
        now = utcnow()
        span = (step.finished_at or now) - step.started_at if step.started_at else timedelta()
        path = f"prod/runs/{run.id}/steps/{step.index}"
        return {
            "id": step.id,
            "run_id": run.id,
            "account_id": run.account_id,
            "index": step.index,
            "name": _step_name(run, step, behaviour.step_names),
            "status": int(step.status),
            "status_humanized": step.status_humanized or HUMANIZED.get(step.status, "Unknown"),
            "status_color": COLORS.get(step.status, "grey"),
            "logs": "" if late else padding + artifacts.read_log(run, step, "console.log"),
            "debug_logs": debug if full else artifacts.debug_tail(debug),
            "truncated_debug_logs": None,
            "log_path": f"{path}/console.log",
            "debug_log_path": f"{path}/debug.log",
            "run_step_command": {"run_step_id": step.id, "dbt_command": step.command} if step.command else None,
            "run_step_invocation": None,
            "created_at": timestamp(step.started_at or run.created_at),
            "updated_at": timestamp(step.finished_at or step.started_at or run.created_at),
            "started_at": timestamp(step.started_at),
            "finished_at": timestamp(step.finished_at),
            "duration": clock_duration(span),
            "duration_humanized": spoken_duration(span),
        }

    def job(self, job: JobConfig, related: frozenset[str] = frozenset()) -> dict[str, Any]:
        environment = self._config.environment(job.environment_id)
        newest = self._store.latest(job.id) if "most_recent_run" in related else None
        complete = None
        if "most_recent_completed_run" in related:
            complete = next((r for r in reversed(self._store.of_job(job.id)) if r.status.is_complete), None)
        return {
            **definitions.job(job, self._config.account_of(job), environment.dbt_version),
            "environment": self.environment(environment) if "environment" in related else None,
            "custom_environment_variables": [] if "custom_environment_variables" in related else None,
            "most_recent_run": self.run(newest, listed=True) if newest else None,
            "most_recent_completed_run": self.run(complete, listed=True) if complete else None,
        }

    def environment(self, environment: EnvironmentConfig) -> dict[str, Any]:
        return definitions.environment(environment, self._config.project(environment.project_id))


def _is_within(seconds: float, since: datetime | None) -> bool:
    return since is not None and (utcnow() - since).total_seconds() < seconds


@cache
def _padding(size: int) -> str:
    line = "10:00:00  a line of a long log, which is here for its weight alone\n"
    return (line * (size // len(line) + 1))[:size]


def _step_name(run: Run, step: Step, form: str) -> str:
    if form == "plain":
        return step.name
    schema = run.trigger.schema_override
    has_profile = step.name.startswith("Create profile")
    return step.name + (f" (override schema to '{schema}')" if has_profile and schema else "") + "  "


def _state(run: Run) -> dict[str, Any]:
    return {
        "status": int(run.status),
        "status_humanized": HUMANIZED[run.status],
        "status_message": run.status_message,
        "in_progress": not run.status.is_complete,
        "is_complete": run.status.is_complete,
        "is_success": run.status is Status.SUCCESS,
        "is_error": run.status is Status.ERROR,
        "is_cancelled": run.status is Status.CANCELLED,
        "is_running": None,
    }


def _times(run: Run) -> dict[str, Any]:
    now = utcnow()
    end = run.finished_at or now
    queued = (run.dequeued_at or end) - run.created_at
    ran = end - run.started_at if run.started_at else timedelta()
    spans = {"duration": end - run.created_at, "queued_duration": queued, "run_duration": ran}
    return {
        "created_at": timestamp(run.created_at),
        "updated_at": timestamp(run.updated_at or run.created_at),
        "dequeued_at": timestamp(run.dequeued_at),
        "started_at": timestamp(run.started_at),
        "finished_at": timestamp(run.finished_at),
        "last_checked_at": timestamp(run.finished_at),
        "last_heartbeat_at": timestamp(end) if run.started_at else None,
        "should_start_at": timestamp(run.created_at),
        **{name: clock_duration(span) for name, span in spans.items()},
        **{f"{name}_humanized": spoken_duration(span) for name, span in spans.items()},
        "created_at_humanized": spoken_age(run.created_at, now),
        "finished_at_humanized": spoken_age(run.finished_at, now),
    }


def _audit(run: Run) -> dict[str, Any]:
    cancellation, kind = run.cancelled_by, run.cancelled_by_type
    return {
        "trigger": {"actor": {"id": run.trigger.actor, "type": "service_token", "name": run.trigger.actor}},
        "cancellation": {"actor": {"id": cancellation, "type": kind, "name": cancellation}} if cancellation else None,
    }
