"""What ClickHouse says. Every error has a number and a name: `Code: 62. DB::Exception: … (SYNTAX_ERROR)`."""

from __future__ import annotations

import re
from functools import partial

from dbt_cloud_run.dbt.failure_patterns.row import CLICKHOUSE, DATABASE, row
from dbt_cloud_run.planned import Retryability

_CODES = "ClickHouse's ErrorCodes.cpp"

_passing = partial(row, CLICKHOUSE, verdict=Retryability.TRANSIENT, source=_CODES)
_unsure = partial(row, CLICKHOUSE, verdict=Retryability.UNKNOWN, source=_CODES)
_sure = partial(row, CLICKHOUSE, verdict=Retryability.DETERMINISTIC, source=_CODES)


def _codes(listed: str) -> str:
    """`62 SYNTAX_ERROR …`, as the server, the native and the HTTP driver write numbers and names."""
    numbers, names = "|".join(re.findall(r"\d+", listed)), "|".join(re.findall(r"[A-Z]\w+", listed))
    return (
        rf"\bcode: (?:{numbers})[.,]\s{{1,4}}\w{{1,30}}(?:::|\.\w)"
        rf"|\bclickhouse error code (?:{numbers})\b|\((?:{names})\)"
    )


FIRST = (
    _passing(
        _codes(
            "95 CANNOT_READ_FROM_SOCKET 96 CANNOT_WRITE_TO_SOCKET 198 DNS_ERROR 203 NO_FREE_CONNECTION 209 "
            "SOCKET_TIMEOUT 210 NETWORK_ERROR 279 ALL_CONNECTION_TRIES_FAILED 3 UNEXPECTED_END_OF_FILE 32 "
            "ATTEMPT_TO_READ_AFTER_EOF 410 EXTERNAL_SERVER_IS_NOT_RESPONDING 499 S3_ERROR 86 "
            "RECEIVED_ERROR_FROM_REMOTE_IO_SERVER 1000 POCO_EXCEPTION"
        ),
        reason="the connection broke",
        example=DATABASE + "Code: 210. DB::NetException: Connection reset by peer, while reading from socket "
        "(10.0.0.5:9000). (NETWORK_ERROR)",
    ),
    _passing(
        _codes(
            "202 TOO_MANY_SIMULTANEOUS_QUERIES 252 TOO_MANY_PARTS 364 RECEIVED_ERROR_TOO_MANY_REQUESTS 373 "
            "SESSION_IS_LOCKED 439 CANNOT_SCHEDULE_TASK 473 DEADLOCK_AVOIDED 384 PART_IS_TEMPORARILY_LOCKED 216 "
            "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING 57 TABLE_ALREADY_EXISTS 82 DATABASE_ALREADY_EXISTS 218 "
            "TABLE_IS_DROPPED 517 CANNOT_ASSIGN_ALTER 372 SESSION_NOT_FOUND"
        ),
        reason="the server was too busy, or another statement was in the way",
        example=DATABASE + "Code: 202. DB::Exception: Too many simultaneous queries. Maximum: 100. "
        "(TOO_MANY_SIMULTANEOUS_QUERIES)",
    ),
    _passing(
        _codes(
            "225 NO_ZOOKEEPER 236 ABORTED 242 TABLE_IS_READ_ONLY 254 NO_ACTIVE_REPLICAS 285 TOO_FEW_LIVE_REPLICAS "
            "286 UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE 289 REPLICA_IS_NOT_IN_QUORUM 369 ALL_REPLICAS_ARE_STALE 416 "
            "REPLICA_STATUS_CHANGED 234 NO_REPLICA_HAS_PART 265 NO_AVAILABLE_REPLICA 297 SHARD_HAS_NO_CONNECTIONS "
            "999 KEEPER_EXCEPTION"
        ),
        reason="a replica or the keeper was not up",
        example=DATABASE + "Code: 999. Coordination::Exception: Session expired. (KEEPER_EXCEPTION)",
    ),
    _unsure(
        _codes(
            "159 TIMEOUT_EXCEEDED 160 TOO_SLOW 241 MEMORY_LIMIT_EXCEEDED 243 NOT_ENOUGH_SPACE 158 TOO_MANY_ROWS 307 "
            "TOO_MANY_BYTES 396 TOO_MANY_ROWS_OR_BYTES 394 QUERY_WAS_CANCELLED 201 QUOTA_EXCEEDED QUOTA_EXPIRED 173 "
            "CANNOT_ALLOCATE_MEMORY 8 THERE_IS_NO_COLUMN 10 NOT_FOUND_COLUMN_IN_BLOCK 49 LOGICAL_ERROR 253 "
            "REPLICA_ALREADY_EXISTS REPLICA_IS_ALREADY_EXIST 319 UNKNOWN_STATUS_OF_INSERT 341 UNFINISHED 36 "
            "BAD_ARGUMENTS 107 FILE_DOESNT_EXIST 164 READONLY"
        )
        # A cluster's hosts learn of a new table one after the other.
        + r"|\bthere was an error on \[",
        reason="the load of the hour or the query itself was too much, or one host of the cluster was late",
        example=DATABASE + "Code: 241. DB::Exception: Memory limit (total) exceeded: would use 453.45 GiB. "
        "(MEMORY_LIMIT_EXCEEDED)",
    ),
)

