"""What passes by itself: conflicts with others, limits, networks and servers."""

from __future__ import annotations

from functools import partial

from dbt_cloud_run.dbt.failure_patterns.row import (
    ANY,
    BIGQUERY,
    DATABASE,
    DUCKDB,
    POSTGRES,
    REDSHIFT,
    RUNTIME,
    SNOWFLAKE,
    SPARK,
    row,
)
from dbt_cloud_run.model import Retryability

_passing = partial(row, verdict=Retryability.TRANSIENT)

CONFLICTS = (
    _passing(
        BIGQUERY,
        r"\b(?:job)?ratelimitexceeded\b|exceeded rate limits|exceeded quota for (?:concurrent|rate|number of)"
        r"|(?<!custom )quota exceeded: (?!your project exceeded quota for free)",
        reason="BigQuery limits the rate of requests",
        example=DATABASE + "403 Exceeded rate limits: too many table update operations for "
        "this table. For more information, see https://cloud.google.com/bigquery/docs/troubleshoot-quotas",
    ),
    _passing(
        BIGQUERY,
        r"could not serialize access to table|aborted due to concurrent update|\bnot found: job\b",
        reason="it collided with another job",
        example=DATABASE + "Could not serialize access to table shop-prod:marts.orders due to concurrent update",
    ),
    _passing(
        SNOWFLAKE,
        r"processing aborted due to error 3\d{5}"
        r"|\(22000\): [^\n]{0,300}(?:\bplease (?:retry|try again)|currently unavailable|service restart)",
        reason="Snowflake had an error of its own",
        example=DATABASE + "000603 (XX000): SQL execution internal error:\n  Processing "
        "aborted due to error 300010:391167117; incident 7185034.",
    ),
    _passing(
        SNOWFLAKE,
        r"\blogin request is retryable\b|: statement [0-9a-f-]{4,60} not found",
        reason="Snowflake lost the request",
        example=DATABASE + "251012: Login request is retryable. Will be handled by authenticator",
    ),
    _passing(
        SNOWFLAKE,
        r"has locked table|lock has not yet been released|number of waiters for this lock exceeds",
        reason="another statement held a lock",
        example=DATABASE + "000625 (57014): Statement '01b2-3c' has locked table 'ORDERS' in "
        "transaction 1732 and this lock has not yet been released.",
    ),
    _passing(
        ANY,
        r"\btoken (?:has |is |was )?(?:been )?expired\b|\bexpired ?token\b|session no longer exists"
        r"|\bsession (?:has (?:been )?expired|was closed)\b",
        reason="the log-in ran out",
        example=DATABASE + "390114 (08001): Authentication token has expired.  The user must authenticate again.",
    ),
    _passing(
        ANY,
        r"\brate limit (?:is |was |has been )?exceeded\b"
        r"|\b40[13] (?:forbidden|unauthorized)\b[^\n]{0,200}\btemporarily unavailable\b",
        reason="the server limits the rate of requests",
        example=RUNTIME + "403 Forbidden: API rate limit exceeded for installation 4711",
    ),
    _passing(
        ANY,
        # The brackets are those of a key, `Key (schema, id)=(raw, 1) already exists`, which is a row of data.
        r"\b(?:object|table|view|schema|relation)\b[^\n()]{0,200}\balready exists\b",
        reason="another statement made the object meanwhile",
        example=DATABASE + "002002 (42710): SQL compilation error:\n  Object 'ANALYTICS.STAGING' already exists.",
    ),
    _passing(
        ANY,
        r"\bnosuchkey\b|remote file '[^'\n]{1,500}' was not found|\bfailed_read_file\.file_not_exist\b"
        r"|underlying files have been updated",
        reason="a file was replaced while it was read",
        example=DATABASE + "HIVE_CANNOT_OPEN_SPLIT: Error opening Hive split s3://shop/orders/1.parquet: The specified "
        "key does not exist. (Service: Amazon S3; Status Code: 404; Error Code: NoSuchKey)",
    ),
    _passing(
        ANY,
        r"\bsessionhivemetastoreclient\b|\bttransportexception\b|\bhive_metastore_error\b"
        r"|\bmetaexception\b[^\n]{0,300}(?:connect|timed? ?out|throttl|rate exceeded|socket)",
        reason="the metastore was not available",
        example=RUNTIME + "org.apache.spark.sql.AnalysisException: org.apache.hadoop.hive.ql.metadata.HiveException: "
        "Unable to instantiate org.apache.hadoop.hive.ql.metadata.SessionHiveMetaStoreClient",
    ),
    _passing(
        SPARK,
        r"\[?delta_(?:concurrent_|metadata_changed|protocol_changed)"
        r"|\b(?:concurrent(?:append|deleteread|deletedelete|write)"
        r"|metadatachanged|protocolchanged)exception\b",
        reason="another write changed the table meanwhile",
        example=RUNTIME + "[DELTA_CONCURRENT_APPEND] ConcurrentAppendException: Files were "
        "added to the root of the table by a concurrent update. Please try the operation again.",
    ),
    _passing(
        REDSHIFT,
        r"serializable isolation violation|conflict with concurrent transaction|dropped by concurrent transaction"
        r"|\b1018\b[^\n]{0,20}\n?[^\n]{0,40}\brelation does not exist",
        reason="it collided with another transaction",
        example=DATABASE + "1023\n  DETAIL:  Serializable isolation violation on table - "
        "100167, transactions forming the cycle are: 55705701, 55705754 (pid:16606)",
    ),
    _passing(
        POSTGRES,
        r"deadlock detected|could not serialize access due to|tuple concurrently (?:updated|deleted)"
        r"|due to lock timeout"
        r"|due to conflict with recovery|could not obtain lock on|fatal:\s{1,4}(?:pgbouncer: )?query_wait_timeout"
        r"|\bcursor already closed\b",
        reason="it collided with another transaction",
        example=DATABASE + "deadlock detected\n  DETAIL:  Process 4711 waits for "
        "AccessExclusiveLock on relation 16402; blocked by process 4712.",
    ),
    _passing(
        POSTGRES,
        r"violates unique constraint \"pg_|\bwith oid \d{1,12} does not exist|could not open relation with oid"
        r"|cache lookup failed for",
        reason="another transaction made or dropped the object meanwhile",
        example=DATABASE + 'duplicate key value violates unique constraint "pg_type_typname_nsp_index"\n'
        "  DETAIL:  Key (typname, typnamespace)=(orders__dbt_tmp, 2200) already exists.",
    ),
    _passing(
        DUCKDB,
        r"could not set lock on file|conflicting lock is held|\btransactioncontext error: |write-write conflict"
        r"|remote catalog has changed",
        reason="another process or transaction held the database",
        example='Runtime Error\n  IO Error: Could not set lock on file "/data/shop.duckdb": Conflicting lock is held '
        "in "
        "python3.13 (PID 4711).",
    ),
    _passing(
        ANY,
        r"\bsqlstate\b[:=\s(\[]{1,4}(?:08|40)[0-9a-z]{3}\b|\bdeadlock(?:ed)? (?:on|detected|found|victim)\b"
        r"|lock wait timeout",
        reason="the SQL state says that the connection was lost, or another transaction was in the way",
        example=DATABASE + "Transaction (Process ID 61) was deadlocked on lock resources "
        "with another process and has been chosen as the deadlock victim.",
    ),
)

