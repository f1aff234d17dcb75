"""What the plan says a retry costs and saves."""

from __future__ import annotations

from tests.support.retry_attempts import (
    END_HOOK,
    NO_COLUMN,
    NOT_NULL,
    ORDERS,
    OTHER,
    RAW,
    REPORT,
    RESET,
    STG,
    UNIQUE,
    attempt,
    project,
    row,
    step,
    uid,
)

from dbt_cloud_run.model import Attempt, RunState
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import PlannedStep, RetryPlan, Saving, StepAction, saving
from dbt_cloud_run.retry.plan import plan_retry

OK, FAILED = RunState.SUCCESS, RunState.ERROR


def plan(run: Attempt) -> RetryPlan:
    return plan_retry(run, project())


def one(command: str, *rows: NodeResult) -> PlannedStep:
    """The plan after a job of one failed step."""
    return plan(attempt((command,), step(4, command, FAILED, *rows))).steps[0]


def test_what_a_plan_saves_is_what_had_succeeded() -> None:
    planned = one(
        "dbt build",
        *(row(RAW), row(STG, "error", NO_COLUMN), row(ORDERS, "skipped"), row(REPORT, "skipped")),
        row(OTHER, "error", RESET),
    )
    assert (planned.again, saving(planned.saved)) == ({uid(OTHER)}, Saving(nodes=1, seconds=2.0))
    listed = attempt(
        ("dbt compile", "dbt build"),
        step(4, "dbt compile", OK, row(STG), row(ORDERS)),
        step(5, "dbt build", FAILED, row(ORDERS, "error", RESET)),
    )
    assert plan(listed).steps[0].saved == ()


def test_a_whole_step_counts_every_node_that_it_is_known_to_run() -> None:
    command = "dbt build -Z"
    planned = one(command, row(RAW), row(STG), row(ORDERS, "error", RESET))
    assert (len(planned.again), len(planned.nodes), planned.saved) == (3, 1, ())
    assert not planned.is_open
    never = plan(attempt(("dbt build", "dbt test"), step(4, "dbt build", FAILED, row(ORDERS, "error", RESET)))).steps[1]
    assert (never.action, never.again, never.is_open) == (StepAction.WHOLE, frozenset(), True)


def test_a_step_that_is_left_out_saves_nothing() -> None:
    asked = ("dbt run", "dbt test")
    made = plan(
        attempt(
            asked,
            step(4, asked[0], OK, row(STG, "error", NO_COLUMN), row(OTHER)),
            step(5, asked[1], FAILED, row(UNIQUE, "error", RESET), row(NOT_NULL, "pass")),
        )
    )
    assert [planned.action for planned in made.steps] == [StepAction.DROP, StepAction.DROP]
    assert (made.again, made.saved) == (frozenset(), Saving())


def test_hooks_run_again_with_the_nodes_of_their_step_and_with_no_other() -> None:
    asked = ("dbt run", "dbt build")
    hook = row(END_HOOK)
    made = plan(
        attempt(
            asked,
            step(4, asked[0], OK, row(STG), row(f"{END_HOOK}1")),
            step(5, asked[1], FAILED, row(ORDERS, "error", RESET), hook),
        )
    )
    assert [planned.again for planned in made.steps] == [frozenset(), {uid(ORDERS), END_HOOK}]
    assert made.saved.nodes == 2


def test_a_node_that_failed_shows_what_it_took() -> None:
    planned = one("dbt build", row(STG, "error", NO_COLUMN), row(OTHER, "error", RESET))
    shown = {node.unique_id: node.seconds_before for node in (*planned.nodes, *planned.left_out)}
    assert shown == {uid(STG): 2.0, uid(OTHER): 2.0}
