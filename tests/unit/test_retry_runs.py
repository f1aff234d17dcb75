"""The planner on whole runs: setup, endings, what the platform adds, and which listed step is which command."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.dbt_graphs import manifest_of, node, ours
from tests.support.retry_attempts import (
    ALL,
    NO_COLUMN,
    ORDERS,
    OTHER,
    RAW,
    REPORT,
    RESET,
    STAGING,
    attempt,
    project,
    results,
    row,
    step,
    uid,
)
from tests.support.values import replace

from dbt_cloud_run.dbt.artifacts import Manifest
from dbt_cloud_run.dbt.selection import Selector
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Attempt, FreshnessResult, RunState
from dbt_cloud_run.planned import RetryPlan
from dbt_cloud_run.retry.plan import commands_from_failure, plan_retry

OK, FAILED, CANCELLED, SKIPPED = RunState.SUCCESS, RunState.ERROR, RunState.CANCELLED, RunState.SKIPPED


def plan(run: Attempt, **options: object) -> RetryPlan:
    return plan_retry(run, project(), **options)  # type: ignore[arg-type]


def actions(made: RetryPlan) -> list[str]:
    return [planned.action.value for planned in made.steps]


def names(nodes: tuple[object, ...]) -> set[str]:
    return {node.unique_id for node in nodes}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["Clone git repository", "Create profile from connection"])
def test_a_failed_setup_repeats_the_trigger(name: str) -> None:
    run = attempt(("dbt build", "dbt test"), step(1, None, FAILED, name=name, log="fatal: early EOF"), bare=True)
    made = plan(run)
    assert (made.commands, made.is_whole, made.is_partial) == (("dbt build", "dbt test"), True, False)


@pytest.mark.parametrize(
    "log",
    [
        "fatal: reference is not a tree: 5f2b1c",
        "fatal: Remote branch typo not found in upstream origin",
        "git@github.com: Permission denied (publickey).\nfatal: Could not read from remote repository.",
        "fatal: Authentication failed for 'https://github.com/shop/dbt.git/'",
    ],
)
def test_a_setup_that_cannot_pass_is_not_repeated(log: str) -> None:
    run = attempt(("dbt build", "dbt test"), step(1, None, FAILED, name="Clone git repository", log=log), bare=True)
    made = plan(run)
    assert (made.commands, made.is_partial) == ((), True)
    assert "Clone git repository" in (made.stop_reason or "")
    assert plan(run, retry_on="any").is_whole


def test_failed_deps_are_planned_too() -> None:
    lost = attempt(("dbt build",), step(1, None), step(2, "dbt deps", FAILED, log=RESET), bare=True)
    assert plan(lost).is_whole


def test_a_failed_lint_is_not_retried() -> None:
    run = attempt(("dbt build",), step(4, None, FAILED, name="Lint with SQLFluff"))
    made = plan(run)
    assert (made.commands, made.is_partial) == ((), True)
    assert plan(run, retry_on="any").is_whole


def test_what_is_only_named_like_a_linter_is_none() -> None:
    asked = ("dbt build --select lint",)
    connection = step(2, None, FAILED, name="Create profile from connection Flint lint")
    assert plan(attempt(asked, step(1, None), connection, bare=True)).is_whole
    unknown = step(4, "dbt --new-flag build --select lint", FAILED)
    assert plan(attempt(asked, unknown)).is_whole


@pytest.mark.parametrize("ending", [Ending.CANCELLED, Ending.SUPERSEDED, Ending.SUCCESS, Ending.QUEUED])
def test_runs_that_are_not_retried(ending: Ending) -> None:
    made = plan(attempt(("dbt build",), step(4, "dbt build", CANCELLED), ending=ending))
    assert (made.commands, made.steps) == ((), ())
    assert made.stop_reason


def test_what_this_program_cancelled_counts_as_failed() -> None:
    run = attempt(("dbt build",), step(4, "dbt build", CANCELLED), ending=Ending.CANCELLED)
    assert plan(run, cancelled_here=True).commands == ("dbt build",)


def test_a_step_that_was_cut_off_does_the_rest() -> None:
    command = "dbt run -s tag:daily"
    run = attempt((command, "dbt test"), step(4, command, CANCELLED, row(OTHER)), ending=Ending.TIMED_OUT)
    made = plan(run)
    assert names(made.steps[0].nodes) == {uid(ORDERS), uid(REPORT)}
    assert made.commands == ("dbt run --select fqn:shop.marts.orders fqn:shop.marts.report", "dbt test")
    unknowable = "dbt run -s state:modified"
    made = plan(attempt((unknowable,), step(4, unknowable, CANCELLED, row(OTHER)), ending=Ending.TIMED_OUT))
    assert made.commands == ("dbt run --select state:modified --exclude fqn:shop.marts.other",)
    done = plan(
        attempt(
            (command, "dbt test"),
            step(4, command, CANCELLED, row(OTHER), row(ORDERS), row(REPORT)),
            ending=Ending.TIMED_OUT,
        )
    )
    assert done.commands == ("dbt test",)


def test_steps_that_the_platform_adds_are_not_ours() -> None:
    made = plan(
        attempt(
            ("dbt build", "dbt docs generate"),
            step(4, "dbt source freshness", FAILED),
            step(5, "dbt build", OK, row(ORDERS)),
            step(6, "dbt docs generate", OK),
            step(7, "dbt docs generate", FAILED),
            checks_freshness=True,
            generates_docs=True,
        )
    )
    assert actions(made) == ["skip", "skip"]
    assert made.commands == ()
    assert "adds by itself" in (made.stop_reason or "")


@pytest.mark.parametrize("command", ["dbt docs generate", "dbt source freshness", "dbt source freshness -s source:ext"])
def test_steps_of_the_user_are_rerun_even_if_the_platform_adds_the_like(command: str) -> None:
    added = step(4, "dbt source freshness", OK)
    asked = (command, "dbt build")
    run = attempt(asked, added, step(5, command, FAILED), checks_freshness=True, generates_docs=True)
    assert plan(run).commands == asked


def test_freshness_that_a_later_step_reads_is_rerun_with_it() -> None:
    asked = ("dbt source freshness", "dbt seed", "dbt build -s source_status:fresher+ --state prod")
    run = attempt(
        asked, step(4, asked[0], OK), step(5, "dbt seed", FAILED, row(RAW, "error", RESET)), step(6, asked[2], SKIPPED)
    )
    assert plan(run).commands == (asked[0], "dbt seed --select fqn:shop.raw", asked[2])


def test_commands_of_one_kind_are_told_apart() -> None:
    asked = ("dbt run -s other", "dbt run -s orders", "dbt run -s other")
    run = attempt(
        asked,
        step(4, asked[0], OK, row(OTHER)),
        step(5, asked[1], FAILED, row(ORDERS, "error", RESET)),
        step(6, asked[2], SKIPPED),
    )
    assert plan(run).commands == ("dbt run --select fqn:shop.marts.orders", "dbt run -s other")


@pytest.mark.parametrize("name", ["dbt build --select 'ord", "dbt --new-flag build", None])
def test_a_failed_step_that_is_not_recognised_has_not_succeeded(name: str | None) -> None:
    asked = ("dbt build --select 'orders other'", "dbt test", "dbt run -s other")
    failed = step(4, name, FAILED, name="Invoke dbt with a cut name")
    listed = plan(attempt(asked, failed, step(5, "dbt test", SKIPPED), step(6, asked[2], CANCELLED)))
    assert listed.commands == asked
    assert plan(attempt(asked, failed)).commands == asked


def test_a_command_that_is_not_listed_before_one_that_ran_has_succeeded() -> None:
    asked = ("dbt run-operation grant", "dbt run -s orders")
    run = attempt(asked, step(4, asked[1], FAILED, row(ORDERS, "error", RESET)))
    assert plan(run).commands == ("dbt run --select fqn:shop.marts.orders",)
    assert [planned.index for planned in plan(run).steps] == [None, 4]


def test_dbt_clouds_own_retry_is_planned_on() -> None:
    run = attempt(
        ("dbt build", "dbt test"), step(4, "dbt retry", FAILED, row(ORDERS, "error", RESET)), retried_natively=True
    )
    assert plan(run).commands[1:] == ("dbt test",)
    assert plan(run).commands[0].startswith("dbt build --select fqn:shop.marts.orders")


def test_dbt_clouds_own_retry_begins_at_the_step_that_failed() -> None:
    asked = ("dbt seed", "dbt run", "dbt test")
    run = attempt(asked, step(4, "dbt seed"), step(5, "dbt run", FAILED), step(6, "dbt test", SKIPPED))
    assert commands_from_failure(run) == ("dbt run", "dbt test")
    unlisted = attempt(asked, step(4, "dbt seed"), step(5, "dbt run", FAILED))
    assert commands_from_failure(unlisted) == ("dbt run", "dbt test")
    assert commands_from_failure(attempt(("dbt run",), step(4, "dbt run"))) == ()


@pytest.mark.parametrize("command", ["dbt sqlfluff lint models", "dbt lint"])
def test_a_lint_step_of_the_job_is_not_retried(command: str) -> None:
    asked = (command, "dbt build")
    run = attempt(asked, step(4, command, FAILED, log="L: 1 | P: 1 | LT01"), step(5, "dbt build", SKIPPED))
    made = plan(run)
    assert (made.commands, made.is_partial) == ((), True)
    assert plan(run, retry_on="any").commands == asked
    assert plan(attempt(asked, step(4, command, OK), step(5, "dbt build", FAILED))).commands == ("dbt build",)
    cut_off = attempt(asked, step(4, command, CANCELLED, log="linting"), ending=Ending.TIMED_OUT)
    assert plan(cut_off).commands == asked


STALE = FreshnessResult(unique_id="source.shop.ext.t", status="error")
FRESH = FreshnessResult(unique_id="source.shop.ext.u", status="pass")


@pytest.mark.parametrize(
    ("found", "is_retried"),
    [
        ((STALE, FRESH), False),
        ((STALE, replace(FRESH, status="runtime error", message=RESET)), True),
        ((FRESH, replace(STALE, status="runtime error", message="Catalog Error: Table does not exist!")), False),
        ((FRESH,), True),
    ],
)
def test_data_that_is_too_old_does_not_get_younger(found: tuple[FreshnessResult, ...], is_retried: bool) -> None:
    asked = ("dbt source freshness", "dbt build")
    failed = replace(step(4, asked[0], FAILED), freshness=found)
    run = attempt(asked, failed, step(5, "dbt build", SKIPPED))
    made = plan(run)
    assert made.commands == (asked if is_retried else ())
    assert made.is_partial is not is_retried
    assert plan(run, retry_on="any").commands == asked


def test_freshness_without_results_is_judged_by_its_log() -> None:
    stale = "12:00:01  1 of 1 ERROR STALE freshness of ext.t ......... [ERROR STALE in 0.1s]\n12:00:01  Done.\n"
    lost = "12:00:01  1 of 1 ERROR freshness of ext.t ........... [ERROR in 0.1s]\n12:00:01  Done.\n"
    for log, commands in ((stale, ()), (lost, ("dbt source freshness",)), ("", ("dbt source freshness",))):
        assert plan(attempt(("dbt source freshness",), step(4, "dbt source freshness", FAILED, log=log))).commands == (
            commands
        )


@pytest.mark.parametrize(
    ("status", "run_since", "still_to_run"),
    [
        ("error", (), {uid(OTHER), uid(ORDERS), uid(REPORT)}),
        ("error", (ORDERS,), {uid(OTHER), uid(REPORT)}),
        ("error", (ORDERS, REPORT), {uid(OTHER)}),
        ("success", (ORDERS, REPORT), set()),
    ],
)
def test_what_a_partial_retry_has_run_since_is_not_run_again_after_a_step_that_was_cut_off(
    status: str, run_since: tuple[dict[str, Any], ...], still_to_run: set[str]
) -> None:
    command = "dbt run -s tag:daily"
    first = attempt((command,), step(4, command, CANCELLED, row(OTHER, status)), ending=Ending.TIMED_OUT)
    second = attempt((command,), step(4, command, OK, *map(row, run_since)), ending=Ending.SUCCESS)
    made = plan(first, take_all=True, later=(replace(second, number=2),))
    assert names(made.steps[0].nodes) == still_to_run
    assert actions(made) == ["re-run these nodes" if still_to_run else "skip"]


def test_a_plan_that_sends_commands_has_no_reason_to_stop() -> None:
    made = plan(attempt(("dbt build",), step(4, "dbt build", FAILED, row(ORDERS, "error", RESET))))
    assert made.commands
    assert made.stop_reason is None


def test_nothing_runs_after_a_step_that_keeps_a_failure() -> None:
    """Neither what failed there, nor the parts of a step that is divided, nor what never started."""
    asked = ("dbt run -s staging", "dbt run", "dbt run -s hourly", "dbt compile", "dbt build", "dbt test")
    at = datetime(2026, 1, 10, 11, 30, tzinfo=UTC)
    steps = [
        step(4, asked[0], FAILED, row(STAGING, "error", NO_COLUMN)),
        step(5, asked[1], FAILED, row(OTHER), row(ORDERS, "error", RESET)),
        step(6, asked[2], SKIPPED),
        step(7, asked[3], OK),
    ]
    hourly = node("model", "shop", [], "hourly", materialized="incremental")
    hourly["config"] |= {"incremental_strategy": "microbatch", "batch_size": "hour", "begin": "2026-01-01"}
    run = attempt(asked, *steps, started_at=at, finished_at=at)
    manifest = ours(manifest_of((*ALL, hourly)))
    made = plan_retry(replace(run, steps=run.steps[:3] + tuple(steps[1:])), manifest)
    assert len(made.steps[2].more_commands) == 3, "without the failure, it is divided"
    assert made.steps[1].saved
    assert made.steps[4].is_open

    made = plan_retry(run, manifest)
    assert actions(made) == ["left out", "left out", "left out", "skip", "left out", "left out"]
    assert (made.commands, made.again, made.is_open, made.is_partial) == ((), frozenset(), False, True)
    for dropped in (*made.steps[1:3], *made.steps[4:]):
        assert dropped.reason == f"`{asked[0]}` before it keeps a failure that is not retried"
        assert (dropped.new_command, dropped.more_commands, dropped.is_open) == (None, (), False)
        assert (dropped.nodes, dropped.saved) == ((), ())
    assert names(made.steps[1].left_out) == {uid(ORDERS)}


def test_freshness_that_is_read_again_is_a_step_that_runs_whole() -> None:
    asked = ("dbt source freshness", "dbt build -s source_status:fresher+")
    first = replace(step(4, asked[0]), results=replace(results("x", row(RAW)), which=None))
    assert plan(attempt(asked[:1], first, ending=Ending.ERROR)).steps[0].saved
    made = plan(attempt(asked, first, step(5, asked[1], FAILED)))
    assert made.commands == asked
    read = made.steps[0]
    assert (read.action.value, read.reason, read.saved) == ("re-run whole", "a later step needs its results", ())
    assert made.is_whole


def test_a_project_is_indexed_once_however_many_steps_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    indexed: list[Manifest] = []

    class Counted(Selector):
        def __init__(self, manifest: Manifest) -> None:
            indexed.append(manifest)
            super().__init__(manifest)

    monkeypatch.setattr("dbt_cloud_run.retry.plan.Selector", Counted)
    asked = ("dbt seed", "dbt run", "dbt test")
    run = attempt(asked, step(4, "dbt seed"), step(5, "dbt run", FAILED, row(ORDERS, "error", RESET)))
    newest, own = project(), project()
    assert plan_retry(run, newest, manifests={4: own}).commands[0] == "dbt run --select fqn:shop.marts.orders"
    assert [id(one) for one in indexed] == [id(own), id(newest)]
