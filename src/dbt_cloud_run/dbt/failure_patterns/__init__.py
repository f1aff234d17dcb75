"""The table of failure messages, one module for each warehouse. The first row that is found decides, so the order is
the precedence:

1. what dbt itself says, which begins with its own words (`Compilation Error`), whatever is quoted after them;
2. codes and wordings of what passes or may pass (`rateLimitExceeded`, `(1205)`, `deadlock detected`), because they come
   wrapped in words of the next group (`403 Forbidden`, `USER_ERROR`, the SQL state `42000`);
3. what a warehouse refuses every time, by code and then by wording: wrong SQL, missing or forbidden objects, data that
   does not fit. It comes before the general wordings because such messages quote the user's own names (a column
   `timeout`);
4. the general wordings: what may be either, and is said to be unknown rather than guessed, then networks and servers;
5. a template that could not be rendered, which may quote any of the above.

A message that a row of 1 or 3 takes is deterministic only if no row of `PASSING` is found outside of what it quotes: a
deadlock that quotes a syntax word, or a timeout inside of a compilation error, is retried.
"""

from __future__ import annotations

from dbt_cloud_run.dbt.failure_patterns import (
    bigquery,
    clickhouse,
    common,
    duckdb,
    postgres,
    snowflake,
    spark,
    sqlserver,
    trino,
)
from dbt_cloud_run.dbt.failure_patterns.dbt import DBT, RENDERING
from dbt_cloud_run.dbt.failure_patterns.row import KNOWN_ADAPTERS, Pattern
from dbt_cloud_run.planned import Retryability

__all__ = ["KNOWN_ADAPTERS", "PASSING", "TABLE", "Pattern"]

_FIRST = (
    *trino.FIRST,
    *sqlserver.FIRST,
    *clickhouse.FIRST,
    *snowflake.FIRST,
    *bigquery.FIRST,
    *spark.FIRST,
    *duckdb.FIRST,
    *postgres.FIRST,
    *common.FIRST,
)
_REFUSED = (
    *trino.REFUSED,
    *sqlserver.REFUSED,
    *clickhouse.REFUSED,
    *snowflake.REFUSED,
    *bigquery.REFUSED,
    *spark.REFUSED,
    *duckdb.REFUSED,
    *postgres.REFUSED,
    *common.REFUSED,
)
_LAST = (
    *common.UNDECIDED,
    *trino.LAST,
    *sqlserver.LAST,
    *snowflake.LAST,
    *bigquery.LAST,
    *spark.LAST,
    *duckdb.LAST,
    *postgres.LAST,
    *common.LAST,
)

# A row that only names a wrapper decides where no other one says what is wrapped.
_WRAPPERS_LAST = sorted(_LAST, key=lambda row: row.wraps)

TABLE: tuple[Pattern, ...] = (*DBT, *_FIRST, *_REFUSED, *_WRAPPERS_LAST, *RENDERING)

PASSING: tuple[Pattern, ...] = tuple(
    pattern for pattern in TABLE if pattern.verdict is not Retryability.DETERMINISTIC and not pattern.wraps
)
"""The rows that outweigh a deterministic one."""
