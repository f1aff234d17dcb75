"""What becomes of a step: run over its nodes, whole, with its rest or not at all; and what the plan says of that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.dbt_graphs import manifest_of, node, ours
from tests.support.retry_attempts import (
    CANCELLED,
    END_HOOK,
    EPHEMERAL,
    FAILED,
    NO_COLUMN,
    NOT_NULL,
    OK,
    ORDERS,
    OTHER,
    RESET,
    SINGULAR,
    SKIPPED,
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

from dbt_cloud_run.cost import Cost
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import FreshnessResult
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import PlannedStep, Retryability, RetryPlan, StepAction, Window
from dbt_cloud_run.retry.plan import plan_retry
from dbt_cloud_run.unknown import Unknown, UnknownKind

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TABLE = node("model", "shop", [], "orders", materialized="table")
OUTSIDE = node("model", "shop", [], "outside", materialized="table")
JOURNAL = node("model", "shop", [], "journal", parents=[uid(TABLE)], materialized="incremental")
JOURNAL |= {"relation_name": '"db"."main"."journal"'}
REPORT = node("model", "shop", [], "report", parents=[uid(JOURNAL), uid(OUTSIDE)])
DAILY = node("model", "shop", [], "daily", parents=[uid(TABLE)], materialized="incremental")
DAILY["config"] |= {"incremental_strategy": "microbatch", "batch_size": "day", "begin": "2026-01-01"}
BEGUN = "".join(
    f"12:00:00  {n} of 2 START sql model main.{name} ....... [RUN]\n" for n, name in enumerate(("orders", "journal"), 1)
)


def planned(
    command: str,
    *rows: NodeResult,
    nodes: tuple[Any, ...],
    state: Any = FAILED,
    log: str = "",
    refreshes: bool | None = None,
    version: str = "1.11.0",
    **options: Any,
) -> tuple[RetryPlan, PlannedStep]:
    manifest = ours(manifest_of(nodes))
    manifest.metadata.dbt_version = version
    made = step(4, command, state, *rows, log=log)
    if made.results is not None:
        made = replace(made, results=replace(made.results, full_refresh=refreshes))
    ending = Ending.TIMED_OUT if state is CANCELLED else Ending.ERROR
    found = plan_retry(attempt((command,), made, ending=ending), manifest, **options)
    return found, found.steps[0]


def day(first: int, last: int) -> Window:
    return Window(BEGIN + timedelta(days=first), BEGIN + timedelta(days=last))


def partial() -> NodeResult:
    return replace(row(DAILY, "partial success"), batches_done=(day(0, 1),), batches_failed=(day(1, 2),))


# -- whole steps


def test_results_that_are_not_used_do_not_hide_a_log_that_shows_why_a_retry_would_fail() -> None:
    log = "Encountered an error:\nCompilation Error\n  x is undefined"
    foreign = step(4, "dbt build", FAILED, log=log, distrusted="of another run")
    made = plan(attempt(("dbt build",), foreign))
    assert (made.commands, made.steps[0].reason) == (
        (),
        "its results are not used: of another run, and its log shows a failure that would happen again",
    )


def test_a_step_that_never_started_repeats_nothing_and_runs_with_what_appends() -> None:
    asked = ("dbt run -s outside", "dbt run")
    run = attempt(asked, step(4, asked[0], FAILED, row(OUTSIDE, "error", RESET)), step(5, asked[1], SKIPPED))
    made = plan_retry(run, ours(manifest_of((TABLE, JOURNAL, OUTSIDE))))
    assert made.commands == ("dbt run --select fqn:shop.outside", "dbt run")
    assert not made.is_partial


def test_a_step_that_runs_whole_for_what_has_no_command_of_its_own_says_so() -> None:
    stale = FreshnessResult(unique_id="source.shop.ext.t", status="runtime error", message=RESET)
    checked = replace(step(4, "dbt source freshness", FAILED), freshness=(stale,))
    found = plan(attempt(("dbt source freshness",), checked)).steps[0]
    assert (found.action, found.reason) == (StepAction.WHOLE, "it failed, and is run as a whole")
    _, found = one("dbt run", row(EPHEMERAL, "error", RESET))
    assert (found.action, found.reason) == (
        StepAction.WHOLE,
        "only ephemeral models of it failed, which are never run by themselves",
    )


def test_a_hook_is_re_run_with_the_whole_step_where_no_manifest_names_its_nodes() -> None:
    run = attempt(("dbt build",), step(4, "dbt build", FAILED, row(STG), row(END_HOOK, "error", RESET)))
    made = plan_retry(run, None, retry_on="any")
    assert (made.commands, made.is_partial) == (("dbt build",), False)
    assert made.steps[0].reason == (
        "its on-run-end hook failed: it is re-run with the least that may be repeated; "
        "1 of its nodes succeeded and is re-run"
    )


@pytest.mark.parametrize(("option", "refreshes"), [(" --full-refresh", None), ("", True), ("", None)])
def test_a_hook_runs_with_what_appends_only_where_its_table_is_rebuilt(option: str, refreshes: bool | None) -> None:
    rows = (row(JOURNAL), row(END_HOOK, "error", RESET))
    made, _ = planned(f"dbt run{option}", *rows, nodes=(TABLE, JOURNAL), refreshes=refreshes, retry_on="any")
    assert made.commands == ((f"dbt run{option} --select fqn:shop.journal",) if option or refreshes else ())


def test_without_a_manifest_what_would_fail_again_is_run_too_and_named() -> None:
    rows = (row(NOT_NULL, "fail", "Got 3 results"), row(OTHER, "error", RESET))
    found = plan_retry(attempt(("dbt build",), step(4, "dbt build", FAILED, *rows)), None).steps[0]
    assert names(found.nodes) == {uid(NOT_NULL), uid(OTHER)}
    (reason,) = (each.reason for each in found.nodes if each.unique_id == uid(NOT_NULL))
    assert reason.endswith("(deterministic); re-run with the rest of the step")


def test_a_step_whose_nodes_have_no_names_runs_whole_with_what_would_fail_again() -> None:
    odd = node("model", "shop", [], "two words")
    rows = (row(odd, "error", RESET), row(OUTSIDE, "error", NO_COLUMN), row(TABLE))
    made, found = planned("dbt run -s state:modified", *rows, nodes=(odd, OUTSIDE, TABLE), version="1.4.9")
    assert (made.commands, found.action) == (("dbt run -s state:modified",), StepAction.WHOLE)
    assert names(found.nodes) == {uid(odd), uid(OUTSIDE)}
    assert "its nodes have no names that dbt understands" in found.reason


def test_a_step_that_was_cut_off_and_runs_whole_may_hold_more_than_its_results() -> None:
    rows = (row(TABLE), row(OUTSIDE, "error", RESET))
    for state, is_open in ((CANCELLED, True), (FAILED, False)):
        _, found = planned("dbt build -Z", *rows, nodes=(TABLE, OUTSIDE), state=state)
        assert (found.action, found.is_open) == (StepAction.WHOLE, is_open)


def test_an_ephemeral_model_that_was_skipped_is_not_taken_for_what_a_later_step_mended() -> None:
    _, found = one("dbt run", row(ORDERS), row(EPHEMERAL, "skipped"))
    assert (found.action, found.new_command) == (StepAction.WHOLE, "dbt run")


def test_a_line_that_ended_well_does_not_repeat_its_macro() -> None:
    asked = ("dbt run -s stg orders && dbt run-operation grant", "dbt build")
    green = step(4, asked[0], OK, row(STG), row(ORDERS, "partial success"))
    later = step(5, asked[1], FAILED, row(ORDERS), row(OTHER, "error", RESET))
    made = plan(attempt(asked, green, later))
    assert [each.action for each in made.steps] == [StepAction.SKIP, StepAction.NODES]


# -- microbatch models


def test_where_all_is_retried_no_cure_is_named_for_batches_that_are_not_known() -> None:
    rows = (row(DAILY, "error", RESET),)
    why = (
        "which batches of model.shop.daily failed is not known, and a plain re-run of a microbatch model runs only "
        "its last ones"
    )
    _, found = planned("dbt run", *rows, nodes=(TABLE, DAILY), version="2.0.0", retry_on="any")
    assert (found.action, found.reason) == (StepAction.DROP, why)
    _, found = planned("dbt run", *rows, nodes=(TABLE, DAILY), version="2.0.0")
    assert found.reason == f"{why}: with `retry-on: any` all of its batches run, from its `begin` on"


@pytest.mark.parametrize(("hours", "count"), [(1, 1), (40, 3)])
def test_a_model_that_was_skipped_is_filled_for_its_time_only_where_a_plain_run_would_not(
    hours: int, count: int
) -> None:
    ended = BEGIN + timedelta(days=9, hours=1)
    failed = step(4, "dbt run", FAILED, row(TABLE, "error", RESET), row(DAILY, "skipped"))
    run = attempt(("dbt run",), replace(failed, started_at=ended, finished_at=ended))
    made = plan_retry(run, ours(manifest_of((TABLE, DAILY))), now=ended + timedelta(hours=hours))
    assert len(made.commands) == count


@pytest.mark.parametrize("command", ["dbt build -Z", "dbt retry"])
def test_failed_batches_of_a_command_that_selects_nothing_are_not_run_whole(command: str) -> None:
    made, found = planned(command, partial(), nodes=(TABLE, DAILY))
    assert (made.commands, found.action) == ((), StepAction.DROP)
    assert found.reason.endswith("its failed batches cannot be run by themselves (its command was not understood)")


def test_a_later_run_that_reports_no_batches_has_run_all_of_them() -> None:
    first = attempt(("dbt run",), step(4, "dbt run", FAILED, partial()))
    since = replace(attempt(("dbt run",), step(4, "dbt run", OK, row(DAILY))), number=2)
    assert plan_retry(first, ours(manifest_of((TABLE, DAILY))), later=(since,)).commands == ()


# -- what may not be repeated


@pytest.mark.parametrize(("option", "refreshes"), [(" --full-refresh", None), ("", True)])
def test_with_favor_state_what_appends_is_built_along_where_its_table_is_rebuilt(
    option: str, refreshes: bool | None
) -> None:
    command, nodes = f"dbt run --favor-state{option}", (TABLE, JOURNAL, OUTSIDE, REPORT)
    rows = (row(JOURNAL), row(REPORT, "error", RESET))
    made, found = planned(command, *rows, nodes=nodes, refreshes=refreshes)
    assert made.commands == (f"{command} --select fqn:shop.journal fqn:shop.report",)
    assert found.saved == ()


def test_what_is_built_along_is_not_counted_as_saved() -> None:
    _, found = one("dbt build --favor-state", row(STG), row(ORDERS), row(SINGULAR, "error", RESET))
    assert uid(ORDERS) in names(found.nodes)
    assert uid(ORDERS) not in names(found.saved)


@pytest.mark.parametrize(("option", "refreshes"), [(" -f", None), ("", True), ("", None)])
def test_what_was_under_way_is_run_again_where_its_table_is_rebuilt(option: str, refreshes: bool | None) -> None:
    made, _ = planned(
        f"dbt run{option}", row(TABLE), nodes=(TABLE, JOURNAL), state=CANCELLED, log=BEGUN, refreshes=refreshes
    )
    is_rebuilt = bool(option or refreshes)
    assert made.commands == ((f"dbt run{option} --select fqn:shop.journal",) if is_rebuilt else ())
    assert made.is_partial is not is_rebuilt


def test_the_rest_of_a_step_runs_over_what_was_under_way_where_the_command_rebuilds_it() -> None:
    command, nodes = "dbt run{} -s state:modified+", (TABLE, JOURNAL)
    made, _ = planned(command.format(" -f"), row(TABLE), nodes=nodes, state=CANCELLED, log=BEGUN)
    assert made.commands == ("dbt run -f --select state:modified+ --exclude fqn:shop.orders",)
    made, found = planned(command.format(""), row(TABLE), nodes=nodes, state=CANCELLED, log=BEGUN)
    assert made.commands == ()
    assert found.reason.startswith(
        "the manifest does not show what it had still to run; re-run as a whole it would repeat model.shop.journal, "
    )


def test_what_a_later_attempt_has_done_is_left_out_after_what_took_the_step_longest() -> None:
    command = "dbt run -s state:modified"
    cut = step(4, command, CANCELLED, replace(row(OUTSIDE), execution_seconds=0.1))
    first = attempt((command,), cut, ending=Ending.TIMED_OUT)
    since = replace(attempt((command,), step(4, command, FAILED, row(TABLE))), number=2)
    made = plan_retry(first, ours(manifest_of((TABLE, OUTSIDE))), take_all=True, later=(since,))
    assert made.commands == ("dbt run --select state:modified --exclude fqn:shop.outside fqn:shop.orders",)


# -- what the plan says of nodes


def test_an_ephemeral_model_that_is_left_out_says_why() -> None:
    rows = (row(EPHEMERAL, "error", NO_COLUMN), row(ORDERS, "skipped"), row(OTHER, "error", RESET))
    _, found = one("dbt run", *rows)
    (left,) = (each for each in found.left_out if each.unique_id == uid(EPHEMERAL))
    assert (left.reason, left.retryability) == (f"error: {NO_COLUMN} (deterministic)", Retryability.DETERMINISTIC)


def test_a_node_that_is_not_repeated_is_saved_with_what_it_cost() -> None:
    billed = replace(row(STG), adapter_response={"bytes_billed": 1024})
    _, found = one("dbt run", billed, row(ORDERS, "error", RESET))
    assert [(each.unique_id, each.cost) for each in found.saved] == [(uid(STG), Cost(bytes_billed=1024))]


def test_why_results_could_not_be_read_is_told_to_its_last_letter() -> None:
    unread = Unknown(kind=UnknownKind.RESULTS, step=4, why="It is no UTF-8 but HEX.")
    run = replace(attempt(("dbt build",), step(4, "dbt build", FAILED)), unknown=(unread,))
    assert plan(run).steps[0].reason == "its results could not be read: It is no UTF-8 but HEX"


def test_the_message_of_a_node_is_read_as_that_of_its_warehouse() -> None:
    """Redshift's words, which say nothing where Snowflake says them."""
    said = "Disk access forbidden: must be owner of relation t"
    for adapter, is_run in (("postgres", False), ("snowflake", True)):
        manifest = ours(manifest_of((TABLE,)))
        manifest.metadata.adapter_type = adapter
        run = attempt(("dbt run",), step(4, "dbt run", FAILED, row(TABLE, "error", said)))
        assert bool(plan_retry(run, manifest).commands) is is_run