_SERVERS = (
    _passing(
        SNOWFLAKE,
        r"\bwarehouse\b[^\n]{0,120} (?:is|was|has been) (?:suspended|resuming|aborted)",
        reason="Snowflake's warehouse was not up",
        example=DATABASE + "Cannot perform the operation: warehouse 'TRANSFORMING' was suspended meanwhile.",
    ),
    _passing(
        BIGQUERY,
        r"retrying (?:the job )?may solve the problem|\bbackenderror\b|visibility check was unavailable"
        r"|deadline of [\d.]{1,12}s exceeded"
        r"|timeout of [\d.]{1,12}s exceeded|\bdeadline=[\d.]{1,12}s",
        reason="BigQuery had an error of its own",
        example=DATABASE + "503 Error encountered during execution. Retrying may solve the problem.",
    ),
    _passing(
        SPARK,
        r"executorlostfailure|executor (?:\d+ )?lost|fetchfailed|spark driver has stopped|spot_instance_termination"
        r"|node lost|\brpctimeoutexception\b"
        r"|driver_(?:unreachable|unresponsive)|cloud_provider_shutdown",
        reason="the cluster lost a machine",
        example=RUNTIME + "Job aborted due to stage failure: Task 7 in stage 31.0 failed 4 "
        "times, most recent failure: ExecutorLostFailure (executor 3 exited caused by one of the running tasks)",
    ),
    _passing(
        SPARK,
        r"\bcluster\b[^\n]{0,120}(?:terminated|unexpected state|is starting|not running)|invalid sessionhandle"
        r"|temporarily_unavailable|request_limit_exceeded|could not be scheduled|\bcluster launch failed\b"
        r"|insufficient_instance_capacity",
        reason="the cluster was not up, or too busy",
        example=RUNTIME + 'Error starting terminated cluster.\n   b\'{"error_code":'
        '"INVALID_STATE","message":"Cluster 0712-1 is in unexpected state Pending."}\'',
    ),
    _passing(
        POSTGRES,
        r"too many (?:clients|connections)|remaining connection slots"
        r"|database system is (?:starting|shutting|in recovery|not yet accepting)"
        r"|terminating connection due to|cluster is (?:paused|resuming|unavailable)",
        reason="the database was full, or not up",
        example="Database Error\n  FATAL:  sorry, too many clients already",
    ),
)

