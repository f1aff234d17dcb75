"""The attempts, and what ended the step early, as the one value that the report is made of. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.gates import Gate
from dbt_cloud_run.ledger.gates import judge_gates
from dbt_cloud_run.ledger.ledger import build_ledger
from dbt_cloud_run.ledger.verdict import unknown_runs, verdict
from dbt_cloud_run.model import Attempt, Interruption, LimitReached, Outcome, RunState, StepError


def build_outcome(
    attempts: Sequence[Attempt],
    *,
    notes: Sequence[str] = (),
    error: StepError | None = None,
    limit: LimitReached | None = None,
    interruption: Interruption | None = None,
    now: datetime | None = None,
    fail_on: Sequence[Gate] = (),
    commits: Sequence[str] = (),
) -> Outcome:
    """The outcome of these attempts, or of what ended them early: an error, a limit, a signal.

    `now` ends the duration where the last attempt has no end of its own. `fail_on` are the conditions that fail a run
    that succeeded, `commits` those of which one has to be built.
    """
    ledger = build_ledger(attempts)
    gates = judge_gates(attempts, ledger, fail_on=fail_on, commits=commits)
    found = verdict(attempts, ledger, gates.failed)
    ending, kind = found.ending, found.failure_kind
    if error is not None:
        ending, kind = Ending.ERROR, error.kind
    elif interruption is not None and ending is not Ending.SUCCESS:
        ending, kind = Ending.CANCELLED, FailureKind.CANCELLED
    return Outcome(
        ending=ending,
        failure_kind=kind,
        attempts=tuple(attempts),
        ledger=ledger,
        error=error,
        limit=limit,
        interruption=interruption,
        contradictions=found.contradictions,
        gates=gates,
        unknown_runs=unknown_runs(attempts),
        notes=tuple(notes),
        duration_seconds=_duration(attempts, now),
        queued_seconds=sum(_queued(attempt, now) for attempt in attempts),
    )


def _queued(attempt: Attempt, now: datetime | None) -> float:
    """Seconds in the queue; up to now for a run that has not left it."""
    if attempt.queued_seconds is not None:
        return attempt.queued_seconds
    if attempt.state is not RunState.QUEUED or attempt.triggered_at is None or now is None:
        return 0.0
    return max((now - attempt.triggered_at).total_seconds(), 0.0)


def _duration(attempts: Sequence[Attempt], now: datetime | None) -> float | None:
    """From the first trigger to the last attempt's end, in seconds."""
    started = next((attempt.triggered_at for attempt in attempts if attempt.triggered_at), None)
    if started is None:
        return None
    ended = attempts[-1].finished_at or now
    return max((ended - started).total_seconds(), 0.0) if ended else None
