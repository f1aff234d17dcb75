"""Results that do not list all that the step had to run: a retry of the listed nodes alone would be green too early."""

from __future__ import annotations

import pytest
from tests.support.retry_attempts import (
    DASHBOARD,
    EPHEMERAL,
    NOT_NULL,
    ORDERS,
    OTHER,
    REPORT,
    RESET,
    STG,
    UNIT,
    attempt,
    project,
    row,
    step,
    uid,
)
from tests.support.values import replace

from dbt_cloud_run.dbt.artifacts import Manifest
from dbt_cloud_run.dbt.selection import Selector, model_of
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Attempt, RunState
from dbt_cloud_run.planned import PlannedStep, StepAction
from dbt_cloud_run.retry.plan import plan_retry
from dbt_cloud_run.retry.unreported import is_listed_in_full

FAILED, CANCELLED = RunState.ERROR, RunState.CANCELLED
DAILY = "dbt run -s tag:daily"


def of_version(version: str | None) -> Manifest:
    manifest = project()
    manifest.metadata.dbt_version = version
    return manifest


def planned(run: Attempt, version: str | None = "1.11.0") -> PlannedStep:
    return plan_retry(run, of_version(version)).steps[0]


def names(found: PlannedStep) -> set[str]:
    return {node.unique_id for node in found.nodes}


@pytest.mark.parametrize(
    ("version", "command", "is_partial"),
    [
        ("2.0.0-preview.76", DAILY, True),
        ("1.5.9", f"{DAILY} --fail-fast", True),
        ("1.5.9", DAILY, False),
        ("1.6.0", f"{DAILY} --fail-fast", False),
        ("1.11.0", f"{DAILY} --fail-fast", False),
        (None, f"{DAILY} --fail-fast", False),
        ("2025.10.10+79ec687", f"{DAILY} --fail-fast", False),  # a release track, which runs dbt Core
    ],
)
def test_what_a_version_leaves_out_of_its_results_is_retried(version: str, command: str, is_partial: bool) -> None:
    run = attempt((command,), step(4, command, FAILED, row(OTHER), row(ORDERS, "error", RESET)))
    found = planned(run, version)
    assert names(found) == {uid(ORDERS)} | ({uid(REPORT)} if is_partial else set())
    reasons = [node.reason for node in found.nodes if node.status == "not started"]
    assert reasons == (["the results do not contain it"] if is_partial else [])


def test_what_a_deterministic_failure_blocks_is_left_out_though_it_is_not_listed() -> None:
    run = attempt(
        (DAILY,), step(4, DAILY, FAILED, row(ORDERS, "error", "Binder Error: no"), row(OTHER, "error", RESET))
    )
    found = planned(run, "2.0.0")
    assert names(found) == {uid(OTHER)}
    assert {node.unique_id for node in found.left_out} == {uid(ORDERS), uid(REPORT)}


def test_where_the_manifest_does_not_tell_the_results_are_taken_as_they_are() -> None:
    command = "dbt run -s state:modified"
    run = attempt((command,), step(4, command, FAILED, row(OTHER), row(ORDERS, "error", RESET)))
    assert names(planned(run, "2.0.0")) == {uid(ORDERS)}


def test_exposures_are_not_missed() -> None:
    command = "dbt build -s report dash"
    run = attempt((command,), step(4, command, FAILED, row(REPORT, "error", RESET)))
    assert uid(DASHBOARD) not in names(planned(run, "2.0.0"))


def cut_off(command: str, *done: str, **in_force: object) -> PlannedStep:
    stopped = step(4, command, CANCELLED, *(row(one) for one in done))
    assert stopped.results is not None
    stopped = replace(stopped, results=replace(stopped.results, **in_force))  # type: ignore[arg-type]
    return planned(attempt((command,), stopped, ending=Ending.TIMED_OUT))


def test_what_the_environment_set_counts_in_a_step_that_was_cut_off() -> None:
    rest = {uid(STG), uid(UNIT)}
    found = cut_off("dbt build -s orders stg", uid(ORDERS))
    assert rest < names(found)
    found = cut_off(
        "dbt build -s shop.marts.orders stg",
        uid(ORDERS),
        indirect_selection="empty",
        exclude_resource_types=("unit_test",),
    )
    assert names(found) == {uid(STG)}
    assert [node.reason for node in found.nodes] == ["the step was cut off before its turn"]
    found = cut_off("dbt build --indirect-selection eager -s orders", uid(ORDERS), indirect_selection="empty")
    assert uid(NOT_NULL) in names(found)
    found = cut_off("dbt build -s shop.marts.orders stg", uid(ORDERS), resource_types=("model",))
    assert names(found) == {uid(STG)}


