"""The attempts and what ended the step early, as one value; and why it ended so, in words."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.attempts import NOON, attempt, step
from tests.support.values import replace

from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.gates import Gate
from dbt_cloud_run.invariants import Invariant
from dbt_cloud_run.ledger.outcome import build_outcome
from dbt_cloud_run.model import (
    Attempt,
    Fate,
    FateKind,
    Interruption,
    LeftAlone,
    Limit,
    LimitReached,
    RunState,
    StepError,
)
from dbt_cloud_run.planned import RetryPlan
from dbt_cloud_run.report.reasons import reason
from dbt_cloud_run.unknown import Unknown, UnknownKind

GREEN = attempt(1, step(4, "dbt build", {"model.p.a": "success"}))
RED = attempt(1, step(4, "dbt build", {"model.p.a": "error"}))


def test_an_error_of_ours_outweighs_what_the_run_did() -> None:
    found = build_outcome([GREEN], error=StepError(kind=FailureKind.API, message="Lost sight.", advice="Look."))
    assert (found.ending, found.failure_kind, reason(found)) == (
        Ending.ERROR,
        FailureKind.API,
        ("Lost sight.", "Look."),
    )
    assert found.ledger.outcomes.keys() == {"model.p.a"}


def test_a_signal_makes_what_is_not_done_cancelled_and_leaves_what_is() -> None:
    queued = replace(RED, ending=Ending.QUEUED)
    found = build_outcome([queued], interruption=Interruption(signum=15))
    assert (found.ending, found.failure_kind) == (Ending.CANCELLED, FailureKind.CANCELLED)
    assert reason(found) == ("The step received SIGTERM.", "")
    assert build_outcome([GREEN], interruption=Interruption(signum=15)).ending is Ending.SUCCESS


def test_a_success_needs_no_reason() -> None:
    assert reason(build_outcome([GREEN])) == ("", "")


@pytest.mark.parametrize(
    ("ending", "word"),
    [
        (Ending.ERROR, "failed"),
        (Ending.CANCELLED, "was cancelled"),
        (Ending.SUPERSEDED, "a newer run"),
        (Ending.TIMED_OUT, "time limit"),
    ],
)
def test_the_reason_says_how_it_ended_with_dbt_clouds_words(ending: Ending, word: str) -> None:
    message, _ = reason(build_outcome([replace(RED, ending=ending, status_message="In their words.")]))
    assert word in message
    assert "In their words." in message


def test_what_contradicts_a_success_is_named() -> None:
    odd = attempt(1, step(4, "dbt build", {f"model.p.{n}": "error" for n in range(7)}), ending=Ending.SUCCESS)
    message, _ = reason(build_outcome([odd]))
    assert "model.p.0, model.p.1, model.p.2, model.p.3, model.p.4 and 2 more" in message
    partial = build_outcome([replace(RED, plan=RetryPlan(is_partial=True)), replace(GREEN, number=2)])
    assert "left out of the retry" in reason(partial)[0]
    other = build_outcome([replace(RED, git_sha="a" * 40), replace(GREEN, git_sha="b" * 40)])
    assert "a" * 40 in reason(other)[0]
    assert "b" * 40 in reason(other)[0]
    unread = Unknown(kind=UnknownKind.RESULTS, why="HTTP 500", step=4)
    after = build_outcome([RED, replace(GREEN, number=2, run_id=102, unknown=(unread,))])
    assert "run 102" in reason(after)[0]
    assert after.unknown_runs == (102,)


def test_the_duration_is_from_the_first_trigger_to_the_last_end() -> None:
    def at(number: int, begin: int, end: int | None, queued: float) -> Attempt:
        finished = None if end is None else NOON + timedelta(seconds=end)
        triggered = NOON + timedelta(seconds=begin)
        return replace(GREEN, number=number, triggered_at=triggered, finished_at=finished, queued_seconds=queued)

    found = build_outcome([at(1, 0, 60, 5), at(2, 90, 130, 2.5)])
    assert (found.duration_seconds, found.queued_seconds) == (130, 7.5)
    assert build_outcome([at(1, 0, None, 5)], now=NOON + timedelta(seconds=42)).duration_seconds == 42
    assert build_outcome([at(1, 0, None, 5)]).duration_seconds is None
    assert build_outcome([at(1, 10, 0, 0)]).duration_seconds == 0, "clocks may differ"
    assert build_outcome([GREEN]).duration_seconds is None


FATES = [
    (Fate(kind=FateKind.CANCELLED, run_id=101), "Run 101 was cancelled, and dbt Cloud reports that it has ended."),
    (
        Fate(kind=FateKind.HAD_ENDED, run_id=101, state=RunState.ERROR),
        "Run 101 was to be cancelled, but had already ended: error.",
    ),
    (
        Fate(kind=FateKind.CANCELLING, run_id=101, state=RunState.RUNNING),
        "dbt Cloud accepted the cancellation of run 101, which is still running and may continue.",
    ),
    (
        Fate(kind=FateKind.LEFT_ALONE, run_id=101, why=LeftAlone.CANCEL_RUN),
        "Run 101 continues in dbt Cloud: cancel-run is false.",
    ),
    (
        Fate(kind=FateKind.NOT_CANCELLED, run_id=101, error="HTTP 403."),
        "Run 101 could not be cancelled: HTTP 403.",
    ),
]


@pytest.mark.parametrize(("fate", "words"), FATES)
def test_a_limit_says_once_what_became_of_the_run(fate: Fate, words: str) -> None:
    run = replace(RED, ending=Ending.TIMED_OUT)
    found = build_outcome([run], limit=LimitReached(limit=Limit.TOTAL, fate=fate))
    message, advice = reason(found)
    assert message == f"timeout-minutes is reached. {words}"
    assert advice.startswith("Raise the limit")


@pytest.mark.parametrize("fate", [fate for fate, _ in FATES])
def test_only_what_may_go_on_is_left_to_the_post_step(fate: Fate) -> None:
    assert fate.is_unsettled is (fate.kind in (FateKind.CANCELLING, FateKind.NOT_CANCELLED))


def test_a_signal_says_what_becomes_of_the_run() -> None:
    running = replace(RED, ending=Ending.QUEUED, state=RunState.RUNNING)
    fate = Fate(kind=FateKind.LEFT_ALONE, run_id=101, why=LeftAlone.CANCEL_RUN)
    found = build_outcome([running], interruption=Interruption(signum=2, fate=fate))
    assert reason(found)[0] == "The step received SIGINT. Run 101 continues in dbt Cloud: cancel-run is false."
    unknown = Fate(kind=FateKind.NOT_CANCELLED, run_id=None)
    found = build_outcome([], interruption=Interruption(signum=15, fate=unknown))
    assert reason(found)[0] == (
        "The step received SIGTERM. Whether the run was started could not be determined: dbt Cloud did not answer. "
        "The post step tries again."
    )


def test_notes_and_the_time_in_the_queue_are_those_of_all_attempts() -> None:
    second = replace(GREEN, number=2, queued_seconds=4.0)
    found = build_outcome([RED, replace(second, queued_seconds=2.5), second], notes=["first", "second"])
    assert found.notes == ("first", "second")
    assert found.queued_seconds == 6.5


# -- the time in the queue


QUEUED = replace(attempt(2, ending=Ending.QUEUED), state=RunState.QUEUED, triggered_at=NOON)
LATER = NOON + timedelta(seconds=90)


@pytest.mark.parametrize(
    ("made", "seconds"),
    [
        (QUEUED, 90.0),
        (replace(QUEUED, queued_seconds=7.5), 7.5),
        (replace(QUEUED, queued_seconds=0.0), 0.0),
        (replace(QUEUED, triggered_at=None), 0.0),
        (replace(QUEUED, triggered_at=LATER + timedelta(seconds=5)), 0.0),
        (replace(QUEUED, state=RunState.RUNNING), 0.0),
    ],
)
def test_a_run_that_has_not_left_the_queue_has_been_there_until_now(made: Attempt, seconds: float) -> None:
    earlier = replace(GREEN, queued_seconds=1.0)
    assert build_outcome([earlier, made], now=LATER).queued_seconds == 1.0 + seconds


def test_without_the_time_of_day_nothing_is_said_of_the_queue() -> None:
    assert build_outcome([QUEUED]).queued_seconds == 0.0


# -- conditions of fail-on


def test_conditions_are_judged_with_what_they_are_about() -> None:
    warned = replace(attempt(1, step(4, "dbt build", {"test.p.t": "warn"})), git_sha="b" * 40)
    found = build_outcome([warned], fail_on=(Gate.WARNINGS, Gate.OTHER_COMMIT), commits=("a" * 40,))
    assert (found.ending, found.failure_kind) == (Ending.ERROR, FailureKind.WARNINGS)
    assert [(one.gate, one.nodes, one.commits) for one in found.gates.failed] == [
        (Gate.WARNINGS, ("test.p.t",), None),
        (Gate.OTHER_COMMIT, (), ("a" * 40, "b" * 40)),
    ]
    (contradiction,) = found.contradictions
    assert contradiction.invariant is Invariant.NO_GATE_FAILED
    assert contradiction.gates == found.gates.failed


def test_conditions_that_were_not_asked_for_fail_nothing() -> None:
    warned = attempt(1, step(4, "dbt build", {"test.p.t": "warn"}))
    assert build_outcome([warned], commits=("a" * 40,)).ending is Ending.SUCCESS
