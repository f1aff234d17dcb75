"""What DuckDB and MotherDuck say."""

from __future__ import annotations

from functools import partial

from dbt_cloud_run.dbt.failure_patterns.row import DUCKDB, RUNS, RUNTIME, row
from dbt_cloud_run.planned import Retryability

_passing = partial(row, DUCKDB, verdict=Retryability.TRANSIENT, source=RUNS)
_unsure = partial(row, DUCKDB, verdict=Retryability.UNKNOWN, source=RUNS)
_sure = partial(row, DUCKDB, verdict=Retryability.DETERMINISTIC, source=RUNS)


FIRST = (
    _passing(
        r"could not set lock on file|conflicting lock is held|\btransactioncontext error: |write-write conflict"
        r"|\banother entry with this name already exists|\bunique file handle conflict\b"
        r"|\balready attached by database\b"
        r"|\btransaction conflict\b|\bfailed to commit (?:ducklake )?transaction\b"
        r"|remote catalog has changed",
        reason="another process or transaction held the database",
        example='Runtime Error\n  IO Error: Could not set lock on file "/data/shop.duckdb": Conflicting lock is held '
        "in "
        "python3.13 (PID 4711).",
    ),
)

REFUSED = (
    _sure(
        r"\btrying to read a database file with version number \d|in read-only mode: database does not exist"
        r"|\bserialization error: |\bis not a valid duckdb "
        r"database file|\bsame database file with a different configuration",
        reason="this DuckDB cannot read the database file",
        example="Runtime Error\n  IO Error: Trying to read a database file with version number 51, but we can only "
        "read version 64.",
    ),
    _sure(
        r"\bbinder error: ",
        reason="a column or type in the SQL is wrong",
        example=RUNTIME + 'Binder Error: Referenced column "timeout" not found in FROM '
        'clause!\n  Candidate bindings: "order_id"',
    ),
    _sure(
        r"\bcatalog error: ",
        reason="an object does not exist, or is of another kind",
        example=RUNTIME + "Catalog Error: Table with name raw_orders does not exist!",
    ),
    _sure(
        r"\bparser error: ",
        reason="the SQL is wrong",
        example=RUNTIME + 'Parser Error: syntax error at or near "form"',
    ),
    _sure(
        r"\b(?:conversion|out of range|mismatch type|invalid type|not implemented) error: "
        r"|\binvalid input error: (?:could not (?:parse|convert|cast)|csv error|failed to cast|malformed) ",
        reason="a value does not fit its type, or the database cannot do this",
        example=RUNTIME + "Conversion Error: Could not convert string 'n/a' to INT32",
    ),
    _sure(
        r"\bconstraint error: |\bdependency error: cannot (?:drop|alter) ",
        reason="the data breaks a constraint of the table",
        example=RUNTIME + 'Constraint Error: Duplicate key "order_id: 7" violates primary key constraint.',
    ),
    _sure(
        r"\bno files found that match the pattern|cannot open file \"[^\"\n]{1,500}\": no such file"
        r"|\bpermission error: |missing extension error: |cannot open file \"[^\"\n]{1,500}\": permission denied"
        r"|http (?:get|head|post) error[^\n]{0,300}\bhttp (?:401|403|404)",
        reason="a file does not exist, or may not be read",
        example=RUNTIME + 'IO Error: No files found that match the pattern "exports/orders_*.parquet"',
    ),
)

LAST = (
    _passing(
        r"\b(?:io|http|network) error: ",
        reason="a file or address could not be read",
        # It may also be a file that never was there.
        wraps=True,
        example=RUNTIME + 'IO Error: Could not read enough bytes from file "exports/orders.csv"',
    ),
    _unsure(
        r"^[ \t]{0,40}(?:internal|fatal) error: ",
        reason="the database had an error of its own",
        example=RUNTIME + "INTERNAL Error: Attempted to access index 3 within vector of size 3",
    ),
)