_COMMON = (
    _passing(
        ANY,
        r"\bconnection (?:was |has been |is |already )?"
        r"(?:reset|refused|aborted|closed|lost|dropped|terminated|broken|timed out|failure)"
        r"|\b(?:closed|lost|dropped) (?:the |its )?connection\b|\bconnection(?:reset|refused|aborted)"
        r"|\bserver (?:disconnected|socket closed)\b|\bbroken pipe\b|\bsocket hang up\b"
        r"|\beof (?:detected|occurred)|\bunexpected eof\b",
        reason="the connection broke",
        example=DATABASE + "server closed the connection unexpectedly\n  This probably means "
        "the server terminated abnormally before or while processing the request.",
    ),
    _passing(
        ANY,
        r"\bfailed to (?:connect|establish a new connection)"
        r"|\b(?:could not|couldn't|unable to|cannot) (?:connect|reach)\b"
        r"|\bconnection to server at [^\n]{1,200} failed|\bnetwork (?:is )?unreachable\b|\bno route to host\b"
        r"|\bmax retries exceeded\b"
        r"|\bconnection exception occurred\b",
        reason="the server could not be reached",
        example="Runtime Error\n  Failed to connect to DB: ab12345.snowflakecomputing.com:443. Network is unreachable",
    ),
    _passing(
        ANY,
        r"\bcould not (?:resolve host|translate host name)|\bname resolution\b|\bname or service not known\b"
        r"|\bgetaddrinfo\b",
        reason="the server's name was not resolved",
        example="fatal: unable to access 'https://github.com/shop/retail_utils.git/': Could not resolve host: "
        "github.com",
    ),
    _passing(
        ANY,
        r"\btimed out\b|\btimeout (?:expired|exceeded|error|reached|occurred|after|of)\b|\bdeadline[ _]exceeded\b"
        r"|\b(?:connection|connect|read|request|socket|lock|session|operation)[ _]?time[ -]?out\b",
        reason="it timed out",
        example=RUNTIME + "HTTPSConnectionPool(host='dbc-1.cloud.databricks.com', port=443): "
        "Read timed out. (read timeout=900)",
    ),
    _passing(
        ANY,
        r"\btoo many requests\b|\bthrottl(?:ed|ing)|\brate limit|\bslow ?down\b|\btoo many concurrent"
        r"|\bconcurrency limit"
        r"|\b(?:http|status|error|code)[ :=]{1,3}429\b|\bresource_exhausted\b",
        reason="the server limits the rate of requests",
        example=RUNTIME + "An error occurred (ThrottlingException) when calling the "
        "GetQueryExecution operation: Rate exceeded",
    ),
    _passing(
        ANY,
        r"\bservice (?:is )?(?:temporarily )?unavailable\b|\bbad gateway\b|\bgateway time-?out\b"
        r"|\binternal server error\b"
        r"|\btemporarily unavailable\b|\b(?:http|status|response|error)(?: response)?(?: code)?[ :=]{1,3}5\d\d\b"
        r"|^[ \t]*5\d\d (?:get|post|put|server|error)\b",
        reason="the server was not available",
        example=RUNTIME + "Query could not be completed: HTTP Response code: 503. Service Unavailable",
    ),
    _passing(
        ANY,
        r"\binternal error (?:occurred|encountered)|\bencountered an internal error\b"
        r"|\b(?:please )?(?:try|retry) (?:again|the request)\b"
        r"|\bunknownerror\b",
        reason="the server had an error of its own",
        example=DATABASE + "An internal error occurred and the request could not be completed. Error: 80038528",
    ),
    _passing(
        ANY,
        r"\bremote end hung up\b|\bearly eof\b|\brpc failed\b|\bfatal: unable to access\b|\bssl[_ ]error"
        r"|\bssl: unexpected",
        reason="the repository could not be fetched",
        example="Internal Error\n  Error cloning repo https://github.com/shop/retail_utils.git\n  error: RPC failed; "
        "curl 92 HTTP/2 "
        "stream 5 was not closed cleanly\n  fatal: early EOF",
    ),
    _passing(
        DUCKDB,
        r"\b(?:io|http|network) error: ",
        reason="a file or address could not be read",
        example=RUNTIME + 'IO Error: Could not read enough bytes from file "exports/orders.csv"',
    ),
)

NETWORK = (*_SERVERS, *_COMMON)
