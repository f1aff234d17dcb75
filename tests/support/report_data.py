"""The parts of which the report's scenarios are made: a small shop project, its results, steps, attempts and ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.values import replace

from dbt_cloud_run.assets.asset import Asset
from dbt_cloud_run.dbt.costs import cost_of
from dbt_cloud_run.dbt.statuses import Kind, kind, was_built
from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.model import Attempt, Ledger, Outcome, RunState, Step, StepResults
from dbt_cloud_run.node_results import BuiltResult, NodeOutcome, NodeResult
from dbt_cloud_run.report.report import ArtifactLink, NodeInfo, Report

START = datetime(2026, 11, 20, 6, 0, 0, tzinfo=UTC)
SHA = "4f1c0de9a7b35d2261e8c3f70b94a5d6e7f80912"
CLOUD = "https://cloud.getdbt.com/deploy/1/projects/2"
BLOB = f"https://github.com/acme/analytics/blob/{SHA}/"

# name, folder, type, materialization, parents, rows, seconds
SHOP = (
    ("country_codes", "seeds", "seed", "seed", (), 249, 1.2),
    ("stg_customers", "models/staging", "model", "view", ("raw.customers", "country_codes"), None, 0.8),
    ("stg_orders", "models/staging", "model", "view", ("raw.orders",), None, 0.7),
    ("stg_payments", "models/staging", "model", "view", ("raw.payments",), None, 0.9),
    ("int_order_payments", "models/intermediate", "model", "table", ("stg_orders", "stg_payments"), 184_022, 21.4),
    ("fct_orders", "models/marts", "model", "incremental", ("int_order_payments", "stg_customers"), 12_408, 48.3),
    ("dim_customers", "models/marts", "model", "table", ("stg_customers",), 40_112, 17.6),
    ("fct_revenue", "models/marts", "model", "table", ("fct_orders", "dim_customers"), 1_204, 9.1),
    ("orders_snapshot", "snapshots", "snapshot", "snapshot", ("stg_orders",), 311, 6.2),
)
TESTS = (
    ("unique_fct_orders_order_id", "fct_orders", "models/marts/schema.yml"),
    ("not_null_fct_orders_order_id", "fct_orders", "models/marts/schema.yml"),
    ("not_null_dim_customers_customer_id", "dim_customers", "models/marts/schema.yml"),
    ("accepted_values_stg_orders_status", "stg_orders", "models/staging/schema.yml"),
    ("assert_revenue_is_positive", "fct_revenue", "tests/assert_revenue_is_positive.sql"),
)
OWNERS = {"marts": ("Finance analytics",), "staging": ("Data platform",), "intermediate": ("Data platform",)}


def unique_id(name: str) -> str:
    """The shop's unique id of a name."""
    if name.startswith("raw."):
        return f"source.shop.{name}"
    types = {node: resource_type for node, _, resource_type, *_ in SHOP}
    return f"{types[name]}.shop.{name}" if name in types else f"test.shop.{name}.1a2b3c"


def shop_nodes() -> tuple[dict[str, NodeInfo], dict[str, tuple[str, ...]]]:
    """The shop's manifest: nodes, and edges from parent to child."""
    nodes: dict[str, NodeInfo] = {}
    edges: dict[str, list[str]] = {}
    for name in ("raw.customers", "raw.orders", "raw.payments"):
        nodes[unique_id(name)] = NodeInfo(unique_id=unique_id(name), name=name, resource_type="source")
    for name, folder, resource_type, materialization, parents, _, _ in SHOP:
        path = f"{folder}/{name}.{'csv' if resource_type == 'seed' else 'sql'}"
        nodes[unique_id(name)] = NodeInfo(
            unique_id=unique_id(name),
            name=name,
            resource_type=resource_type,
            package_name="shop",
            original_file_path=path,
            compiled_path=f"target/compiled/shop/{path}",
            file=path,
            url=BLOB + path,
            materialization=materialization,
            owners=OWNERS.get(Path(folder).name, ()),
        )
        for parent in parents:
            edges.setdefault(unique_id(parent), []).append(unique_id(name))
    for name, tested, path in TESTS:
        nodes[unique_id(name)] = NodeInfo(
            unique_id=unique_id(name),
            name=name,
            resource_type="test",
            package_name="shop",
            original_file_path=path,
            compiled_path=f"target/compiled/shop/{path}/{name}.sql",
            file=path,
            url=BLOB + path,
            tested_nodes=(unique_id(tested),),
        )
        edges.setdefault(unique_id(tested), []).append(unique_id(name))
    return nodes, {parent: tuple(children) for parent, children in edges.items()}


