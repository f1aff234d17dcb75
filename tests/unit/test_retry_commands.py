"""A step's command over the nodes that are retried: long ones, and those of an old dbt."""

from __future__ import annotations

import pytest
from tests.support.dbt_graphs import generic_test, manifest_of, node, ours
from tests.support.retry_attempts import (
    ALL,
    DIM1,
    DIM2,
    EPHEMERAL,
    LIB_ORDERS,
    NO_COLUMN,
    NOT_NULL,
    ORDERS,
    OTHER,
    REPORT,
    RESET,
    SINGULAR,
    STG,
    UNIT,
    attempt,
    project,
    row,
    step,
    uid,
)

from dbt_cloud_run.dbt.commands import parse_command
from dbt_cloud_run.dbt.selection import Selector, executed
from dbt_cloud_run.model import RunState
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import PlannedNode, PlannedStep, RetryPlan, StepAction
from dbt_cloud_run.retry import commands
from dbt_cloud_run.retry.plan import plan_retry


def one(command: str, *rows: NodeResult, version: str | None = None) -> tuple[RetryPlan, PlannedStep]:
    """The plan after a job of one failed step."""
    manifest = project()
    manifest.metadata.dbt_version = version
    made = plan_retry(attempt((command,), step(4, command, RunState.ERROR, *rows)), manifest)
    return made, made.steps[0]


def names(nodes: tuple[PlannedNode, ...]) -> set[str]:
    return {node.unique_id for node in nodes}


def selected(line: str) -> frozenset[str]:
    """What a command executes, by the manifest."""
    command = parse_command(line)
    assert command is not None
    selector = Selector(project())
    return executed(selector, selector.select(command.selection), command)


def test_a_command_stays_within_the_length_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    executed = [body for body in ALL if body["resource_type"] == "model" and body is not EPHEMERAL]
    rows = [row(body, "error", RESET) for body in executed if body is not OTHER] + [row(OTHER)]
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", 60)
    made, planned = one("dbt run", *rows)
    assert made.commands == ("dbt run --exclude fqn:shop.marts.other",)
    # Exactly the nodes that failed run, as if they had been named.
    assert (planned.reason, planned.is_open) == (f"{len(rows) - 1} of its {len(rows)} nodes did not succeed", False)
    for command in ("dbt run -s state:modified", "dbt run -s result:error", "dbt run --selector nightly"):
        assert one(command, *rows)[0].commands == (command,)
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", 20)
    made, planned = one("dbt run", *rows)
    assert (made.commands, planned.action) == (("dbt run",), StepAction.WHOLE)
    assert "longer than 20" in planned.reason


def half_failed(count: int) -> RetryPlan:
    """The plan after a run in which so many models failed, and as many succeeded."""
    failed = [node("model", "shop", [], f"failed_{number:04}") for number in range(count)]
    built = [node("model", "shop", [], f"built_{number:05}") for number in range(count)]
    rows = [row(body, "error", RESET) for body in failed] + [row(body) for body in built]
    made = attempt(("dbt run",), step(4, "dbt run", RunState.ERROR, *rows))
    return plan_retry(made, ours(manifest_of([*failed, *built])))


def test_the_length_limit_is_eight_thousand_characters() -> None:
    length = len(half_failed(2).commands[0]) - len(half_failed(1).commands[0])
    fitting = (8_000 - len(half_failed(1).commands[0])) // length + 1
    (longest,) = half_failed(fitting).commands
    assert 8_000 - length < len(longest) <= 8_000
    assert longest.count("failed_") == fitting
    beyond = half_failed(fitting + 1)
    # What is done is excluded instead, as far as that fits.
    (without_done,) = beyond.commands
    assert without_done.startswith("dbt run --exclude ")
    assert len(without_done) <= 8_000
    assert "longer than 8000" in beyond.steps[0].reason


def test_a_command_of_just_that_length_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = half_failed(3).commands
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", len(line))
    assert half_failed(3).commands == (line,)
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", len(line) - 1)
    (without_done,) = half_failed(3).commands
    assert without_done.startswith("dbt run --exclude ")
    assert len(without_done) < len(line)


