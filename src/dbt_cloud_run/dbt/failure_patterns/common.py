"""What is said whatever the warehouse: networks, servers, SQL states."""

from __future__ import annotations

from functools import partial

from dbt_cloud_run.dbt.failure_patterns.row import ANY, DATABASE, RUNTIME, row
from dbt_cloud_run.planned import Retryability

_passing = partial(row, ANY, verdict=Retryability.TRANSIENT)
_unsure = partial(row, ANY, verdict=Retryability.UNKNOWN)
_sure = partial(row, ANY, verdict=Retryability.DETERMINISTIC)


FIRST = (
    _passing(
        r"\btoken (?:has |is |was )?(?:been )?expired\b|\bexpired ?token\b|session no longer exists"
        r"|\bsession (?:has (?:been )?expired|was closed)\b",
        reason="the log-in ran out",
        example=DATABASE + "390114 (08001): Authentication token has expired.  The user must authenticate again.",
    ),
    _passing(
        r"\brate limit (?:is |was |has been )?exceeded\b"
        r"|\b40[13] (?:forbidden|unauthorized)\b[^\n]{0,200}\btemporarily unavailable\b",
        reason="the server limits the rate of requests",
        example=RUNTIME + "403 Forbidden: API rate limit exceeded for installation 4711",
    ),
    _unsure(
        r"__dbt_(?:tmp|temp|backup|new)[^\n]{0,200}\b(?:does not exist|doesn't exist|not found|cannot be found)"
        r"|\b(?:invalid object name|not found: table)[^\n]{0,200}__dbt_(?:tmp|temp|backup|new)",
        reason="dbt's own temporary table was gone",
        example=DATABASE + "Code: 60. DB::Exception: Table marts.orders__dbt_tmp doesn't exist. (UNKNOWN_TABLE)",
    ),
    _passing(
        # The brackets are those of a key, `Key (schema, id)=(raw, 1) already exists`, which is a row of data.
        r"\b(?:object|table|view|schema|relation)\b[^\n()]{0,200}\balready exists\b|\balready an object named\b",
        reason="another statement made the object meanwhile",
        example=DATABASE + "002002 (42710): SQL compilation error:\n  Object 'ANALYTICS.STAGING' already exists.",
        # dbt itself says it of resources of one name, which stay so.
        wraps=True,
    ),
    _passing(
        r"\bnosuchkey\b|remote file '[^'\n]{1,500}' was not found|\bfailed_read_file\.file_not_exist\b"
        r"|underlying files have been updated",
        reason="a file was replaced while it was read",
        example=DATABASE + "HIVE_CANNOT_OPEN_SPLIT: Error opening Hive split s3://shop/orders/1.parquet: The specified "
        "key does not exist. (Service: Amazon S3; Status Code: 404; Error Code: NoSuchKey)",
    ),
    _passing(
        r"\bsessionhivemetastoreclient\b|\bttransportexception\b"
        r"|\bmetaexception\b[^\n]{0,300}(?:connect|timed? ?out|throttl|rate exceeded|socket)",
        reason="the metastore was not available",
        example=RUNTIME + "org.apache.spark.sql.AnalysisException: org.apache.hadoop.hive.ql.metadata.HiveException: "
        "Unable to instantiate org.apache.hadoop.hive.ql.metadata.SessionHiveMetaStoreClient",
    ),
    _passing(
        # Snowflake's states mean other things; its own number follows.
        r"\bsqlstate(?: is)?\b[:=\s(\[]{1,4}(?:08|40|53300|55p03|55006|57p0)[0-9a-z]{0,3}\b(?!\)?, vendor code)"
        r"|\bdeadlock(?:ed)? (?:on|detected|found|victim|error)\b|\block wait timeout\b|\bdeadlocked on lock\b",
        reason="the SQL state says that the connection was lost, or another transaction was in the way",
        example=DATABASE + "Transaction (Process ID 61) was deadlocked on lock resources "
        "with another process and has been chosen as the deadlock victim.",
    ),
)

