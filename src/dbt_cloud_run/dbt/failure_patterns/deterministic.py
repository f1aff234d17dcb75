"""What a warehouse refuses every time: wrong SQL, missing or forbidden objects, data that does not fit."""

from __future__ import annotations

from functools import partial

from dbt_cloud_run.dbt.failure_patterns.databases import DATABASES
from dbt_cloud_run.dbt.failure_patterns.row import ANY, DATABASE, RUNTIME, row
from dbt_cloud_run.dbt.failure_patterns.warehouses import WAREHOUSES
from dbt_cloud_run.model import Retryability

_sure = partial(row, ANY, verdict=Retryability.DETERMINISTIC)

_COMMON = (
    _sure(
        r"\bsyntax error at or near\b|\bsyntax error at end of input\b|\bincorrect syntax near\b",
        reason="the SQL is wrong",
        example=DATABASE + 'syntax error at or near "form"\n  LINE 4: form raw.orders',
    ),
    _sure(
        r"\b(?:division by zero|divide[_ ]by[_ ]zero)\b",
        reason="it divides by zero",
        example=DATABASE + "100051 (22012): Division by zero",
    ),
    _sure(
        r"\bis ambiguous\b|\bambiguous column\b",
        reason="a column's name is ambiguous",
        example=DATABASE + 'column reference "order_id" is ambiguous',
    ),
    _sure(
        r"\bsqlstate\b[:=\s(\[]{1,4}(?:0a|22|23|42)[0-9a-z]{3}\b|\b\d{6} \((?:0a|22|23|42)[0-9a-z]{3}\): ",
        reason="the SQL state says that the statement or its data is wrong",
        example=DATABASE + "[MISSING_GROUP_BY] The query does not include a GROUP BY clause. SQLSTATE: 42803",
    ),
    _sure(
        r"\b(?:permission|access) (?:was )?denied\b|\baccessdenied(?:exception)?\b|\bnot authorized\b|\b403 forbidden\b"
        r"|\b401 unauthorized\b|\binsufficient privileges?\b",
        reason="it is forbidden",
        example=RUNTIME + "An error occurred (AccessDeniedException) when calling the "
        "GetTable operation: not authorized to perform glue:GetTable",
    ),
)

DETERMINISTIC = (*WAREHOUSES, *DATABASES, *_COMMON)