@pytest.mark.parametrize("listed", [uid(EPHEMERAL), uid(NOT_NULL), uid(DASHBOARD)])
def test_what_is_listed_and_never_run_does_not_contradict_a_selection(listed: str) -> None:
    """A command lists at times what it only compiles, or takes for done."""
    assert names(cut_off("dbt run -s shop.marts.orders stg", uid(ORDERS), listed)) == {uid(STG)}


@pytest.mark.parametrize("command", ["dbt run -s stg", "dbt run -s nothing"])
def test_a_selection_that_results_contradict_is_not_believed(command: str) -> None:
    found = cut_off(command, uid(ORDERS))
    assert found.new_command == f"{command.replace('-s', '--select')} --exclude fqn:shop.marts.orders"


@pytest.mark.parametrize("term", ["package:this", "path:models"])
def test_a_manifest_that_does_not_name_its_project_does_not_tell(term: str) -> None:
    manifest = of_version("1.11.0")
    manifest.metadata.project_name = None
    command = f"dbt run -s {term}"
    run = attempt((command,), step(4, command, CANCELLED, row(ORDERS)), ending=Ending.TIMED_OUT)
    assert plan_retry(run, manifest).commands == (f"dbt run --select {term} --exclude fqn:shop.marts.orders",)


def test_an_end_hook_that_the_results_do_not_list_is_seen_in_the_log() -> None:
    log = "Database error while running on-run-end\nCompleted with 1 error\n  on-run-end failed, error:\n  reset\n"
    found = planned(attempt(("dbt run",), step(4, "dbt run", FAILED, row(ORDERS), log=log)), "1.7.4")
    assert found.action is StepAction.DROP
    assert "on-run-end" in found.reason


def test_a_unit_test_is_about_the_first_node_it_depends_on() -> None:
    manifest = of_version("2.0.0")
    manifest.unit_tests[uid(UNIT)].depends_on.nodes = [uid(ORDERS), uid(STG), uid(OTHER), uid(REPORT)]
    assert model_of(Selector(manifest), uid(UNIT)) == uid(ORDERS)


@pytest.mark.parametrize(
    ("state", "log", "lost_rows", "version", "is_full"),
    [
        (FAILED, "", 0, (1, 11), True),
        (RunState.SUCCESS, "", 0, (1, 11), True),
        (CANCELLED, "", 0, (1, 11), False),
        (FAILED, "Exited because of keyboard interrupt", 0, (1, 11), False),
        (FAILED, "", 1, (1, 11), False),
        (FAILED, "", 0, None, False),
        (FAILED, "", 0, (1, 5), False),
        (FAILED, "", 0, (1, 6), True),
        (FAILED, "", 0, (2, 0), False),
    ],
)
def test_a_step_that_came_to_its_end_lists_all_nodes_in_some_versions(
    state: RunState, log: str, lost_rows: int, version: tuple[int, int] | None, is_full: bool
) -> None:
    made = step(4, DAILY, state, row(OTHER), log=log)
    assert made.results is not None
    made = replace(made, results=replace(made.results, lost_rows=lost_rows))
    assert is_listed_in_full(made, version) is is_full
    assert not is_listed_in_full(replace(made, results=None), version)
    assert not is_listed_in_full(None, version)


def test_a_step_of_the_new_engine_that_failed_without_a_failed_node_runs_whole() -> None:
    found = planned(attempt((DAILY,), step(4, DAILY, FAILED, row(OTHER))), "2.0.0")
    assert (found.action, found.new_command) == (StepAction.WHOLE, DAILY)


def test_a_command_whose_nodes_are_not_run_one_by_one_misses_none() -> None:
    command = "dbt compile -s orders report"
    found = planned(attempt((command,), step(4, command, FAILED, row(ORDERS, "error", RESET))), "2.0.0")
    assert (found.action, found.new_command) == (StepAction.WHOLE, command)
    assert found.reason == "the nodes of `dbt compile` are not run one by one"