def test_a_command_that_would_be_too_long_is_divided_where_part_of_it_must_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = (
        *(row(body, "error", RESET) for body in (STG, OTHER, LIB_ORDERS, DIM1, UNIT)),
        *(row(body, "skipped") for body in (ORDERS, REPORT, NOT_NULL)),
        row(SINGULAR, "fail", "Got 3 results"),
        row(DIM2),
    )
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", 150)
    made, planned = one("dbt build", *rows)
    assert len(made.commands) > 2
    assert all(len(line) <= 150 for line in made.commands)
    assert (planned.new_command, *planned.more_commands) == made.commands
    assert f"so there are {len(made.commands)}" in planned.reason
    assert names(planned.left_out) == {uid(SINGULAR)}
    runs = [selected(line) for line in made.commands]
    assert sorted(node for each in runs for node in each) == sorted(names(planned.nodes))
    order = {node: number for number, each in enumerate(runs) for node in each}
    assert order[uid(STG)] <= order[uid(UNIT)] == order[uid(ORDERS)] <= order[uid(NOT_NULL)] <= order[uid(REPORT)]
    assert made.is_partial
    assert one("dbt build", *rows[:-2], row(DIM2))[0].commands == ("dbt build --exclude fqn:shop.marts.dim.v2",)
    monkeypatch.setattr(commands, "MAX_PARTS", 2)
    made, planned = one("dbt build", *rows)
    assert (made.commands, planned.action) == (("dbt build --exclude fqn:shop.marts.dim.v2",), StepAction.NODES)
    assert not made.is_partial


@pytest.mark.parametrize(
    ("version", "mode"),
    [("1.4.9", "cautious"), ("1.3.0", "cautious"), ("1.5.0", "empty"), ("2025.10.10+79ec687", "empty")],
)
def test_an_old_dbt_is_not_asked_for_a_mode_that_it_does_not_know(version: str, mode: str) -> None:
    _, planned = one("dbt test", row(NOT_NULL, "error", RESET), row(SINGULAR, "pass"), version=version)
    assert planned.new_command == f"dbt test --select fqn:shop.marts.not_null_orders_id --indirect-selection {mode}"


def test_an_old_dbt_adds_tests_to_a_selection_so_they_are_excluded() -> None:
    rows = (row(OTHER, "error", RESET), row(ORDERS), row(NOT_NULL, "pass"), row(SINGULAR, "skipped"))
    assert one("dbt build", *rows, version="1.4.9")[1].new_command == (
        "dbt build --select fqn:shop.marts.other fqn:shop.assert_it --indirect-selection cautious"
    )
    rows = (row(ORDERS, "error", RESET), row(NOT_NULL, "fail", "Got 3 results"), row(REPORT, "error", RESET))
    _, planned = one("dbt build", *rows, version="1.4.9")
    assert planned.new_command == (
        "dbt build --select fqn:shop.marts.orders fqn:shop.marts.report "
        "--exclude resource_type:test resource_type:unit_test --indirect-selection cautious"
    )


def test_of_what_an_old_dbt_cannot_be_told_exactly_the_rest_runs() -> None:
    odd = node("model", "shop", ["marts"], "two words")
    for version, is_named in (("1.4.9", False), ("1.5.0", True)):
        manifest = ours(manifest_of((*ALL, odd)))
        manifest.metadata.dbt_version = version
        run = attempt(("dbt run",), step(4, "dbt run", RunState.ERROR, row(odd, "error", RESET), row(STG)))
        planned = plan_retry(run, manifest).steps[0]
        assert (planned.new_command == "dbt run --exclude fqn:shop.staging.stg") is not is_named
        why = "its nodes cannot be named exactly, because dbt 1.4 adds tests to what is selected, and knows no patterns"
        assert planned.reason.startswith(f"{why}: its own selection") is not is_named


