"""What was built on a model that had failed, in a step that counts as successful or after a failure that holds nothing
up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.dbt_graphs import manifest_of, node, ours
from tests.support.retry_attempts import (
    FAILED,
    NO_COLUMN,
    NOT_NULL,
    OK,
    ORDERS,
    RAW,
    REPORT,
    RESET,
    STG,
    actions,
    attempt,
    names,
    plan,
    row,
    step,
    uid,
)

from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import StepAction, Window
from dbt_cloud_run.retry.plan import plan_retry

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DAILY = node("model", "shop", [], "daily", materialized="incremental")
DAILY["config"] |= {"incremental_strategy": "microbatch", "batch_size": "day", "begin": "2026-01-01"}
CHILD = node("model", "shop", [], "child", parents=[uid(DAILY)])
LAST = node("model", "shop", [], "last", parents=[uid(DAILY)])
TAIL = node("model", "shop", [], "tail", parents=[uid(CHILD)])


def lacking() -> NodeResult:
    """A partial success: the second day is missing."""
    days = [Window(BEGIN + timedelta(days=number), BEGIN + timedelta(days=number + 1)) for number in range(2)]
    return NodeResult(
        unique_id=uid(DAILY), status="partial success", batches_done=(days[0],), batches_failed=(days[1],)
    )


def after(*steps: tuple[str, Any, tuple[NodeResult, ...]], nodes: tuple[Any, ...] = (DAILY, CHILD, LAST, TAIL)) -> Any:
    run = attempt(
        tuple(command for command, _, _ in steps),
        *(step(index, command, state, *rows) for index, (command, state, rows) in enumerate(steps, 4)),
    )
    return plan_retry(run, ours(manifest_of(nodes)))


def test_steps_that_went_well_are_built_on_by_those_after_them() -> None:
    asked = ("dbt seed", "dbt run", "dbt test")
    steps = (
        step(4, asked[0], OK, row(RAW)),
        step(5, asked[1], OK, row(STG), row(ORDERS)),
        step(6, asked[2], FAILED, row(NOT_NULL, "error", RESET)),
    )
    assert actions(plan(attempt(asked, *steps))) == ["skip", "skip", "re-run these nodes"]


def test_what_two_steps_have_built_on_a_model_that_lacks_batches_is_built_again_in_the_last() -> None:
    made = after(
        ("dbt run -s daily", OK, (lacking(),)),
        ("dbt run -s child last", OK, (row(CHILD), row(LAST))),
        ("dbt run -s child", OK, (row(CHILD),)),
        ("dbt run -s tail", FAILED, (row(TAIL, "error", RESET),)),
    )
    assert made.commands[1:] == (
        "dbt run --select fqn:shop.last",
        "dbt run --select fqn:shop.child",
        "dbt run --select fqn:shop.tail",
    )


def test_a_step_of_which_a_later_one_has_built_everything_again_is_not_re_run() -> None:
    made = after(
        ("dbt run -s daily", OK, (lacking(),)),
        ("dbt run -s child", OK, (row(CHILD),)),
        ("dbt run -s daily+", FAILED, (lacking(), row(CHILD), row(LAST, "error", RESET))),
    )
    assert [each.action for each in made.steps][1] is StepAction.SKIP
    assert made.steps[1].reason == "it succeeded"


def test_what_a_step_has_built_on_its_own_failure_is_not_repeated_without_that() -> None:
    asked = ("dbt run", "dbt test")
    green = step(4, asked[0], OK, row(ORDERS, "error", NO_COLUMN), row(REPORT))
    made = plan(attempt(asked, green, step(5, asked[1], FAILED, row(NOT_NULL, "error", RESET))))
    assert made.commands == ()
    assert names(made.steps[0].left_out) == {uid(ORDERS)}


def test_nothing_is_built_on_what_a_step_has_only_compiled() -> None:
    asked = ("dbt compile", "dbt run -s report", "dbt test")
    steps = (
        step(4, asked[0], OK, row(ORDERS, "error", RESET)),
        step(5, asked[1], OK, row(REPORT)),
        step(6, asked[2], FAILED, row(NOT_NULL, "error", RESET)),
    )
    assert actions(plan(attempt(asked, *steps)))[1] == "skip"


def test_a_word_that_dbt_does_not_use_for_a_failure_makes_nothing_of_a_green_step_old() -> None:
    """It is tried again by itself; what was built on it may be as it should be."""
    asked = ("dbt run", "dbt test")
    green = step(4, asked[0], OK, row(ORDERS, "exploded", RESET), row(REPORT))
    made = plan(attempt(asked, green, step(5, asked[1], FAILED, row(NOT_NULL, "error", RESET))))
    assert names(made.steps[0].nodes) == {uid(ORDERS)}


def test_what_was_built_on_old_contents_is_built_again_and_what_another_failure_holds_up_is_not() -> None:
    first = node("model", "shop", [], "first", materialized="table")
    first["config"]["on_error"] = "continue"
    broken = node("model", "shop", [], "broken", materialized="table")
    both = node("model", "shop", [], "both", parents=[uid(first), uid(broken)])
    inlined = node("model", "shop", [], "inlined", parents=[uid(first)], materialized="ephemeral")
    late = node("model", "shop", [], "late", parents=[uid(inlined)])
    manifest = ours(manifest_of((first, broken, both, inlined, late)))
    manifest.metadata.dbt_version = "1.12.0"
    rows = (row(first, "error", RESET), row(broken, "error", NO_COLUMN), row(both, "skipped"), row(inlined), row(late))
    made = plan_retry(attempt(("dbt run",), step(4, "dbt run", FAILED, *rows)), manifest)
    assert made.commands == ("dbt run --select fqn:shop.first fqn:shop.late",)
    assert names(made.steps[0].nodes) == {uid(first), uid(late)}
    assert names(made.steps[0].left_out) == {uid(broken), uid(both)}
