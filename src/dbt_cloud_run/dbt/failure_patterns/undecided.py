"""Known wordings that may be the load of the hour or the query itself. Said to be unknown, which is tried again."""

from __future__ import annotations

from functools import partial

from dbt_cloud_run.dbt.failure_patterns.row import ANY, DATABASE, DUCKDB, RUNTIME, SNOWFLAKE, row
from dbt_cloud_run.model import Retryability

_unsure = partial(row, verdict=Retryability.UNKNOWN)

UNDECIDED = (
    _unsure(
        ANY,
        r"\bskipping due to fail_fast\b",
        reason="it did not run, because something else had failed",
        example="Skipping due to fail_fast",
    ),
    _unsure(
        ANY,
        r"^partial success \(\d+/\d+\)",
        reason="some of its batches failed",
        example="PARTIAL SUCCESS (2/3)",
    ),
    _unsure(
        ANY,
        r"\bout of memory\b|\boutofmemoryerror\b|\bresources exceeded during query execution\b"
        r"|\bmemory limit exceeded\b",
        reason="it ran out of memory",
        example=DATABASE + "Resources exceeded during query execution: The query could "
        "not be executed in the allotted memory. Peak usage: 118% of limit.",
    ),
    _unsure(
        ANY,
        r"\bdisk full\b|\bno space left on device\b|\btemporary file size exceeds\b",
        reason="it ran out of disk",
        example=DATABASE + "Disk Full\n  DETAIL:  error:  Disk Full code: 1016",
    ),
    _unsure(
        ANY,
        r"\bstatement[ _]timeout\b|statement or warehouse timeout|query execution time limit"
        r"|exceeded the maximum execution time",
        reason="the statement took longer than is allowed",
        example=DATABASE + "canceling statement due to statement timeout",
    ),
    _unsure(
        ANY,
        r"sql execution canceled|cancell?ed on user'?s? request|due to user request|interrupt error: |wlm abort action"
        r"|query was cancell?ed",
        reason="somebody or something cancelled the statement",
        example=DATABASE + "000604 (57014): SQL execution canceled",
    ),
    _unsure(
        SNOWFLAKE,
        r"no active warehouse selected",
        reason="there was no warehouse to run on",
        example=DATABASE + "000606 (57P03): No active warehouse selected in the current session.",
    ),
    _unsure(
        SNOWFLAKE,
        r"jwt token is invalid",
        reason="the key pair was refused, or the log-in waited too long in the queue",
        example="Database Error\n  250001 (08001): None: Failed to connect to DB: "
        "ab12345.snowflakecomputing.com:443. JWT token is "
        "invalid.",
    ),
    _unsure(
        DUCKDB,
        r"^[ \t]*(?:internal|fatal) error: ",
        reason="the database had an error of its own",
        example=RUNTIME + "INTERNAL Error: Attempted to access index 3 within vector of size 3",
    ),
)
