"""What dbt Cloud's API v2 answers, read leniently: a field that is missing, null or of another type is None.

Only a run's `id` is required. Fields that we do not use are not declared.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WrapValidator

from dbt_cloud_run.cancellation import Cancellation, CancelledBy
from dbt_cloud_run.cloud.answers import when_possible
from dbt_cloud_run.cloud.cancellation import cancellation_of
from dbt_cloud_run.cloud.errors import Unreadable
from dbt_cloud_run.model import RunState, TriggerOverrides

_STATES = {
    1: RunState.QUEUED,
    2: RunState.STARTING,
    3: RunState.RUNNING,
    10: RunState.SUCCESS,
    20: RunState.ERROR,
    30: RunState.CANCELLED,
}
_WORDS = {state.value: state for state in RunState} | {"canceled": RunState.CANCELLED, "failed": RunState.ERROR}
# Connections and schemas that such a name quotes are the user's, and no commands.
_SET_UP = re.compile(r"\s{0,20}(?:clone git repository|create profile from connection)\b", re.IGNORECASE)
_DURATION = re.compile(r"(?:(\d{1,6}) days?,? )?(\d{1,7}):([0-5]?\d):([0-5]?\d(?:\.\d+)?)")


def parse_time(value: object) -> datetime | None:
    """A time as the API writes it (`2024-05-27 10:42:16.179903+00:00`, or ISO 8601), in UTC; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value.strip())
        return when_possible(time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def parse_duration(value: object) -> float | None:
    """`HH:MM:SS` (hours may exceed 24, days may be written out) in seconds; None for anything else."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    days, hours, minutes, seconds = match.groups()
    return timedelta(days=int(days or 0), hours=int(hours), minutes=int(minutes)).total_seconds() + float(seconds)


def _or_none(value: Any, handler: Callable[[Any], Any]) -> Any:
    try:
        return handler(value)
    except (ValidationError, ValueError):
        return None


def _items(value: object) -> object:
    return [item for item in value if item is not None] if isinstance(value, list) else None


def _steps(value: object) -> object:
    if not isinstance(value, list):
        return None
    return [item for item in value if isinstance(item, dict) and type(item.get("index")) is int]


def _said(value: object) -> object:
    """Words, or None where there are none; the platform writes Python's `None` as a word at times."""
    return None if isinstance(value, str) and value.strip().lower() in ("", "none", "null") else value


_Lenient = WrapValidator(_or_none)
Int = Annotated[int | None, _Lenient]
Text = Annotated[str | None, _Lenient]
Words = Annotated[str | None, BeforeValidator(_said), _Lenient]
Flag = Annotated[bool | None, _Lenient]
Time = Annotated[datetime | None, BeforeValidator(parse_time)]
Seconds = Annotated[float | None, BeforeValidator(parse_duration)]
Texts = Annotated[tuple[str, ...] | None, BeforeValidator(_items), _Lenient]
Ints = Annotated[tuple[int, ...] | None, BeforeValidator(_items), _Lenient]


class CloudModel(BaseModel):
    """Base of all: immutable; unknown fields are ignored."""

    # A kind of answer that never comes needs nothing that reads it.
    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=(), defer_build=True)

    @classmethod
    def read(cls, data: object, what: str) -> Self:
        """One of these in an answer; raises `Unreadable`, which calls it `what`."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise Unreadable(f"dbt Cloud's answer is not readable as {what}.") from error

    @classmethod
    def read_all(cls, data: object, what: str) -> tuple[Self, ...]:
        """A list of these in an answer; raises `Unreadable`, which calls it `what`."""
        if not isinstance(data, list):
            raise Unreadable(f"dbt Cloud's answer is not readable as {what}.")
        return tuple(cls.read(item, what) for item in data)


class Trigger(CloudModel):
    """Why and with which overrides a run was triggered; present only where it was asked for."""

    cause: Text = None
    cause_category: Text = None
    git_sha: Text = None
    git_branch: Text = None
    schema_override: Text = None
    dbt_version_override: Text = None
    threads_override: Int = None
    target_name_override: Text = None
    generate_docs_override: Flag = None
    timeout_seconds_override: Int = None
    steps_override: Texts = None
    github_pull_request_id: Int = None
    azure_pull_request_id: Int = None
    gitlab_merge_request_id: Int = None
    non_native_pull_request_id: Int = None

    @property
    def overrides(self) -> TriggerOverrides:
        """The overrides as we would send them; empty strings and lists count as not given."""
        return TriggerOverrides(
            git_sha=self.git_sha or None,
            git_branch=self.git_branch or None,
            schema_override=self.schema_override or None,
            dbt_version_override=self.dbt_version_override or None,
            threads_override=self.threads_override,
            target_name_override=self.target_name_override or None,
            generate_docs_override=self.generate_docs_override,
            timeout_seconds_override=self.timeout_seconds_override,
            steps_override=self.steps_override or (),
            github_pull_request_id=self.github_pull_request_id,
            azure_pull_request_id=self.azure_pull_request_id,
            gitlab_merge_request_id=self.gitlab_merge_request_id,
            non_native_pull_request_id=self.non_native_pull_request_id,
        )


class StepCommand(CloudModel):
    """The command of a step, where the platform states it apart from the name."""

    dbt_command: Text = None


class RunStep(CloudModel):
    """One step of a run. `index` counts from 1 and includes the hidden setup steps."""

    id: Int = None
    index: int
    name: Text = None
    status: Int = None
    status_humanized: Text = None
    logs: Text = None
    debug_logs: Text = None
    truncated_debug_logs: Text = None
    started_at: Time = None
    finished_at: Time = None
    duration: Seconds = None
    run_step_command: Annotated[StepCommand | None, _Lenient] = None

    @property
    def state(self) -> RunState:
        """The word wins where it says `Skipped`: that state has no documented number."""
        word = _WORDS.get((self.status_humanized or "").strip().lower())
        if word is RunState.SKIPPED:
            return word
        return _STATES.get(self.status or 0) or word or RunState.UNKNOWN

    @property
    def command(self) -> str | None:
        """The dbt command, which stands between back-ticks in the step's name; None for a setup step."""
        if _SET_UP.match(self.name or ""):
            return None
        _, tick, rest = (self.name or "").partition("`")
        command, closing, _ = rest.rpartition("`")
        if tick and closing and command.strip():
            return command.strip()
        return self.run_step_command.dbt_command if self.run_step_command else None

    @property
    def has_begun(self) -> bool:
        """Whether the step shows that it began; those that never had their turn may be listed, too."""
        if self.state in (RunState.QUEUED, RunState.SKIPPED):
            return False
        is_shown = self.state not in (RunState.CANCELLED, RunState.UNKNOWN)
        return is_shown or self.started_at is not None or bool(self.log.strip())

    @property
    def log(self) -> str:
        """The console output; the debug log where there is none."""
        return self.logs or self.debug_logs or self.truncated_debug_logs or ""


