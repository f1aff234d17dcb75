"""What Trino, Starburst and Athena say. Both name each error: `name=SYNTAX_ERROR` there, `SYNTAX_ERROR: …` here."""

from __future__ import annotations

from functools import partial

from dbt_cloud_run.dbt.failure_patterns.row import DATABASE, RUNTIME, TRINO, either, row
from dbt_cloud_run.planned import Retryability

_CODES = "Trino's StandardErrorCode and the error codes of its Hive, Iceberg and Delta Lake connectors"
_AWS = "Amazon Athena's, Glue's and S3's error codes"

_passing = partial(row, TRINO, verdict=Retryability.TRANSIENT, source=_CODES)
_unsure = partial(row, TRINO, verdict=Retryability.UNKNOWN, source=_CODES)
_sure = partial(row, TRINO, verdict=Retryability.DETERMINISTIC, source=_CODES)


def _named(words: str) -> str:
    """The names as Trino's Python client and as Athena write them."""
    return rf"\b{either(words)}(?:: |, message=)"


FIRST = (
    _passing(
        _named(
            "PAGE_TRANSPORT_ERROR PAGE_TRANSPORT_TIMEOUT NO_NODES_AVAILABLE REMOTE_TASK_ERROR REMOTE_TASK_MISMATCH "
            "REMOTE_HOST_GONE REMOTE_BUFFER_CLOSE_FAILED TOO_MANY_REQUESTS_FAILED ABANDONED_TASK ABANDONED_QUERY "
            "SERVER_SHUTTING_DOWN SERVER_STARTING_UP"
        ),
        reason="the cluster lost a machine, or was not up",
        example=DATABASE + "TrinoQueryError(type=INTERNAL_ERROR, name=PAGE_TRANSPORT_TIMEOUT, "
        'message="Encountered too many errors talking to a worker node.", query_id=20260101_000000_00001_aaaaa)',
    ),
    _passing(
        _named("QUERY_QUEUE_FULL ADMINISTRATIVELY_PREEMPTED ADMINISTRATIVELY_KILLED CLUSTER_OUT_OF_MEMORY"),
        reason="the cluster was too busy",
        example=DATABASE + "TrinoQueryError(type=INSUFFICIENT_RESOURCES, name=QUERY_QUEUE_FULL, "
        'message="Too many queued queries for \\"global.dbt\\"", query_id=20260101_000000_00001_aaaaa)',
    ),
    _passing(
        _named(
            "TRANSACTION_CONFLICT ICEBERG_COMMIT_ERROR HIVE_CONCURRENT_MODIFICATION_DETECTED "
            "HIVE_TABLE_DROPPED_DURING_QUERY HIVE_PARTITION_DROPPED_DURING_QUERY ALREADY_EXISTS TABLE_ALREADY_EXISTS "
            "SCHEMA_ALREADY_EXISTS"
        ),
        reason="another statement changed the table meanwhile",
        example=RUNTIME + "ICEBERG_COMMIT_ERROR: Failed to commit Iceberg update to table: marts.orders",
    ),
    _passing(
        _named(
            "HIVE_METASTORE_ERROR HIVE_CANNOT_OPEN_SPLIT HIVE_FILESYSTEM_ERROR HIVE_FILE_NOT_FOUND HIVE_CURSOR_ERROR "
            "HIVE_WRITER_OPEN_ERROR HIVE_WRITER_CLOSE_ERROR HIVE_WRITER_DATA_ERROR ICEBERG_CANNOT_OPEN_SPLIT "
            "ICEBERG_CATALOG_ERROR ICEBERG_CURSOR_ERROR ICEBERG_MISSING_DATA DELTA_LAKE_FILESYSTEM_ERROR"
        )
        # A file that may not be read is named the same.
        + r"(?![^\n]{0,400}\b(?:access ?denied|lake formation permission))",
        reason="a file or the metastore could not be read",
        example=RUNTIME + "HIVE_CANNOT_OPEN_SPLIT: Error opening Hive split s3://shop/orders/1.parquet (offset=0, "
        "length=1): File does not exist: s3://shop/orders/1.parquet",
    ),
    _passing(
        r"\ban error occurred \("
        + either(
            "SlowDown InternalError InternalServerError InternalServerException InternalFailure ServiceUnavailable "
            "ServiceUnavailableException ThrottlingException Throttling TooManyRequestsException RequestTimeout "
            "RequestTimeTooSkewed ConcurrentModificationException ConcurrentRunsExceededException "
            "AlreadyExistsException ExpiredToken ExpiredTokenException OperationTimeoutException"
        )
        + r"\)|\bconcurrentmodificationexception\b|\brequest rate\b|\bexceeded the limit for the number of queries",
        reason="AWS was too busy, or another request changed the object",
        example=RUNTIME + "An error occurred (ConcurrentModificationException) when calling the UpdateTable operation: "
        "Update table failed due to concurrent modifications.",
        source=_AWS,
    ),
    _unsure(
        _named(
            "UNKNOWN_TRANSACTION NOT_IN_TRANSACTION TRANSACTION_ALREADY_ABORTED USER_CANCELED NOT_FOUND "
            "QUERY_REJECTED EXCEEDED_FUNCTION_MEMORY_LIMIT OPTIMIZER_TIMEOUT OUT_OF_SPILL_SPACE EXCEEDED_TIME_LIMIT "
            "EXCEEDED_CPU_LIMIT EXCEEDED_SCAN_LIMIT EXCEEDED_SPILL_LIMIT EXCEEDED_LOCAL_MEMORY_LIMIT "
            "EXCEEDED_GLOBAL_MEMORY_LIMIT GENERIC_INSUFFICIENT_RESOURCES ICEBERG_FILESYSTEM_ERROR "
            "HIVE_PATH_ALREADY_EXISTS"
        ),
        reason="the load of the hour or the query itself was too much, or a transaction was lost",
        example=DATABASE + "TrinoQueryError(type=INSUFFICIENT_RESOURCES, name=EXCEEDED_LOCAL_MEMORY_LIMIT, "
        'message="Query exceeded per-node memory limit of 4GB", query_id=20260101_000000_00001_aaaaa)',
    ),
    _unsure(
        r"\bquery exhausted resources\b|\berrorcategory:system_error\b",
        reason="it needed more than the cluster had",
        example=RUNTIME + "Query exhausted resources at this scale factor",
        source=_AWS,
    ),
)

