"""What Snowflake and its connector say: a number of its own and an SQL state, `002003 (42S02): …`."""

from __future__ import annotations

from functools import partial

from dbt_cloud_run.dbt.failure_patterns.row import DATABASE, SNOWFLAKE, row
from dbt_cloud_run.planned import Retryability

_CODES = "the error numbers of Snowflake's connector, and public reports"

_passing = partial(row, SNOWFLAKE, verdict=Retryability.TRANSIENT, source=_CODES)
_unsure = partial(row, SNOWFLAKE, verdict=Retryability.UNKNOWN, source=_CODES)
_sure = partial(row, SNOWFLAKE, verdict=Retryability.DETERMINISTIC, source=_CODES)


_LOGIN = "Database Error\n  250001 (08001): None: Failed to connect to DB: ab12345.snowflakecomputing.com:443. "

FIRST = (
    _passing(
        # Network and session: the connector adds 290000 to the status of HTTP.
        r"\b(?:39011[1-5]|390195|390318|250002|250005|252007|29050\d|2904(?:03|08|29))\b"
        r"|\b25000[1-9]\b[^\n]{0,60}\b(?:403|408|429|5\d\d)\b|\b000403: ",
        reason="the session ran out, or Snowflake did not answer",
        example="Database Error\n  250003 (08001): 000403: 403: HTTP 403: Forbidden",
    ),
    _unsure(
        r"\(xx000\): sql compilation error|compilation memory exhausted|\b250007\b"
        r"|\brest endpoint of catalog integration\b|\bdynamic table\b[^\n]{0,200}\bnot initialized\b"
        r"|account has been temporarily locked|your transaction was aborted",
        reason="Snowflake had an error of its own, or waits for the log-in",
        example=_LOGIN + "Your user account has been temporarily locked due to too many failed attempts.",
    ),
    _passing(
        r"processing aborted due to error 3\d{5}"
        r"|\(22000\): [^\n]{0,300}(?:\bplease (?:retry|try again)|currently unavailable|service restart)",
        reason="Snowflake had an error of its own",
        example=DATABASE + "000603 (XX000): SQL execution internal error:\n  Processing "
        "aborted due to error 300010:391167117; incident 7185034.",
    ),
    _passing(
        r"\blogin request is retryable\b|: statement [0-9a-f-]{4,60} not found",
        reason="Snowflake lost the request",
        example=DATABASE + "251012: Login request is retryable. Will be handled by authenticator",
    ),
    _passing(
        r"has locked table|lock has not yet been released|number of waiters for this lock exceeds",
        reason="another statement held a lock",
        example=DATABASE + "000625 (57014): Statement '01b2-3c' has locked table 'ORDERS' in "
        "transaction 1732 and this lock has not yet been released.",
    ),
)

REFUSED = (
    _sure(
        r"\bno active warehouse selected|\bsession does not have a current (?:database|schema)",
        reason="the profile names no warehouse, database or schema",
        example=DATABASE + "000606 (57P03): No active warehouse selected in the current session.",
    ),
    _sure(
        r"\b404 not found: post https?://[^\s/]{1,200}/session/v1/login-request",
        reason="the account does not exist",
        example="Database Error\n  250003 (08001): 404 Not Found: post "
        "https://ab12345.snowflakecomputing.com:443/session/v1/login-request?request_id=1",
    ),
    _sure(
        r"\b1000(?:72|78) \(22000\)|\bnull result in a non-nullable column|\bis too long and would be truncated",
        reason="a value does not fit its column",
        example=DATABASE + "100078 (22000): String 'n/a' is too long and would be truncated",
    ),
    _sure(
        r"resource monitor[^\n]{0,120}exceeded its quota|suspended immediate by resource monitor|free trial has ended",
        reason="a spending limit stops the warehouse",
        example=DATABASE + "090073 (22000): Warehouse 'TRANSFORMING' cannot be "
        "resumed because resource monitor 'MONTHLY' has exceeded its quota.",
    ),
    _sure(
        r"does not exist or not authorized",
        reason="an object does not exist, or the role may not see it",
        example=DATABASE + "002003 (42S02): SQL compilation error:\n"
        "  Object 'RAW.SHOP.ORDERS' does not exist or not authorized.",
    ),
    _sure(
        r"\binvalid identifier '",
        reason="a column does not exist",
        example=DATABASE + "000904 (42000): SQL compilation error: error line 3 "
        "at position 4\n  invalid identifier 'TIMEOUT'",
    ),
    _sure(
        r"sql access control error|insufficient privileges to operate",
        reason="the role lacks a privilege",
        example=DATABASE + "003001 (42501): SQL access control error:\n"
        "  Insufficient privileges to operate on schema 'ANALYTICS'",
    ),
    _sure(
        r"duplicate row detected during dml",
        reason="several rows match one row of a merge",
        example=DATABASE + "100090 (42P18): Duplicate row detected during DML action",
    ),
    _sure(
        r"value '[^'\n]{0,300}' is not recognized|failed to cast variant value"
        r"|(?:date|timestamp) '[^'\n]{0,300}' is not recognized",
        reason="a value does not fit its type",
        example=DATABASE + "100038 (22018): Numeric value 'n/a' is not recognized",
    ),
    _sure(
        r"incorrect username or password|user access disabled|is not allowed to access snowflake"
        r"|\b2510(?:01|05|06): |account is suspended|sso user is not valid"
        r"|role '[^'\n]{1,200}' specified",
        reason="Snowflake does not let this user in",
        example="Database Error\n  250001 (08001): None: Failed to connect to DB: ab12345.snowflakecomputing.com:443. "
        "Incorrect username or password was specified.",
    ),
    _sure(
        r"user account has been locked|mfa authentication is required"
        r"|\brequested role does not exist|role '[^'\n]{1,200}' does not exist",
        reason="Snowflake does not let this user in",
        example="Database Error\n  250001 (08001): None: Failed to connect to DB: ab12345.snowflakecomputing.com:443. "
        "Failed to authenticate: MFA authentication is required, but none of your current MFA methods are supported.",
    ),
    _sure(
        r"javascript execution error: uncaught (?:reference|type|syntax|range)error",
        reason="a JavaScript function is wrong",
        example=DATABASE + "100132 (P0000): JavaScript execution error: Uncaught ReferenceError: x is not defined",
    ),
    _sure(
        r"python interpreter error:[\s\S]{0,1500}\b(?:key|type|name|attribute|index|zerodivision)error: ",
        reason="a Python function is wrong, or the data does not fit it",
        example=DATABASE + "100357 (P0000): Python Interpreter Error:\n  Traceback (most recent call last):\n"
        "    File \"_udf_code.py\", line 3, in main\n  KeyError: 'AMOUNT'",
    ),
    _sure(
        r"sql compilation error",
        reason="the SQL is wrong",
        example=DATABASE + "001003 (42000): SQL compilation error:\n"
        "  syntax error line 4 at position 0 unexpected 'FORM'.",
    ),
)

LAST = (
    _passing(
        r"\bwarehouse\b[^\n]{0,120} (?:is|was|has been) (?:suspended|resuming|aborted)",
        reason="Snowflake's warehouse was not up",
        example=DATABASE + "Cannot perform the operation: warehouse 'TRANSFORMING' was suspended meanwhile.",
    ),
    _unsure(
        r"jwt token is invalid",
        reason="the key pair was refused, or the log-in waited too long in the queue",
        example="Database Error\n  250001 (08001): None: Failed to connect to DB: "
        "ab12345.snowflakecomputing.com:443. JWT token is "
        "invalid.",
    ),
)
