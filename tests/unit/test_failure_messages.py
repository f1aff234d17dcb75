"""Messages of the warehouses as dbt hands them on, each with its verdict: deterministic only if it surely lasts."""

from __future__ import annotations

import pytest

from dbt_cloud_run.dbt.failures import explain
from dbt_cloud_run.planned import Retryability

DETERMINISTIC, TRANSIENT, UNKNOWN = Retryability.DETERMINISTIC, Retryability.TRANSIENT, Retryability.UNKNOWN
HEAD = "Database Error in model orders (models/orders.sql)\n  "

MESSAGES = {
    ("snowflake", DETERMINISTIC): [
        (
            "100132 (P0000): JavaScript execution error: Uncaught ReferenceError: x is not defined in FOO at ' "
            " x' position 2"
        ),
        "002003 (02000): SQL compilation error:\n  Database 'FOO' does not exist or not authorized.",
        "091003 (55000): Failure using stage area. Cause: [Access Denied (Status Code: 403; Error Code: AccessDenied)]",
        (
            "100357 (P0000): Python Interpreter Error:\n  Traceback (most recent call last):\n    File "
            "\"_udf_code.py\", line 3, in main\n  KeyError: 'AMOUNT'"
        ),
        '100069 (22P02): Error parsing JSON: unknown keyword "n", pos 2',
        (
            "100183 (P0000): Uncaught exception of type 'STATEMENT_ERROR' on line 3 at position 4 : SQL "
            "compilation error: Object 'X' does not exist or not authorized."
        ),
        "090105 (22000): Cannot perform SELECT. This session does not have a current database.",
        (
            "Database Error\n  250001 (08001): None: Failed to connect to DB: ab.snowflakecomputing.com:443. "
            "User's default role 'X' ... The requested role does not exist"
        ),
        (
            "Database Error\n  250001 (08001): None: Failed to connect to DB: ab.snowflakecomputing.com:443. "
            "Failed to authenticate: MFA authentication is required, but none of your current MFA methods are "
            "supported for programmatic authentication."
        ),
        "000002 (0A000): Unsupported feature 'TEMPORARY VIEW'.",
        "002009 (42601): SQL compilation error: Cannot drop/replace",
        "1003 (42000): SQL compilation error: syntax error",
        "090073 (22000): Warehouse 'T' cannot be resumed because resource monitor 'M' has exceeded its quota.",
    ],
    ("snowflake", TRANSIENT): [
        (
            "000603 (XX000): SQL execution internal error:\n  Processing aborted due to error 370001:3389110; "
            "incident 1234567."
        ),
        (
            "250003 (n/a): Failed to execute request: HTTPSConnectionPool(host='x.snowflakecomputing.com', "
            "port=443): Max retries exceeded with url: /queries"
        ),
        "251012: Login request is retryable. Will be handled by authenticator",
        "000709 (02000): Statement 01b2-3c not found",
        "390114 (08001): Authentication token has expired.  The user must authenticate again.",
        "390318 (08004): OAuth access token expired. [1172527951366]",
        "390195 (08001): The session token is invalid / 390112: Your session has expired. Please login again.",
        "000610 (22000): Query execution was interrupted: a service restart aborted this statement, please retry.",
        "200001 (22000): The service is currently unavailable. Please try again later.",
        "090364 (22000): Warehouse 'TRANSFORMING' cannot be resumed because of an internal error, please retry",
        (
            "000641 (57014): Your statement '01a' was aborted because the number of waiters for this lock "
            "exceeds the 20 statements limit."
        ),
        "290503 (08001): None: 503 Service Unavailable: post https://x",
        (
            "000625 (57014): Statement '01b2-3c' has locked table 'ORDERS' in transaction 1732 and this lock "
            "has not yet been released."
        ),
        "000603 (XX000): SQL execution internal error: Processing aborted due to error 300002:1; SQL compilation error",
    ],
    ("snowflake", UNKNOWN): [
        (
            "Database Error\n  250001 (08001): None: Failed to connect to DB: ab.snowflakecomputing.com:443. "
            "Your user account has been temporarily locked due to too many failed attempts."
        ),
        "253012: Failed to parse the response",
        "000707 (02000): Data is not available.",
        "254007: The certificate is revoked or could not be validated: hostname=sfc-prod.s3.amazonaws.com",
    ],
    ("bigquery", DETERMINISTIC): [
        "Name order_id not found inside o at [12:3]",
        "Cannot access field country on a value with type ARRAY<STRUCT<name STRING>> at [4:9]",
        "Field name foo does not exist in STRUCT<a INT64> at [3:4]",
        "SELECT list expression references column order_id which is neither grouped nor aggregated at [3:5]",
        "Column name order_id is ambiguous at [3:5]",
        (
            "Duplicate column names in the result are not supported when a destination table is present. Found "
            "duplicate(s): id"
        ),
        "Column id in USING clause not found on left side of join at [9:7]",
        "Column 4 in UNION ALL has incompatible types: STRING, INT64 at [10:1]",
        "Queries in UNION ALL have mismatched column count; query 1 has 3 columns, query 2 has 4 columns at [4:1]",
        "Inserted row has wrong column count; Has 3, expected 4 at [3:1]",
        "Cannot replace a table with a different partitioning spec. Instead, DROP the table, and then recreate it.",
        "Too many partitions produced by query, allowed 4000, query produces at least 4001 partitions",
        (
            "Cannot query over table 'p.d.t' without a filter over column(s) 'ts' that can be used for "
            "partition elimination"
        ),
        "Aggregate function SUM not allowed in WHERE clause at [3:7]",
        "Type not found: VARCHAR2 at [2:9]",
        "Required field id cannot be null",
        "Scalar subquery produced more than one element",
        "Array cannot have a null element; error in writing field tags",
        "Provided Schema does not match Table p:d.t. Field x has changed type from STRING to INTEGER",
        "shop:raw.orders is not allowed for this operation because it is currently a VIEW",
        "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: abc",
        "Bad double value: n/a",
        'Table "orders" must be qualified with a dataset (e.g. dataset.table).',
        "Table-valued function not found: foo at [3:6]",
        "Invalid cast from INT64 to DATE at [3:9]",
        'Could not cast literal "x" to type DATE at [1:2]',
        'Failed to parse input string "2024-13-01"',
        "Mismatch between format character '%d' and string character 'x' at string index: 3",
        (
            "Custom quota exceeded: Your usage exceeded the custom quota for QueryUsagePerDay, which is set by "
            "your administrator."
        ),
        "Quota exceeded: Your project exceeded quota for free query bytes scanned.",
    ],
    ("bigquery", TRANSIENT): [
        "Quota exceeded: Your table exceeded quota for imports or query appends per table.",
        "The job encountered an internal error during execution and was unable to complete successfully.",
        "Transaction is aborted due to concurrent update against table p:d.t. Transaction ID: 1",
        "Operation did not complete within the designated timeout of 300 seconds.",
        "('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))",
        "503 GET https://bigquery.googleapis.com/x: Visibility check was unavailable. Please retry the request",
        (
            "An internal error occurred and the request could not be completed. This is usually caused by a "
            "transient issue. Retrying the job with back-off as described in the BigQuery SLA should solve the "
            "problem"
        ),
        "HTTPSConnectionPool(host='oauth2.googleapis.com', port=443): Max retries exceeded",
        "502 Server Error: Bad Gateway",
        "Error while reading data, error message: Failed to read the spreadsheet. Errors: Deadline=118.99s",
        "Access Denied: Table p:d.t: rateLimitExceeded",
    ],
    ("databricks", DETERMINISTIC): [
        "A schema mismatch detected when writing to the Delta table (Table ID: x).",
        "[DELTA_TABLE_NOT_FOUND] Delta table `x` doesn't exist.",
        "[INVALID_ARRAY_INDEX] The index 3 is out of bounds.",
        "Error during request to server: RESOURCE_DOES_NOT_EXIST: No cluster found matching: 0712",
        "Error during request to server: : Invalid access token.",
        "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have SELECT on table",
        "User does not have USE CATALOG on Catalog 'main'.",
        "[NOT_NULL_CONSTRAINT_VIOLATION]",
        (
            '[MISSING_AGGREGATION] The non-aggregating expression "a" is based on columns which are not '
            "participating in the GROUP BY clause. SQLSTATE: 42803"
        ),
        (
            "[UC_COMMAND_NOT_SUPPORTED.WITHOUT_RECOMMENDATION] The command is not supported in Unity Catalog. "
            "SQLSTATE: 0AKUC"
        ),
        "CHECK constraint amount_positive (amount > 0) violated by row with values: - amount : -1",
        "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `session_closed` cannot be resolved. SQLSTATE: 42703",
    ],
    ("databricks", TRANSIENT): [
        (
            "[FAILED_READ_FILE.FILE_NOT_EXIST] Error while reading file s3://x. File does not exist. It is "
            "possible the underlying files have been updated. SQLSTATE: KD001"
        ),
        (
            "Error during request to server: HTTP Response code: 503, Error message: TEMPORARILY_UNAVAILABLE: "
            "The service at /sql/1.0/endpoints is temporarily unavailable."
        ),
        "ERROR: Error opening session: <urlopen error EOF occurred in violation of protocol (_ssl.c:1129)>",
        (
            "[DELTA_CONCURRENT_DELETE_READ] ConcurrentDeleteReadException: This transaction attempted to read "
            "one or more files that were deleted"
        ),
        "Query has been timed out due to inactivity.",
        "Workload failed, see run output for details: Run failed with: Could not reach driver of cluster 0712-1.",
        (
            "Error: Cannot reserve warehouse: QUOTA_EXCEEDED / cluster launch failed: "
            "AWS_INSUFFICIENT_INSTANCE_CAPACITY_FAILURE"
        ),
        "SparkException: Job aborted: Exception thrown in awaitResult: org.apache.spark.rpc.RpcTimeoutException",
        "[SESSION_CLOSED] / INVALID_HANDLE.SESSION_CLOSED: The handle is invalid. Session was closed. SQLSTATE: HY000",
        "403 Forbidden: Authentication is temporarily unavailable",
    ],
    ("databricks", UNKNOWN): [
        "[INTERNAL_ERROR] The Spark SQL phase execution failed with an internal error. SQLSTATE: XX000",
    ],
    ("redshift", DETERMINISTIC): [
        "{'S': 'ERROR', 'C': '42P01', 'M': 'relation \"raw.orders\" does not exist', 'F': 'parse_relation.c'}",
        "{'S': 'ERROR', 'C': '42703', 'M': 'column o.x does not exist'}",
        "{'S': 'ERROR', 'C': '42501', 'M': 'must be owner of relation orders'}",
        "Value too long for character type\n  DETAIL:  error:  Value too long for character type code: 8001",
        "String length exceeds DDL length",
        "Numeric data overflow (result precision)",
        "Spectrum Scan Error. S3Error AccessDenied",
        'cross-database reference to database "x" is not supported',
        "Specified types or functions (one per INFO message) not supported on Redshift tables.",
        'column "x" is of type integer but expression is of type character varying',
        "Missing newline: Unexpected character",
        'relation "s1018" does not exist',
    ],
    ("redshift", TRANSIENT): [
        "('communication error', BrokenPipeError(32, 'Broken pipe'))",
        (
            "BrokenPipe: server socket closed. Please check that client side networking configurations such as "
            "Proxies, firewalls, VPN, etc. are not affecting your network connection."
        ),
        "('communication error', TimeoutError('The read operation timed out'))",
        "connection time out",
        "could not open relation with OID 123",
        "{'S': 'ERROR', 'C': '57P03', 'M': 'the database system is in recovery mode'}",
        "Query (1234) cancelled: Leader node restarted / 57P01: terminating connection due to administrator command",
        (
            "{'S': 'ERROR', 'C': 'XX000', 'M': '1023', 'D': 'Serializable isolation violation on table - 1, "
            "transactions forming the cycle are: 1, 2 (pid:3)'}"
        ),
        "1018\n  DETAIL:  Relation does not exist.",
        "{'S': 'FATAL', 'C': '53300', 'M': 'remaining connection slots are reserved'}",
        "{'S': 'ERROR', 'C': 'XX000', 'M': '1018', 'D': 'Relation does not exist.'}",
    ],
    ("postgres", DETERMINISTIC): [
        'missing FROM-clause entry for table "o"\n  LINE 3',
        'invalid reference to FROM-clause entry for table "o"',
        "each UNION query must have the same number of columns",
        "subquery in FROM must have an alias",
        "more than one row returned by a subquery used as an expression",
        "aggregate functions are not allowed in WHERE",
        "window functions are not allowed in WHERE",
        "subquery must return only one column",
        "argument of WHERE must be type boolean, not type text",
        'cannot change name of view column "a" to "b"',
        '"orders" is not a view',
        "there is no unique or exclusion constraint matching the ON CONFLICT specification",
        "MERGE command cannot affect row a second time",
        'null value in column "id" of relation "orders" violates not-null constraint',
        "INSERT has more expressions than target columns",
        "function sum(text) does not exist\n  HINT: No function matches",
        'unterminated quoted string at or near "\'x"',
        'column "id" specified more than once',
        'cross-database references are not implemented: "a.b.c"',
        "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
        "zero-length delimited identifier at or near",
        'FATAL:  database "shop" does not exist',
        (
            'duplicate key value violates unique constraint "tables_pkey"\n  DETAIL:  Key (schema, '
            "table)=(public, orders) already exists."
        ),
        'column "query_wait_timeout" does not exist',
        'relation "raw.found_a_cycle" does not exist',
    ],
    ("postgres", UNKNOWN): [
        "cannot execute CREATE TABLE in a read-only transaction",
    ],
    ("postgres", TRANSIENT): [
        "SSL SYSCALL error: EOF detected",
        "SSL SYSCALL error: Connection timed out",
        "SSL connection has been closed unexpectedly",
        "canceling statement due to lock timeout",
        "canceling statement due to conflict with recovery\n  DETAIL:  User was holding a relation lock for too long.",
        "FATAL:  the database system is not yet accepting connections",
        "FATAL:  pgbouncer: query_wait_timeout",
        "could not receive data from server: Connection reset by peer",
        'schema "dbt_tmp" does not exist -- cache lookup failed for relation 123',
        "tuple concurrently updated",
        "could not serialize access due to read/write dependencies among transactions",
        'relation "orders__dbt_backup" already exists',
        "cursor already closed",
        "connection already closed",
        (
            'duplicate key value violates unique constraint "pg_class_relname_nsp_index"\n  DETAIL:  Key '
            "(relname, relnamespace)=(a, 1) already exists."
        ),
    ],
    ("duckdb", DETERMINISTIC): [
        "Invalid Input Error: Could not parse string",
        'Dependency Error: Cannot drop entry "stg" because there are entries that depend on it.',
        "Catalog Error: Schema with name raw does not exist!",
        'IO Error: Cannot open file "data/x.csv": No such file or directory',
    ],
    ("duckdb", TRANSIENT): [
        "IO Error: Connection error for HTTP HEAD to 'https://x'",
        "HTTP Error: HTTP GET error on 'https://x' (HTTP 503)",
    ],
    ("bigquery", UNKNOWN): [
        "Resources exceeded during query execution: Not enough resources for query planning at [12:3]",
    ],
}


@pytest.mark.parametrize(
    ("adapter", "verdict", "message"),
    [(adapter, verdict, message) for (adapter, verdict), found in MESSAGES.items() for message in found],
)
def test_message(adapter: str, verdict: Retryability, message: str) -> None:
    whole = message if message.startswith("Database Error") else HEAD + message
    for text in (whole, whole.upper()):
        judgement = explain("error", text, adapter_type=adapter)
        assert judgement.retryability is verdict, judgement.reason
