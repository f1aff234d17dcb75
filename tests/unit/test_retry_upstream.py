"""What stands on a model that failed: behind an ephemeral model, or built on its old contents."""

from __future__ import annotations

import pytest
from tests.support.dbt_graphs import manifest_of, node, ours
from tests.support.retry_attempts import (
    CANCELLED,
    EPHEMERAL,
    FAILED,
    NO_COLUMN,
    OK,
    ORDERS,
    OTHER,
    REPORT,
    RESET,
    STG,
    attempt,
    names,
    one,
    plan,
    row,
    step,
    uid,
)
from tests.support.values import replace

from dbt_cloud_run.dbt.artifacts import Manifest
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import StepAction
from dbt_cloud_run.retry.plan import plan_retry


@pytest.mark.parametrize(("verdict", "message"), [("deterministic", "Compilation Error in model eph"), ("x", RESET)])
def test_an_ephemeral_model_that_failed_is_no_success(verdict: str, message: str) -> None:
    asked = ("dbt run --select eph", "dbt test")
    made = plan(attempt(asked, step(4, asked[0], FAILED, row(EPHEMERAL, "error", message))))
    again = verdict != "deterministic"
    assert made.commands == (asked if again else ())
    assert names(made.steps[0].nodes if again else made.steps[0].left_out) == {uid(EPHEMERAL)}


def test_what_an_ephemeral_model_keeps_from_running_is_left_out_with_it() -> None:
    rows = (row(ORDERS, "skipped"), row(REPORT, "skipped"), row(OTHER, "error", RESET))
    _, planned = one("dbt run", row(EPHEMERAL, "error", "Compilation Error in model eph"), *rows)
    assert names(planned.nodes) == {uid(OTHER)}
    assert names(planned.left_out) == {uid(EPHEMERAL), uid(ORDERS), uid(REPORT)}
    _, planned = one("dbt run", row(EPHEMERAL, "error", RESET), *rows)
    assert names(planned.nodes) == {uid(OTHER), uid(ORDERS), uid(REPORT)}
    _, planned = one("dbt run", row(EPHEMERAL, "error", RESET), row(OTHER, "error", RESET))
    assert (planned.action, planned.new_command) == (StepAction.WHOLE, "dbt run")
    assert planned.reason.startswith("an ephemeral model of it failed, which nothing that is re-run uses")


def test_a_node_that_was_skipped_for_an_ephemeral_model_is_not_sent_again() -> None:
    why = (
        "Compilation Error in model.shop.orders, caused by compilation error in referenced ephemeral model "
        "model.shop.eph"
    )
    rows = (row(ORDERS, "skipped", why), row(REPORT, "skipped"))
    made, planned = one("dbt build", *rows, row(OTHER, "error", RESET))
    assert names(planned.nodes) == {uid(OTHER)}
    assert names(planned.left_out) == {uid(ORDERS), uid(REPORT)}
    assert made.is_partial
    assert one("dbt build", *rows)[0].commands == ()
    assert names(one("dbt build", *rows, retry_on="any")[1].nodes) == {uid(ORDERS), uid(REPORT)}
    # dbt says the same where the ephemeral model was merely skipped, because of a failure before it.
    made, planned = one("dbt build", row(STG, "error", RESET), *rows)
    assert names(planned.nodes) == {uid(STG), uid(ORDERS), uid(REPORT)}
    assert not made.is_partial


def test_a_text_that_only_speaks_of_macros_is_none() -> None:
    command = "dbt build -Z --vars '{m: run-operation}'"
    assert one(command, row(ORDERS, "error", RESET))[0].commands == (command,)
    for calls in ("dbt run-operation --brand-new-flag x", "dbt build; dbt run-operation x", "dbt run-operation 'x"):
        assert one(calls, row(ORDERS, "error", RESET))[0].commands == ()


def with_on_error(version: str) -> tuple[Manifest, list[NodeResult]]:
    """A model that lets its children run after it has failed: a view, a test of that, and one that appends."""
    first = node("model", "shop", [], "first", materialized="table")
    first["config"]["on_error"] = "continue"
    child = node("model", "shop", [], "child", parents=[first["unique_id"]])
    appends = node("model", "shop", [], "appends", parents=[child["unique_id"]], materialized="incremental")
    manifest = ours(manifest_of((first, child, appends)))
    manifest.metadata.dbt_version = version
    return manifest, [row(first, "error", RESET), row(child), row(appends)]


def test_what_was_built_on_the_old_contents_of_a_failed_model_is_built_again() -> None:
    manifest, rows = with_on_error("1.12.0")
    made = plan_retry(attempt(("dbt run",), step(4, "dbt run", FAILED, *rows)), manifest)
    assert made.commands == ("dbt run --select fqn:shop.child fqn:shop.first",)
    why = "built on the old contents of a model that had failed"
    assert {node.unique_id: node.reason for node in made.steps[0].nodes}["model.shop.child"] == why
    assert {node.unique_id: node.reason for node in made.steps[0].left_out} == {
        "model.shop.appends": f"{why}; it may not be repeated"
    }
    assert made.is_partial
    everything = plan_retry(attempt(("dbt run",), step(4, "dbt run", FAILED, *rows)), manifest, retry_on="any")
    assert everything.commands == ("dbt run --select fqn:shop.appends fqn:shop.child fqn:shop.first",)


@pytest.mark.parametrize(("version", "is_retried"), [("1.12.0", True), ("1.11.9", False)])
def test_what_a_failed_model_does_not_hold_up_is_retried_without_it(version: str, is_retried: bool) -> None:
    manifest, rows = with_on_error(version)
    rows = [replace(rows[0], message=NO_COLUMN), replace(rows[1], status="error", message=RESET)]
    made = plan_retry(attempt(("dbt run",), step(4, "dbt run", FAILED, *rows)), manifest)
    assert made.commands == ("dbt run --select fqn:shop.child",)
    rows[1] = replace(rows[1], status="skipped", message=None)
    made = plan_retry(attempt(("dbt run",), step(4, "dbt run", FAILED, *rows)), manifest)
    assert bool(made.commands) is is_retried


@pytest.mark.parametrize("is_listed", [True, False])
def test_what_a_later_attempt_built_on_the_same_old_contents_is_built_again(*, is_listed: bool) -> None:
    """The first model could not be built; its child failed by itself or did not start, and a retry without the first
    built it."""
    manifest, (first, child, _) = with_on_error("1.12.0")
    rows = [replace(first, message=NO_COLUMN), *([replace(child, status="error", message=RESET)] if is_listed else [])]
    failed = step(4, "dbt run -s first child", FAILED if is_listed else CANCELLED, *rows)
    run = attempt(("dbt run -s first child",), failed, ending=Ending.ERROR if is_listed else Ending.TIMED_OUT)
    narrower = "dbt run --select fqn:shop.child"
    assert plan_retry(run, manifest).commands == (narrower,)
    later = attempt((narrower,), step(4, narrower, OK, child), ending=Ending.SUCCESS)
    made = plan_retry(run, manifest, take_all=True, later=(later,))
    assert made.commands == ("dbt run --select fqn:shop.child fqn:shop.first",)
    (again,) = (node for node in made.steps[0].nodes if node.unique_id == "model.shop.child")
    assert again.status == ("error" if is_listed else "not started")
    assert again.reason == "built on the old contents of a model that had failed"
    both = attempt(("dbt run",), step(4, "dbt run", OK, replace(first, status="success"), child))
    assert plan_retry(run, manifest, take_all=True, later=(both,)).commands == ()
