"""What Postgres and Redshift say."""

from __future__ import annotations

from functools import partial

from dbt_cloud_run.dbt.failure_patterns.row import DATABASE, POSTGRES, REDSHIFT, row
from dbt_cloud_run.planned import Retryability

_CODES = "PostgreSQL's error codes, and public reports"

_passing = partial(row, POSTGRES, verdict=Retryability.TRANSIENT, source=_CODES)
_unsure = partial(row, POSTGRES, verdict=Retryability.UNKNOWN, source=_CODES)
_sure = partial(row, POSTGRES, verdict=Retryability.DETERMINISTIC, source=_CODES)
_passing_redshift = partial(row, REDSHIFT, verdict=Retryability.TRANSIENT)
_sure_redshift = partial(row, REDSHIFT, verdict=Retryability.DETERMINISTIC)


FIRST = (
    _passing_redshift(
        r"serializable isolation violation|conflict with concurrent transaction|dropped by concurrent transaction"
        r"|\b1018\b[^\n]{0,20}\n?[^\n]{0,40}\brelation does not exist",
        reason="it collided with another transaction",
        example=DATABASE + "1023\n  DETAIL:  Serializable isolation violation on table - "
        "100167, transactions forming the cycle are: 55705701, 55705754 (pid:16606)",
    ),
    _passing(
        r"'c': '(?:08|40|53300|55p03|55006|57p)[0-9a-z]{0,3}'|cached plan must not change result type"
        r"|is being accessed by other users"
        r"|deadlock detected|could not serialize access due to|tuple concurrently (?:updated|deleted)"
        r"|due to lock timeout"
        r"|due to conflict with recovery|could not obtain lock on|fatal:\s{1,4}(?:pgbouncer: )?query_wait_timeout"
        r"|\bcursor already closed\b",
        reason="it collided with another transaction",
        example=DATABASE + "deadlock detected\n  DETAIL:  Process 4711 waits for "
        "AccessExclusiveLock on relation 16402; blocked by process 4712.",
    ),
    _passing(
        r"violates unique constraint \"pg_|\bschema \"?pg_temp_|\bwith oid \d{1,12} does not exist"
        r"|could not open relation with oid"
        r"|cache lookup failed for",
        reason="another transaction made or dropped the object meanwhile",
        example=DATABASE + 'duplicate key value violates unique constraint "pg_type_typname_nsp_index"\n'
        "  DETAIL:  Key (typname, typnamespace)=(orders__dbt_tmp, 2200) already exists.",
    ),
)

REFUSED = (
    _sure(
        r"\b(?:relation|column|function|schema|database|role|type|table|operator|user)\b:?[^\n]{0,200} does not exist",
        reason="an object does not exist",
        example=DATABASE + 'column "timeout" does not exist\n  LINE 3:     timeout,\n              ^',
    ),
    _sure(
        r"\bpermission denied for\b|must be owner of",
        reason="the user lacks a permission",
        example=DATABASE + "permission denied for schema raw",
    ),
    _sure(
        r"(?:password|peer|ident) authentication failed|no pg_hba\.conf entry",
        reason="the database does not let this user in",
        example='Database Error\n  connection to server at "db.shop.example" (10.0.0.5), port 5432 failed: FATAL:  '
        "password "
        'authentication failed for user "dbt"',
    ),
    _sure(
        r"\binvalid byte sequence for encoding|\binvalid (?:regular expression|json|xml)\b"
        r"|\bcannot extract elements from\b"
        r"|\binvalid value \"[^\"\n]{0,200}\" for \"|\bvalue must be an integer\b|\bis out of range\b"
        r"|invalid input syntax for|cannot cast type|types? [^\n]{1,120} cannot be matched|value too long for type"
        r"|value too long for character type|string length exceeds ddl length|numeric field overflow"
        r"|is out of range for type"
        r"|but expression is of type|date/time field value out of range",
        reason="a value does not fit its type",
        example=DATABASE + 'invalid input syntax for type integer: "n/a"',
    ),
    _sure(
        r"violates (?:unique|not-null|check|foreign key|exclusion) constraint|cannot insert a null value into column",
        reason="the data breaks a constraint of the table",
        example=DATABASE + 'duplicate key value violates unique constraint "orders_pkey"',
    ),
    _sure(
        r"because other objects depend on it|must appear in the group by clause|specified more than once"
        r"|cannot change name of view column|^[ \t]{0,40}\"[^\"\n]{1,200}\" is not a (?:view|table)",
        reason="the SQL is wrong for this database",
        example=DATABASE + "cannot drop table stg_orders because other objects depend on it",
    ),
    _sure(
        r"\bcannot insert multiple commands into\b|\b(?:limit|offset) must not be negative|\bset-returning functions "
        r"|\bwindow function calls cannot be nested|\baggregate function calls cannot be nested"
        r"|\bcolumn reference \"[^\"\n]{1,200}\" is ambiguous|\bfrom-clause entry for table"
        r"|each (?:union|intersect|except) query must have the same number of columns"
        r"|subquery in from must have an alias|subquery must return only one column|unterminated quoted string"
        r"|(?:aggregate|window) functions are not allowed in|argument of [a-z ]{1,40} must be type"
        r"|insert has more (?:expressions|target columns) than|zero-length delimited identifier"
        r"|for select distinct, order by expressions must"
        r"|cross-database references? (?:are not implemented|to database)",
        reason="the SQL is wrong",
        example=DATABASE + 'missing FROM-clause entry for table "timeout"\n  LINE 3: timeout.order_id',
    ),
    _sure(
        r"more than one row returned by a subquery|command cannot affect row a second time"
        r"|no unique or exclusion constraint matching the on conflict",
        reason="several rows match where one may",
        example=DATABASE + "MERGE command cannot affect row a second time",
    ),
    _sure_redshift(
        r"not supported on redshift tables|missing newline: unexpected character|\(clusternotfound\)"
        r"|\bstl_load_errors\b",
        reason="the database or its cluster cannot do this",
        example=DATABASE + "Specified types or functions (one per INFO message) not supported on Redshift tables.",
    ),
    _sure_redshift(
        r"\binvalid digit, value|value out of range for|overflow \(",
        reason="a value does not fit its type",
        example=DATABASE + "Invalid digit, Value 'n', Pos 0, Type: Integer\n"
        "  DETAIL:  error:  Invalid digit, Value 'n', Pos 0, Type: Integer code: 1207",
    ),
)

LAST = (
    _passing(
        r"too many (?:clients|connections)|remaining connection slots"
        r"|database system is (?:starting|shutting|in recovery|not yet accepting)"
        r"|terminating connection due to|cluster is (?:paused|resuming|unavailable)",
        reason="the database was full, or not up",
        example="Database Error\n  FATAL:  sorry, too many clients already",
    ),
)
