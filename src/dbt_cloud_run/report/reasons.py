"""Why the step ended as it did, in words: the one place where limits, signals, errors and contradictions are worded."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from dbt_cloud_run.cancellation import CancelledBy
from dbt_cloud_run.dbt.console_log import failure_lines
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.errors import with_code
from dbt_cloud_run.invariants import Invariant
from dbt_cloud_run.ledger.judgement import failed_without_nodes, is_failed_set_up
from dbt_cloud_run.model import FateKind
from dbt_cloud_run.report.gates import gate_words
from dbt_cloud_run.retry.alignment import hides_failure
from dbt_cloud_run.text import in_one_line
from dbt_cloud_run.unknown import HIDDEN_FAILURE, step_words

if TYPE_CHECKING:
    from dbt_cloud_run.invariants import Contradiction
    from dbt_cloud_run.model import Attempt, Fate, Interruption, LimitReached, Outcome

_MOST_NODES = 5
_MOST_LINES = 5
_LONGEST_NAME = 120


def reason(outcome: Outcome) -> tuple[str, str]:
    """Why it ended so, and what the user should do next; both empty where there is nothing to say."""
    why, advice = reason_apart(outcome)
    return " ".join(words for words in (why, *map(gate_words, outcome.gates.failed)) if words), advice


def reason_apart(outcome: Outcome) -> tuple[str, str]:
    """The same without the conditions of `fail-on` that held, for where these are listed."""
    if outcome.error is not None:
        return with_code(outcome.error.message, outcome.error.code), outcome.error.advice
    if outcome.interruption is not None and outcome.ending is Ending.CANCELLED:
        return interruption_words(outcome.interruption), ""
    if outcome.limit is not None and outcome.ending is Ending.TIMED_OUT:
        return limit_words(outcome.limit), "Raise the limit, or look in dbt Cloud for what the run waits for."
    if outcome.contradictions:
        others = [one for one in outcome.contradictions if one.invariant is not Invariant.NO_GATE_FAILED]
        found = [_contradiction(one, outcome) for one in others]
        return " ".join(message for message, _ in found), " ".join(advice for _, advice in found if advice)
    if outcome.last is None or outcome.ending is Ending.SUCCESS:
        return "", ""
    return _ending(outcome.last, outcome.ending), ""


def _ending(last: Attempt, ending: Ending) -> str:
    words = {
        Ending.ERROR: f"Run {last.run_id} failed{f': {HIDDEN_FAILURE}' if hides_failure(last) else ''}.",
        Ending.CANCELLED: _cancelled(last),
        Ending.SUPERSEDED: _superseded(last),
        Ending.TIMED_OUT: f"Run {last.run_id} reached dbt Cloud's own time limit.",
    }
    if ending is Ending.CANCELLED and is_failed_set_up(last):
        words[ending] = f"Run {last.run_id} failed while it was set up, which dbt Cloud reports as cancelled."
    if ending not in words:
        return ""
    said = f" dbt Cloud's message: {last.status_message}" if last.status_message else ""
    return words[ending] + said + _failed_step(last)


def _failed_step(last: Attempt) -> str:
    """The first step that failed without a failed node to show for it, and the lines of its log that say why."""
    step = next(iter(failed_without_nodes(last)), None)
    if step is None:
        return ""
    name = in_one_line(step.command or step.name, _LONGEST_NAME)
    lines = failure_lines(step.log)
    more = ["…"] if len(lines) > _MOST_LINES else []
    why = "\n".join((*(line.strip() for line in lines[:_MOST_LINES]), *more))
    return f" {step_words(step.index).capitalize()} ({name}) failed{': ' + why if why else '.'}"


def _cancelled(last: Attempt) -> str:
    """Who cancelled a run, as far as it is known."""
    cancellation = last.cancellation
    by = cancellation.by if cancellation else CancelledBy.UNKNOWN
    name = f" ({cancellation.actor})" if cancellation and cancellation.actor else ""
    return f"Run {last.run_id} was cancelled {by.value}{name}."


def _superseded(last: Attempt) -> str:
    cancellation = last.cancellation
    newer = cancellation.newer_run_id if cancellation else None
    is_for_commit = cancellation is not None and cancellation.is_for_commit
    which = f"run {newer}" if newer else "another run" if is_for_commit else "a newer run"
    of_commit = " of a newer commit" if is_for_commit else ""
    return f"Run {last.run_id} was superseded: dbt Cloud runs {which}{of_commit} instead."


def _contradiction(found: Contradiction, outcome: Outcome) -> tuple[str, str]:
    run = f"run {outcome.last.run_id}" if outcome.last else "the run"
    if found.invariant is Invariant.NOTHING_LEFT_OUT:
        return "The last run succeeded, but failures before it were left out of the retry.", ""
    shown = ", ".join(found.nodes[:_MOST_NODES])
    more = f" and {len(found.nodes) - _MOST_NODES:,} more" if len(found.nodes) > _MOST_NODES else ""
    if found.invariant is Invariant.NO_NODE_FAILED:
        return (
            f"dbt Cloud reports {run} as a success, but the last result of these nodes is a failure: {shown}{more}.",
            "",
        )
    if found.invariant is Invariant.RETRIED_RAN:
        why = f"these nodes were to be re-run, and no retry has a result of them: {shown}{more}."
        advice = "Look in dbt Cloud at what the retry selected, or re-run the job."
        return f"dbt Cloud reports {run} as a success, but {why}", advice
    if found.invariant is Invariant.RESULTS_KNOWN:
        runs = ", ".join(str(one) for one in found.runs)
        return (
            f"The last run succeeded, but after a retry every result must be known, and those of run {runs} are not.",
            "Look in dbt Cloud at what these runs built, or re-run the job.",
        )
    asked, built = found.commits or ("", "")
    runs = ", ".join(str(one) for one in found.runs)
    return f"Run {runs} built commit {built} instead of commit {asked}.", "Check git-sha and git-branch."


def interruption_words(interruption: Interruption) -> str:
    """That a signal ended the step, and what becomes of its run."""
    fate = interruption.fate
    words = f" {fate_words(fate, continued_by=interruption.continued_by)}" if fate is not None else ""
    return f"The step received {signal.Signals(interruption.signum).name}.{words}"


def limit_words(reached: LimitReached) -> str:
    """Which limit is over, and what became of the run."""
    return f"{reached.limit.value} is reached. {fate_words(reached.fate)}"


def fate_words(fate: Fate, *, continued_by: str = "") -> str:
    """What became of a run. `continued_by`: the step ends now, and this continues with the run."""
    run = f"Run {fate.run_id}" if fate.run_id is not None else "The run"
    if fate.kind is FateKind.LEFT_ALONE:
        perhaps = "" if fate.run_id is not None else " if it was started, which is not known"
        return f"{run} continues in dbt Cloud{perhaps}: {fate.why}."
    if fate.kind is FateKind.CANCELLED:
        return f"{run} was cancelled, and dbt Cloud reports that it has ended."
    if fate.kind is FateKind.HAD_ENDED:
        return f"{run} was to be cancelled, but had already ended: {fate.state.value}."
    if fate.kind is FateKind.NOT_CANCELLED:
        after = f" {continued_by[0].upper()}{continued_by[1:]} tries again." if continued_by else ""
        what = f"{run} could not be cancelled"
        if fate.run_id is None:
            what = "Whether the run was started could not be determined"
        return f"{what}: {fate.error.rstrip('.') or 'dbt Cloud did not answer'}.{after}"
    if continued_by:
        return f"{run} is being cancelled in dbt Cloud; {continued_by} waits until it has ended."
    now = f"which is still {fate.state.value} and may continue"
    return f"dbt Cloud accepted the cancellation of run {fate.run_id}, {now}."
