"""The planner: what a retry does with each step of a run that did not succeed."""

from __future__ import annotations

import pytest
from tests.support.dbt_graphs import manifest_of, node, ours
from tests.support.retry_attempts import (
    CANCELLED,
    DASHBOARD,
    DIM1,
    DIM2,
    END_HOOK,
    EPHEMERAL,
    FAILED,
    LIB_ORDERS,
    NO_COLUMN,
    NOT_NULL,
    OK,
    ORDERS,
    OTHER,
    RAW,
    REPORT,
    RESET,
    SINGULAR,
    SKIPPED,
    SNAP,
    STAGING,
    START_HOOK,
    STG,
    UNIQUE,
    UNIT,
    UNIT_TOO,
    actions,
    attempt,
    names,
    one,
    plan,
    row,
    step,
    uid,
)
from tests.support.values import replace

from dbt_cloud_run.model import RunState
from dbt_cloud_run.planned import RetryPlan, StepAction
from dbt_cloud_run.retry.plan import plan_retry

COMPILE_LOG = """Encountered an error:
Compilation Error in model orders (models/marts/orders.sql)
  Model 'model.shop.orders' (models/marts/orders.sql) depends on a node named 'nothing' which was not found
"""


def test_failed_and_skipped_nodes_are_run_again_and_nothing_else() -> None:
    made, planned = one(
        "dbt build --select tag:daily --vars '{a: 1}' --exclude other --fail-fast",
        row(STG),
        row(ORDERS, "error", RESET),
        row(REPORT, "skipped"),
        row(DASHBOARD, "skipped"),
        row(NOT_NULL, "skipped"),
    )
    assert made.commands[0].split(" --select ")[0] == "dbt build --vars '{a: 1}' --fail-fast"
    assert made.commands[0].split(" --select ")[1] == (
        "exposure:shop.dash fqn:shop.marts.orders,resource_type:model fqn:shop.marts.report "
        "fqn:shop.marts.not_null_orders_id --indirect-selection empty"
    )
    assert planned.action is StepAction.NODES
    assert names(planned.nodes) == {uid(body) for body in (ORDERS, REPORT, DASHBOARD, NOT_NULL)}
    assert [(node.unique_id, node.seconds) for node in planned.saved] == [(uid(STG), 2.0)]
    reasons = {node.unique_id: node.reason for node in planned.nodes}
    assert reasons[uid(ORDERS)] == f"error: {RESET} (transient)"
    assert reasons[uid(REPORT)] == f"skipped because of {uid(ORDERS)}"
    assert not made.is_partial
    assert not made.is_whole


@pytest.mark.parametrize(
    ("verb", "body", "selected"),
    [
        ("run", ORDERS, "--select fqn:shop.marts.orders"),
        ("run", LIB_ORDERS, "--select fqn:lib.marts.orders"),
        ("run", DIM2, "--select fqn:shop.marts.dim.v2"),
        ("run", STAGING, "--select fqn:shop.staging,file:staging.sql"),
        ("seed", RAW, "--select fqn:shop.raw"),
        ("snapshot", SNAP, "--select fqn:shop.snap"),
        ("test", NOT_NULL, "--select fqn:shop.marts.not_null_orders_id --indirect-selection empty"),
        ("test", SINGULAR, "--select fqn:shop.assert_it --indirect-selection empty"),
        ("test", UNIT, "--select unit_test:shop.counts --indirect-selection empty"),
        ("build", DIM1, "--select fqn:shop.marts.dim.v1 --indirect-selection empty"),
    ],
)
def test_every_kind_of_node_is_named_exactly(verb: str, body: dict[str, str], selected: str) -> None:
    _, planned = one(f"dbt {verb}", row(STG), row(body, "error", RESET))
    assert planned.new_command == f"dbt {verb} {selected}"


@pytest.mark.parametrize("status", ["error", "fail", "runtime error", "partial success", "skipped", "exploded"])
def test_whatever_did_not_succeed_is_retried(status: str) -> None:
    made, planned = one(
        "dbt run", row(OTHER), row(ORDERS, status, None if status == "skipped" else RESET), retry_on="any"
    )
    assert made.commands == ("dbt run --select fqn:shop.marts.orders",)
    assert names(planned.nodes) == {uid(ORDERS)}


def test_a_warning_is_a_failure_only_with_warn_error() -> None:
    rows = (row(STG, "error", RESET), row(OTHER, "warn", "a warning"))
    assert names(one("dbt run", *rows)[1].nodes) == {uid(STG)}
    assert names(one("dbt --warn-error run", *rows, retry_on="any")[1].nodes) == {uid(STG), uid(OTHER)}


