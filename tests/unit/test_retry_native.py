"""The plan after dbt Cloud's own retry, which reports only what it has run again."""

from __future__ import annotations

import pytest
from tests.support.retry_attempts import (
    ALL,
    EPHEMERAL,
    NOT_NULL,
    ORDERS,
    OTHER,
    REPORT,
    RESET,
    STG,
    attempt,
    project,
    row,
    step,
    uid,
)
from tests.support.values import replace

from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Attempt, RunState, Step
from dbt_cloud_run.planned import RetryPlan
from dbt_cloud_run.retry.plan import plan_retry

OK, FAILED, CANCELLED = RunState.SUCCESS, RunState.ERROR, RunState.CANCELLED
ASKED = ("dbt seed", "dbt run", "dbt test")
MODELS = [body for body in ALL if body["resource_type"] == "model" and body is not EPHEMERAL]
FIRST = attempt(
    ASKED,
    step(4, "dbt seed", OK),
    step(5, "dbt run", FAILED, *(row(body) for body in MODELS if body not in (ORDERS, REPORT)),
         row(ORDERS, "error", RESET), row(REPORT, "skipped")),
)  # fmt: skip


def plan(run: Attempt, *earlier: Attempt, version: str = "1.11.0") -> RetryPlan:
    manifest = project()
    manifest.metadata.dbt_version = version
    return plan_retry(run, manifest, earlier=earlier)


def native(*steps: Step, number: int = 2, ending: Ending = Ending.ERROR) -> Attempt:
    return replace(attempt(ASKED[1:], *steps, ending=ending), number=number, retried_natively=True)


def again(made: RetryPlan) -> set[str]:
    return {node.unique_id for node in made.steps[0].nodes}


@pytest.mark.parametrize("name", ["dbt run", "dbt retry"])
def test_what_had_succeeded_before_a_retry_that_was_cut_off_is_done(name: str) -> None:
    cut = native(step(4, name, CANCELLED, row(ORDERS)), ending=Ending.TIMED_OUT)
    made = plan(cut, FIRST)
    assert again(made) == {uid(REPORT)}
    assert made.commands == ("dbt run --select fqn:shop.marts.report", "dbt test")
    done = native(step(4, name, CANCELLED, row(ORDERS), row(REPORT)), ending=Ending.TIMED_OUT)
    assert plan(done, FIRST).commands == ("dbt test",)


def test_what_had_succeeded_before_a_retry_that_failed_is_not_missed_in_its_results() -> None:
    failed = native(step(4, "dbt run", FAILED, row(ORDERS), row(REPORT, "error", RESET)))
    assert again(plan(failed, FIRST, version="2.0.0")) == {uid(REPORT)}


def test_a_retry_without_results_leaves_what_it_was_to_do() -> None:
    for steps in ((), (step(4, "dbt run", CANCELLED, log="started"),), (step(4, "dbt run", FAILED, log=RESET),)):
        made = plan(native(*steps, ending=Ending.TIMED_OUT), FIRST)
        assert again(made) == {uid(ORDERS), uid(REPORT)}
        assert made.commands[1:] == ("dbt test",)
    hopeless = native(step(4, "dbt run", FAILED, log="Encountered an error:\nCompilation Error\n  no"))
    assert plan(hopeless, FIRST).commands == ()


def test_retries_of_retries_are_followed_back_to_the_first() -> None:
    second = native(step(4, "dbt run", FAILED, row(ORDERS), row(REPORT, "error", RESET)))
    third = native(step(4, "dbt retry", CANCELLED, log="started"), number=3, ending=Ending.TIMED_OUT)
    assert again(plan(third, FIRST, second)) == {uid(REPORT)}


def test_a_step_that_went_well_and_the_ones_after_it_are_planned_as_ever() -> None:
    run = native(step(4, "dbt run", OK, row(ORDERS), row(REPORT)), step(5, "dbt test", FAILED, row(NOT_NULL, "error")))
    made = plan(run, FIRST)
    assert [planned.action.value for planned in made.steps] == ["skip", "re-run these nodes"]


def test_other_attempts_are_planned_by_themselves() -> None:
    run = attempt(ASKED[1:], step(4, "dbt run", CANCELLED, row(ORDERS)), ending=Ending.TIMED_OUT)
    assert {uid(STG), uid(OTHER)} < again(plan(run, FIRST))
    assert {uid(STG), uid(OTHER)} < again(plan(replace(run, retried_natively=True)))


def test_a_retry_that_was_asked_for_another_command_is_planned_by_itself() -> None:
    asked = ("dbt run -s stg other", "dbt test")
    cut = attempt(asked, step(4, asked[0], CANCELLED, row(STG)), ending=Ending.TIMED_OUT)
    assert again(plan(replace(cut, retried_natively=True), FIRST)) == {uid(OTHER)}


def test_a_run_without_results_adds_nothing_to_those_of_its_retry() -> None:
    unread = attempt(ASKED[1:], step(5, "dbt run", FAILED, log=RESET))
    cut = native(step(4, "dbt run", CANCELLED, row(ORDERS)), ending=Ending.TIMED_OUT)
    assert again(plan(cut, unread)) == again(plan(replace(cut, retried_natively=False)))
