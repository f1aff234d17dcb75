"""What a step's results say with the step's state beside them, and what failed without a failed node."""

from __future__ import annotations

import pytest
from tests.support.attempts import attempt, step
from tests.support.values import replace

from dbt_cloud_run.cancellation import Cancellation, CancelledBy
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.ledger.judgement import (
    failed_without_nodes,
    has_failed,
    is_empty,
    is_failed_set_up,
    is_set_up,
)
from dbt_cloud_run.model import FreshnessResult, RunState, Step

CLONE = step(1, None)
DEPS = step(3, "dbt deps")
BUILD = step(4, "dbt build")
REFUSED = "Failed to clone repository: the key was refused"


def empty(command: str | None, in_results: bool | None = None, *, has_results: bool = True) -> bool:
    made = step(4, command, {"model.p.a": "success"} if has_results else None)
    if made.results is not None:
        made = replace(made, results=replace(made.results, empty=in_results))
    return is_empty(made)


def test_a_word_that_nobody_knows_is_a_failure_only_in_a_step_that_failed() -> None:
    rows = {"model.p.a": "deferred", "model.p.b": "error"}
    fine, failed = (step(4, "dbt build", rows, state=state) for state in (RunState.SUCCESS, RunState.ERROR))
    assert fine.results is not None
    odd, broken = fine.results.nodes
    assert (has_failed(fine, odd), has_failed(failed, odd)) == (False, True)
    assert (has_failed(fine, broken), has_failed(failed, broken)) == (True, True)


@pytest.mark.parametrize(
    ("command", "in_results", "expected"),
    [
        ("dbt build --empty", None, True),
        ("dbt build", None, False),
        ("dbt build --select empty", None, False),
        # What the engine says wins over the command, of which a variable may set the flag.
        ("dbt build", True, True),
        ("dbt build --empty", False, False),
        # A line that is not understood is looked through word by word.
        ("make dbt && dbt build --empty", None, True),
        ("make dbt && dbt build --empty-handed", None, False),
        (None, None, False),
    ],
)
def test_a_step_is_empty_by_its_results_or_else_by_its_command(
    command: str | None, in_results: bool | None, expected: bool
) -> None:
    assert empty(command, in_results) is expected


def test_without_results_the_command_says_whether_a_step_is_empty() -> None:
    assert empty("dbt build --empty", has_results=False)
    assert not empty("dbt build", has_results=False)


@pytest.mark.parametrize(
    ("made", "expected"), [(CLONE, True), (DEPS, True), (BUILD, False), (step(3, "dbt clean"), False)]
)
def test_a_step_without_a_command_prepares_the_run_and_so_does_deps(made: Step, expected: bool) -> None:
    assert is_set_up(made) is expected


STALE = FreshnessResult(unique_id="source.p.raw.orders", status="error")
FRESH = FreshnessResult(unique_id="source.p.raw.orders", status="pass")
RED = RunState.ERROR


@pytest.mark.parametrize(
    "made",
    [
        CLONE,
        BUILD,
        step(4, "dbt build", {"model.p.a": "success"}, state=RED),
        step(4, "dbt source freshness", state=RED, freshness=(FRESH,)),
        step(1, None, state=RunState.CANCELLED, log=REFUSED),
        step(3, "dbt deps", state=RunState.CANCELLED, log="x\n" * 15_000 + REFUSED),
    ],
)
def test_a_failed_step_without_a_failed_row_is_named(made: Step) -> None:
    assert failed_without_nodes(attempt(1, made)) == (made,)


@pytest.mark.parametrize(
    "made",
    [
        step(4, "dbt build", {"model.p.a": "success"}),
        step(4, "dbt build", {"model.p.a": "error"}),
        step(4, "dbt source freshness", state=RED, freshness=(STALE,)),
        # Cancelled, but not while the run was prepared; or not because that failed.
        step(4, "dbt build", state=RunState.CANCELLED, log=REFUSED),
        step(1, None, state=RunState.CANCELLED, log="Cloning"),
        step(1, None, state=RunState.SUCCESS, log=REFUSED),
        # Only how a log ends is looked at.
        step(1, None, state=RunState.CANCELLED, log=REFUSED.ljust(30_000)),
        step(1, None, state=RunState.CANCELLED, log=REFUSED.ljust(20_001)),
    ],
)
def test_a_step_that_shows_what_failed_or_did_not_fail_is_not_named(made: Step) -> None:
    assert failed_without_nodes(attempt(1, made)) == ()


def test_a_cancelled_run_failed_in_its_set_up_by_dbt_clouds_word_or_by_its_steps() -> None:
    cancelled = attempt(1, BUILD, ending=Ending.CANCELLED)
    assert not is_failed_set_up(cancelled)
    assert is_failed_set_up(replace(cancelled, cancellation=Cancellation(by=CancelledBy.SET_UP)))
    assert not is_failed_set_up(replace(cancelled, cancellation=Cancellation(by=CancelledBy.NEWER_RUN)))
    assert is_failed_set_up(attempt(1, CLONE, ending=Ending.CANCELLED))
    assert not is_failed_set_up(attempt(1, CLONE, ending=Ending.ERROR))
