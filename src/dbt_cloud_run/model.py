"""The values that travel between the rooms: runs as attempts, steps, node results, the outcome.

All are immutable. Times are timezone-aware UTC, durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbt_cloud_run.cancellation import Cancellation
from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.gates import GateFindings

if TYPE_CHECKING:
    # Not needed before there is something to judge: the trigger goes out first.
    from dbt_cloud_run.invariants import Contradiction
    from dbt_cloud_run.node_results import NodeOutcome, NodeResult
    from dbt_cloud_run.planned import RetryPlan
    from dbt_cloud_run.unknown import Unknown


class RunState(StrEnum):
    """What dbt Cloud says of a run or a step; a code that we do not know is `UNKNOWN`, and never terminal by itself."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # steps only: a step after a failed one, where the platform lists it
    UNKNOWN = "unknown"

    @property
    def is_terminal(self) -> bool:
        return self in (RunState.SUCCESS, RunState.ERROR, RunState.CANCELLED, RunState.SKIPPED)


class Limit(StrEnum):
    """The inputs that limit the time; each value is the input's name."""

    TOTAL = "timeout-minutes"
    QUEUE = "queue-timeout-minutes"


class LeftAlone(StrEnum):
    """Why a run that goes on is not cancelled."""

    CANCEL_RUN = "cancel-run is false"
    WAIT = "wait is false"
    NOT_OURS = "this step did not start it"


class FateKind(StrEnum):
    """What became of a run that was still active when a limit or a signal ended the step's wait."""

    LEFT_ALONE = "left alone"
    CANCELLED = "cancelled"
    HAD_ENDED = "had ended"
    CANCELLING = "cancellation accepted, not ended yet"
    NOT_CANCELLED = "cancellation failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of a run, as far as it is known. `error` belongs to `NOT_CANCELLED`, `why` to `LEFT_ALONE`."""

    kind: FateKind
    run_id: int | None  # None where it is not known which run a request has started
    state: RunState = RunState.UNKNOWN
    why: LeftAlone | None = None
    error: str = ""

    @property
    def is_unsettled(self) -> bool:
        """Whether the run may go on although it should not: the post step continues with it."""
        return self.kind in (FateKind.CANCELLING, FateKind.NOT_CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReached:
    """A time limit of the step ended the wait."""

    limit: Limit
    fate: Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """A signal ended the step. `fate` is None where no run of this step goes on."""

    signum: int
    fate: Fate | None = None
    continued_by: str = "the post step"  # who looks after the run when the step has ended


@dataclass(frozen=True, slots=True, kw_only=True)
class StepError:
    """The error that ended the step: what happened, and what the user should do next."""

    kind: FailureKind
    message: str
    advice: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerOverrides:
    """What a trigger may override; the field names are the API's. `None` and `()` mean: not sent."""

    git_sha: str | None = None
    git_branch: str | None = None
    schema_override: str | None = None
    dbt_version_override: str | None = None
    threads_override: int | None = None
    target_name_override: str | None = None
    generate_docs_override: bool | None = None
    timeout_seconds_override: int | None = None
    steps_override: tuple[str, ...] = ()
    github_pull_request_id: int | None = None
    azure_pull_request_id: int | None = None
    gitlab_merge_request_id: int | None = None
    non_native_pull_request_id: int | None = None

    def body(self) -> dict[str, Any]:
        """The overrides as fields of the trigger's JSON body, only those that are given."""
        given = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
            if value is not None and value != ()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResults:
    """A step's trusted `run_results.json`, decoded; the file itself stays on disk."""

    path: Path
    which: str | None  # args.which: `build`, `run`, `test`, …
    invocation_id: str | None
    generated_at: datetime | None
    elapsed_seconds: float | None
    nodes: tuple[NodeResult, ...]
    selected_fail_fast: bool = False  # args.fail_fast
    indirect_selection: str | None = None  # args: as it was in force, also where the command does not say so
    resource_types: tuple[str, ...] = ()
    exclude_resource_types: tuple[str, ...] = ()
    full_refresh: bool | None = None  # args.full_refresh; None where the engine does not report it
    favor_state: bool | None = None  # args.favor_state
    lost_rows: int = 0  # rows that name no node, so that what they say is lost
    empty: bool | None = None  # args.empty: dbt limited every input to no rows


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessResult:
    """One row of a `sources.json`."""

    unique_id: str
    status: str  # `pass`, `warn`, `error`, `runtime error`
    message: str | None = None
    max_loaded_at: datetime | None = None
    age_seconds: float | None = None
    criteria: str | None = None  # such as `error after 24 hours`


LONGEST_LOG = 200_000  # characters kept of a step's log: its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a run as it ended. `command` is the dbt command line of the step's name, None for setup steps."""

    index: int  # 1-based, as the platform counts, hidden setup steps included
    name: str
    command: str | None
    state: RunState
    log: str = ""  # console output, the last part of it where it is long; ANSI colours kept
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_seconds: float | None = None
    results: StepResults | None = None
    distrusted: str | None = None  # why results that were served for this step are not used
    freshness: tuple[FreshnessResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One dbt Cloud run of this step, as it ended (or as it was last seen)."""

    number: int  # 1-based; 1 is the first run
    run_id: int
    job_id: int
    state: RunState
    ending: Ending
    run_url: str | None = None
    status_message: str | None = None
    job_name: str | None = None
    project_id: int | None = None
    project_name: str | None = None
    environment_id: int | None = None
    environment_name: str | None = None
    git_sha: str | None = None
    git_branch: str | None = None
    dbt_version: str | None = None
    overrides: TriggerOverrides = field(default_factory=TriggerOverrides)  # what this very run was triggered with
    asked: tuple[str, ...] = ()  # the commands it was asked for: `steps_override`, or else the job's `execute_steps`
    generates_docs: bool = False  # the platform adds `dbt docs generate` at the end
    checks_freshness: bool = False  # the platform adds `dbt source freshness` at the start
    steps: tuple[Step, ...] = ()
    triggered_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    queued_seconds: float | None = None
    retried_natively: bool = False
    from_earlier_workflow_run: bool = False
    had_ended: bool = False  # before this step looked at it for the first time
    is_partial: bool = False  # a retry that did not include everything that had failed before it
    plan: RetryPlan | None = None  # the plan made from this attempt, if it was followed by a decision about a retry
    warnings: tuple[str, ...] = ()  # artifacts that are missing, late or not trusted
    unknown: tuple[Unknown, ...] = ()  # what should be there and could not be read
    is_unread: bool = False  # some artifact could not be read for a reason that may pass
    cancellation: Cancellation | None = None  # of a run that dbt Cloud calls cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Every node once. Order: first appearance over attempts and steps."""

    outcomes: Mapping[str, NodeOutcome] = field(default_factory=dict)
    freshness: tuple[FreshnessResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The whole story of this step; the report is made of it alone (and of the manifest)."""

    ending: Ending
    failure_kind: FailureKind = FailureKind.NONE
    attempts: tuple[Attempt, ...] = ()
    ledger: Ledger = field(default_factory=Ledger)
    error: StepError | None = None
    limit: LimitReached | None = None
    interruption: Interruption | None = None
    contradictions: tuple[Contradiction, ...] = ()  # why the success of the last run is none
    gates: GateFindings = field(default_factory=GateFindings)
    unknown_runs: tuple[int, ...] = ()  # runs of which a result that counts could not be read
    notes: tuple[str, ...] = ()  # such as: attached to run 7, which had already been started for this commit
    duration_seconds: float | None = None  # from the trigger to the last attempt's end
    queued_seconds: float | None = None  # over all attempts

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None
