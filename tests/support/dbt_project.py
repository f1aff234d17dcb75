"""A small dbt project for tests: a seed and tables, and models that fail or take long."""

from __future__ import annotations

from pathlib import Path

PROJECT = """name: tiny
version: "1.0"
profile: tiny
models:
  tiny:
    +materialized: table
"""
SCHEMA = """models:
  - name: first
    columns:
      - name: n
        data_tests: [not_null]
"""


def write_tiny_project(folder: Path, files: dict[str, str] | None = None) -> Path:
    """Write `seeds/numbers.csv`, `models/first.sql`, `models/second.sql` and what `files` adds or replaces."""
    content = {
        "dbt_project.yml": PROJECT,
        "seeds/numbers.csv": "n\n1\n2\n3\n",
        "models/first.sql": "select n from {{ ref('numbers') }}\n",
        "models/second.sql": "select n * 2 as doubled from {{ ref('first') }}\n",
        "models/schema.yml": SCHEMA,
        **(files or {}),
    }
    for name, text in content.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


def fails_until(marker: Path) -> str:
    """A model that fails until the file `marker` exists."""
    test = f"(select count(*) from glob('{marker}')) = 0"  # noqa: S608 -- a path of the test's own
    return f"select case when {test} then error('Connection reset by peer') end as n\n"


def takes_long(rows: int = 60_000_000_000) -> str:
    """A model that computes for much longer than any test waits."""
    return f"select sum(range % 7) as n from range({rows})\n"  # noqa: S608 -- a number