def test_where_an_old_dbt_cannot_be_told_a_name_the_step_runs_whole_rather_than_without_it() -> None:
    odd = node("model", "shop", ["marts"], "two words")
    manifest = ours(manifest_of((*ALL, odd)))
    manifest.metadata.dbt_version = "1.4.9"
    command = "dbt run -s state:modified"
    made = attempt((command,), step(4, command, RunState.ERROR, row(odd, "error", RESET), row(STG)))
    planned = plan_retry(made, manifest).steps[0]
    assert (planned.action, planned.new_command) == (StepAction.WHOLE, command)
    assert ", and its nodes have no names that dbt understands; 1 of" in planned.reason


@pytest.mark.parametrize("version", [None, "1.11.0"])
def test_of_a_newer_dbt_it_is_not_said_that_it_adds_tests(version: str | None) -> None:
    _, planned = one("dbt run -s tag:daily", row("model.shop.gone", "error", RESET), version=version)
    assert planned.reason == "its nodes cannot be named exactly, and nothing that it has done can be excluded"


def test_a_selection_that_is_known_is_not_united_with_what_is_already_in_it() -> None:
    command = "dbt run -s tag:daily"
    made, planned = one(command, row(ORDERS, "error", RESET), row("model.shop.gone", "error", RESET))
    assert (made.commands, planned.action) == ((command,), StepAction.WHOLE)
    assert "and nothing that it has done can be excluded" in planned.reason


def test_to_exclude_a_model_that_succeeded_does_not_exclude_its_test_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = [node("model", "shop", [], f"m{number}") for number in range(9)]
    done = node("model", "shop", [], "done")
    test = generic_test("shop", [], "not_null_done_id", uid(done))
    rows = [row(done), *(row(body, "error", RESET) for body in (*models, test))]
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", 100)
    made = attempt(("dbt build",), step(4, "dbt build", RunState.ERROR, *rows))
    assert plan_retry(made, ours(manifest_of((*models, done, test)))).commands == (
        "dbt build --exclude fqn:shop.done --indirect-selection empty",
    )


@pytest.mark.parametrize(("version", "mode"), [("1.4.9", "cautious"), ("1.5.0", "empty")])
def test_what_is_done_is_excluded_in_a_mode_that_the_dbt_knows(
    version: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [node("model", "shop", [], f"m{number}") for number in range(9)]
    done = node("model", "shop", [], "done")
    rows = [row(done), *(row(body, "error", RESET) for body in models)]
    manifest = ours(manifest_of((*models, done)))
    manifest.metadata.dbt_version = version
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", 100)
    made = plan_retry(attempt(("dbt build",), step(4, "dbt build", RunState.ERROR, *rows)), manifest)
    assert made.commands == (f"dbt build --exclude fqn:shop.done --indirect-selection {mode}",)


def test_a_step_in_which_nothing_succeeded_runs_whole_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [node("model", "shop", [], f"m{number}") for number in range(9)]
    rows = [row(body, "error", RESET) for body in models]
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", 60)
    made = plan_retry(attempt(("dbt run",), step(4, "dbt run", RunState.ERROR, *rows)), ours(manifest_of(models)))
    assert (made.commands, made.is_whole) == (("dbt run",), True)
    assert made.steps[0].reason == "none of its nodes succeeded, and nothing that it has done can be excluded"


def test_a_command_may_have_room_for_one_node_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    long = [node("model", "shop", [], name * 40) for name in "abc"]
    done = [node("model", "shop", [], f"done_before_{number}") for number in range(9)]
    rows = [*(row(body, "error", RESET) for body in long), *map(row, done), row(OTHER, "error", NO_COLUMN)]
    lines = tuple(f"dbt run --select fqn:shop.{name * 40}" for name in "abc")
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", len(lines[0]))
    manifest = ours(manifest_of((*long, *done, OTHER)))
    made = plan_retry(attempt(("dbt run",), step(4, "dbt run", RunState.ERROR, *rows)), manifest)
    assert (made.commands, made.is_partial) == (lines, True)
    assert "so there are 3" in made.steps[0].reason
