"""The corpus: command lines and failures on real dbt. What our retry executes is what `dbt retry` executes.

Each row is one run of the emulator's project from a green database, with some nodes told to fail. Then both retries
start from the same state: `dbt retry`, and the command of our plan.

- With `retry-on: any` both execute the same nodes, not one more and not one fewer.
- Where nothing fails again, every relation then holds the rows of an undisturbed run.
- With `retry-on: transient` ours executes those of them that a repetition helps: what `dbt retry` brings to success.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.corpus import Ran, Shop, ended

from dbt_cloud_run.planned import RetryPlan, StepAction
from dbt_cloud_run.retry.plan import plan_retry


@dataclass(frozen=True)
class Failure:
    """What is told to fail. `is_final`: part of it fails again each time, and dbt says so."""

    switches: str
    is_final: bool = False
    held: frozenset[str] = frozenset()  # what waits for a failed unit test, which `dbt retry` forgets


FAILURES = {
    # one node of each kind, that fails once
    "a model": Failure("flaky_model: orders"),
    "a staging view": Failure("flaky_model: stg_payments"),
    "a seed": Failure("flaky_model: raw_orders"),
    "a snapshot": Failure("flaky_model: customers_history"),
    "one version of a model": Failure("flaky_model: model.shop.customer_summary.v2"),
    "the model of a package": Failure("flaky_model: model.retail_utils.calendar"),
    "its namesake": Failure("flaky_model: model.shop.calendar"),
    "a model named like its folder": Failure("flaky_model: finance"),
    "a model with a dot": Failure("flaky_model: sales.by_channel"),
    "a generic test": Failure("flaky_model: test.shop.unique_calendar_day.f16891081a"),
    "a singular test": Failure("flaky_model: test.retail_utils.no_negative_amounts"),
    "a unit test": Failure("flaky_model: unit_test.shop.customers.counts_orders"),
    "a unit test of a version": Failure("flaky_model: unit_test.shop.customer_summary.segments_by_amount_v2"),
    # several at once
    "both calendars": Failure("flaky_model: calendar"),
    "many kinds": Failure(
        "flaky_model: [raw_products, stg_web_events, finance, customers_history, no_negative_amounts, "
        "segments_by_amount, unique_customers_customer_id, sales.by_channel]"
    ),
    "all tests of a name": Failure("flaky_model: [no_negative_amounts, counts_orders, unique_calendar_day]"),
    # with something that is broken for good
    "a model, another broken": Failure("flaky_model: orders, broken_model: stg_web_events", is_final=True),
    "a model, a child broken": Failure("flaky_model: customers, broken_model: finance", is_final=True),
    "a model, a parent of others broken": Failure("flaky_model: web_sessions, broken_model: stg_orders", is_final=True),
    "a model, a failed data test": Failure(
        "flaky_model: web_sessions, failing_test: unique_stg_orders_order_id", is_final=True
    ),
    "a model, a failed test of two models": Failure("flaky_model: daily_revenue, failing_test: true", is_final=True),
    "a model, a failed unit test": Failure(
        "flaky_model: daily_revenue, failing_test: unit_test.shop.sales.by_channel.counts_orders",
        is_final=True,
        held=frozenset({"model.shop.sales.by_channel"}),
    ),
    "tests, some failed": Failure(
        "flaky_model: [unique_orders_order_id, orders_have_a_customer], failing_test: no_negative_amounts",
        is_final=True,
    ),
    # other ends
    "a batch": Failure("shop_flaky: false, broken_batch: 2025"),
    "a model and the end hook": Failure("flaky_model: orders, broken_hook: true"),
}

ONE_NODE: tuple[tuple[str, str], ...] = (
    ("a model", "dbt build"),
    ("a model", "dbt build --select tag:daily"),
    ("a model", "dbt build --select tag:daily --exclude customers"),
    ("a model", "dbt build --select +orders+ --indirect-selection cautious"),
    ("a model", "dbt build -s orders+1 --indirect-selection buildable"),
    ("a model", "dbt build --select=stg_orders+ orders"),
    ("a model", "dbt build --selector daily"),
    ("a model", "dbt build --resource-type model --resource-type seed"),
    ("a model", "dbt build --exclude-resource-type test unit_test exposure"),
    ("a model", "dbt build --fail-fast"),
    ("a model", "dbt --fail-fast build -s +marts.orders marts"),
    ("a model", "dbt build --full-refresh --threads 2"),
    ("a model", "dbt --debug --no-use-colors build -s @orders"),
    ("a model", "dbt run"),
    ("a model", "dbt run -m orders+"),
    ("a model", "dbt run --models marts finance --threads 2"),
    ("a model", "dbt run -fxs path:models/marts"),
    ("a model", "dbt run --empty"),
    ("a model", "dbt run --target prod --select package:shop"),
    ("a model", "dbt run --defer --state {state} -s orders customers"),
    ("a model", "dbt run --defer --favor-state --state {state} -s orders+"),
    ("a model", "dbt build -s +state:modified+ --state {state}"),
    ("a staging view", "dbt build"),
    ("a staging view", "dbt build -s stg_payments+,tag:daily stg_payments"),
    ("a staging view", "dbt run --select staging+"),
    ("a seed", "dbt build"),
    ("a seed", "dbt build --select raw_orders+ --exclude resource_type:snapshot"),
    ("a seed", "dbt seed"),
    ("a seed", "dbt seed --full-refresh --show -s raw_orders raw_products"),
    ("a snapshot", "dbt build"),
    ("a snapshot", "dbt snapshot"),
    ("a snapshot", "dbt build --select resource_type:snapshot +customers"),
    ("one version of a model", "dbt build"),
    ("one version of a model", "dbt build -s customer_summary"),
    ("one version of a model", "dbt run -s customer_summary.v2 customer_summary_v1"),
    ("the model of a package", "dbt build"),
    ("the model of a package", "dbt run -s calendar"),
    ("the model of a package", "dbt build -s package:retail_utils"),
    ("its namesake", "dbt build -s calendar"),
    ("its namesake", "dbt run"),
    ("a model named like its folder", "dbt build"),
    ("a model named like its folder", "dbt run -s finance"),
    ("a model named like its folder", "dbt build -s group:finance"),
    ("a model named like its folder", "dbt build --selector finance_only --exclude-resource-type unit_test"),
    ("a model with a dot", "dbt build"),
    ("a model with a dot", "dbt run -s sales.by_channel orders"),
    ("a generic test", "dbt test"),
    ("a generic test", "dbt build -s calendar"),
    ("a singular test", "dbt test"),
    ("a singular test", "dbt build -s no_negative_amounts price_bands+"),
    ("a unit test", "dbt build"),
    ("a unit test", "dbt test -s test_type:unit"),
    ("a unit test", "dbt build -s +customers --resource-type model unit_test seed"),
    ("a unit test of a version", "dbt build -s customer_summary+"),
    ("a unit test of a version", "dbt test"),
)

SEVERAL: tuple[tuple[str, str], ...] = (
    ("both calendars", "dbt build"),
    ("both calendars", "dbt run --select 'fqn:*.calendar' calendar"),
    ("many kinds", "dbt build"),
    ("many kinds", "dbt build --fail-fast"),
    ("many kinds", "dbt build --exclude tag:finance"),
    ("many kinds", "dbt run"),
    ("many kinds", "dbt test --exclude test_type:unit"),
    ("many kinds", "dbt snapshot -s customers_history"),
    ("all tests of a name", "dbt test"),
    ("all tests of a name", "dbt build"),
    ("all tests of a name", "dbt test -s test_type:singular test_type:unit --indirect-selection empty"),
    ("a model, another broken", "dbt build"),
    ("a model, another broken", "dbt run"),
    ("a model, a child broken", "dbt build -s customers+ finance+"),
    ("a model, a parent of others broken", "dbt run"),
    ("a model, a failed data test", "dbt build"),
    ("a model, a failed test of two models", "dbt build"),
    ("a model, a failed unit test", "dbt build --exclude-resource-type saved_query"),
    ("tests, some failed", "dbt test"),
    ("tests, some failed", "dbt build"),
    ("a batch", "dbt run -s order_archive+ stg_orders"),
    ("a batch", "dbt build"),
    ("a model and the end hook", "dbt build -s +orders"),
    ("a model and the end hook", "dbt run"),
)


def check_retry(shop: Shop, failure: str, command: str) -> None:
    """Let the failure happen in a run of the command, and compare both retries."""
    switches = FAILURES[failure].switches
    is_passing = not FAILURES[failure].is_final and "broken" not in switches
    expected = shop.undisturbed(command.format(state=shop.state)) if is_passing else None
    line = f"{command.format(state=shop.state)} --vars '{{{switches}}}'"
    shop.start_over()
    first = shop.run(line, switches)
    assert first.nodes - first.recovered, "nothing failed"
    shop.keep()

    theirs = shop.run("dbt retry", switches)

    everything = _planned(shop, line, first, switches, "any")
    ours = _executed(shop, everything, switches)
    assert ours == theirs.nodes, f"{everything.commands}\nmore: {ours - theirs.nodes}\nless: {theirs.nodes - ours}"
    promised = {node.unique_id for step in everything.steps for node in step.nodes}
    assert {node for node in promised - ours if not node.startswith("operation.")} == set(), "no result of the retry"
    if expected is not None:
        assert shop.contents(switches) == expected

    if FAILURES[failure].is_final:
        hopeful = _planned(shop, line, first, switches, "transient")
        assert hopeful.is_partial
        assert _executed(shop, hopeful, switches) == theirs.recovered - FAILURES[failure].held
    else:
        assert _planned(shop, line, first, switches, "transient").commands == everything.commands


def _planned(shop: Shop, line: str, first: Ran, switches: str, retry_on: str) -> RetryPlan:
    plan = plan_retry(ended(line, first), shop.manifest(switches), retry_on=retry_on)  # type: ignore[arg-type]
    assert plan.steps[0].action in (StepAction.NODES, StepAction.DROP), plan.steps[0].reason
    return plan


def _executed(shop: Shop, plan: RetryPlan, switches: str) -> frozenset[str]:
    if not plan.commands:
        return frozenset()
    shop.go_back()
    return frozenset[str]().union(*(shop.run(line, switches).nodes for line in plan.commands))