def shop_results(
    only: tuple[str, ...] | None = None,
    *,
    failing: dict[str, tuple[str, str]] | None = None,
    skipping: tuple[str, ...] = (),
    start: datetime = START,
) -> tuple[NodeResult, ...]:
    """Results of a step that runs `only` these names (or all), some of them `failing` with (status, message)."""
    failing = failing or {}
    rows: list[NodeResult] = []
    clocks = [start + timedelta(seconds=2), start + timedelta(seconds=2.3)]
    work = [(name, rows_, seconds, "success") for name, *_, rows_, seconds in SHOP]
    work += [(name, None, 0.3, "pass") for name, _, _ in TESTS]
    for name, affected, seconds, good in work:
        if only is not None and name not in only:
            continue
        if name in skipping:
            rows.append(NodeResult(unique_id=unique_id(name), status="skipped", row=len(rows)))
            continue
        status, message = failing.get(name, (good, "OK"))
        thread = len(rows) % 2
        began = clocks[thread]
        clocks[thread] = began + timedelta(seconds=seconds)
        built = status == "success"
        rows.append(
            NodeResult(
                unique_id=unique_id(name),
                status=status,
                message=message,
                failures=3 if status in ("fail", "warn") else None,
                execution_seconds=seconds,
                thread_id=f"Thread-{thread + 1} (worker)",
                started_at=began,
                completed_at=clocks[thread],
                relation_name=f'"shop"."analytics"."{name}"' if built else None,
                adapter_response={"_message": "OK", **({"rows_affected": affected} if affected is not None else {})},
                row=len(rows),
            )
        )
    return tuple(rows)


