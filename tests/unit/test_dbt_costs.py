"""What adapters report as a cost: the sums are right, and no value from outside can spoil them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.cost import NO_COST, Cost, total
from dbt_cloud_run.dbt.costs import cost_of

BIGQUERY = {
    "_message": "CREATE TABLE (99.0 rows, 3.2 KB processed)",
    "code": "CREATE TABLE",
    "rows_affected": 99,
    "bytes_processed": 3254,
    "bytes_billed": 10485760,
    "location": "EU",
    "project_id": "acme",
    "job_id": "f00d",
    "slot_ms": 1667,
}


@pytest.mark.parametrize(
    ("response", "cost"),
    [
        (BIGQUERY, Cost(bytes_processed=3254, bytes_billed=10485760, slot_ms=1667)),
        ({"_message": "OK 1", "rows_affected": 1, "data_scanned_in_bytes": 7}, Cost(bytes_processed=7)),
        ({"bytes_processed": 0, "bytes_billed": 0}, Cost(bytes_processed=0, bytes_billed=0)),
        ({"bytes_billed": 2048.0}, Cost(bytes_billed=2048)),
        # Snowflake, Databricks, Trino, DuckDB: nothing of it is a cost.
        (
            {"_message": "SUCCESS 4", "code": "SUCCESS", "rows_affected": 4, "query_id": "01b", "rows_inserted": 4},
            NO_COST,
        ),
        ({"_message": "OK", "query_id": "N/A", "job_id": "4", "job_run_id": "5", "task_run_id": "6"}, NO_COST),
        ({"_message": "SUCCESS", "query": "create", "query_id": "2026", "rows_affected": -1}, NO_COST),
        ({"_message": "OK"}, NO_COST),
        ({}, NO_COST),
    ],
)
def test_what_the_adapters_report(response: dict[str, Any], cost: Cost) -> None:
    assert cost_of(response) == cost


@pytest.mark.parametrize(
    "value",
    [None, "3.2 KB", "7", -1, -0.5, True, False, 2**60 + 1, 1e300, float("inf"), float("nan"), 0.5, [], {"a": 1}],
)
def test_a_value_that_is_no_count_costs_that_value_only(value: Any) -> None:
    assert cost_of(BIGQUERY | {"bytes_billed": value}) == Cost(bytes_processed=3254, slot_ms=1667)
    assert cost_of({"bytes_billed": value}) == NO_COST


@given(
    st.dictionaries(
        st.sampled_from(["bytes_processed", "bytes_billed", "slot_ms", "x"]),
        st.none() | st.booleans() | st.text() | st.integers() | st.floats() | st.lists(st.integers()),
    )
)
def test_no_answer_breaks_it(response: dict[str, Any]) -> None:
    cost = cost_of(response)
    found = (cost.bytes_processed, cost.bytes_billed, cost.slot_ms)
    assert all(value is None or (type(value) is int and 0 <= value <= 2**60) for value in found)


def test_sums_are_of_each_measure_by_itself() -> None:
    assert total([]) == NO_COST
    assert not total([NO_COST, Cost()])
    assert total([Cost(bytes_billed=1), Cost(slot_ms=0), Cost(bytes_billed=2**60)]) == Cost(
        bytes_billed=2**60 + 1, slot_ms=0
    )
