"""Microbatch models in a retry: which windows of time run again, in which commands, and when a model runs whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.dbt_graphs import generic_test, manifest_of, node, ours
from tests.support.retry_attempts import RESET, attempt, row, step, uid
from tests.support.values import replace

from dbt_cloud_run.dbt.commands import parse_command
from dbt_cloud_run.dbt.results import decode_run_results
from dbt_cloud_run.dbt.selection import Selector
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Attempt, RunState
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import RetryPlan, StepAction, Window
from dbt_cloud_run.retry import commands
from dbt_cloud_run.retry.plan import plan_retry
from dbt_cloud_run.retry.windows import Fills, fills_of

FAILED, CANCELLED, OK = RunState.ERROR, RunState.CANCELLED, RunState.SUCCESS
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def micro(name: str, *parents: str, **config: Any) -> dict[str, Any]:
    body = node("model", "shop", [], name, parents=parents, materialized="incremental")
    body["config"] |= {
        "incremental_strategy": "microbatch",
        "batch_size": "day",
        "begin": "2026-01-01",
        "event_time": "at",
        **config,
    }
    return body | {"relation_name": f'"db"."main"."{name}"'}


SOURCE = node("model", "shop", [], "events", materialized="table")
DAILY = micro("daily", SOURCE["unique_id"])
WEEKLY = micro("weekly", DAILY["unique_id"])
CHILD = node("model", "shop", [], "child", parents=[DAILY["unique_id"]], materialized="table")
OTHER = node("model", "shop", [], "other", materialized="table")
TEST = generic_test("shop", [], "not_null_daily_id", DAILY["unique_id"])
MANIFEST = ours(manifest_of((SOURCE, DAILY, WEEKLY, CHILD, OTHER, TEST)))


def days(first: int, last: int) -> Window:
    return Window(BEGIN + timedelta(days=first), BEGIN + timedelta(days=last))


def partial(body: dict[str, Any], done: tuple[Window, ...], failed: tuple[Window, ...]) -> NodeResult:
    status = "partial success" if done else "error"
    return replace(row(body, status, "PARTIAL SUCCESS"), batches_done=done, batches_failed=failed)


def plan(run: Attempt, **options: Any) -> RetryPlan:
    return plan_retry(run, options.pop("manifest", MANIFEST), **options)


def after(command: str, *rows: NodeResult, **options: Any) -> RetryPlan:
    return plan(attempt((command,), step(4, command, FAILED, *rows)), **options)


def test_failed_batches_run_by_their_windows_before_what_depends_on_them() -> None:
    failed = (days(2, 3), days(3, 4), days(5, 6))
    made = after(
        "dbt build --select daily+ other --vars '{a: 1}'",
        row(SOURCE),
        partial(DAILY, (days(0, 2), days(4, 5)), failed),
        row(OTHER, "error", RESET),
        row(CHILD, "skipped"),
        row(WEEKLY, "skipped"),
        row(TEST, "skipped"),
    )
    mode = "--indirect-selection empty"
    windowed = "dbt build --vars '{a: 1}' --event-time-start 2026-01-0"
    assert made.commands == (
        f"dbt build --vars '{{a: 1}}' --select fqn:shop.other {mode}",
        f"{windowed}3T00:00:00 --event-time-end 2026-01-05T00:00:00 --select fqn:shop.daily {mode}",
        f"{windowed}6T00:00:00 --event-time-end 2026-01-07T00:00:00 --select fqn:shop.daily {mode}",
        f"dbt build --vars '{{a: 1}}' --select fqn:shop.child fqn:shop.weekly fqn:shop.not_null_daily_id {mode}",
    )
    assert not made.is_partial
    (planned,) = (one for one in made.steps[0].nodes if one.unique_id == uid(DAILY))
    assert planned.windows == (days(2, 4), days(5, 6))
    assert "2026-01-03 00:00 to 2026-01-05 00:00, 2026-01-06 00:00 to 2026-01-07 00:00" in planned.reason


def test_a_model_that_ran_no_batch_is_also_filled_for_the_time_of_its_step() -> None:
    hourly = micro("hourly", SOURCE["unique_id"], batch_size="hour", lookback=2)
    monthly = micro("monthly", SOURCE["unique_id"], batch_size="month", begin="2025-06-01", lookback="x")
    manifest = ours(manifest_of((SOURCE, DAILY, WEEKLY, CHILD, hourly, monthly)))
    skipped = [row(body, "skipped") for body in (DAILY, WEEKLY, CHILD, hourly, monthly)]
    one = step(4, "dbt run", FAILED, row(SOURCE, "error", RESET), *skipped)
    start = BEGIN + timedelta(days=9, hours=23, minutes=59)
    one = replace(one, started_at=start, finished_at=start + timedelta(minutes=2))
    made = plan(attempt(("dbt run",), one), manifest=manifest)
    times = "dbt run --event-time-start {}T{}:00:00 --event-time-end {}T{}:00:00 --select fqn:shop.{}"
    assert made.commands == (
        "dbt run --select fqn:shop.events",
        "dbt run --select fqn:shop.monthly",
        times.format("2025-12-01", "00", "2026-02-01", "00", "monthly"),
        "dbt run --select fqn:shop.daily",
        times.format("2026-01-09", "00", "2026-01-12", "00", "daily"),
        "dbt run --select fqn:shop.hourly",
        times.format("2026-01-10", "21", "2026-01-11", "01", "hourly"),
        "dbt run --select fqn:shop.child",
        "dbt run --select fqn:shop.weekly",
        times.format("2026-01-09", "00", "2026-01-12", "00", "weekly"),
    )
    (planned,) = (one for one in made.steps[0].nodes if one.unique_id == uid(DAILY))
    assert planned.windows == ()
    assert "the batches that it had run then are filled, too: 2026-01-09 00:00 to 2026-01-12 00:00" in planned.reason


@pytest.mark.parametrize(
    "command", ["dbt run --full-refresh", "dbt run --sample 2d", "dbt run --event-time-start 2026"]
)
def test_no_window_is_added_where_it_would_take_data_away_or_the_command_names_one(command: str) -> None:
    one = step(4, command, FAILED, row(SOURCE, "error", RESET), row(DAILY, "skipped"))
    one = replace(one, started_at=BEGIN + timedelta(days=9))
    (line,) = plan(attempt((command,), one)).commands
    assert line == f"{command} --select fqn:shop.daily fqn:shop.events"


def test_no_window_is_longer_than_the_model_reaches_back() -> None:
    one = step(4, "dbt run", FAILED, row(SOURCE, "error", RESET), row(DAILY, "skipped"))
    one = replace(one, started_at=BEGIN)
    assert "--event-time-start 2026-01-01T00:00:00" in plan(attempt(("dbt run",), one)).commands[-1]
    before = replace(one, started_at=BEGIN - timedelta(days=3))
    assert len(plan(attempt(("dbt run",), before)).commands) == 1


@pytest.mark.parametrize(
    "batches",
    [
        None,
        {},
        {"successful": [["2026-01-01T00:00:00", "2026-01-02T00:00:00"]], "failed": []},
        {"successful": [["2026-01-01T00:00:00", "2026-01-02T00:00:00"]], "failed": None},
        {"successful": None, "failed": [None]},
        {"successful": [], "failed": [["2026-01-02T00:00:00", "2026-01-03T00:00:00"], ["2026-01-03T00:00:00", None]]},
        {"failed": "2026-01-02"},
        "2 of 3",
        [],
    ],
)
def test_failed_batches_that_cannot_be_read_are_not_taken_for_none(tmp_path: Path, batches: object) -> None:
    row = {"unique_id": uid(DAILY), "status": "partial success", "batch_results": batches}
    file = tmp_path / "run_results.json"
    file.write_text(json.dumps({"metadata": {}, "args": {"which": "run"}, "results": [row]}), encoding="utf-8")
    one = replace(step(4, "dbt run", FAILED), results=decode_run_results(file)[1], finished_at=BEGIN + timedelta(2))
    run = attempt(("dbt run",), one)
    assert (plan(run).commands, plan(run).is_partial) == ((), True)
    (line,) = plan(run, retry_on="any").commands
    assert "--event-time-start 2026-01-01T00:00:00 --event-time-end 2026-01-04T00:00:00" in line
    told = replace(run, steps=(replace(one, log=LOG),))
    (line,) = plan(told).commands
    assert "--event-time-start 2026-01-02T00:00:00 --event-time-end 2026-01-04T00:00:00" in line


def test_a_chain_of_microbatch_models_is_filled_in_its_order() -> None:
    made = after(
        "dbt run",
        partial(DAILY, (days(0, 1),), (days(1, 2),)),
        partial(WEEKLY, (days(0, 1),), (days(1, 2),)),
    )
    assert [line.rsplit(" ", 1)[-1] for line in made.commands] == ["fqn:shop.daily", "fqn:shop.weekly"]


def test_models_with_the_same_windows_share_their_commands() -> None:
    twin = micro("twin")
    manifest = ours(manifest_of((SOURCE, DAILY, twin)))
    rows = (partial(DAILY, (days(0, 1),), (days(1, 2),)), partial(twin, (days(0, 1),), (days(1, 2),)))
    (line,) = after("dbt run", *rows, manifest=manifest).commands
    assert line.endswith("--select fqn:shop.daily fqn:shop.twin")


@pytest.mark.parametrize(
    ("command", "config", "done", "failed"),
    [
        ("dbt run --full-refresh", {}, (days(0, 1),), (days(1, 2),)),
        ("dbt run", {"full_refresh": True}, (days(0, 1),), (days(1, 2),)),
        ("dbt run", {}, (), (days(0, 1), days(1, 2))),
        ("dbt run", {"begin": None}, (), (days(4, 5),)),
        ("dbt run --event-time-start 2026-01-05", {}, (), (days(4, 5),)),
        ("dbt run --sample '2 days'", {}, (days(3, 4),), (days(4, 5),)),
    ],
)
def test_a_model_whose_table_may_not_exist_or_is_rebuilt_runs_whole(
    command: str, config: dict[str, Any], done: tuple[Window, ...], failed: tuple[Window, ...]
) -> None:
    body = micro("daily", **config)
    made = after(command, partial(body, done, failed), manifest=ours(manifest_of((body,))))
    assert made.commands == (f"{command} --select fqn:shop.daily",)


def test_a_table_that_existed_before_is_filled_even_where_no_batch_succeeded() -> None:
    made = after("dbt run", partial(DAILY, (), (days(7, 8), days(8, 9))))
    assert made.commands == (
        "dbt run --event-time-start 2026-01-08T00:00:00 --event-time-end 2026-01-10T00:00:00 --select fqn:shop.daily",
    )


def test_a_window_of_the_command_is_replaced_by_that_of_the_batch() -> None:
    line = "dbt run --event-time-start 2026-01-02 --event-time-end 2026-01-05"
    made = after(line, partial(DAILY, (days(1, 3),), (days(3, 4),)))
    assert made.commands == (
        "dbt run --event-time-start 2026-01-04T00:00:00 --event-time-end 2026-01-05T00:00:00 --select fqn:shop.daily",
    )


def test_many_windows_are_joined_over_what_lies_between() -> None:
    odd = tuple(days(number, number + 1) for number in range(1, 40, 2))
    even = tuple(days(number, number + 1) for number in range(0, 40, 2))
    made = after("dbt run", partial(DAILY, even, odd))
    assert len(made.commands) == 8
    assert "2026-01-02T" in made.commands[0]
    assert "2026-02-10T" in made.commands[-1]


LOG = """12:00:00  1 of 2 START sql microbatch model main.daily ............ [RUN]
12:00:00  Batch 1 of 3 OK created batch 2026-01-01 of main.daily ........ [OK in 0.2s]
12:00:01  Batch 2 of 3 START batch 2026-01-02 of main.daily ............. [RUN]
"""


def test_a_step_that_was_cut_off_between_batches_fills_the_rest_first() -> None:
    command = "dbt run -s daily child"
    run = attempt((command,), step(4, command, CANCELLED, log=LOG), ending=Ending.TIMED_OUT)
    made = plan(run)
    assert made.commands == (
        "dbt run --event-time-start 2026-01-02T00:00:00 --event-time-end 2026-01-04T00:00:00 --select fqn:shop.daily",
        command,
    )
    assert made.steps[0].action is StepAction.WHOLE


def test_a_model_that_the_results_do_not_list_is_filled_by_the_log() -> None:
    command = "dbt run -s events daily child"
    run = attempt((command,), step(4, command, CANCELLED, row(SOURCE), log=LOG), ending=Ending.TIMED_OUT)
    assert plan(run).commands == (
        "dbt run --event-time-start 2026-01-02T00:00:00 --event-time-end 2026-01-04T00:00:00 --select fqn:shop.daily",
        "dbt run --select fqn:shop.child",
    )


def test_the_batches_that_another_attempt_has_filled_are_not_run_again() -> None:
    first = attempt(("dbt run",), step(4, "dbt run", FAILED, partial(DAILY, (days(0, 1),), (days(1, 2), days(3, 4)))))
    later = attempt(("dbt run",), step(4, "dbt run", OK, partial(DAILY, (days(1, 2),), ())))
    later = replace(later, number=2)
    done = replace(later.steps[-1].results.nodes[0], status="success")  # type: ignore[union-attr]
    results = replace(later.steps[-1].results, nodes=(done,))  # type: ignore[type-var]
    later = replace(later, steps=(replace(later.steps[-1], results=results),))
    (line,) = plan(first, later=(later,)).commands
    assert "--event-time-start 2026-01-04T00:00:00" in line
    failed_again = step(4, "dbt run", FAILED, partial(DAILY, (), (days(3, 4),)))
    assert plan(first, later=(later, attempt(("dbt run",), failed_again))).commands == (line,)


def test_an_engine_that_does_not_report_batches_is_not_guessed_at() -> None:
    failed = attempt(("dbt run",), step(4, "dbt run", FAILED, row(DAILY, "error", RESET)), dbt_version="2.0.0")
    made = plan(failed)
    assert (made.commands, made.is_partial) == ((), True)
    assert "retry-on: any" in (made.stop_reason or "")
    last = replace(failed.steps[-1], finished_at=BEGIN + timedelta(days=3, hours=5))
    lines = plan(replace(failed, steps=(last,)), retry_on="any").commands
    assert any("--event-time-start 2026-01-01T00:00:00 --event-time-end 2026-01-05T00:00:00" in line for line in lines)
    asked = "dbt run -f -s daily"
    refreshed = attempt((asked,), step(4, asked, FAILED, row(DAILY, "error", RESET)), dbt_version="2.0.0")
    assert plan(refreshed).commands == ("dbt run -f --select fqn:shop.daily",)


def test_each_model_whose_batches_are_not_known_is_named_and_none_has_a_window() -> None:
    failed = step(4, "dbt run", FAILED, row(DAILY, "error", RESET), row(WEEKLY, "error", RESET))
    rows = {uid(body): row(body, "error", RESET) for body in (DAILY, WEEKLY)}
    for takes_all in (False, True):  # the time of the step is not known, so neither is the end of all batches
        found = fills_of(
            Selector(MANIFEST),
            parse_command("dbt run"),
            failed,
            rows,
            list(rows),
            filled={},
            version=(2, 0),
            takes_all=takes_all,
        )
        assert found == Fills(unknown=frozenset(rows))
    made = plan(attempt(("dbt run",), failed, dbt_version="2.0.0"))
    assert "which batches of model.shop.daily and 1 more failed is not known" in made.steps[0].reason


def test_models_with_failed_batches_and_models_that_ran_none_come_in_the_order_of_their_windows() -> None:
    twin = micro("twin")
    one = step(4, "dbt run", FAILED, partial(DAILY, (days(0, 1),), (days(1, 2),)), row(twin, "skipped"))
    one = replace(one, started_at=BEGIN + timedelta(days=9), finished_at=BEGIN + timedelta(days=9))
    made = plan(attempt(("dbt run",), one), manifest=ours(manifest_of((SOURCE, DAILY, twin))))
    times = "dbt run --event-time-start 2026-01-{}T00:00:00 --event-time-end 2026-01-{}T00:00:00 --select fqn:shop.{}"
    assert made.commands == (
        times.format("02", "03", "daily"),
        "dbt run --select fqn:shop.twin",
        times.format("09", "11", "twin"),
    )


@pytest.mark.parametrize("of_models", [{"windows": {uid(DAILY): (days(1, 2),)}}, {"due": {uid(DAILY): days(1, 2)}}, {}])
def test_what_depends_on_a_window_is_divided_where_one_command_would_be_too_long(
    of_models: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    children = [node("model", "shop", [], f"child_{number}", parents=[uid(DAILY)]) for number in range(9)]
    command = parse_command("dbt run -s state:modified")
    assert command is not None
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", 120)
    made = commands.rewrite(
        Selector(ours(manifest_of((DAILY, *children)))),
        command,
        frozenset(uid(body) for body in (DAILY, *children)),
        may_divide=False,
        **of_models,
    )
    assert made.is_divided is bool(of_models)
    assert all(len(line) <= 120 for line in made.commands)
    runs = " ".join(made.commands)
    assert all(f"fqn:shop.child_{number}" in runs for number in range(9)) is bool(of_models)


def test_a_step_is_left_out_where_its_failed_batches_cannot_be_run_before_its_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = "dbt run -s state:modified+"
    rows = (row(SOURCE), partial(DAILY, (days(0, 1),), (days(1, 2),)))
    run = attempt((command,), step(4, command, CANCELLED, *rows), ending=Ending.TIMED_OUT)
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", 100)
    made = plan(run)
    assert (made.commands, made.steps[0].action) == ((), StepAction.DROP)
    assert made.steps[0].reason == (
        "the manifest does not show what it had still to run; its failed batches cannot be run by themselves "
        "(the names of its nodes would be longer than 100 characters)"
    )


def test_what_later_steps_built_on_a_model_that_lacked_batches_is_built_again() -> None:
    """dbt 1.9.0 ends well with a partial success that nothing else in the command waits for."""
    appends = node("model", "shop", [], "appends", parents=[DAILY["unique_id"]], materialized="incremental")
    manifest = ours(manifest_of((SOURCE, DAILY, WEEKLY, CHILD, OTHER, TEST, appends)))
    lines = ("dbt run -s daily", "dbt run -s child other", "dbt test", "dbt docs generate", "dbt run -s weekly")
    week = replace(row(WEEKLY), batches_done=(days(0, 2), days(2, 4)))
    steps = [
        step(4, lines[0], OK, partial(DAILY, (days(0, 1), days(2, 4)), (days(1, 2),))),
        step(5, lines[1], OK, row(CHILD), row(OTHER)),
        step(6, lines[2], OK, row(TEST, "pass")),
        step(7, lines[3], OK, row(CHILD)),
        step(8, lines[4], OK, week),
        step(9, "dbt run -s events", FAILED, row(SOURCE, "error", RESET)),
    ]
    asked = (*lines, "dbt run -s events")
    made = plan(attempt(asked, *steps), manifest=manifest)
    assert made.commands == (
        "dbt run --event-time-start 2026-01-02T00:00:00 --event-time-end 2026-01-03T00:00:00 --select fqn:shop.daily",
        "dbt run --select fqn:shop.child",
        "dbt test --select fqn:shop.not_null_daily_id --indirect-selection empty",
        "dbt run --event-time-start 2026-01-01T00:00:00 --event-time-end 2026-01-05T00:00:00 --select fqn:shop.weekly",
        "dbt run --select fqn:shop.events",
    )
    assert not made.is_partial

    steps[1] = step(5, lines[1], OK, row(appends))
    made = plan(attempt(asked, *steps), manifest=manifest)
    assert (len(made.commands), made.is_partial) == (1, True)
    assert "only with `retry-on: any`" in made.steps[1].reason
    assert (
        "dbt run --select fqn:shop.appends" in plan(attempt(asked, *steps), manifest=manifest, retry_on="any").commands
    )


def test_what_has_been_filled_since_is_no_reason_to_build_on_it_again() -> None:
    lines = ("dbt run -s daily", "dbt run -s daily child", "dbt run -s events")
    filled = replace(row(DAILY), batches_done=(days(1, 2),))
    steps = [
        step(4, lines[0], OK, partial(DAILY, (days(0, 1),), (days(1, 2),))),
        step(5, lines[1], OK, filled, row(CHILD)),
        step(6, lines[2], FAILED, row(SOURCE, "error", RESET)),
    ]
    assert plan(attempt(lines, *steps)).commands == ("dbt run --select fqn:shop.events",)


def test_what_was_built_again_since_on_a_model_that_still_lacks_batches_is_built_once_more() -> None:
    lines = ("dbt run -s daily", "dbt run -s child")
    lacking = step(4, lines[0], OK, partial(DAILY, (days(0, 1),), (days(1, 2), days(3, 4))))
    first = attempt(lines, lacking, step(5, lines[1], OK, row(CHILD)), step(6, "dbt run -s events", FAILED))
    since = replace(attempt((lines[1],), step(4, lines[1], OK, row(CHILD))), number=2)
    made = plan(first, later=(since,), take_all=True)
    assert [one.action for one in made.steps] == [StepAction.NODES, StepAction.NODES]


@pytest.mark.parametrize("status", ["success", "skipped"])
def test_what_the_same_green_step_built_on_or_skipped_for_a_partial_success_runs_again(status: str) -> None:
    lines = ("dbt run", "dbt test")
    lacking = partial(DAILY, (days(0, 1),), (days(1, 2),))
    first = step(4, lines[0], OK, row(SOURCE), lacking, row(CHILD, status), row(OTHER, "skipped"))
    made = plan(attempt(lines, first, step(5, lines[1], FAILED, row(TEST, "error", RESET))))
    assert [one.unique_id for one in made.steps[0].nodes] == [uid(DAILY), uid(CHILD)]
    assert made.commands[1] == "dbt run --select fqn:shop.child"
