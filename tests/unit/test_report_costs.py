"""Costs on the page: nothing where nothing is reported, and never less said than is known."""

from __future__ import annotations

import pytest
from tests.support import report_scenarios as scenarios
from tests.support.report_data import attempt, shop, step
from tests.support.values import replace

from dbt_cloud_run.cost import Cost
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.ledger.costs import spent
from dbt_cloud_run.model import RunState
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.report.progress import plan_lines, result_lines
from dbt_cloud_run.report.report import Report
from dbt_cloud_run.report.summary import render_comment, render_full, render_summary
from dbt_cloud_run.report.wording import UNKNOWN, costs, data_size, main_costs
from dbt_cloud_run.unknown import Unknown, UnknownKind

BILLED = {"bytes_billed": 10 * 2**20}


def of_rows(*rows: NodeResult, **changes: object) -> Report:
    return shop(attempt(1, step(4, "dbt build", rows), **changes), ending=Ending.SUCCESS)


def row(name: str, status: str = "success", **response: int) -> NodeResult:
    return NodeResult(unique_id=f"model.shop.{name}", status=status, adapter_response=response)


def test_nothing_is_shown_where_nothing_is_reported() -> None:
    data = scenarios.recovered()
    pages = [render_full(data), render_summary(data, 500_000), *result_lines(data)]
    assert not any(
        word in page for page in pages for word in ("Cost", "cost:", "Billed", "billed", "Slot", "Processed")
    )


def test_the_total_counts_every_execution() -> None:
    data = scenarios.billed()
    executed = [
        found.adapter_response["bytes_billed"]
        for run in data.outcome.attempts
        for one in run.steps
        if one.results is not None
        for found in one.results.nodes
        if "bytes_billed" in found.adapter_response
    ]
    assert spent(data.outcome.attempts).cost.bytes_billed == sum(executed)
    assert f"#### Cost\n\n{data_size(sum(executed))} billed, " in render_summary(data, 500_000)
    assert "(attempt 1: 2.7 GiB billed; attempt 2: 3.3 GiB billed)" in render_summary(data, 500_000)


def test_what_the_retry_saved_is_said_in_the_same_unit() -> None:
    data = scenarios.billed()
    plan = data.outcome.attempts[0].plan
    assert plan is not None
    words = main_costs(plan.saved.cost)
    assert words == ["2.7 GiB billed", "7m 33s slot time"]
    for page in (render_summary(data, 500_000), render_comment(data)):
        assert f"9 nodes not repeated (49 s node time, added up over all threads; {'; '.join(words)})" in page
        assert f"| 9 nodes, 49 s node time, {', '.join(words)} |" in page
    assert f"node time, {', '.join(words)} (added up over all threads)" in "\n".join(plan_lines(plan))


def test_the_column_shows_what_is_billed_or_else_processed() -> None:
    page = render_full(scenarios.billed())
    assert "| Seconds | Billed<br>Slot&nbsp;time | Tests |" in page
    assert "| 17.6 | 1.0&nbsp;GiB<br>2m&nbsp;45s |" in page
    assert "| **1.2** |  |  |  |" in page, "the folder of the seeds, which report no cost"
    only_read = of_rows(row("fct_orders", bytes_processed=5000))
    assert "| Seconds | Processed | Tests |" in render_full(only_read)
    slots = of_rows(row("fct_orders", slot_ms=5000), row("fct_revenue"))
    assert "| Seconds | Slot&nbsp;time | Tests |" in render_full(slots)
    assert f"| 0.0 | {UNKNOWN} |" in render_full(slots), "not known is not nothing"


@pytest.mark.parametrize("status", ["skipped", "reused", "no-op"])
def test_what_was_not_executed_costs_nothing(status: str) -> None:
    assert not spent(of_rows(row("fct_orders", status, **BILLED)).outcome.attempts).cost


@pytest.mark.parametrize(
    "changes",
    [
        {"state": RunState.CANCELLED},
        {"state": RunState.RUNNING},
        {"unknown": (Unknown(kind=UnknownKind.RESULTS, why="gone", step=5),)},
    ],
)
def test_a_cost_that_is_not_known_in_full_is_said_to_be_at_least_that(changes: dict[str, object]) -> None:
    data = of_rows(row("fct_orders", **BILLED), **changes)
    assert not spent(data.outcome.attempts).is_complete
    assert "#### Cost\n\nat least 10 MiB billed." in render_full(data)
    assert "cost: at least 10 MiB billed" in result_lines(data)
    known = replace(data.outcome.attempts[0], state=RunState.SUCCESS, unknown=())
    assert spent((known,)).is_complete


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (None, UNKNOWN),
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1.0 KiB"),
        (10 * 2**20, "10 MiB"),
        (2**30 - 1, "1.0 GiB"),
        (int(1023.4 * 2**20), "1,023 MiB"),
        (2**70, "1,048,576 PiB"),
    ],
)
def test_sizes_in_words(count: int | None, words: str) -> None:
    assert data_size(count) == words


def test_costs_in_words() -> None:
    assert costs(Cost()) == []
    assert costs(Cost(bytes_billed=0, slot_ms=61_000)) == ["0 B billed", "1m 1s slot time"]