def test_steps_keep_order_and_gate() -> None:
    asked = ("dbt seed", "dbt run", "dbt test", "dbt run-operation grant")
    made = plan(
        attempt(asked, step(4, "dbt seed", OK, row(RAW)), step(5, "dbt run", FAILED, row(ORDERS, "error", RESET)))
    )
    assert actions(made) == ["skip", "re-run these nodes", "re-run whole", "re-run whole"]
    assert made.commands == ("dbt run --select fqn:shop.marts.orders", "dbt test", "dbt run-operation grant")
    assert len(made.steps[0].saved) == 1


def test_steps_that_never_started_may_be_listed_or_not() -> None:
    asked = ("dbt run", "dbt test", "dbt run -s x")
    failed = step(4, "dbt run", FAILED, row(ORDERS, "error", RESET))
    bare = plan(attempt(asked, failed))
    for state in (SKIPPED, CANCELLED, RunState.QUEUED):
        listed = plan(attempt(asked, failed, step(5, "dbt test", state), step(6, "dbt run -s x", state)))
        assert listed.commands == bare.commands


def test_a_deterministic_failure_and_what_it_blocks_are_left_out_and_close_the_gate() -> None:
    asked = ("dbt build", "dbt run -s later")
    made = plan(
        attempt(
            asked,
            step(
                4,
                "dbt build",
                FAILED,
                row(STG),
                row(ORDERS),
                row(NOT_NULL, "fail", "Got 3 results"),
                row(REPORT, "skipped"),
                row(DASHBOARD, "skipped"),
                row(SNAP, "skipped"),
                row(SINGULAR),
                row(UNIQUE, "error", RESET),
                row(OTHER, "error", RESET),
            ),
        )
    )
    first, later = made.steps
    assert names(first.nodes) == {uid(UNIQUE), uid(OTHER)}
    assert names(first.left_out) == {uid(NOT_NULL), uid(REPORT), uid(DASHBOARD), uid(SNAP)}
    assert later.action is StepAction.DROP
    assert made.is_partial
    assert len(made.commands) == 1
    reason = next(node.reason for node in first.left_out if node.unique_id == uid(REPORT))
    assert reason == f"skipped because of {uid(NOT_NULL)}, which is not re-run"


def test_any_takes_deterministic_failures_too() -> None:
    rows = (row(NOT_NULL, "fail", "Got 3 results"), row(REPORT, "skipped"))
    assert one("dbt build", *rows)[0].commands == ()
    for options in ({"retry_on": "any"}, {"take_all": True}):
        made, _ = one("dbt build", *rows, **options)
        assert made.commands
        assert not made.is_partial


def test_nothing_is_sent_when_every_failure_is_deterministic() -> None:
    made, planned = one("dbt build", row(STG, "error", NO_COLUMN), row(ORDERS, "skipped"))
    assert (made.commands, planned.action) == ((), StepAction.DROP)
    assert made.stop_reason is not None
    assert "deterministic" in made.stop_reason
    assert uid(STG) in made.stop_reason


def test_tests_block_nothing_under_dbt_test() -> None:
    _, planned = one("dbt test", row(NOT_NULL, "fail", "Got 3 results"), row(SINGULAR, "skipped"))
    assert names(planned.nodes) == {uid(SINGULAR)}


def test_unit_tests_come_with_their_model_or_not_at_all() -> None:
    _, planned = one("dbt build", row(UNIT, "error", RESET), row(UNIT_TOO), row(ORDERS, "skipped"))
    assert planned.new_command == (
        "dbt build --select fqn:shop.marts.orders,resource_type:model unit_test:shop.counts --indirect-selection empty"
    )
    _, planned = one(
        "dbt build",
        row(UNIT, "error", RESET),
        row(UNIT_TOO, "fail", "actual differs from expected"),
        row(ORDERS, "skipped"),
        row(OTHER, "error", RESET),
    )
    assert names(planned.nodes) == {uid(OTHER)}
    assert names(planned.left_out) == {uid(UNIT), uid(UNIT_TOO), uid(ORDERS)}


def test_ephemeral_models_are_no_work_of_their_own() -> None:
    _, planned = one(
        "dbt build -x",
        row(RAW, "error", RESET),
        row(EPHEMERAL, "skipped", "Skipping due to fail_fast"),
        row(OTHER, "skipped", "Skipping due to fail_fast"),
    )
    assert names(planned.nodes) == {uid(RAW), uid(OTHER)}
    assert "first failure" in planned.nodes[1].reason


