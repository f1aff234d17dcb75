"""Reports that try how much fits: of a large project, and with the long names of a large company."""

from __future__ import annotations

from datetime import timedelta

from tests.support.report_data import BLOB, START, attempt, data_of, ledger, step
from tests.support.report_scenarios import recovered
from tests.support.values import replace

from dbt_cloud_run.cost import Cost
from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.model import Outcome
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.report.report import NodeInfo, Report


def large(count: int, *, failing: int = 10) -> Report:
    """A project of `count` models in four layers; every `count / failing`-th one fails and its children are skipped."""
    layers = ("marts", "intermediate", "staging", "base")
    size = max(count // 4, 1)
    nodes: dict[str, NodeInfo] = {}
    edges: dict[str, list[str]] = {}
    rows: list[NodeResult] = []
    bad: set[str] = set()
    every = max(count // max(failing, 1), 1)
    for position in range(count):
        level = min(position // size, 3)
        layer = layers[3 - level]
        name = f"{layer}_{position:05d}"
        uid = f"model.big.{name}"
        path = f"models/{layer}/{name}.sql"
        nodes[uid] = NodeInfo(
            unique_id=uid, name=name, resource_type="model", package_name="big", original_file_path=path,
            compiled_path=f"target/compiled/big/{path}", file=path, url=BLOB + path, materialization="table",
            owners=(f"team {position % 7}",),
        )  # fmt: skip
        parents = [f"model.big.{layers[4 - level]}_{position - size:05d}"] if level else []
        for parent in parents:
            edges.setdefault(parent, []).append(uid)
        blocked = any(parent in bad for parent in parents)
        fails = failing > 0 and position % every == every - 1 and not blocked
        status = "skipped" if blocked else "error" if fails else "success"
        if status != "success":
            bad.add(uid)
        rows.append(_row(position, uid, path, status))
    run = attempt(1, step(4, "dbt build", tuple(rows)))
    bad_ones = any(row.status == "error" for row in rows)
    outcome = Outcome(
        ending=Ending.ERROR if bad_ones else Ending.SUCCESS,
        failure_kind=FailureKind.NODES if bad_ones else FailureKind.NONE,
        attempts=(run,),
        ledger=ledger((run,)),
        duration_seconds=count * 0.06 + 30,
        queued_seconds=8.0,
    )
    return data_of(outcome, nodes, {parent: tuple(children) for parent, children in edges.items()})


def wide() -> Report:
    """`recovered`, with the names, schemas and owners of a large company."""
    base = recovered()
    assets = tuple(
        replace(
            asset,
            name=f"{asset.name}_with_adjustments_for_returns_and_exchange_rates_v{number}",
            key=f"snowflake://analytics_production/{'finance_reporting_daily' if number % 3 else 'core'}/{asset.name}",
            materialization="materialized_view" if number % 2 else "incremental",
            rows_affected=1_204_338_112,
            cost=Cost(bytes_processed=3 * 10**15, bytes_billed=3 * 10**15, slot_ms=4_000_000_000),
            execution_seconds=12_408.3,
            owners=("analytics-engineering-finance@example.com", "someone.else@example.com"),
            tests={"pass": 112, "warn": 3, "fail": 12},
        )
        for number, asset in enumerate(base.assets)
    )
    return replace(base, assets=assets)


def _row(position: int, uid: str, path: str, status: str) -> NodeResult:
    began, is_run, name = (
        START + timedelta(seconds=position * 0.05),
        status != "skipped",
        uid.removeprefix("model.big."),
    )
    seconds = 0.2 + (position * 37 % 101) / 25 if is_run else 0.0
    return NodeResult(
        unique_id=uid,
        status=status,
        message=f"Database Error in model {name} ({path})\n  out of memory" if status == "error" else None,
        execution_seconds=seconds,
        thread_id=f"Thread-{position % 16 + 1} (worker)",
        started_at=began if is_run else None,
        completed_at=began + timedelta(seconds=seconds) if is_run else None,
        relation_name=f'"shop"."analytics"."{name}"',
        adapter_response={"rows_affected": position},
        row=position,
    )