class JobTriggers(CloudModel):
    """What starts a job besides us."""

    github_webhook: Flag = None
    git_provider_webhook: Flag = None


class Named(CloudModel):
    """An environment or a project, as far as its name."""

    id: int
    name: Text = None


class Job(CloudModel):
    """A job definition, also as it is embedded in a run."""

    id: Int = None
    project_id: Int = None
    environment_id: Int = None
    name: Text = None
    job_type: Text = None
    execute_steps: Texts = None
    generate_docs: Flag = None
    run_generate_sources: Flag = None
    generate_sources: Flag = None
    dbt_version: Text = None
    triggers: Annotated[JobTriggers | None, _Lenient] = None
    environment: Annotated[Named | None, _Lenient] = None
    project: Annotated[Named | None, _Lenient] = None

    @property
    def checks_freshness(self) -> bool:
        """Whether the platform runs `dbt source freshness` before the job's own steps."""
        return bool(self.run_generate_sources or self.generate_sources)

    @property
    def has_git_webhook(self) -> bool:
        """Whether dbt Cloud's own Git integration triggers this job for pull requests, too."""
        return bool(self.triggers and (self.triggers.github_webhook or self.triggers.git_provider_webhook))


class Actor(CloudModel):
    """Who did something, as far as the audit says."""

    id: Annotated[str | None, BeforeValidator(lambda value: None if value is None else str(value))] = None
    type: Text = None
    name: Text = None


class AuditEvent(CloudModel):
    """One audited event of a run."""

    actor: Annotated[Actor | None, _Lenient] = None


class Audit(CloudModel):
    """Who triggered a run and who cancelled it; present only where it was asked for, and not on every plan."""

    trigger: Annotated[AuditEvent | None, _Lenient] = None
    cancellation: Annotated[AuditEvent | None, _Lenient] = None