def test_what_succeeded_in_a_later_step_is_done() -> None:
    asked = ("dbt run -s orders", "dbt build")
    first = step(4, asked[0], FAILED, row(ORDERS, "error", RESET))
    made = plan(attempt(asked, first, step(5, asked[1], FAILED, row(ORDERS), row(OTHER, "error", RESET))))
    assert actions(made) == ["skip", "re-run these nodes"]
    compiled = plan(attempt(("dbt run -s orders", "dbt compile"), first, step(5, "dbt compile", OK, row(ORDERS))))
    assert actions(compiled) == ["re-run these nodes", "skip"]


def test_partial_success_of_a_green_step_is_retried_but_its_skipped_rows_are_not() -> None:
    asked = ("dbt run", "dbt test")
    green = step(4, "dbt run", OK, row(ORDERS, "partial success"), row(EPHEMERAL, "skipped"), row(OTHER, "skipped"))
    made = plan(attempt(asked, green, step(5, "dbt test", FAILED, row(NOT_NULL, "error", RESET))))
    assert names(made.steps[0].nodes) == {uid(ORDERS)}


@pytest.mark.parametrize(
    "command",
    [
        "dbt build -Z x",
        "dbt clone --state prod",
        "dbt compile -s orders",
        "DBT_X=1 dbt build",
    ],
)
def test_what_cannot_be_edited_is_rerun_verbatim(command: str) -> None:
    made, planned = one(command, row(ORDERS, "error", RESET), row(STG))
    assert (made.commands, planned.action) == ((command,), StepAction.WHOLE)


@pytest.mark.parametrize("command", ["dbt build -Z x", "dbt clone --state prod"])
def test_what_cannot_be_edited_is_rerun_with_its_deterministic_failure(command: str) -> None:
    made, planned = one(command, row(ORDERS, "error", RESET), row(STG, "error", NO_COLUMN))
    assert (made.commands, planned.action, made.is_partial) == ((command,), StepAction.WHOLE, False)
    assert planned.left_out == ()
    reasons = {node.unique_id: node.reason for node in planned.nodes}
    assert reasons[uid(STG)].endswith("(deterministic); re-run with the whole step")
    made, planned = one(command, row(STG, "error", NO_COLUMN))
    assert (made.commands, planned.action, made.is_partial) == ((), StepAction.DROP, True)


def test_a_deterministic_failure_prevents_no_retry_where_there_is_no_manifest() -> None:
    rows = (row(NOT_NULL, "fail", "Got 3 results"), row(OTHER, "error", RESET))
    made = plan_retry(attempt(("dbt build",), step(4, "dbt build", FAILED, *rows)), None)
    assert (made.commands, made.is_partial) == (("dbt build",), False)


def test_without_a_manifest_the_step_is_rerun_whole() -> None:
    run = attempt(("dbt build",), step(4, "dbt build", FAILED, row(ORDERS, "error", RESET)))
    assert plan_retry(run, None).commands == ("dbt build",)


def test_a_node_that_the_manifest_does_not_know_is_no_reason_to_guess() -> None:
    made, planned = one("dbt run -s tag:daily", row("model.shop.gone", "error", RESET))
    assert (made.commands, planned.action) == (("dbt run -s tag:daily",), StepAction.WHOLE)


def test_a_step_without_results_is_judged_by_its_log() -> None:
    compile_error = attempt(("dbt build",), step(4, "dbt build", FAILED, log=COMPILE_LOG))
    assert plan(compile_error).commands == ()
    assert plan(compile_error, retry_on="any").commands == ("dbt build",)
    lost = attempt(
        ("dbt build",), step(4, "dbt build", FAILED, log=f"Encountered an error:\nDatabase Error\n  {RESET}")
    )
    assert plan(lost).commands == ("dbt build",)
    foreign = attempt(("dbt build -s x",), step(4, "dbt build -s x", FAILED, distrusted="of another run"))
    made = plan(foreign)
    assert (made.commands, made.steps[0].reason) == (("dbt build -s x",), "its results are not used: of another run")


def test_results_without_a_failure_are_judged_by_the_log_too() -> None:
    def run(log: str) -> RetryPlan:
        return plan(attempt(("dbt build",), step(4, "dbt build", FAILED, row(ORDERS), log=log)))

    assert run("").commands == ("dbt build",)
    assert run(COMPILE_LOG).commands == ()


def test_run_operation_is_repeated_for_any_only() -> None:
    command = "dbt run-operation grant --args '{a: 1}'"
    run = attempt((command,), step(4, command, FAILED, row("operation.shop.grant", "error", RESET)))
    made = plan(run)
    assert (made.commands, made.is_partial) == ((), True)
    assert "retry-on: any" in (made.stop_reason or "")
    assert plan(run, retry_on="any").commands == (command,)


