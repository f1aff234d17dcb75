"""A row of a `run_results.json`, its arguments, and a table of a `catalog.json`, as dbt writes them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from benchmarks.shapes import DATABASE, EXECUTED, NOW, SCHEMA, Column, as_time, name_of


def result_row(unique_id: str, status: str, compiled: str, relation: str | None, rng: random.Random) -> dict[str, Any]:
    seconds = round(rng.lognormvariate(0.5, 1.0), 6)
    begun = NOW - timedelta(seconds=rng.uniform(120, 1700))
    is_model = unique_id.startswith("model.")
    rows = rng.randrange(2_000_000)
    said = "Got 3 results, configured to warn if != 0" if status == "warn" else None
    response = (
        {"_message": f"SELECT {rows}", "code": "SELECT", "rows_affected": rows} if is_model else {"_message": "OK"}
    )
    return {
        "status": status,
        "timing": [
            {"name": "compile", "started_at": as_time(begun), "completed_at": as_time(begun + timedelta(seconds=0.02))},
            {
                "name": "execute",
                "started_at": as_time(begun + timedelta(seconds=0.02)),
                "completed_at": as_time(begun + timedelta(seconds=0.02 + seconds)),
            },
        ],
        "thread_id": f"Thread-{rng.randrange(1, 17)} (worker)",
        "execution_time": seconds,
        "adapter_response": response,
        "message": response["_message"] if is_model else said,
        "failures": None if is_model else 3 if status == "warn" else 0,
        "unique_id": unique_id,
        "compiled": True,
        "compiled_code": compiled,
        "relation_name": relation,
        "batch_results": None,
    }  # fmt: skip


def run_args() -> dict[str, Any]:
    return {"which": EXECUTED, "invocation_command": "dbt build", "select": [], "exclude": [], "vars": {}}


def catalog_table(unique_id: str, columns: Sequence[Column]) -> dict[str, Any]:
    place = {"type": "BASE TABLE", "schema": SCHEMA, "name": name_of(unique_id), "database": DATABASE}
    return {
        "metadata": {**place, "comment": None, "owner": "dbt"},
        "columns": {
            name: {"type": kind, "index": number, "name": name, "comment": None}
            for number, (name, kind, _) in enumerate(columns, 1)
        },
        "stats": {
            "has_stats": {"id": "has_stats", "label": "Has Stats?", "value": False, "include": False,
                          "description": "Indicates whether there are statistics for this table"},
        },
        "unique_id": unique_id,
    }  # fmt: skip
