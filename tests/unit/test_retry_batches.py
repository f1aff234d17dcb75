"""Microbatch models whose batches are not reported, were filled elsewhere, or are filled by a plain run anyway."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.dbt_graphs import manifest_of, node, ours
from tests.support.retry_attempts import RESET, attempt, row, step, uid
from tests.support.values import replace

from dbt_cloud_run.dbt.commands import parse_command
from dbt_cloud_run.dbt.selection import Selector
from dbt_cloud_run.model import RunState
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import RetryPlan, Window
from dbt_cloud_run.retry import commands
from dbt_cloud_run.retry.plan import plan_retry

FAILED, OK = RunState.ERROR, RunState.SUCCESS
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TENTH = BEGIN + timedelta(days=9)


def micro(name: str, **config: Any) -> dict[str, Any]:
    body = node("model", "shop", [], name, materialized="incremental")
    body["config"] |= {"incremental_strategy": "microbatch", "batch_size": "day", "begin": "2026-01-01", **config}
    return body | {"relation_name": f'"db"."main"."{name}"'}


DAILY, TWIN = micro("daily"), micro("twin")
EVENTS = node("model", "shop", [], "events", materialized="table")


def days(first: int, last: int) -> Window:
    return Window(BEGIN + timedelta(days=first), BEGIN + timedelta(days=last))


def over(window: Window, name: str = "daily") -> str:
    """The command that runs a model over this window of days."""
    ends = f"--event-time-start {window.start:%Y-%m-%dT%H:%M:%S} --event-time-end {window.end:%Y-%m-%dT%H:%M:%S}"
    return f"dbt run {ends} --select fqn:shop.{name}"


def partial(done: tuple[Window, ...], failed: tuple[Window, ...]) -> NodeResult:
    return replace(row(DAILY, "partial success", "PARTIAL SUCCESS"), batches_done=done, batches_failed=failed)


def after(command: str, *rows: NodeResult, version: str = "1.11.0", nodes: Any = (DAILY, TWIN), **options: Any) -> Any:
    """The plan after a job of one step that failed on the tenth of January at two o'clock."""
    at = TENTH + timedelta(hours=2)
    refreshes = options.pop("full_refresh", None)
    one = replace(step(4, command, FAILED, *rows), started_at=at, finished_at=at)
    assert one.results is not None
    one = replace(one, results=replace(one.results, full_refresh=refreshes))
    manifest = ours(manifest_of((EVENTS, *nodes)))
    manifest.metadata.dbt_version = version
    made: RetryPlan = plan_retry(attempt((command,), one), manifest, **options)
    return made


@pytest.mark.parametrize(
    ("full_refresh", "line"), [(True, "dbt run --select fqn:shop.daily"), (None, over(days(1, 2)))]
)
def test_a_table_that_the_environment_rebuilds_is_not_filled_by_windows(full_refresh: bool | None, line: str) -> None:
    assert after("dbt run", partial((days(0, 1),), (days(1, 2),)), full_refresh=full_refresh).commands == (line,)


def test_batches_that_are_not_reported_need_not_be_known_where_the_command_says_which_run() -> None:
    command = "dbt run --event-time-start 2026-01-01 --event-time-end 2026-01-05"
    made = after(f"{command} -s daily", row(DAILY, "error", RESET), version="2.0.0")
    assert (made.commands, made.is_partial) == ((f"{command} --select fqn:shop.daily",), False)


def test_every_model_whose_batches_are_not_reported_is_run_from_its_beginning() -> None:
    rows = (row(DAILY, "error", RESET), row(TWIN, "error", RESET))
    made = after("dbt run -s daily twin", *rows, version="2.0.0", take_all=True)
    assert made.commands == (f"{over(days(0, 10))} fqn:shop.twin",)


@pytest.mark.parametrize(
    ("lookback", "now", "is_due"),
    [
        (1, TENTH + timedelta(hours=3), False),
        (0, TENTH + timedelta(hours=3), False),  # nor six hours later, which is the same day
        (1, TENTH + timedelta(hours=17), False),
        (1, TENTH + timedelta(hours=18), True),  # its turn may come on the next day
        (1, None, True),
    ],
)
def test_what_a_plain_run_of_the_same_day_fills_has_no_window_of_its_own(
    lookback: int, now: datetime | None, is_due: bool
) -> None:
    rows = (row(EVENTS, "error", RESET), row(DAILY, "skipped"))
    made = after("dbt run", *rows, nodes=(micro("daily", lookback=lookback),), now=now)
    if is_due:
        assert made.commands[1:] == ("dbt run --select fqn:shop.daily", over(days(9 - lookback, 10)))
    else:
        assert made.commands == ("dbt run --select fqn:shop.daily fqn:shop.events",)


def test_batches_that_an_earlier_step_has_filled_run_again_where_a_later_one_failed_on_them() -> None:
    lines = ("dbt run -s daily", "dbt run")
    first = step(4, lines[0], OK, replace(row(DAILY), batches_done=(days(0, 3),)))
    second = step(5, lines[1], FAILED, partial((days(0, 1),), (days(1, 2),)))
    made = plan_retry(attempt(lines, first, second), ours(manifest_of((DAILY,))))
    assert made.commands == (over(days(1, 2)),)


def test_that_the_nodes_before_a_window_are_divided_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [node("model", "shop", [], f"before_{number}") for number in range(9)]
    others = [node("model", "shop", [], f"another_model_{number}") for number in range(9)]
    command = parse_command("dbt run")
    assert command is not None
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", 120)
    made = commands.rewrite(
        Selector(ours(manifest_of((DAILY, *before, *others)))),
        command,
        frozenset(uid(body) for body in (DAILY, *before)),
        may_divide=False,
        windows={uid(DAILY): (days(1, 2),)},
    )
    assert made.commands[-1] == over(days(1, 2))
    assert len(made.commands) > 2
    assert made.is_divided
