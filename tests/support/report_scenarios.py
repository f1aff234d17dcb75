"""Outcomes for the report's tests and its preview: the shop in every ending, a hostile one, and large projects."""

from __future__ import annotations

from datetime import timedelta

from tests.support.report_data import BLOB, START, attempt, data_of, ledger, shop, shop_results, step, unique_id
from tests.support.values import replace

from dbt_cloud_run.dbt.costs import cost_of
from dbt_cloud_run.dbt.statuses import Kind, kind
from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.gates import Gate
from dbt_cloud_run.ledger.outcome import build_outcome
from dbt_cloud_run.model import Attempt, FreshnessResult, RunState, Step, StepError
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import PlannedNode, PlannedStep, Retryability, RetryPlan, SavedNode, StepAction
from dbt_cloud_run.report.report import Report

FRESH = (
    FreshnessResult(unique_id="source.shop.raw.orders", status="pass", max_loaded_at=START, age_seconds=1200.0),
    FreshnessResult(
        unique_id="source.shop.raw.payments",
        status="warn",
        max_loaded_at=START - timedelta(hours=14),
        age_seconds=50_400.0,
        criteria="warn after 12 hours, error after 24 hours",
    ),
)
LOST_CONNECTION = """Database Error in model fct_orders (models/marts/fct_orders.sql)
  server closed the connection unexpectedly
  \tThis probably means the server terminated abnormally
  \tbefore or while processing the request.
  compiled code at target/run/shop/models/marts/fct_orders.sql"""
MISSING_COLUMN = """Database Error in model dim_customers (models/marts/dim_customers.sql)
  Binder Error: Referenced column "country_nmae" not found in FROM clause!
  Candidate bindings: "country_name", "country_code"

  LINE 12:     country_nmae,
               ^
  compiled code at target/run/shop/models/marts/dim_customers.sql"""
DEPS_LOG = """06:00:03  Running with dbt=1.11.0
06:00:09  \x1b[31mEncountered an error\x1b[0m:
HTTPSConnectionPool: Max retries exceeded
"""
BROKEN_CONTRACT = "Got 3 results, configured to fail if != 0"


def saved_of(rows: tuple[NodeResult, ...], again: tuple[str, ...]) -> tuple[SavedNode, ...]:
    """The rows that succeeded and are not repeated, as a plan has them."""
    names = {unique_id(name) for name in again}
    return tuple(
        SavedNode(row.unique_id, row.execution_seconds, cost_of(row.adapter_response))
        for row in rows
        if row.unique_id not in names and kind(row.status) is Kind.SUCCEEDED
    )


def green() -> Report:
    """All good at the first attempt, one test and one source with a warning."""
    results = shop_results(
        failing={"accepted_values_stg_orders_status": ("warn", "Got 3 results, configured to warn if != 0")}
    )
    freshness = step(3, "dbt source freshness", (), results=None, freshness=FRESH)
    return shop(attempt(1, freshness, step(4, "dbt build", results)), ending=Ending.SUCCESS)


def gated() -> Report:
    """`green`, where the source past `warn_after`, one that is stale, and the test's warning fail the step."""
    base = green()
    stale = FreshnessResult(
        unique_id="source.shop.raw.customers",
        status="error",
        max_loaded_at=START - timedelta(hours=49),
        age_seconds=176_400.0,
        criteria="warn after 12 hours, error after 24 hours",
    )
    checked, *rest = base.outcome.attempts[0].steps
    steps = (replace(checked, freshness=(*FRESH, stale), state=RunState.ERROR), *rest)
    only = replace(base.outcome.attempts[0], steps=steps)
    fail_on = (Gate.STALE_SOURCES, Gate.SOURCE_WARNINGS, Gate.WARNINGS)
    judged = build_outcome((only,), fail_on=fail_on)
    return replace(base, outcome=replace(judged, duration_seconds=base.outcome.duration_seconds))


def nothing_selected() -> Report:
    """A selection that matched nothing."""
    base = green()
    nothing = step(4, "dbt build --select tag:nightly_finance", ())
    only = replace(base.outcome.attempts[0], steps=(nothing,))
    judged = build_outcome((only,), fail_on=())
    return replace(base, outcome=replace(judged, duration_seconds=12.0), assets=())