REFUSED = (
    _sure(
        r"\bsyntax error at or near\b|\bsyntax error at end of input\b|\b(?<!parsing: )incorrect syntax near\b",
        reason="the SQL is wrong",
        example=DATABASE + 'syntax error at or near "form"\n  LINE 4: form raw.orders',
    ),
    _sure(
        r"\b(?:division by zero|divide[_ ]by[_ ]zero)\b",
        reason="it divides by zero",
        example=DATABASE + "100051 (22012): Division by zero",
    ),
    _sure(
        r"\b(?<!result )is ambiguous\b|\bambiguous column\b",
        reason="a column's name is ambiguous",
        example=DATABASE + 'column reference "order_id" is ambiguous',
    ),
    _sure(
        # `42000` and `22000` are said of anything, `42K03` is a file that was not found.
        r"\bsqlstate\b[:=\s(\[]{1,4}(?:0a|21|22(?!000)|23|28|3d|42(?!000|k03))[0-9a-z]{3}\b"
        r"|'c': '(?:0a|21|22|23|28|2bp|3d|3f|42)[0-9a-z]{2,3}'|\b\d{6} \((?:0a|22(?!000)|23|42)[0-9a-z]{3}\): ",
        reason="the SQL state says that the statement or its data is wrong",
        example=DATABASE + "[MISSING_GROUP_BY] The query does not include a GROUP BY clause. SQLSTATE: 42803",
        source="the SQL standard's classes of SQLSTATE, as PostgreSQL, Spark and Snowflake list them",
    ),
    _sure(
        r"\b(?:permission|access) (?:was )?denied\b|\baccessdenied(?:exception)?\b|\bnot authorized\b"
        r"|\binsufficient privileges?\b",
        reason="it is forbidden",
        example=RUNTIME + "An error occurred (AccessDeniedException) when calling the "
        "GetTable operation: not authorized to perform glue:GetTable",
    ),
)

UNDECIDED = (
    _unsure(
        r"\bskipping due to fail_fast\b",
        reason="it did not run, because something else had failed",
        example="Skipping due to fail_fast",
    ),
    _unsure(
        r"^partial success \(\d{1,9}/\d{1,9}\)",
        reason="some of its batches failed",
        example="PARTIAL SUCCESS (2/3)",
    ),
    _unsure(
        r"\bout of memory\b|\boutofmemoryerror\b|\bresources exceeded during query execution\b"
        r"|\bmemory limit exceeded\b",
        reason="it ran out of memory",
        example=DATABASE + "Resources exceeded during query execution: The query could "
        "not be executed in the allotted memory. Peak usage: 118% of limit.",
    ),
    _unsure(
        r"\bdisk full\b|\bno space left on device\b|\btemporary file size exceeds\b",
        reason="it ran out of disk",
        example=DATABASE + "Disk Full\n  DETAIL:  error:  Disk Full code: 1016",
    ),
    _unsure(
        r"\bstatement[ _]timeout\b|statement or warehouse timeout|query execution time limit"
        r"|exceeded the maximum execution time",
        reason="the statement took longer than is allowed",
        example=DATABASE + "canceling statement due to statement timeout",
    ),
    _unsure(
        r"sql execution canceled|cancell?ed on user'?s? request|due to user request|interrupt error: |wlm abort action"
        r"|query was cancell?ed",
        reason="the statement was cancelled",
        example=DATABASE + "000604 (57014): SQL execution canceled",
    ),
)