def step(index: int, command: str, nodes: tuple[NodeResult, ...], *, run_id: int = 70403, **changes: object) -> Step:
    """A step that executed these nodes; its state is what they say."""
    failed = any(kind(node.status) is Kind.FAILED for node in nodes)
    made = Step(
        index=index,
        name=f"Invoke dbt with `{command}`",
        command=command,
        state=RunState.ERROR if failed else RunState.SUCCESS,
        duration_seconds=124.0,
        results=StepResults(
            path=Path(f"runs/{run_id}/step-{index}/run_results.json"),
            which=command.split()[1],
            invocation_id=f"00000000-0000-4000-8000-{run_id:012d}",
            generated_at=START,
            elapsed_seconds=121.5,
            nodes=nodes,
        ),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def attempt(number: int, *steps: Step, **changes: object) -> Attempt:
    """The shop's n-th run."""
    failed = any(found.state is RunState.ERROR for found in steps)
    run_id = 70402 + number
    made = Attempt(
        number=number,
        run_id=run_id,
        job_id=12345,
        state=RunState.ERROR if failed else RunState.SUCCESS,
        ending=Ending.ERROR if failed else Ending.SUCCESS,
        run_url=f"{CLOUD}/runs/{run_id}",
        job_name="Nightly build",
        environment_name="Production",
        git_sha=SHA,
        git_branch="main",
        dbt_version="1.11.0",
        asked=("dbt build",),
        steps=steps,
        triggered_at=START,
        started_at=START + timedelta(seconds=12),
        finished_at=START + timedelta(seconds=150),
        queued_seconds=12.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def ledger(attempts: tuple[Attempt, ...]) -> Ledger:
    """Every node by its last result, as the reports expect it."""
    found: dict[str, NodeOutcome] = {}
    failed: set[str] = set()
    for run in attempts:
        for executed in run.steps:
            for node in executed.results.nodes if executed.results else ():
                judged = kind(node.status)
                before = found.get(node.unique_id)
                built = before.built if before else None
                if was_built(node.status, node.unique_id.split(".", maxsplit=1)[0]):
                    built = BuiltResult(result=node, attempt=run.number, run_id=run.run_id, step_index=executed.index)
                found[node.unique_id] = NodeOutcome(
                    unique_id=node.unique_id,
                    result=node,
                    attempt=run.number,
                    run_id=run.run_id,
                    step_index=executed.index,
                    results_path=executed.results.path if executed.results else Path("none"),
                    recovered=node.unique_id in failed and judged in (Kind.SUCCEEDED, Kind.WARNED),
                    built=built,
                )
                if judged is Kind.FAILED:
                    failed.add(node.unique_id)
    freshness = tuple(row for run in attempts for executed in run.steps for row in executed.freshness)
    return Ledger(outcomes=found, freshness=freshness)


def assets_of(nodes: dict[str, NodeInfo], edges: dict[str, tuple[str, ...]], made: Ledger) -> tuple[Asset, ...]:
    """The materializations, with keys as the action makes them."""
    parents: dict[str, list[str]] = {}
    tests: dict[str, dict[str, int]] = {}
    for parent, children in edges.items():
        for child in children:
            parents.setdefault(child, []).append(parent)
            if child in made.outcomes and nodes[child].resource_type == "test":
                status = made.outcomes[child].result.status
                counted = tests.setdefault(parent, {})
                counted[status] = counted.get(status, 0) + 1
    return tuple(
        Asset(
            key=f"duckdb://shop/analytics/{nodes[uid].name}",
            unique_id=uid,
            name=nodes[uid].name,
            resource_type=nodes[uid].resource_type,
            materialization=nodes[uid].materialization,
            relation_name=f'"shop"."analytics"."{nodes[uid].name}"',
            status=outcome.built.result.status,
            description="",
            owners=nodes[uid].owners,
            group=None,
            tags=(),
            upstream=tuple(f"duckdb://shop/analytics/{nodes[parent].name}" for parent in parents.get(uid, ())),
            run_id=outcome.built.run_id,
            step=outcome.built.step_index,
            attempt=outcome.built.attempt,
            started_at=outcome.built.result.started_at,
            completed_at=outcome.built.result.completed_at,
            execution_seconds=outcome.built.result.execution_seconds,
            rows_affected=outcome.built.result.adapter_response.get("rows_affected"),
            adapter_response=outcome.built.result.adapter_response,
            cost=cost_of(outcome.built.result.adapter_response) or None,
            tests=tests.get(uid, {}),
            file=nodes[uid].file,
            url=nodes[uid].url,
        )
        for uid, outcome in made.outcomes.items()
        if outcome.built is not None
    )


def data_of(outcome: Outcome, nodes: dict[str, NodeInfo], edges: dict[str, tuple[str, ...]]) -> Report:
    """The report's input for an outcome."""
    return Report(
        outcome=outcome,
        assets=assets_of(nodes, edges, outcome.ledger),
        nodes=nodes,
        edges=edges,
        artifact=ArtifactLink(
            id="998877",
            name="dbt-cloud-run-12345-70403",
            url="https://github.com/acme/analytics/actions/runs/5/artifacts/998877",
        ),
        artifacts_path="dbt-cloud/12345",
        assets_path="dbt-cloud/12345/assets.json",
        job_id=12345,
        job_name="Nightly build",
        job_url=f"{CLOUD}/jobs/12345",
        environment="Production",
        commit_url=f"https://github.com/acme/analytics/commit/{SHA}",
        workflow_url="https://github.com/acme/analytics/actions/runs/5",
    )


def shop(*attempts: Attempt, ending: Ending, failure_kind: FailureKind = FailureKind.NONE, **changes: object) -> Report:
    """The shop with these attempts."""
    nodes, edges = shop_nodes()
    outcome = Outcome(
        ending=ending,
        failure_kind=failure_kind,
        attempts=attempts,
        ledger=ledger(attempts),
        duration_seconds=162.0 * len(attempts),
        queued_seconds=12.0 * len(attempts),
    )
    return data_of(replace(outcome, **changes), nodes, edges)  # type: ignore[arg-type]