def recovered() -> Report:
    """A lost connection in the first attempt, all good in the second."""
    skipped = (
        "fct_revenue",
        "unique_fct_orders_order_id",
        "not_null_fct_orders_order_id",
        "assert_revenue_is_positive",
    )
    again = ("fct_orders", *skipped)
    first = shop_results(failing={"fct_orders": ("error", LOST_CONNECTION)}, skipping=skipped)
    plan = RetryPlan(
        steps=(
            PlannedStep(
                index=4,
                command="dbt build",
                action=StepAction.NODES,
                reason="1 node failed and 4 were skipped",
                new_command="dbt build --select fct_orders fct_revenue unique_fct_orders_order_id",
                nodes=(
                    PlannedNode(
                        unique_id=unique_id("fct_orders"),
                        status="error",
                        reason="failed: server closed the connection (transient)",
                        retryability=Retryability.TRANSIENT,
                        seconds_before=48.3,
                    ),
                    *(
                        PlannedNode(unique_id=unique_id(name), status="skipped", reason="skipped because of fct_orders")
                        for name in skipped
                    ),
                ),
                again=frozenset(unique_id(name) for name in again),
                saved=saved_of(first, again),
            ),
        ),
        commands=("dbt build --select fct_orders fct_revenue",),
    )
    second = shop_results(only=again, start=START + timedelta(minutes=4))
    return shop(
        attempt(1, step(4, "dbt build", first), plan=plan),
        attempt(2, step(4, "dbt build --select fct_orders fct_revenue", second, run_id=70404)),
        ending=Ending.SUCCESS,
    )


def billed() -> Report:
    """`recovered`, on BigQuery: every node reports its bytes and its slots; what failed and what is a seed does not."""
    base = recovered()
    first, second = (_billed_attempt(run) for run in base.outcome.attempts)
    plan = first.plan
    assert plan is not None
    assert first.steps[0].results is not None
    steps = tuple(
        replace(planned, saved=saved_of(first.steps[0].results.nodes, tuple(_names(planned)))) for planned in plan.steps
    )
    first = replace(first, plan=replace(plan, steps=steps))
    outcome = replace(base.outcome, attempts=(first, second), ledger=ledger((first, second)))
    return data_of(outcome, dict(base.nodes), dict(base.edges))


def _names(planned: PlannedStep) -> list[str]:
    return [found.split(".")[2] for found in planned.again]


def _billed_attempt(run: Attempt) -> Attempt:
    def billed_row(row: NodeResult) -> NodeResult:
        if row.status not in ("success", "pass") or row.unique_id.startswith("seed."):
            return row
        read = int(row.execution_seconds * 61_000_000)
        response = {
            "bytes_processed": read,
            # BigQuery bills ten mebibytes at least.
            "bytes_billed": max(read, 10 * 2**20),
            "slot_ms": int(row.execution_seconds * 9_400),
            "job_id": "f00d",
        }
        return replace(row, adapter_response={**row.adapter_response, **response})

    steps = tuple(
        replace(one, results=one.results and replace(one.results, nodes=tuple(map(billed_row, one.results.nodes))))
        for one in run.steps
    )
    return replace(run, steps=steps)


def failed() -> Report:
    """One node recovers; a misspelled column and a failed test stay."""
    skipped = ("fct_revenue", "assert_revenue_is_positive", "not_null_dim_customers_customer_id")
    lost = {"fct_orders": ("error", LOST_CONNECTION), "dim_customers": ("error", MISSING_COLUMN)}
    first = shop_results(
        failing=lost, skipping=(*skipped, "unique_fct_orders_order_id", "not_null_fct_orders_order_id")
    )
    tests = ("unique_fct_orders_order_id", "not_null_fct_orders_order_id")
    second = shop_results(
        only=("fct_orders", *tests),
        failing={"unique_fct_orders_order_id": ("fail", BROKEN_CONTRACT)},
        start=START + timedelta(minutes=4),
    )
    plan = _plan_without_deterministic(first, tests)
    stop = RetryPlan(stop_reason="a failed data test does not pass by running it again (retry-on: transient)")
    return shop(
        attempt(1, step(4, "dbt build", first), plan=plan),
        attempt(2, step(4, "dbt build --select fct_orders", second, run_id=70404), plan=stop),
        ending=Ending.ERROR,
        failure_kind=FailureKind.NODES,
    )


