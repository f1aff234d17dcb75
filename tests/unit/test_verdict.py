"""How it ended, and what kind of failure it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.attempts import NOON, attempt, step

from dbt_cloud_run.errors import ActionError, ConfigError
from dbt_cloud_run.ledger.story import tell
from dbt_cloud_run.ledger.verdict import failure_kind, verdict
from dbt_cloud_run.model import Attempt, Ending, FailureKind, RetryPlan, RunState, Step

COMPILATION = "Encountered an error:\nCompilation Error in model a (models/a.sql)\n  no such thing\n"
NETWORK = "Database Error\n  could not connect to server: Connection timed out\n"
CLONE = step(1, None)
GREEN = attempt(1, step(4, "dbt build", {"model.p.a": "success"}))
RED = attempt(1, step(4, "dbt build", {"model.p.a": "error"}))


def left_out(made: Attempt) -> Attempt:
    return replace(made, plan=RetryPlan(commands=("dbt run",), is_partial=True))


def test_the_last_attempt_decides() -> None:
    assert verdict([RED, replace(GREEN, number=2)]) == (Ending.SUCCESS, FailureKind.NONE, False)
    assert verdict([GREEN, replace(RED, number=2)]) == (Ending.ERROR, FailureKind.NODES, False)


def test_a_failure_that_was_left_out_stays_one_even_if_the_last_run_is_green() -> None:
    assert verdict([left_out(RED), GREEN]) == (Ending.ERROR, FailureKind.NODES, True)
    broken = attempt(1, step(4, "dbt build", log=COMPILATION))
    assert verdict([left_out(broken), GREEN]) == (Ending.ERROR, FailureKind.COMPILE, True)


def test_what_an_earlier_workflow_run_left_out_stays_a_failure_until_a_retry_takes_it() -> None:
    part = replace(GREEN, number=2, is_partial=True)
    assert verdict([RED, part]) == (Ending.ERROR, FailureKind.NODES, True)
    assert verdict([RED, part, replace(GREEN, number=3)]) == (Ending.SUCCESS, FailureKind.NONE, False)


def test_a_plan_that_leaves_nothing_out_leaves_no_failure() -> None:
    retried = replace(RED, plan=RetryPlan(commands=("dbt run",)))
    assert verdict([retried, GREEN]) == (Ending.SUCCESS, FailureKind.NONE, False)


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        (Ending.SUCCESS, FailureKind.NONE),
        (Ending.QUEUED, FailureKind.NONE),
        (Ending.CANCELLED, FailureKind.CANCELLED),
        (Ending.SUPERSEDED, FailureKind.CANCELLED),
        (Ending.TIMED_OUT, FailureKind.TIMEOUT),
    ],
)
def test_some_endings_are_a_kind_of_their_own(ending: Ending, kind: FailureKind) -> None:
    assert failure_kind(replace(RED, ending=ending)) is kind


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ([CLONE], FailureKind.SETUP),
        ([step(3, "dbt deps")], FailureKind.SETUP),
        ([], FailureKind.SETUP),
        ([step(4, "dbt build", log=COMPILATION)], FailureKind.COMPILE),
        ([step(4, "dbt build", log=NETWORK)], FailureKind.SETUP),
        ([step(4, "dbt build", {"test.p.t": "fail"})], FailureKind.NODES),
        ([step(4, "dbt source freshness")], FailureKind.FRESHNESS),
        ([step(4, "dbt --quiet source freshness")], FailureKind.FRESHNESS),
        ([step(4, "dbt sqlfluff lint")], FailureKind.LINT),
        ([replace(step(4, None), name="Lint with SQLFluff")], FailureKind.LINT),
        ([replace(step(2, None), name="Create profile from connection lint")], FailureKind.SETUP),
        ([step(4, "dbt run -s lint", {"model.p.lint": "error"})], FailureKind.NODES),
        (
            [step(4, "dbt build", {"model.p.a": "success"}, state=RunState.SUCCESS), step(5, "dbt deps")],
            FailureKind.SETUP,
        ),
    ],
)
def test_the_first_step_that_failed_gives_the_kind(steps: list[Step], kind: FailureKind) -> None:
    assert failure_kind(attempt(1, *steps, ending=Ending.ERROR)) is kind


def test_a_checkbox_step_is_named_only_where_nothing_else_failed() -> None:
    freshness = step(3, "dbt source freshness")
    build = step(4, "dbt build", {"model.p.a": "error"})
    asked = ("dbt build",)
    both = attempt(1, freshness, build, asked=asked, checks_freshness=True)
    assert failure_kind(both) is FailureKind.NODES
    alone = attempt(1, freshness, asked=asked, checks_freshness=True)
    assert failure_kind(alone) is FailureKind.FRESHNESS
    by_command = attempt(1, freshness, build, asked=("dbt source freshness", "dbt build"))
    assert failure_kind(by_command) is FailureKind.FRESHNESS


def test_nodes_that_failed_tell_where_no_step_is_known_to_have() -> None:
    odd = attempt(1, step(4, "dbt build", {"model.p.a": "error"}, state=RunState.UNKNOWN), ending=Ending.ERROR)
    assert failure_kind(odd) is FailureKind.NODES


# -- the story


def test_without_an_attempt_there_is_an_error() -> None:
    told = tell([], error=ConfigError("No job.", "Set job-id."))
    assert (told.ending, told.failure_kind) == (Ending.ERROR, FailureKind.CONFIG)
    assert (told.message, told.advice, told.attempts) == ("No job.", "Set job-id.", ())


def test_an_error_of_ours_outweighs_what_the_run_did() -> None:
    told = tell([GREEN], error=ActionError("Lost sight.", ""))
    assert (told.ending, told.failure_kind, told.message) == (Ending.ERROR, FailureKind.API, "Lost sight.")
    assert told.ledger.outcomes.keys() == {"model.p.a"}


def test_a_signal_makes_what_is_not_done_cancelled_and_leaves_what_is() -> None:
    queued = replace(RED, ending=Ending.QUEUED)
    told = tell([queued], interrupted_by=15)
    assert (told.ending, told.failure_kind) == (Ending.CANCELLED, FailureKind.CANCELLED)
    assert "15" in (told.message or "")
    assert tell([GREEN], interrupted_by=15).ending is Ending.SUCCESS


def test_success_has_no_message() -> None:
    assert (tell([GREEN]).message, tell([GREEN]).advice) == (None, None)


@pytest.mark.parametrize(
    ("ending", "word"),
    [
        (Ending.ERROR, "failed"),
        (Ending.CANCELLED, "was cancelled"),
        (Ending.SUPERSEDED, "newer commit"),
        (Ending.TIMED_OUT, "time limit"),
    ],
)
def test_the_message_says_how_it_ended_with_dbt_clouds_words(ending: Ending, word: str) -> None:
    message = tell([replace(RED, ending=ending, status_message="In their words.")]).message or ""
    assert word in message
    assert "In their words." in message


def test_our_own_limit_is_named() -> None:
    told = tell([replace(RED, ending=Ending.TIMED_OUT)], timed_out="timeout-minutes is over")
    assert "timeout-minutes" in (told.message or "")
    assert told.advice


def test_a_green_last_run_with_something_left_out_says_so() -> None:
    told = tell([left_out(RED), replace(GREEN, number=2)])
    assert told.left_out
    assert "left out" in (told.message or "")


def test_the_duration_is_from_the_first_trigger_to_the_last_end() -> None:
    def at(number: int, begin: int, end: int | None, queued: float) -> Attempt:
        finished = None if end is None else NOON + timedelta(seconds=end)
        triggered = NOON + timedelta(seconds=begin)
        return replace(GREEN, number=number, triggered_at=triggered, finished_at=finished, queued_seconds=queued)

    told = tell([at(1, 0, 60, 5), at(2, 90, 130, 2.5)])
    assert (told.duration_seconds, told.queued_seconds) == (130, 7.5)
    assert tell([at(1, 0, None, 5)], now=NOON + timedelta(seconds=42)).duration_seconds == 42
    assert tell([at(1, 0, None, 5)]).duration_seconds is None
    assert tell([at(1, 10, 0, 0)]).duration_seconds == 0, "clocks may differ"
    assert tell([GREEN]).duration_seconds is None


LIMIT = "timeout-minutes is over"
OUT_OF_TIME = f"Out of time: {LIMIT}. Run 101 is running."


@pytest.mark.parametrize(
    ("state", "note", "fate"),
    [
        (RunState.CANCELLED, None, "Run 101 was cancelled, and dbt Cloud says that it has ended."),
        (RunState.ERROR, None, "Run 101 was to be cancelled, and had ended by then: error."),
        (RunState.RUNNING, None, "was asked to cancel run 101, and has not done so: it is running, and may go on."),
        (RunState.RUNNING, "Run 101 goes on in dbt Cloud: cancel-run is false.", "cancel-run is false."),
        (RunState.RUNNING, "Run 101 could not be cancelled: HTTP 403.", "could not be cancelled: HTTP 403."),
    ],
)
def test_a_limit_says_once_what_became_of_the_run(state: RunState, note: str | None, fate: str) -> None:
    run = replace(RED, ending=Ending.TIMED_OUT, state=state)
    notes = ["taken up", OUT_OF_TIME, "The steps of run 101 could not be read.", *([note] if note else [])]
    told = tell([run], notes=notes, timed_out=LIMIT)
    assert told.message is not None
    assert told.message.startswith("timeout-minutes is over. ")
    assert told.message.endswith(fate)
    assert told.notes == ("taken up", "The steps of run 101 could not be read.")


def test_a_signal_says_what_becomes_of_the_run() -> None:
    running = replace(RED, ending=Ending.QUEUED, state=RunState.RUNNING)
    told = tell([running], interrupted_by=2, fate="Run 101 goes on in dbt Cloud: cancel-run is false.")
    assert told.message == "The step was told to stop (signal 2). Run 101 goes on in dbt Cloud: cancel-run is false."
