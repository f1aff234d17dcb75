"""Corners of a retry: times that are not known, names that are taken, logs of another engine, lines that are cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.dbt_graphs import generic_test, manifest_of, node, ours, unit_test
from tests.support.retry_attempts import NO_COLUMN, RESET, attempt, results, row, step, uid
from tests.support.values import replace

from dbt_cloud_run.cancellation import Cancellation, CancelledBy
from dbt_cloud_run.dbt.selection import Selector
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import RunState
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import PlannedStep, RetryPlan, StepAction
from dbt_cloud_run.retry import commands
from dbt_cloud_run.retry.alignment import align
from dbt_cloud_run.retry.needs import Case, Needs, needs_of
from dbt_cloud_run.retry.plan import plan_retry
from dbt_cloud_run.retry.situation import Situation
from dbt_cloud_run.unknown import HIDDEN_FAILURE, Unknown, UnknownKind

FAILED, OK = RunState.ERROR, RunState.SUCCESS
NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)


def planned(
    command: str, *rows: NodeResult, nodes: tuple[Any, ...], version: str = "1.11.0", log: str = "", **options: Any
) -> tuple[RetryPlan, PlannedStep]:
    manifest = ours(manifest_of(nodes))
    manifest.metadata.dbt_version = version
    made = plan_retry(attempt((command,), step(4, command, FAILED, *rows, log=log)), manifest, **options)
    return made, made.steps[0]


def micro(name: str) -> dict[str, Any]:
    body = node("model", "shop", [], name, materialized="incremental")
    body["config"] |= {"incremental_strategy": "microbatch", "batch_size": "day", "begin": "2026-01-01"}
    return body | {"relation_name": f'"db"."main"."{name}"'}


@pytest.mark.parametrize(
    ("times", "until"),
    [
        ({"finished_at": 2, "generated_at": 5, "started_at": 9}, "2026-03-08"),
        ({"generated_at": 5, "started_at": 9}, "2026-03-11"),
        ({"started_at": 9}, "2026-03-15"),
        ({}, None),
    ],
)
def test_the_end_of_a_step_is_what_is_known_of_it(times: dict[str, int], until: str | None) -> None:
    body = micro("daily")
    days = {name: NOON + timedelta(days=number) for name, number in times.items()}
    made = replace(results("run", row(body, "error", RESET)), generated_at=days.pop("generated_at", None))
    one = replace(step(4, "dbt run", FAILED), results=made, **days)
    manifest = ours(manifest_of((body,)))
    manifest.metadata.dbt_version = "2.0.0"
    plan = plan_retry(attempt(("dbt run",), one), manifest, retry_on="any")
    if until is None:
        assert (plan.commands, plan.is_partial) == ((), True)
        assert plan.steps[0].reason.startswith("which batches of model.shop.daily failed is not known")
        assert "retry-on" not in plan.steps[0].reason
        assert {each.unique_id for each in plan.steps[0].left_out} == {uid(body)}
    else:
        assert f"--event-time-start 2026-01-01T00:00:00 --event-time-end {until}T00:00:00" in plan.commands[0]


def test_a_row_without_batches_is_not_completed_from_the_log() -> None:
    """dbt lists the batches of each model that ran any; the log may be of an earlier command of the step."""
    body = micro("daily")
    log = "12:00:00  Batch 1 of 2 OK created batch 2026-01-01 of main.daily ........ [OK in 0.2s]\n"
    made, _ = planned("dbt run", row(body, "error", RESET), nodes=(body,), log=log)
    assert made.commands == ("dbt run --select fqn:shop.daily",)


BASE = node("model", "shop", [], "base", materialized="table")
MIDDLE = node("model", "shop", [], "middle", parents=[BASE["unique_id"]], materialized="ephemeral")
TOP = node("model", "shop", [], "top", parents=[MIDDLE["unique_id"]])


def test_a_unit_test_runs_in_the_command_of_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [node("model", "shop", [], f"m{number}", materialized="table") for number in range(6)]
    tests = [unit_test("shop", [], f"u{number}", body) for number, body in enumerate(models)]
    last = node("model", "shop", [], "last", parents=[body["unique_id"] for body in models])
    broken = node("model", "shop", [], "broken")
    done = [node("model", "shop", [], f"done_before_{number}") for number in range(9)]
    rows = [row(body, "error", RESET) for body in models] + [row(body, "skipped") for body in (*tests, last)]
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", 160)
    rows += [row(broken, "error", NO_COLUMN), *(row(body) for body in done)]
    made, _ = planned("dbt build", *rows, nodes=(*models, *tests, last, broken, *done))
    assert len(made.commands) == 2
    assert all(len(line) <= 160 for line in made.commands)
    for number in range(6):
        (line,) = (line for line in made.commands if f"fqn:shop.m{number}" in line)
        assert f"unit_test:shop.u{number}" in line
    assert "fqn:shop.last" in made.commands[-1]
    # As few commands as fit: each next node would have been too much.
    assert all(len(line) > 100 for line in made.commands[:-1])


def test_the_words_of_the_new_engine_show_what_was_built() -> None:
    journal = node("model", "shop", [], "journal", materialized="incremental") | {
        "relation_name": '"db"."main"."journal"'
    }
    other = node("model", "shop", [], "main_journal", materialized="incremental")
    log = " Succeeded [  0.12s] model main.journal (incremental)\n\x1b[31m   Failed\x1b[0m [  0.02s] model main.other\n"
    made, found = planned("dbt run", nodes=(journal, other), log=log)
    assert (made.commands, found.action) == ((), StepAction.DROP)
    assert "it would repeat model.shop.journal, which" in found.reason
    assert planned("dbt run", nodes=(journal, other), log=log.replace("main.journal", "main.orders"))[0].commands


def test_a_command_that_builds_no_node_repeats_none() -> None:
    journal = node("model", "shop", [], "journal", materialized="incremental")
    made, _ = planned("dbt compile", nodes=(journal,))
    assert made.commands == ("dbt compile",)


def test_of_a_step_that_is_not_understood_all_that_appends_may_have_run() -> None:
    journal = node("model", "shop", [], "journal", materialized="incremental")
    for command in ("dbt run -Z", "dbt run -s state:modified"):
        made, found = planned(command, nodes=(journal, BASE))
        assert (made.commands, "it would repeat model.shop.journal" in found.reason) == ((), True)
    assert planned("dbt run -s base", nodes=(journal, BASE))[0].commands == ("dbt run -s base",)


def test_what_the_environment_refreshes_may_be_repeated() -> None:
    journal = node("model", "shop", [], "journal", materialized="incremental")
    made = replace(results("run", row(journal), row(BASE, "error", RESET)), full_refresh=True)
    for full_refresh, commands_ in ((True, ("dbt run -Z",)), (None, ())):
        one = replace(step(4, "dbt run -Z", FAILED), results=replace(made, full_refresh=full_refresh))
        assert plan_retry(attempt(("dbt run -Z",), one), ours(manifest_of((journal, BASE)))).commands == commands_


@pytest.mark.parametrize("name", ["dbt run", "dbt retry"])
def test_a_native_retry_that_did_not_start_leaves_what_it_was_to_do(name: str) -> None:
    nodes = (BASE, TOP, MIDDLE)
    first = attempt(("dbt run",), step(4, "dbt run", FAILED, row(BASE), row(TOP, "error", RESET)))
    manifest = ours(manifest_of(nodes))
    for state in (RunState.SKIPPED, RunState.CANCELLED):
        second = replace(attempt(("dbt run",), step(4, name, state)), number=2, retried_natively=True)
        made = plan_retry(second, manifest, earlier=(first,))
        assert made.commands == ("dbt run --select fqn:shop.top",)
    distrusted = step(4, name, FAILED, row(TOP, "error", RESET), distrusted="they are of another command")
    second = replace(attempt(("dbt run",), distrusted), number=2, retried_natively=True)
    assert plan_retry(second, manifest, earlier=(first,)).commands == ("dbt run --select fqn:shop.top",)


def test_the_rest_of_a_step_says_why_it_runs_with_what_would_fail_again() -> None:
    ok, bad, other = (node("model", "shop", [], name, materialized="table") for name in ("ok", "bad", "other"))
    test = generic_test("shop", [], "not_null_ok_id", ok["unique_id"])
    rows = (row(ok), row(test, "pass"), row(bad, "error", NO_COLUMN), row(other, "error", RESET))
    made, found = planned(
        "dbt build --no-favor-state -s state:modified+", *rows, nodes=(ok, bad, other, test), version="2.0.0"
    )
    (line,) = made.commands
    assert line.startswith("dbt build --no-favor-state --select state:modified+ fqn:shop.bad fqn:shop.other --exclude ")
    assert "fqn:shop.ok" in line
    assert found.left_out == ()
    reasons = {each.unique_id: each.reason for each in found.nodes}
    assert reasons.keys() == {uid(bad), uid(other)}


def test_a_hook_runs_again_with_a_view_before_a_table_and_with_what_is_quick_before_what_is_slow() -> None:
    slow, quick = (node("model", "shop", [], name, materialized="table") for name in ("a_slow", "quick"))
    view = node("model", "shop", [], "view")
    rows = [replace(row(body), execution_seconds=seconds) for body, seconds in ((slow, 9.0), (quick, 1.0), (view, 5.0))]
    hook = row("operation.shop.shop-on-run-end-0", "error", RESET)
    made, _ = planned("dbt run", *rows[:2], hook, nodes=(slow, quick, view), retry_on="any")
    assert made.commands == ("dbt run --select fqn:shop.quick",)
    made, _ = planned("dbt run", *rows, hook, nodes=(slow, quick, view), retry_on="any")
    assert made.commands == ("dbt run --select fqn:shop.view",)


# -- what is retried at all


@pytest.mark.parametrize("by", CancelledBy)
def test_of_cancelled_runs_only_one_that_was_lost_is_judged_by_its_results(by: CancelledBy) -> None:
    cut_off = step(4, "dbt build", RunState.CANCELLED, row("model.shop.a", "error", RESET))
    run = attempt(("dbt build",), cut_off, ending=Ending.CANCELLED, cancellation=Cancellation(by=by))
    made = plan_retry(run, None)
    if by is CancelledBy.HEARTBEAT:
        assert made.commands == ("dbt build",)
    else:
        assert made.commands == ()
        assert made.stop_reason == f"the run was cancelled {by.value}"


def test_what_a_closed_gate_keeps_back_is_left_out() -> None:
    """A step that counts as successful has a failure that would come again; the next one fails for a moment."""
    a, b = node("model", "shop", [], "a"), node("model", "shop", [], "b")
    first = step(4, "dbt run --select a", OK, row(a, "error", NO_COLUMN))
    second = step(5, "dbt run --select b", FAILED, row(b, "error", RESET))
    made = plan_retry(attempt((first.command or "", second.command or ""), first, second), ours(manifest_of((a, b))))
    assert [one.action for one in made.steps] == [StepAction.DROP, StepAction.DROP]
    assert [[left.unique_id for left in one.left_out] for one in made.steps] == [[uid(a)], [uid(b)]]
    assert made.steps[1].nodes == ()
    assert made.steps[1].reason == f"`{first.command}` before it keeps a failure that is not retried"


def test_a_failure_that_cannot_be_seen_is_the_reason_why_nothing_is_retried() -> None:
    unread = Unknown(kind=UnknownKind.STEPS, why="The steps could not be read.")
    made = plan_retry(attempt(("dbt build",), step(4, "dbt build"), unknown=(unread,)), None)
    assert (made.stop_reason, made.commands, made.is_partial) == (HIDDEN_FAILURE, (), True)


@pytest.mark.parametrize(("command", "is_noted"), [("dbt build --select result:error", True), ("dbt build", False)])
def test_a_whole_step_that_selects_by_earlier_results_has_a_note(command: str, is_noted: bool) -> None:
    made = plan_retry(attempt((command,), step(4, command, FAILED)), None)
    assert made.commands == (command,)
    assert bool(made.notes) is is_noted
    done = plan_retry(attempt((command, "dbt test"), step(4, command), step(5, "dbt test", FAILED)), None)
    assert done.commands == ("dbt test",)
    assert done.notes == ()


@pytest.mark.parametrize("command", ["dbt build -Z", "dbt docs generate", "bash x.sh"])
def test_a_step_that_selects_nothing_has_no_note(command: str) -> None:
    made = plan_retry(attempt((command,), step(4, command, FAILED)), None)
    assert (made.commands, made.notes) == ((command,), ())


@pytest.mark.parametrize(("options", "is_noted"), [("", True), (" -s base", False), (" --exclude base", False)])
def test_the_default_selector_is_looked_at_only_where_nothing_is_selected(options: str, is_noted: bool) -> None:
    definition = {"union": [{"method": "result", "value": "error", "children": True}]}
    manifest = ours(manifest_of((BASE,)))
    manifest.selectors = {"failed": {"name": "failed", "default": True, "definition": definition}}
    command = f"dbt run{options}"
    made = plan_retry(attempt((command,), step(4, command, RunState.SKIPPED)), manifest)
    assert (made.commands, bool(made.notes)) == ((command,), is_noted)


def test_a_step_without_a_manifest_says_why_it_runs_whole() -> None:
    made = plan_retry(attempt(("dbt build",), step(4, "dbt build", FAILED, row("model.shop.a", "error", RESET))), None)
    assert made.commands == ("dbt build",)
    assert "there is no manifest to name its nodes by" in made.steps[0].reason


def test_only_freshness_is_run_again_for_a_step_that_selects_by_it() -> None:
    asked = ("dbt seed", "dbt source freshness", "dbt build -s source_status:fresher+", "dbt source freshness -s b")
    steps = [step(number, command) for number, command in enumerate(asked, 4)]
    steps[2] = replace(steps[2], state=FAILED)
    made = plan_retry(attempt((*asked, "dbt test"), *steps, step(8, "dbt test", FAILED)), None)
    assert made.commands == (asked[1], asked[2], "dbt test")


def test_freshness_that_succeeded_is_not_read_again_for_a_step_that_does_not_select_by_it() -> None:
    steps = (step(4, "dbt source freshness"), step(5, "dbt build", FAILED))
    made = plan_retry(attempt(("dbt source freshness", "dbt build"), *steps), None)
    assert [one.action for one in made.steps] == [StepAction.SKIP, StepAction.WHOLE]
    assert made.commands == ("dbt build",)


def test_deps_that_were_asked_for_and_that_dbt_cloud_did_not_add_are_a_step_of_the_job() -> None:
    run = attempt(("dbt deps", "dbt build"), step(4, "dbt deps", FAILED), bare=True)
    assert [asked.step.index if asked.step else None for asked in align(run).asked] == [4, None]


# -- what a step still needs


def needs(
    command: str, *rows: NodeResult, nodes: tuple[Any, ...] = (), state: RunState = FAILED, lost: int = 0
) -> Needs:
    made = step(4, command, state, *rows)
    assert made.results is not None
    made = replace(made, results=replace(made.results, lost_rows=lost))
    (asked,) = align(attempt((command,), made)).asked
    selector = Selector(ours(manifest_of(nodes))) if nodes else None
    return needs_of(asked, Situation(takes_all=False, done={}, selector=selector))


def test_where_the_rest_is_not_known_nothing_is_left_out() -> None:
    """The whole step runs: with what would fail again, too."""
    found = needs("dbt build", row("model.shop.a", "error", NO_COLUMN), state=RunState.CANCELLED)
    assert found.case is Case.UNKNOWN_REST
    assert found.wanted == {"model.shop.a"}
    assert found.left_out == ()


def test_rows_that_were_lost_from_results_of_an_undecided_selection_leave_the_rest_unknown() -> None:
    a = node("model", "shop", [], "a")
    assert needs("dbt build --select state:modified", row(a), nodes=(a,), lost=1).case is Case.UNKNOWN_REST
    assert needs("dbt build --select state:modified", row(a), nodes=(a,), lost=0).case is not Case.UNKNOWN_REST


def test_rows_that_were_lost_from_results_are_found_by_a_selection_that_the_manifest_decides() -> None:
    a, b = (node("model", "shop", [], name) for name in "ab")
    found = needs("dbt run", row(a, "error", RESET), nodes=(a, b), lost=1)
    assert (found.case, found.wanted) == (Case.NODES, {uid(a), uid(b)})


def test_a_source_that_failed_without_a_message_is_too_old() -> None:
    assert needs("dbt build", row("source.shop.ext.t", "error")).case is Case.HOPELESS_NODES
    assert needs("dbt build", row("model.shop.t", "error")).case is Case.NODES


@pytest.mark.parametrize(
    ("option", "environment", "is_built_again"),
    [("", None, False), ("", False, False), ("", True, True), (" --full-refresh", None, True)],
)
def test_what_appends_is_built_again_on_new_contents_where_its_table_is_rebuilt(
    option: str, environment: bool | None, is_built_again: bool
) -> None:
    first = node("model", "shop", [], "first", materialized="table")
    first["config"]["on_error"] = "continue"
    appends = node("model", "shop", [], "appends", parents=[uid(first)], materialized="incremental")
    manifest = ours(manifest_of((first, appends)))
    manifest.metadata.dbt_version = "1.12.0"
    made = step(4, f"dbt run{option}", FAILED, row(first, "error", RESET), row(appends))
    assert made.results is not None
    made = replace(made, results=replace(made.results, full_refresh=environment))
    (planned_step,) = plan_retry(attempt((f"dbt run{option}",), made), manifest).steps
    again = {uid(first), uid(appends)} if is_built_again else {uid(first)}
    assert {one.unique_id for one in planned_step.nodes} == again
    assert bool(planned_step.left_out) is not is_built_again