LAST = (
    _unsure(
        r"\b403:? (?:http 403: )?forbidden\b|\bhttp 403\b|\b401:? unauthorized\b",
        reason="a server refused the request, without saying why",
        example=RUNTIME + "403 Forbidden",
    ),
    _passing(
        r"\btarfile\.readerror\b|\bnot a gzip file\b|\bunterminated string starting at: line \d{1,9} column",
        reason="a download was cut off",
        example="Encountered an error:\nExternal connection exception occurred: not a gzip file",
    ),
    _passing(
        r"\bconnection (?:to (?:the )?server )?(?:was |has been |may have been |is )?(?:already )?"
        r"(?:reset|refused|aborted|closed|lost|dropped|terminated|broken|timed out|failure)"
        r"|\b(?:closed|lost|dropped) (?:the |its )?connection\b|\bconnection(?:reset|refused|aborted)"
        r"|\bserver (?:disconnected|socket closed)\b|\bbroken pipe\b|\bsocket hang up\b"
        r"|\beof (?:detected|occurred)|\bunexpected eof\b|: eof$|\bremotedisconnected\b|\bincompleteread\b"
        r"|\bchunkedencodingerror\b|\binvalidchunklength\b|\bresponse ended prematurely\b|\bcommunication error\b"
        r"|\b(?:remote|local)protocolerror\b",
        reason="the connection broke",
        example=DATABASE + "server closed the connection unexpectedly\n  This probably means "
        "the server terminated abnormally before or while processing the request.",
    ),
    _passing(
        r"\bfailed to establish a new connection\b|\bnetwork (?:is )?unreachable\b|\bno route to host\b"
        r"|\bmax retries exceeded\b|\bconnection exception occurred\b"
        r"|\[(?:errno|winerror) (?:-2|-3|-5|32|10[1-4]|11[0-3]|1005[34]|1006[01]|11001)\]",
        reason="the server could not be reached",
        example="Runtime Error\n  [Errno 113] No route to host",
    ),
    _passing(
        r"\bfailed to connect\b|\b(?:could not|couldn't|unable to|cannot) (?:connect|reach)\b"
        r"|\bconnection to server at [^\n]{1,200} failed",
        reason="the server was not reached",
        example="Runtime Error\n  Failed to connect to DB: ab12345.snowflakecomputing.com:443. ",
        wraps=True,
    ),
    _passing(
        r"\b(?:socket|connect|sockettimeout|connecttimeout|unknownhost|noroutetohost|eof|sslhandshake|nohttpresponse"
        r"|closedchannel|interruptedio|httphostconnect|timeout)exception\b|\btls handshake timeout\b|\bi/o timeout\b"
        r"|\broundtripper\b|\bssleoferror\b|\bssl_read\b",
        reason="the connection broke",
        example=RUNTIME + "org.apache.spark.sql.AnalysisException: java.net.SocketTimeoutException: Read timed out",
    ),
    _passing(
        r"\bcould not (?:resolve host|translate host name)|\bname resolution\b|\bname or service not known\b"
        r"|\bgetaddrinfo\b",
        reason="the server's name was not resolved",
        example="fatal: unable to access 'https://github.com/shop/retail_utils.git/': Could not resolve host: "
        "github.com",
    ),
    _passing(
        r"\btimed out\b|\btimeout (?:expired|exceeded|error|reached|occurred|after|of)\b|\bdeadline[ _]exceeded\b"
        r"|\btimeouterror\b|\b(?:did not complete|deadline exceeded) (?:within|while)\b"
        r"|\b(?:connection|connect|read|request|socket|lock|session|operation)[ _]?time[ -]?out\b",
        reason="it timed out",
        example=RUNTIME + "HTTPSConnectionPool(host='dbc-1.cloud.databricks.com', port=443): "
        "Read timed out. (read timeout=900)",
    ),
    _passing(
        r"\btoo many requests\b|\bthrottl(?:ed|ing)|\brate limit|\bslow ?down\b|\btoo many concurrent"
        r"|\bconcurrency limit"
        r"|\b(?:http|status|error|code)[ :=]{1,3}429\b|\bresource_exhausted\b|\brate exceeded\b|\brequest rate\b"
        r"|\bserver is busy\b|\bserver busy\b",
        reason="the server limits the rate of requests",
        example=RUNTIME + "An error occurred (ThrottlingException) when calling the "
        "GetQueryExecution operation: Rate exceeded",
    ),
    _passing(
        r"\bservice (?:is )?(?:temporarily )?unavailable\b|\bbad gateway\b|\bgateway time-?out\b"
        r"|\binternal server error\b"
        r"|\btemporarily unavailable\b|\bcurrently unavailable\b|['\"]unavailable['\"]|\bunavailable: "
        r"|\berror code: (?:unavailable|deadline_exceeded|internal)\b|\bupstream (?:connect error|request timeout)\b"
        # ClickHouse numbers its own errors beyond 500.
        r"|\b(?:http|status|response|(?<!clickhouse )error)(?: response)?(?: code)?[ :=]{1,3}5\d\d\b"
        r"|['\"]code['\"]: 5\d\d\b|^[ \t]{0,40}5\d\d (?:get|post|put|server|error)\b|\b50[234] (?:error )?responses?\b",
        reason="the server was not available",
        example=RUNTIME + "Query could not be completed: HTTP Response code: 503. Service Unavailable",
    ),
    _passing(
        r"\binternal error (?:occurred|encountered)|\bencountered an internal error\b"
        # `dbt debug` ends any failure with `Check your database credentials and try again`.
        r"|(?<!credentials and )\b(?:try|retry) (?:again|the (?:request|query|operation|transaction|whole))\b"
        r"|\bplease (?:retry|rerun)\b|\brerun the transaction\b|\btransient (?:issue|error|failure)\b|\bunknownerror\b",
        reason="the server had an error of its own",
        example=DATABASE + "An internal error occurred and the request could not be completed. Error: 80038528",
    ),
    _passing(
        r"\bremote end hung up\b|\bearly eof\b|\brpc failed\b|\bfatal: unable to access\b|\bssl[_ ]error"
        r"|\bssl: unexpected|\bkex_exchange_identification\b",
        reason="the repository could not be fetched",
        example="Internal Error\n  Error cloning repo https://github.com/shop/retail_utils.git\n  error: RPC failed; "
        "curl 92 HTTP/2 "
        "stream 5 was not closed cleanly\n  fatal: early EOF",
    ),
)