REFUSED = (
    _sure(
        _codes(
            "62 SYNTAX_ERROR 34 TOO_MANY_ARGUMENTS_FOR_FUNCTION 35 TOO_FEW_ARGUMENTS_FOR_FUNCTION 42 "
            "NUMBER_OF_ARGUMENTS_DOESNT_MATCH 43 ILLEGAL_TYPE_OF_ARGUMENT 44 ILLEGAL_COLUMN 46 UNKNOWN_FUNCTION 47 "
            "UNKNOWN_IDENTIFIER 48 NOT_IMPLEMENTED 50 UNKNOWN_TYPE 51 EMPTY_LIST_OF_COLUMNS_QUERIED 52 "
            "COLUMN_QUERIED_MORE_THAN_ONCE 56 UNKNOWN_STORAGE 63 UNKNOWN_AGGREGATE_FUNCTION 80 INCORRECT_QUERY 115 "
            "UNKNOWN_SETTING 119 ENGINE_REQUIRED 167 TOO_DEEP_AST 168 TOO_BIG_AST 174 CYCLIC_ALIASES 179 "
            "MULTIPLE_EXPRESSIONS_FOR_ALIAS 184 ILLEGAL_AGGREGATION 207 AMBIGUOUS_IDENTIFIER 215 NOT_AN_AGGREGATE "
            "258 UNION_ALL_RESULT_STRUCTURES_MISMATCH 288 DISTRIBUTED_IN_JOIN_SUBQUERY_DENIED 344 "
            "SUPPORT_IS_DISABLED 352 AMBIGUOUS_COLUMN_NAME 386 NO_COMMON_TYPE "
            # Its number, 524, is also the status of a proxy that waited too long.
            "ALTER_OF_COLUMN_IS_FORBIDDEN 403 INVALID_JOIN_ON_EXPRESSION 16 "
            "NO_SUCH_COLUMN_IN_TABLE 20 NUMBER_OF_COLUMNS_DOESNT_MATCH"
        ),
        reason="the SQL is wrong",
        example=DATABASE + "Code: 62. DB::Exception: Syntax error: failed at position 415 ('timeout') (line 5, col 5). "
        "(SYNTAX_ERROR)",
    ),
    _sure(
        _codes("60 UNKNOWN_TABLE 81 UNKNOWN_DATABASE"),
        reason="an object does not exist",
        example=DATABASE + "Code: 60. DB::Exception: Table raw.orders doesn't exist. (UNKNOWN_TABLE)",
    ),
    _sure(
        _codes(
            "6 CANNOT_PARSE_TEXT 27 CANNOT_PARSE_INPUT_ASSERTION_FAILED 38 CANNOT_PARSE_DATE 41 "
            "CANNOT_PARSE_DATETIME 53 TYPE_MISMATCH 69 ARGUMENT_OUT_OF_BOUND 70 CANNOT_CONVERT_TYPE 72 "
            "CANNOT_PARSE_NUMBER 125 INCORRECT_RESULT_OF_SCALAR_SUBQUERY 153 ILLEGAL_DIVISION 321 "
            "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE 349 CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN 376 CANNOT_PARSE_UUID 407 "
            "DECIMAL_OVERFLOW 395 FUNCTION_THROW_IF_VALUE_IS_NON_ZERO 469 VIOLATED_CONSTRAINT"
        ),
        reason="a value does not fit its type",
        example=DATABASE + "Code: 6. DB::Exception: Cannot parse string 'n/a' as Int32. (CANNOT_PARSE_TEXT)",
    ),
    _sure(
        _codes(
            "192 UNKNOWN_USER 193 WRONG_PASSWORD 194 REQUIRED_PASSWORD 195 IP_ADDRESS_NOT_ALLOWED 291 "
            "DATABASE_ACCESS_DENIED 497 ACCESS_DENIED 516 AUTHENTICATION_FAILED"
        ),
        reason="ClickHouse does not let this user in",
        example=DATABASE + "Code: 497. DB::Exception: dbt: Not enough privileges. To execute this query, it's "
        "necessary to have the grant SELECT(id) ON raw.orders. (ACCESS_DENIED)",
    ),
)
