"""An asset materialization, as it travels to the reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dbt_cloud_run.cost import Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """An asset materialization; field names are those of `assets.json`. Times are ISO 8601 in UTC when written."""

    key: str
    unique_id: str
    name: str
    resource_type: str
    materialization: str | None
    relation_name: str
    status: str
    description: str
    owners: tuple[str, ...]
    group: str | None
    tags: tuple[str, ...]
    upstream: tuple[str, ...]
    run_id: int
    step: int
    attempt: int
    started_at: datetime | None
    completed_at: datetime | None
    execution_seconds: float
    rows_affected: int | None
    adapter_response: Mapping[str, Any]
    cost: Cost | None  # of the execution that built it; None where the adapter reports none
    tests: Mapping[str, int]
    file: str | None
    url: str | None