@pytest.mark.parametrize("hook", [START_HOOK, END_HOOK])
def test_a_hook_that_failed_alone_runs_again_with_the_least_that_may_be_repeated(hook: str) -> None:
    asked = ("dbt build", "dbt run-operation after")
    slow = replace(row(RAW), execution_seconds=60.0)
    run = attempt(asked, step(4, "dbt build", FAILED, slow, row(STG), row(NOT_NULL), row(hook, "error", RESET)))
    made = plan(run)
    assert (made.commands, made.is_partial) == ((), True)
    assert "`retry-on: any`" in (made.stop_reason or "")
    assert "on-run-" in (made.stop_reason or "")
    made = plan(run, retry_on="any")
    assert made.commands == ("dbt build --select fqn:shop.staging.stg --indirect-selection empty", asked[1])
    assert not made.is_partial


def test_a_hook_does_not_let_an_appending_model_run_twice() -> None:
    journal = node("model", "shop", [], "journal", materialized="incremental")
    run = attempt(("dbt run",), step(4, "dbt run", FAILED, row(journal), row(END_HOOK, "error", RESET)))
    made = plan_retry(run, ours(manifest_of((journal,))), retry_on="any")
    assert (made.commands, made.is_partial) == ((), True)
    assert "no node" in (made.stop_reason or "")


def test_a_hook_runs_again_with_the_nodes_that_do() -> None:
    _, planned = one("dbt build", row(ORDERS, "error", RESET), row(END_HOOK, "error", RESET))
    assert names(planned.nodes) == {uid(ORDERS)}


def test_an_on_run_start_hook_stops_everything() -> None:
    skipped = (row(RAW, "skipped"), row(STG, "skipped"))
    _, planned = one("dbt build", row(START_HOOK, "error", RESET), *skipped)
    assert names(planned.nodes) == {uid(RAW), uid(STG)}
    made, planned = one("dbt build", row(START_HOOK, "error", NO_COLUMN), *skipped)
    assert (made.commands, names(planned.left_out)) == ((), {uid(RAW), uid(STG)})
    made, planned = one("dbt build", row(START_HOOK, "error", RESET))
    assert (made.commands, planned.action) == (("dbt build",), StepAction.WHOLE)


def test_an_on_run_start_hook_stops_nothing_where_nodes_ran_after_it() -> None:
    hook = row(START_HOOK, "error", NO_COLUMN)
    _, planned = one("dbt build", hook, row(RAW), row(ORDERS, "error", RESET), row(REPORT, "skipped"))
    assert (names(planned.nodes), planned.left_out) == ({uid(ORDERS), uid(REPORT)}, ())
    made, planned = one("dbt build", hook, row(RAW), row(ORDERS))
    assert (made.commands, planned.action) == ((), StepAction.DROP)
    assert "on-run-start" in planned.reason


def test_a_retry_of_a_retry_narrows_further() -> None:
    first, _ = one("dbt run", row(OTHER, "error", RESET), row(ORDERS, "error", RESET))
    (command,) = first.commands
    again = attempt((command,), step(4, command, FAILED, row(OTHER), row(ORDERS, "error", RESET)))
    assert plan(replace(again, number=2)).commands == ("dbt run --select fqn:shop.marts.orders",)


def test_with_favor_state_what_this_run_built_is_read_where_it_was_built() -> None:
    _, planned = one("dbt run --defer --favor-state --state prod", row(STG), row(ORDERS, "error", RESET))
    assert planned.new_command == "dbt run --defer --state prod --no-favor-state --select fqn:shop.marts.orders"


def test_with_favor_state_what_is_read_only_in_part_is_built_along() -> None:
    """`SINGULAR` reads two models, and this run built one of them."""
    _, planned = one("dbt build --favor-state", row(ORDERS), row(SINGULAR, "error", RESET))
    assert planned.new_command is not None
    assert "--favor-state --select" in planned.new_command
    assert names(planned.nodes) == {uid(ORDERS), uid(SINGULAR)}


def test_each_steps_own_manifest_names_its_nodes() -> None:
    """With other `--vars`, a step may have other models than the step after it."""
    one_mode = node("model", "shop", ["mode_a"], "it")
    other_mode = node("model", "shop", ["mode_b"], "it")
    asked = ("dbt run --vars 'mode: a'", "dbt run --vars 'mode: b'")
    run = attempt(asked, step(4, asked[0], FAILED, row(one_mode, "error", RESET)), step(5, asked[1], SKIPPED))
    newest = ours(manifest_of((other_mode,)))
    own = {4: ours(manifest_of((one_mode,)))}
    assert plan_retry(run, newest, manifests=own).commands == (
        f"{asked[0]} --select fqn:shop.mode_a.it",
        asked[1],
    )
    assert plan_retry(run, newest).commands == (f"{asked[0]} --select fqn:shop.mode_b.it", asked[1])
