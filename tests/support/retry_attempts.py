"""Attempts for the planner's tests: a project, and runs over it as they ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.dbt_graphs import exposure, generic_test, manifest_of, node, ours, source, unit_test

from dbt_cloud_run.dbt.artifacts import Manifest
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Attempt, RunState, Step, StepResults
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import PlannedStep, RetryPlan
from dbt_cloud_run.retry.plan import plan_retry

RESET = "Connection reset by peer"
NO_COLUMN = 'Binder Error: Referenced column "x" not found in FROM clause!'

RAW = node("seed", "shop", [], "raw")
STG = node("model", "shop", ["staging"], "stg", parents=[RAW["unique_id"]])
STAGING = node("model", "shop", [], "staging", parents=[STG["unique_id"]])
EPHEMERAL = node("model", "shop", [], "eph", parents=[STG["unique_id"]], materialized="ephemeral")
ORDERS = node("model", "shop", ["marts"], "orders", parents=[STG["unique_id"], EPHEMERAL["unique_id"]], tags=["daily"])
REPORT = node("model", "shop", ["marts"], "report", parents=[ORDERS["unique_id"]], tags=["daily"])
OTHER = node("model", "shop", ["marts"], "other", tags=["daily"])
LIB_ORDERS = node("model", "lib", ["marts"], "orders")
DIM1 = node("model", "shop", ["marts"], "dim", version=1, latest=2)
DIM2 = node("model", "shop", ["marts"], "dim", version=2, latest=2)
SNAP = node("snapshot", "shop", [], "snap", parents=[ORDERS["unique_id"]])
NOT_NULL = generic_test("shop", ["marts"], "not_null_orders_id", ORDERS["unique_id"])
UNIQUE = generic_test("shop", ["marts"], "unique_orders_id", ORDERS["unique_id"], kind="unique")
SINGULAR = node("test", "shop", [], "assert_it", parents=[ORDERS["unique_id"], OTHER["unique_id"]])
UNIT = unit_test("shop", ["marts"], "counts", ORDERS)
UNIT_TOO = unit_test("shop", ["marts"], "sums", ORDERS)
DASHBOARD = exposure("shop", [], "dash", [REPORT["unique_id"]])
ALL = (
    RAW, STG, STAGING, EPHEMERAL, ORDERS, REPORT, OTHER, LIB_ORDERS, DIM1, DIM2, SNAP, NOT_NULL, UNIQUE, SINGULAR,
    UNIT, UNIT_TOO, DASHBOARD, source("shop", "ext", "t"),
)  # fmt: skip

START_HOOK = "operation.shop.shop-on-run-start-0"
END_HOOK = "operation.shop.shop-on-run-end-0"


def project() -> Manifest:
    return ours(manifest_of(ALL))


def uid(body: Mapping[str, Any] | str) -> str:
    return body if isinstance(body, str) else str(body["unique_id"])


def row(body: Mapping[str, Any] | str, status: str = "success", message: str | None = None) -> NodeResult:
    return NodeResult(unique_id=uid(body), status=status, message=message, execution_seconds=2.0)


def results(which: str, *rows: NodeResult) -> StepResults:
    return StepResults(
        path=Path("run_results.json"),
        which=which,
        invocation_id="i",
        generated_at=None,
        elapsed_seconds=1.0,
        nodes=rows,
    )


def step(
    index: int,
    command: str | None,
    state: RunState = RunState.SUCCESS,
    *rows: NodeResult,
    log: str = "",
    name: str | None = None,
    distrusted: str | None = None,
) -> Step:
    """A step; with rows it has results of the kind that its verb writes."""
    which = (command or "dbt x").split()[1]
    return Step(
        index=index,
        name=name or f"Invoke dbt with `{command}`",
        command=command,
        state=state,
        log=log,
        results=results(which, *rows) if rows else None,
        distrusted=distrusted,
    )


def attempt(asked: tuple[str, ...], *steps: Step, ending: Ending = Ending.ERROR, **more: Any) -> Attempt:
    """A run that was set up well, and whose commands are these steps (indexes from 4)."""
    setup = (
        step(1, None, name="Clone git repository"),
        step(2, None, name="Create profile from connection"),
        step(3, "dbt deps"),
    )
    return Attempt(
        number=1,
        run_id=7,
        job_id=1,
        state=RunState.SUCCESS if ending is Ending.SUCCESS else RunState.ERROR,
        ending=ending,
        asked=asked,
        steps=(*setup, *steps) if not more.pop("bare", False) else steps,
        **more,
    )


OK, FAILED, CANCELLED, SKIPPED = RunState.SUCCESS, RunState.ERROR, RunState.CANCELLED, RunState.SKIPPED


def plan(run: Attempt, **options: object) -> RetryPlan:
    return plan_retry(run, project(), **options)  # type: ignore[arg-type]


def one(command: str, *rows: NodeResult, **options: object) -> tuple[RetryPlan, PlannedStep]:
    """The plan after a job of one failed step."""
    made = plan(attempt((command,), step(4, command, FAILED, *rows)), **options)
    return made, made.steps[0]


def actions(made: RetryPlan) -> list[str]:
    return [planned.action.value for planned in made.steps]


def names(nodes: tuple[object, ...]) -> set[str]:
    return {node.unique_id for node in nodes}  # type: ignore[attr-defined]
