"""What a node cost, from the adapter's answer in `run_results.json`. Pure.

Sources, as of dbt-adapters of 2026: `BigQueryAdapterResponse` (`bytes_processed`, `bytes_billed`, `slot_ms`) and
`AthenaAdapterResponse` (`data_scanned_in_bytes`). The answers of Snowflake, Databricks, Redshift, Trino, Spark,
ClickHouse, Postgres and DuckDB hold row counts, query ids and words, and nothing that is a cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbt_cloud_run.cost import NO_COST, Cost

_KEYS = {
    "bytes_processed": "bytes_processed",
    "data_scanned_in_bytes": "bytes_processed",
    "bytes_billed": "bytes_billed",
    "slot_ms": "slot_ms",
}
_LARGEST = 2**60
"""One exbibyte, or 36 million years of a slot: what is larger is no measurement."""


def cost_of(response: Mapping[str, Any]) -> Cost:
    """The cost that this `adapter_response` reports. A value that is no count costs that value only.

    Words such as `3.2 KB`, which BigQuery's adapter reports of a dry run, are no count either.
    """
    # Most answers hold none of them.
    if response.keys().isdisjoint(_KEYS):
        return NO_COST
    found = {_KEYS[key]: count for key in _KEYS if (count := _count(response.get(key))) is not None}
    return Cost(**found) if found else NO_COST


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
        return None
    return int(value) if value == int(value) else None
