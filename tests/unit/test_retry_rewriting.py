"""A step's command over the nodes that are retried: long ones, and those of an old dbt."""

from __future__ import annotations

import pytest
from tests.support.retry_attempts import (
    ALL,
    DIM1,
    DIM2,
    EPHEMERAL,
    LIB_ORDERS,
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
from dbt_cloud_run.model import NodeResult, PlannedNode, PlannedStep, RetryPlan, RunState, StepAction
from dbt_cloud_run.retry import rewriting
from dbt_cloud_run.retry.plan import plan_retry


def one(command: str, *rows: NodeResult) -> tuple[RetryPlan, PlannedStep]:
    """The plan after a job of one failed step."""
    made = plan_retry(attempt((command,), step(4, command, RunState.ERROR, *rows)), project())
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
    monkeypatch.setattr(rewriting, "MAX_COMMAND_LENGTH", 60)
    assert one("dbt run", *rows)[0].commands == ("dbt run --exclude fqn:shop.marts.other",)
    for command in ("dbt run -s state:modified", "dbt run -s result:error", "dbt run --selector nightly"):
        assert one(command, *rows)[0].commands == (command,)
    monkeypatch.setattr(rewriting, "MAX_COMMAND_LENGTH", 20)
    made, planned = one("dbt run", *rows)
    assert (made.commands, planned.action) == (("dbt run",), StepAction.WHOLE)
    assert "longer than 20" in planned.reason


def test_a_command_that_would_be_too_long_is_divided_where_part_of_it_must_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = (
        *(row(body, "error", RESET) for body in (STG, OTHER, LIB_ORDERS, DIM1, UNIT)),
        *(row(body, "skipped") for body in (ORDERS, REPORT, NOT_NULL)),
        row(SINGULAR, "fail", "Got 3 results"),
        row(DIM2),
    )
    monkeypatch.setattr(rewriting, "MAX_COMMAND_LENGTH", 150)
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
    assert made.leaves_out
    assert one("dbt build", *rows[:-2], row(DIM2))[0].commands == ("dbt build",)
    monkeypatch.setattr(rewriting, "MAX_PARTS", 2)
    made, planned = one("dbt build", *rows)
    assert (made.commands, planned.action, made.leaves_out) == (("dbt build",), StepAction.WHOLE, False)