class Run(CloudModel):
    """One run of a job. Times are UTC, durations are seconds."""

    id: int = Field(gt=0)
    job_definition_id: Int = None
    project_id: Int = None
    environment_id: Int = None
    retrying_run_id: Int = None
    status: Int = None
    status_humanized: Text = None
    status_message: Words = None
    in_progress: Flag = None
    is_running: Flag = None
    is_complete: Flag = None
    is_success: Flag = None
    is_error: Flag = None
    is_cancelled: Flag = None
    blocked_by: Ints = None
    dbt_version: Text = None
    git_branch: Text = None
    git_sha: Text = None
    href: Words = None
    artifacts_saved: Flag = None
    can_retry: Flag = None
    retry_not_supported_reason: Text = None
    created_at: Time = None
    dequeued_at: Time = None
    started_at: Time = None
    finished_at: Time = None
    duration: Seconds = None
    queued_duration: Seconds = None
    run_duration: Seconds = None
    trigger: Annotated[Trigger | None, _Lenient] = None
    job: Annotated[Job | None, _Lenient] = None
    environment: Annotated[Named | None, _Lenient] = None
    audit: Annotated[Audit | None, _Lenient] = None
    run_steps: Annotated[tuple[RunStep, ...] | None, BeforeValidator(_steps), _Lenient] = None

    @property
    def state(self) -> RunState:
        """The status number; the flags and the status word where the number is unknown."""
        known = _STATES.get(self.status or 0)
        if known is not None:
            return known
        flags = (
            (self.is_success, RunState.SUCCESS),
            (self.is_error, RunState.ERROR),
            (self.is_cancelled, RunState.CANCELLED),
        )
        for flag, state in flags:
            if flag:
                return state
        word = _WORDS.get((self.status_humanized or "").strip().lower())
        if word is not None and word is not RunState.SKIPPED:
            return word
        if self.is_complete:  # it has ended, and nothing says that it succeeded
            return RunState.ERROR
        return RunState.RUNNING if self.is_running or self.in_progress else RunState.UNKNOWN

    @property
    def cancellation(self) -> Cancellation | None:
        """Who cancelled the run, as far as dbt Cloud says so; None for a run that was not cancelled."""
        if self.state is not RunState.CANCELLED:
            return None
        event = self.audit.cancellation if self.audit else None
        actor = event.actor if event else None
        starter = self.audit.trigger.actor if self.audit and self.audit.trigger else None
        is_starter = None
        if actor is not None and starter is not None and actor.id is not None and starter.id is not None:
            is_starter = (actor.type, actor.id) == (starter.type, starter.id)
        # An actor of whom nothing is known is none: a field may be there and empty.
        is_named = actor is not None and (actor.id is not None or bool(actor.name))
        name = (actor.name or "") if actor is not None and is_named else None
        return cancellation_of(self.status_message, name, is_starter=is_starter)

    @property
    def timed_out(self) -> bool:
        """Ended by dbt Cloud's own time limit, which it reports as cancelled."""
        return self.cancellation is not None and self.cancellation.by is CancelledBy.TIME_LIMIT

    @property
    def superseded(self) -> bool:
        """Cancelled by dbt Cloud for a newer run, going by the status message."""
        return self.cancellation is not None and self.cancellation.by is CancelledBy.NEWER_RUN

    @property
    def has_begun_steps(self) -> bool:
        """Whether any step can have begun: the run has a start, or a step that shows one."""
        return self.started_at is not None or any(step.has_begun for step in self.run_steps or ())

    @property
    def has_ended_after_steps(self) -> bool:
        """Whether it has ended, and steps of it can have begun; a run that succeeded or failed has had some."""
        return self.state.is_terminal and (self.state is not RunState.CANCELLED or self.has_begun_steps)

    @property
    def overrides(self) -> TriggerOverrides:
        """The overrides of its trigger; none where the trigger was not asked for."""
        return self.trigger.overrides if self.trigger else TriggerOverrides()

    @property
    def asked(self) -> tuple[str, ...]:
        """The commands it was asked for: `steps_override`, or else the job's own; empty where neither is known."""
        return self.overrides.steps_override or ((self.job.execute_steps or ()) if self.job else ())

    @property
    def steps(self) -> tuple[RunStep, ...]:
        """The steps in their order; empty where they were not asked for."""
        return tuple(sorted(self.run_steps or (), key=lambda step: step.index))