def _plan_without_deterministic(first: tuple[NodeResult, ...], tests: tuple[str, ...]) -> RetryPlan:
    left_out = PlannedNode(
        unique_id=unique_id("dim_customers"),
        status="error",
        reason="failed: a column that does not exist (deterministic)",
        retryability=Retryability.DETERMINISTIC,
    )
    return RetryPlan(
        steps=(
            PlannedStep(
                index=4,
                command="dbt build",
                action=StepAction.NODES,
                reason="1 of 2 failures may pass when re-run",
                new_command="dbt build --select fct_orders unique_fct_orders_order_id not_null_fct_orders_order_id",
                nodes=(
                    PlannedNode(
                        unique_id=unique_id("fct_orders"),
                        status="error",
                        reason="failed: server closed the connection (transient)",
                        retryability=Retryability.TRANSIENT,
                        seconds_before=48.3,
                    ),
                    *(
                        PlannedNode(unique_id=unique_id(name), status="skipped", reason="skipped because of fct_orders")
                        for name in tests
                    ),
                ),
                left_out=(left_out,),
                again=frozenset(unique_id(name) for name in ("fct_orders", *tests)),
                saved=saved_of(first, ("fct_orders", *tests)),
            ),
            PlannedStep(
                index=5,
                command="dbt run-operation grant_all",
                action=StepAction.DROP,
                reason="a failure before it is not retried",
            ),
        ),
        commands=("dbt build --select fct_orders",),
        is_partial=True,
    )


def cancelled() -> Report:
    """Cancelled in dbt Cloud while the second half was to come."""
    done = shop_results(only=("country_codes", "stg_customers", "stg_orders", "stg_payments"))
    run = attempt(
        1, step(4, "dbt build", done, state=RunState.CANCELLED), state=RunState.CANCELLED, ending=Ending.CANCELLED
    )
    return shop(
        run,
        ending=Ending.CANCELLED,
        failure_kind=FailureKind.CANCELLED,
    )


def setup_failed() -> Report:
    """No node ran: a package could not be installed."""
    deps = Step(
        index=3,
        name="Invoke dbt with `dbt deps`",
        command="dbt deps",
        state=RunState.ERROR,
        log=DEPS_LOG,
    )
    made = shop(
        attempt(1, deps, plan=RetryPlan(stop_reason="targeted-retries is used up")),
        ending=Ending.ERROR,
        failure_kind=FailureKind.SETUP,
    )
    return replace(made, artifact=None)


EVIL = (
    "</details>|`x`\n```\n# owned\n<img src=x onerror=alert(1)> @octocat #1 "
    "[link](https://evil.example) \x1b[31m\u202e::error::x"
)


def hostile() -> Report:
    """`failed`, with other people's text wherever there can be some."""
    base = failed()
    nodes = {
        uid: replace(
            info,
            name=f'{info.name}"] --> evil["{EVIL}',
            original_file_path=f"models/{EVIL}.sql",
            compiled_path=f"target/{EVIL}.sql",
            file=f"models/{EVIL}.sql",
            url=BLOB + EVIL,
            owners=(EVIL,),
            materialization=EVIL,
        )
        for uid, info in base.nodes.items()
    }
    attempts = tuple(_hostile_attempt(run) for run in base.outcome.attempts)
    outcome = replace(
        base.outcome,
        attempts=attempts,
        ledger=ledger(attempts),
        error=StepError(kind=FailureKind.API, message=EVIL, advice=EVIL),
        notes=(EVIL,),
    )
    made = replace(data_of(outcome, nodes, dict(base.edges)), job_name=EVIL, environment=EVIL, warnings=(EVIL,))
    assets = tuple(
        replace(asset, key=f"duckdb://shop/{EVIL}", relation_name=EVIL, tests={EVIL: 1}) for asset in made.assets
    )
    return replace(made, assets=assets, job_url="javascript:alert(1)", artifacts_path=EVIL)


def _hostile_attempt(run: Attempt) -> Attempt:
    steps = tuple(
        replace(
            executed,
            name=EVIL,
            command=EVIL,
            log=EVIL,
            results=executed.results
            and replace(
                executed.results,
                nodes=tuple(
                    replace(
                        node,
                        message=EVIL,
                        thread_id=EVIL,
                        status=node.status if node.status != "fail" else f"fail {EVIL}",
                    )
                    for node in executed.results.nodes
                ),
            ),
        )
        for executed in run.steps
    )
    plan = run.plan and replace(
        run.plan,
        stop_reason=EVIL,
        notes=(EVIL,),
        steps=tuple(replace(planned, command=EVIL, new_command=EVIL, reason=EVIL) for planned in run.plan.steps),
    )
    return replace(run, steps=steps, plan=plan, git_sha=EVIL, environment_name=EVIL, job_name=EVIL, warnings=(EVIL,))