REFUSED = (
    _sure(
        _named(
            "SYNTAX_ERROR TYPE_MISMATCH TYPE_NOT_FOUND FUNCTION_NOT_FOUND COLUMN_NOT_FOUND COLUMN_TYPE_UNKNOWN "
            "AMBIGUOUS_NAME AMBIGUOUS_FUNCTION_CALL DUPLICATE_COLUMN_NAME MISSING_COLUMN_NAME "
            "MISMATCHED_COLUMN_ALIASES MISSING_GROUP_BY MISSING_ORDER_BY MISSING_OVER NESTED_AGGREGATION "
            "NESTED_WINDOW INVALID_COLUMN_REFERENCE EXPRESSION_NOT_AGGREGATE EXPRESSION_NOT_SCALAR "
            "EXPRESSION_NOT_CONSTANT EXPRESSION_NOT_IN_DISTINCT OPERATOR_NOT_FOUND INVALID_LITERAL INVALID_VIEW "
            "VIEW_IS_STALE NOT_SUPPORTED QUERY_TEXT_TOO_LARGE QUERY_HAS_TOO_MANY_STAGES UNSUPPORTED_SUBQUERY "
            "SUBQUERY_MULTIPLE_ROWS INVALID_WINDOW_FRAME INVALID_TABLE_PROPERTY INVALID_SESSION_PROPERTY"
        ),
        reason="the SQL is wrong",
        example=RUNTIME + "COLUMN_NOT_FOUND: line 3:5: Column 'timeout' cannot be resolved or requester is not "
        "authorized to access requested resources",
    ),
    _sure(
        _named("TABLE_NOT_FOUND SCHEMA_NOT_FOUND CATALOG_NOT_FOUND MISSING_TABLE ROLE_NOT_FOUND PROCEDURE_NOT_FOUND"),
        reason="an object does not exist",
        example=DATABASE + 'TrinoUserError(type=USER_ERROR, name=TABLE_NOT_FOUND, message="line 3:6: Table '
        "'hive.raw.orders' does not exist\", query_id=20260101_000000_00001_aaaaa)",
    ),
    _sure(
        _named(
            "DIVISION_BY_ZERO INVALID_CAST_ARGUMENT INVALID_FUNCTION_ARGUMENT NUMERIC_VALUE_OUT_OF_RANGE "
            "CONSTRAINT_VIOLATION HIVE_PARTITION_SCHEMA_MISMATCH HIVE_INVALID_PARTITION_VALUE "
            "HIVE_COLUMN_ORDER_MISMATCH HIVE_UNSUPPORTED_FORMAT HIVE_TOO_MANY_OPEN_PARTITIONS "
            "ICEBERG_TOO_MANY_OPEN_PARTITIONS"
        )
        + r"|\bhive_bad_data\b[^\n]{0,200}\b(?:incompatible with type|not match type|field type)",
        reason="the data does not fit",
        example=RUNTIME + "INVALID_CAST_ARGUMENT: Cannot cast 'n/a' to INT",
    ),
    _sure(
        r"\btype=user_error\b",
        reason="the SQL is wrong, or the user lacks a permission",
        example=DATABASE + 'TrinoUserError(type=USER_ERROR, name=PERMISSION_DENIED, message="Access Denied: Cannot '
        'create table marts.orders", query_id=20260101_000000_00001_aaaaa)',
    ),
    _sure(
        r"\(validationexception\)[^\n]{0,200}\bvalidation errors? detected\b"
        r"|\binsufficient lake formation permission|\berrorcategory:user_error\b"
        r"|\bfailed: (?:parse|semantic)exception\b|\bmismatched input '[^'\n]{0,300}'",
        reason="the SQL is wrong",
        example=RUNTIME + "[ErrorCategory:USER_ERROR, ErrorCode:DDL_FAILED], Detail:FAILED: ParseException line 2:201 "
        "cannot recognize input near 'group' 'string' ',' in column specification",
        source=_AWS,
    ),
    _sure(
        either("InvalidAccessKeyId SignatureDoesNotMatch InvalidClientTokenId UnrecognizedClientException NoSuchBucket")
        + r"|\berror 401: b?['\"]?(?:unauthorized|invalid credentials|access denied)"
        r"|\bworkgroup \S{1,200} is not found\b",
        reason="the warehouse does not let this user in",
        example=DATABASE + 'TrinoQueryError(type=INTERNAL_ERROR, name=GENERIC_INTERNAL_ERROR, message="The AWS Access '
        "Key Id you provided does not exist in our records. (Service: Amazon S3; Status Code: 403; Error Code: "
        'InvalidAccessKeyId)", query_id=20260101_000000_00001_aaaaa)',
        source=_AWS,
    ),
)

LAST = (
    _passing(
        r"\bfailed communicating with server\b|\btoo many errors talking to a worker\b|\bunexpected response status\b"
        r"|\btrinoconnectionerror\b|\bconnection attempt failed\b",
        reason="a server did not answer",
        example=DATABASE + 'TrinoQueryError(type=INTERNAL_ERROR, name=GENERIC_INTERNAL_ERROR, message="Failed '
        'communicating with server: https://shop.starburst.io/api/v1/x", query_id=20260101_000000_00001_aaaaa)',
        source="public reports",
        wraps=True,
    ),
)
