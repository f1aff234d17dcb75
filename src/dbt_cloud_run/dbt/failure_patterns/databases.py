"""What Postgres, Redshift and DuckDB refuse every time."""

from __future__ import annotations

from functools import partial

from dbt_cloud_run.dbt.failure_patterns.row import DATABASE, DUCKDB, POSTGRES, REDSHIFT, RUNTIME, row
from dbt_cloud_run.model import Retryability

_sure = partial(row, verdict=Retryability.DETERMINISTIC)

_DUCKDB = (
    _sure(
        DUCKDB,
        r"\bbinder error: ",
        reason="a column or type in the SQL is wrong",
        example=RUNTIME + 'Binder Error: Referenced column "timeout" not found in FROM '
        'clause!\n  Candidate bindings: "order_id"',
    ),
    _sure(
        DUCKDB,
        r"\bcatalog error: ",
        reason="an object does not exist, or is of another kind",
        example=RUNTIME + "Catalog Error: Table with name raw_orders does not exist!",
    ),
    _sure(
        DUCKDB,
        r"\bparser error: ",
        reason="the SQL is wrong",
        example=RUNTIME + 'Parser Error: syntax error at or near "form"',
    ),
    _sure(
        DUCKDB,
        r"\b(?:conversion|out of range|mismatch type|invalid type|not implemented) error: "
        r"|\binvalid input error: (?:could not (?:parse|convert|cast)|csv error|failed to cast|malformed) ",
        reason="a value does not fit its type, or the database cannot do this",
        example=RUNTIME + "Conversion Error: Could not convert string 'n/a' to INT32",
    ),
    _sure(
        DUCKDB,
        r"\bconstraint error: |\bdependency error: cannot (?:drop|alter) ",
        reason="the data breaks a constraint of the table",
        example=RUNTIME + 'Constraint Error: Duplicate key "order_id: 7" violates primary key constraint.',
    ),
    _sure(
        DUCKDB,
        r"\bno files found that match the pattern|cannot open file \"[^\"\n]{1,500}\": no such file"
        r"|\bpermission error: |missing extension error: "
        r"|http (?:get|head|post) error[^\n]{0,300}\bhttp (?:401|403|404)",
        reason="a file does not exist, or may not be read",
        example=RUNTIME + 'IO Error: No files found that match the pattern "exports/orders_*.parquet"',
    ),
)

_POSTGRES = (
    _sure(
        POSTGRES,
        r"\b(?:relation|column|function|schema|database|role|type|table|operator|user)\b:?[^\n]{0,200} does not exist",
        reason="an object does not exist",
        example=DATABASE + 'column "timeout" does not exist\n  LINE 3:     timeout,\n              ^',
    ),
    _sure(
        POSTGRES,
        r"\bpermission denied for\b|must be owner of",
        reason="the user lacks a permission",
        example=DATABASE + "permission denied for schema raw",
    ),
    _sure(
        POSTGRES,
        r"(?:password|peer|ident) authentication failed|no pg_hba\.conf entry",
        reason="the database does not let this user in",
        example='Database Error\n  connection to server at "db.shop.example" (10.0.0.5), port 5432 failed: FATAL:  '
        "password "
        'authentication failed for user "dbt"',
    ),
    _sure(
        POSTGRES,
        r"invalid input syntax for|cannot cast type|types? [^\n]{1,120} cannot be matched|value too long for type"
        r"|value too long for character type|string length exceeds ddl length|numeric field overflow"
        r"|is out of range for type"
        r"|but expression is of type|date/time field value out of range",
        reason="a value does not fit its type",
        example=DATABASE + 'invalid input syntax for type integer: "n/a"',
    ),
    _sure(
        POSTGRES,
        r"violates (?:unique|not-null|check|foreign key|exclusion) constraint|cannot insert a null value into column",
        reason="the data breaks a constraint of the table",
        example=DATABASE + 'duplicate key value violates unique constraint "orders_pkey"',
    ),
    _sure(
        POSTGRES,
        r"because other objects depend on it|must appear in the group by clause|specified more than once"
        r"|cannot change name of view column|^[ \t]*\"[^\"\n]{1,200}\" is not a (?:view|table)",
        reason="the SQL is wrong for this database",
        example=DATABASE + "cannot drop table stg_orders because other objects depend on it",
    ),
    _sure(
        POSTGRES,
        r"\bfrom-clause entry for table|each (?:union|intersect|except) query must have the same number of columns"
        r"|subquery in from must have an alias|subquery must return only one column|unterminated quoted string"
        r"|(?:aggregate|window) functions are not allowed in|argument of [a-z ]{1,40} must be type"
        r"|insert has more (?:expressions|target columns) than|zero-length delimited identifier"
        r"|for select distinct, order by expressions must"
        r"|cross-database references? (?:are not implemented|to database)",
        reason="the SQL is wrong",
        example=DATABASE + 'missing FROM-clause entry for table "timeout"\n  LINE 3: timeout.order_id',
    ),
    _sure(
        POSTGRES,
        r"more than one row returned by a subquery|command cannot affect row a second time"
        r"|no unique or exclusion constraint matching the on conflict",
        reason="several rows match where one may",
        example=DATABASE + "MERGE command cannot affect row a second time",
    ),
    _sure(
        REDSHIFT,
        r"not supported on redshift tables|missing newline: unexpected character",
        reason="the database cannot do this",
        example=DATABASE + "Specified types or functions (one per INFO message) not supported on Redshift tables.",
    ),
    _sure(
        REDSHIFT,
        r"\binvalid digit, value|value out of range for|overflow \(",
        reason="a value does not fit its type",
        example=DATABASE + "Invalid digit, Value 'n', Pos 0, Type: Integer\n"
        "  DETAIL:  error:  Invalid digit, Value 'n', Pos 0, Type: Integer code: 1207",
    ),
)

DATABASES = (*_DUCKDB, *_POSTGRES)
