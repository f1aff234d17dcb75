"""The shape of a row of the table of failure messages, and the names of the adapters."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dbt_cloud_run.planned import Retryability

ANY: frozenset[str] = frozenset()
BIGQUERY = frozenset({"bigquery"})
CLICKHOUSE = frozenset({"clickhouse"})
DUCKDB = frozenset({"duckdb"})
POSTGRES = frozenset({"postgres", "redshift"})
REDSHIFT = frozenset({"redshift"})
SNOWFLAKE = frozenset({"snowflake"})
SPARK = frozenset({"databricks", "spark"})
SQLSERVER = frozenset({"sqlserver", "fabric", "synapse"})
TRINO = frozenset({"trino", "starburst", "athena"})

KNOWN_ADAPTERS = BIGQUERY | CLICKHOUSE | DUCKDB | POSTGRES | SNOWFLAKE | SPARK | SQLSERVER | TRINO

# How dbt begins the message of a node that the warehouse refused, for the examples.
DATABASE = "Database Error in model orders (models/orders.sql)\n  "
RUNTIME = "Runtime Error in model orders (models/orders.sql)\n  "

# Where a row comes from. A vendor's own list is named by the row.
REPORTS = "public reports"
RUNS = "runs of real dbt and DuckDB"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One wording of a failure.

    `expression` is searched, case-blind, in at most 16 thousand characters; it must not take more than linear time, so
    gaps are bounded and no repetition holds another one. `example` is a message as a run result has it. `source` says
    where the wording comes from. `wraps` marks what is also said around an error that never passes
    (`Failed to connect to DB: …: Incorrect username or password`), so that it does not outweigh the error it wraps.
    """

    adapters: frozenset[str]  # empty: all
    expression: re.Pattern[str]
    verdict: Retryability
    reason: str  # for people, completes `orders failed: …`
    example: str
    source: str
    wraps: bool = False

    def applies_to(self, adapter_type: str | None) -> bool:
        """Whether this row is for the adapter; one that the table does not know is judged by all rows."""
        return not self.adapters or adapter_type not in KNOWN_ADAPTERS or adapter_type in self.adapters


def row(
    adapters: frozenset[str],
    expression: str,
    verdict: Retryability,
    reason: str,
    example: str,
    source: str = REPORTS,
    wraps: bool = False,
) -> Pattern:
    compiled = re.compile(expression, re.IGNORECASE | re.MULTILINE)
    return Pattern(adapters, compiled, verdict, reason, example, source, wraps)


def either(words: str) -> str:
    """An alternation of words that stand apart by blanks."""
    return f"(?:{'|'.join(words.split())})"
