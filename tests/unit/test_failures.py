"""The judgement of failures: the table's own examples, wordings that are easily mistaken, and hostile text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.dbt.failure_patterns import KNOWN_ADAPTERS, TABLE, Pattern
from dbt_cloud_run.dbt.failures import explain, explain_log, judge, judge_log
from dbt_cloud_run.planned import Retryability

DETERMINISTIC, TRANSIENT, UNKNOWN = Retryability.DETERMINISTIC, Retryability.TRANSIENT, Retryability.UNKNOWN


def _name(pattern: Pattern) -> str:
    return f"{'-'.join(sorted(pattern.adapters)) or 'any'}: {pattern.reason}"


@pytest.mark.parametrize("pattern", TABLE, ids=_name)
def test_each_row_judges_its_own_example(pattern: Pattern) -> None:
    assert pattern.source
    for adapter in pattern.adapters or {"a warehouse without rows"}:
        judgement = explain("error", pattern.example, adapter_type=adapter)
        assert judgement.retryability is pattern.verdict, judgement.reason
        if pattern.adapters:
            assert judgement.pattern is pattern, f"{adapter}: taken by the row `{judgement.reason}`"
    # Where the warehouse is not known, another one's row may take it, with the same verdict.
    assert judge("error", pattern.example) is pattern.verdict
    assert pattern.expression.search(pattern.example)


def test_table_has_rows_of_both_kinds_for_every_warehouse() -> None:
    for warehouse in KNOWN_ADAPTERS:
        verdicts = {pattern.verdict for pattern in TABLE if warehouse in pattern.adapters}
        assert {DETERMINISTIC, TRANSIENT} <= verdicts, warehouse


def test_row_of_another_warehouse_is_not_asked() -> None:
    message = "Database Error in model orders (models/orders.sql)\n  Binder Error: something new"
    assert judge("error", message, adapter_type="duckdb") is DETERMINISTIC
    assert judge("error", message, adapter_type="snowflake") is UNKNOWN
    assert judge("error", message, adapter_type="vertica") is DETERMINISTIC  # not in the table: every row is asked


DATABASE = "Database Error in model a (models/a.sql)\n  "
RUNTIME = "Runtime Error in model a (models/a.sql)\n  "

MESSAGES = [
    # A user's own names quoted in an error are no sign of the network.
    ("postgres", DETERMINISTIC, DATABASE + 'column "connection timed out" does not exist'),
    ("redshift", DETERMINISTIC, DATABASE + 'relation "raw.service_unavailable" does not exist'),
    (
        "snowflake",
        DETERMINISTIC,
        DATABASE + "000904 (42000): SQL compilation error: error line 1 at position 7\n  invalid identifier "
        "'READ_TIMEOUT'",
    ),
    ("bigquery", DETERMINISTIC, DATABASE + "Unrecognized name: deadline_exceeded at [2:3]"),
    (
        "databricks",
        DETERMINISTIC,
        DATABASE + "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name "
        "`connection reset` cannot be resolved. SQLSTATE: 42703",
    ),
    ("duckdb", DETERMINISTIC, RUNTIME + 'Binder Error: Referenced column "timeout" not found in FROM clause!'),
    # A model's name is no sign of it either, but what a compilation error says of the network is.
    (
        "snowflake",
        DETERMINISTIC,
        "Compilation Error in model read_timeout (models/timed out/read_timeout.sql)\n  'vault' is undefined.",
    ),
    (
        "snowflake",
        TRANSIENT,
        "Compilation Error in model connection (models/connection.sql)\n  The connection was reset, says the macro.",
    ),
    (
        None,
        DETERMINISTIC,
        "Compilation Error in model a (models/a.sql)\n  Could not connect: 'vault' is undefined.",
    ),
    # Forbidden is not the same as too often.
    ("redshift", DETERMINISTIC, DATABASE + "permission denied for relation orders"),
    (
        "bigquery",
        DETERMINISTIC,
        DATABASE + "403 Access Denied: Project shop: User does not have bigquery.jobs.create permission in project "
        "shop",
    ),
    (
        "bigquery",
        TRANSIENT,
        DATABASE + "403 Quota exceeded: Your table exceeded quota for imports or query appends per table, reason: "
        "quotaExceeded",
    ),
    (
        "bigquery",
        TRANSIENT,
        RUNTIME + "403 GET https://bigquery.googleapis.com/x: Job exceeded rate limits: Your user exceeded quota "
        "for concurrent project queries.",
    ),
    (
        "snowflake",
        DETERMINISTIC,
        (
            "Database Error\n  250001 (08001): None: Failed to connect to DB: ab.snowflakecomputing.com:443. "
            "Role 'X' specified in the connect string does not exist or not authorized."
        ),
    ),
    (
        "snowflake",
        TRANSIENT,
        (
            "Database Error\n  250001 (08001): None: Failed to connect to DB: ab.snowflakecomputing.com:443. "
            "Connection refused"
        ),
    ),
    (
        "postgres",
        DETERMINISTIC,
        (
            'Database Error\n  connection to server at "db" (10.0.0.1), port 5432 failed: FATAL:  database '
            '"shop" does not exist'
        ),
    ),
    (
        "postgres",
        TRANSIENT,
        (
            'Database Error\n  connection to server at "db" (10.0.0.1), port 5432 failed: FATAL:  the '
            "database system is starting up"
        ),
    ),
    # A wrapped error is what it wraps.
    (
        "databricks",
        DETERMINISTIC,
        RUNTIME + "Job aborted due to stage failure: [DIVIDE_BY_ZERO] Division by zero. SQLSTATE: 22012",
    ),
    (
        "databricks",
        TRANSIENT,
        RUNTIME + "('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))",
    ),
    (
        "databricks",
        TRANSIENT,
        RUNTIME + "Query could not be scheduled: HTTP Response code: 503. Please try again later. SQLSTATE: XX000",
    ),
    (
        "spark",
        TRANSIENT,
        (
            "Runtime Error in seed people (seeds/people.csv)\n  ('HY000', \"[HY000] Error running query: "
            "io.delta.exceptions.ProtocolChangedException: The protocol version of the Delta table has been "
            'changed by a concurrent update.")'
        ),
    ),
    (
        "bigquery",
        TRANSIENT,
        RUNTIME + "503 GET https://bigquery.googleapis.com/bigquery/v2/projects/shop/jobs/ff: \n  Visibility check "
        "was unavailable. Please retry the request and contact support if the problem persists",
    ),
    (
        "duckdb",
        TRANSIENT,
        (
            "Runtime Error in model orders (models/marts/orders.sql)\n  Invalid Input Error: IO Error: Could "
            "not read the export for orders: Connection reset by peer (attempt 1)"
        ),
    ),
    ("duckdb", TRANSIENT, RUNTIME + 'TransactionContext Error: Catalog write-write conflict on create with "a"'),
    ("duckdb", TRANSIENT, RUNTIME + "HTTP Error: HTTP GET error on 'https://files.shop.example/a.parquet' (HTTP 503)"),
    (
        "duckdb",
        DETERMINISTIC,
        RUNTIME + "HTTP Error: HTTP GET error on 'https://files.shop.example/a.parquet' (HTTP 404)",
    ),
    ("redshift", TRANSIENT, DATABASE + "SSL SYSCALL error: EOF detected"),
    ("redshift", TRANSIENT, DATABASE + "SSL connection has been closed unexpectedly"),
    ("redshift", TRANSIENT, DATABASE + "table 4711 dropped by concurrent transaction"),
    (None, TRANSIENT, "Runtime Error\n  Network unreachable"),
    # Others at work on the same objects, in the words of missing, wrong or forbidden ones.
    (
        "postgres",
        TRANSIENT,
        DATABASE + 'duplicate key value violates unique constraint "pg_namespace_nspname_index"',
    ),
    (
        "postgres",
        DETERMINISTIC,
        DATABASE + 'duplicate key value violates unique constraint "pg"\n  Key already exists.',
    ),
    ("redshift", TRANSIENT, DATABASE + "Relation with OID 4711 does not exist."),
    ("duckdb", TRANSIENT, RUNTIME + "Catalog Error: Remote catalog has changed. Please rerun the query."),
    (
        "databricks",
        TRANSIENT,
        RUNTIME + "org.apache.spark.sql.AnalysisException: MetaException(message:Rate exceeded (Service: AWSGlue; "
        "Error Code: ThrottlingException))",
    ),
    (
        "databricks",
        TRANSIENT,
        DATABASE + "[SCHEMA_ALREADY_EXISTS] Cannot create schema `ci` because it already exists. SQLSTATE: 42P06",
    ),
    ("athena", TRANSIENT, DATABASE + "Error opening split s3://raw/table/1: The key does not exist. (NoSuchKey)"),
    (None, TRANSIENT, RUNTIME + "403 Forbidden: API rate limit exceeded"),
    # What the new engine could not render is wrong, unless a query in it did not get through.
    ("snowflake", DETERMINISTIC, "error: dbt1501: Failed to render SQL: Missing context variable 'timeout'"),
    ("snowflake", TRANSIENT, "error: dbt1501: Failed to render SQL: run_query: connection reset by peer"),
    ("snowflake", UNKNOWN, "warning: dbt1013: odd\nsomething else"),
    # What may be either.
    ("postgres", UNKNOWN, DATABASE + "canceling statement due to statement timeout"),
    (
        "snowflake",
        UNKNOWN,
        DATABASE + "000630 (57014): Statement reached its statement or warehouse timeout of 600 second(s) and was "
        "canceled.",
    ),
    ("duckdb", UNKNOWN, RUNTIME + "Out of Memory Error: failed to allocate data of size 2.0 GiB"),
    (None, UNKNOWN, "ERROR"),
    (None, UNKNOWN, "An unheard-of failure"),
]


@pytest.mark.parametrize(("adapter", "expected", "message"), MESSAGES)
def test_wordings_that_are_easily_mistaken(adapter: str | None, expected: Retryability, message: str) -> None:
    assert judge("error", message, adapter_type=adapter) is expected
    assert judge("error", message.upper(), adapter_type=adapter) is expected, "in capitals"
    assert judge("ERROR", f"\x1b[31m{message}\x1b[0m", adapter_type=adapter) is expected, "in colour"


@pytest.mark.parametrize(
    ("status", "message", "resource_type", "expected"),
    [
        ("fail", "Got 3 results, configured to fail if != 0", "test", DETERMINISTIC),
        ("fail", "connection reset by peer", "test", DETERMINISTIC),
        ("fail", None, "unit_test", DETERMINISTIC),
        (
            "error",
            "Got 3 results, configured to fail if != 0",
            "test",
            DETERMINISTIC,
        ),  # the new engine's early versions
        ("error", "Runtime Error in test a (a.yml)\n  connection reset by peer", "test", TRANSIENT),
        ("error", None, "model", UNKNOWN),
        ("error", " \n", "model", UNKNOWN),
        ("error", None, "source", DETERMINISTIC),
        ("runtime error", "Runtime Error in source a (s.yml)\n  connection refused", "source", TRANSIENT),
        ("skipped", None, "model", UNKNOWN),
        ("skipped", "Skipping due to fail_fast", "model", UNKNOWN),
        ("error", "Skipping due to fail_fast", "model", UNKNOWN),
        ("partial success", "PARTIAL SUCCESS (2/3)", "model", UNKNOWN),
        ("exploded", "division by zero", "model", DETERMINISTIC),
    ],
)
def test_status_and_message(status: str, message: str | None, resource_type: str, expected: Retryability) -> None:
    judgement = explain(status, message, resource_type=resource_type)
    assert judgement.retryability is expected
    assert judgement.reason


def test_path_of_the_compiled_file_says_nothing() -> None:
    message = "Runtime Error in model a (models/a.sql)\n  Odd\n  compiled code at target/models/timed out/a.sql"
    assert judge("error", message) is UNKNOWN


def test_beginning_and_end_of_a_long_message_are_read() -> None:
    filling = "x y z\n" * 100_000
    assert judge("error", f"division by zero\n{filling}") is DETERMINISTIC
    assert judge("error", f"{filling}\nConnectionResetError: [Errno 104] Connection reset by peer") is TRANSIENT


COMPILATION = """\
\x1b[0m17:30:39  Running with dbt=1.11.16
\x1b[0m17:30:39  Registered adapter: duckdb=1.11.1
\x1b[0m17:30:40  [\x1b[33mWARNING\x1b[0m]: the hub answered late, connection timed out
\x1b[0m17:30:41  Encountered an error:
Compilation Error
  Model 'model.shop.x' (models/x.sql) depends on a node named 'nope' which was not found
"""
LOCKED = """\
17:31:10  Running with dbt=1.11.16
17:31:10  Encountered an error:
Runtime Error
  IO Error: Could not set lock on file "shop.duckdb": Conflicting lock is held in python3.11 (PID 11691).
17:31:11  Traceback (most recent call last):
  File "dbt/cli/requires.py", line 182, in wrapper
    result, success = func(*args, **kwargs)
AttributeError: 'NoneType' object has no attribute 'handle'
"""
CLONING = """\
17:31:01  Running with dbt=1.11.16
17:31:01  Encountered an error:
Internal Error
  Error checking out spec='None' for repo http://127.0.0.1:9/x.git
  Cloning into 'adcff2fb4b36b9c94c5a2d7abb904425'...
  fatal: unable to access 'http://127.0.0.1:9/x.git/': Failed to connect to 127.0.0.1 port 9 after 0 ms: Couldn't
"""
HUB = """\
17:31:03  Running with dbt=1.11.16
17:31:04  Traceback (most recent call last):
  File "dbt_common/utils/connection.py", line 38, in connection_exception_retry
    raise ConnectionError("External connection exception occurred: " + str(exc))
dbt_common.exceptions.connection.ConnectionError: External connection exception occurred: HTTPSConnectionPool(host='h')
"""


def _summary(*reports: str) -> str:
    head = (
        f"12:00:01  1 of 9 START sql table model main.a\n12:00:09  Completed with {len(reports)} errors, 0 warnings:\n"
    )
    return head + "".join(f"12:00:09  \n12:00:09  {report}" for report in reports) + "12:00:09  Done. PASS=1 ERROR=2\n"


WRONG_COLUMN = """\
Failure in model a (models/a.sql)
12:00:09    Runtime Error in model a (models/a.sql)
  Binder Error: Referenced column "b" not found in FROM clause!
"""
RESET = """\
  Database Error in model c (models/c.sql)
  server closed the connection unexpectedly
"""


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        pytest.param(COMPILATION, DETERMINISTIC, id="compilation, after a warning about a timeout"),
        pytest.param(LOCKED, TRANSIENT, id="locked, with a traceback"),
        pytest.param(CLONING, TRANSIENT, id="a package's repository out of reach"),
        pytest.param(HUB, TRANSIENT, id="a traceback alone"),
        pytest.param(_summary(WRONG_COLUMN, WRONG_COLUMN), DETERMINISTIC, id="all nodes are wrong"),
        pytest.param(_summary(WRONG_COLUMN, RESET), TRANSIENT, id="one node lost its connection"),
        pytest.param(_summary(RESET, WRONG_COLUMN), TRANSIENT, id="in the other order"),
        pytest.param(f"{CLONING}{COMPILATION}", DETERMINISTIC, id="the last error counts"),
        pytest.param("12:00:00  Running with dbt=1.11.16\n12:00:01  Found 3 models\n", UNKNOWN, id="no error in it"),
        pytest.param("Usage: dbt build [OPTIONS]\n\nError: No such option '--selct'.\n", DETERMINISTIC, id="usage"),
        pytest.param("fatal: unable to access 'https://g/': Could not resolve host: g\n", TRANSIENT, id="git alone"),
        pytest.param("Runtime Error\n  Could not find selector named n", DETERMINISTIC, id="no such selector"),
        pytest.param("", UNKNOWN, id="empty"),
    ],
)
def test_log_of_a_step_without_results(log: str, expected: Retryability) -> None:
    assert judge_log(log, adapter_type="duckdb" if "duckdb" in log else None) is expected
    assert explain_log(log.replace("\n", "\r\n")).retryability is expected, "with carriage returns"


WORDS = [
    "column ",
    '"',
    "'",
    " does not exist",
    "connection ",
    "relation: ",
    "http get error ",
    "cluster ",
    "warehouse ",
    "\n",
    " ",
    "\x1b[",
    "dbt0",
    "SQLSTATE",
    "(",
    "42",
    "python interpreter error:\n",
    "(22000): ",
    "1018 ",
    "at path [",
    "Failure in model a (",
    "Encountered an error:",
    "0",
]


@given(
    st.one_of(st.none(), st.text(), st.lists(st.sampled_from(WORDS)).map("".join)),
    st.text(max_size=20),
    st.one_of(st.none(), st.text(max_size=10), st.sampled_from(sorted(KNOWN_ADAPTERS))),
    st.one_of(st.none(), st.sampled_from(["model", "test", "unit_test", "source", "operation"])),
)
def test_no_text_breaks_it(message: str | None, status: str, adapter: str | None, resource_type: str | None) -> None:
    judgement = explain(status, message, adapter_type=adapter, resource_type=resource_type)
    assert judgement.retryability in Retryability
    assert judgement.reason
    assert explain_log(message or "", adapter_type=adapter).reason


@pytest.mark.parametrize(
    "word", [*WORDS, "a", "'a", "x\n", "not found: ", "connection to server at ", "\t", " [", "12:00:00  "]
)
def test_long_text_of_one_word_is_judged(word: str) -> None:
    text = f"x{word * (2_000_000 // len(word))}x"
    assert explain("error", text).reason
    assert explain_log(text).reason
