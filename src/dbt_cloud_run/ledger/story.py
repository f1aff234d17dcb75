"""What is known of this step's work, at any moment, as the one value that the report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dbt_cloud_run.errors import ActionError
from dbt_cloud_run.ledger.ledger import build_ledger
from dbt_cloud_run.ledger.verdict import verdict
from dbt_cloud_run.model import Attempt, Ending, FailureKind, Outcome, RunState


def tell(
    attempts: Sequence[Attempt],
    *,
    notes: Sequence[str] = (),
    error: ActionError | None = None,
    interrupted_by: int = 0,
    fate: str = "",
    timed_out: str | None = None,
    now: datetime | None = None,
) -> Outcome:
    """The outcome of these attempts, or of what ended them early: an error, a signal, a limit.

    `fate` is the sentence on what becomes of the run after a signal. `now` ends the duration where the last attempt
    has no end of its own.
    """
    notes = list(notes)
    ending, kind, left_out = (Ending.ERROR, FailureKind.API, False)
    if attempts:
        ending, kind, left_out = verdict(attempts)
    message, advice = _why(attempts, ending, left_out)
    if ending is Ending.TIMED_OUT and timed_out:
        message, advice = _out_of_time(attempts[-1], timed_out, notes)
    if error is not None:
        ending, kind, message, advice = Ending.ERROR, error.kind, error.message, error.advice
    elif interrupted_by and ending is not Ending.SUCCESS:
        ending, kind = Ending.CANCELLED, FailureKind.CANCELLED
        message, advice = f"The step was told to stop (signal {interrupted_by}). {fate}".strip(), ""
    return Outcome(
        ending=ending,
        failure_kind=kind,
        attempts=tuple(attempts),
        ledger=build_ledger(attempts),
        message=message,
        advice=advice or None,
        left_out=left_out,
        notes=tuple(notes),
        duration_seconds=_duration(attempts, now),
        queued_seconds=sum(attempt.queued_seconds or 0.0 for attempt in attempts),
    )


def _why(attempts: Sequence[Attempt], ending: Ending, left_out: bool) -> tuple[str | None, str]:
    if ending is Ending.SUCCESS or not attempts:
        return None, ""
    last = attempts[-1]
    if left_out and last.ending is Ending.SUCCESS:
        return "The last run succeeded, but failures before it were left out of the retry.", ""
    said = f" dbt Cloud says: {last.status_message}" if last.status_message else ""
    words = {
        Ending.ERROR: f"Run {last.run_id} failed.",
        Ending.CANCELLED: f"Run {last.run_id} was cancelled in dbt Cloud.",
        Ending.SUPERSEDED: f"Run {last.run_id} was cancelled by dbt Cloud for a newer commit.",
        Ending.TIMED_OUT: f"Run {last.run_id} ran into dbt Cloud's own time limit.",
    }
    return (words[ending] + said, "") if ending in words else (None, "")


def _out_of_time(last: Attempt, limit: str, notes: list[str]) -> tuple[str, str]:
    """Which limit it was, and what became of the run; the loop's own lines on that are taken from the notes."""
    said = next((place for place, note in enumerate(notes) if note.startswith("Out of time: ")), None)
    later = notes[said + 1 :] if said is not None else []
    fate = next((note for note in later if note.startswith(f"Run {last.run_id} ")), None)
    notes[:] = [note for place, note in enumerate(notes) if place != said and note != fate]
    if fate is None and last.state is RunState.CANCELLED:
        fate = f"Run {last.run_id} was cancelled, and dbt Cloud says that it has ended."
    elif fate is None and last.state.is_terminal:
        fate = f"Run {last.run_id} was to be cancelled, and had ended by then: {last.state.value}."
    elif fate is None:
        fate = (
            f"dbt Cloud was asked to cancel run {last.run_id}, and has not done so: it is {last.state.value}, "
            "and may go on."
        )
    return f"{limit}. {fate}", "Raise the limit, or see in dbt Cloud what the run waits for."


def _duration(attempts: Sequence[Attempt], now: datetime | None) -> float | None:
    """From the first trigger to the last attempt's end, in seconds."""
    started = next((attempt.triggered_at for attempt in attempts if attempt.triggered_at), None)
    if started is None:
        return None
    ended = attempts[-1].finished_at or now
    return max((ended - started).total_seconds(), 0.0) if ended else None
