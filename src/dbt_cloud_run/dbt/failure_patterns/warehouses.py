"""What Snowflake, BigQuery and Databricks refuse every time."""

from __future__ import annotations

from functools import partial

from dbt_cloud_run.dbt.failure_patterns.row import BIGQUERY, DATABASE, RUNTIME, SNOWFLAKE, SPARK, row
from dbt_cloud_run.model import Retryability

_sure = partial(row, verdict=Retryability.DETERMINISTIC)

_SNOWFLAKE = (
    _sure(
        SNOWFLAKE,
        r"resource monitor[^\n]{0,120}exceeded its quota|suspended immediate by resource monitor|free trial has ended",
        reason="a spending limit stops the warehouse",
        example=DATABASE + "090073 (22000): Warehouse 'TRANSFORMING' cannot be "
        "resumed because resource monitor 'MONTHLY' has exceeded its quota.",
    ),
    _sure(
        SNOWFLAKE,
        r"does not exist or not authorized",
        reason="an object does not exist, or the role may not see it",
        example=DATABASE + "002003 (42S02): SQL compilation error:\n"
        "  Object 'RAW.SHOP.ORDERS' does not exist or not authorized.",
    ),
    _sure(
        SNOWFLAKE,
        r"\binvalid identifier '",
        reason="a column does not exist",
        example=DATABASE + "000904 (42000): SQL compilation error: error line 3 "
        "at position 4\n  invalid identifier 'TIMEOUT'",
    ),
    _sure(
        SNOWFLAKE,
        r"sql access control error|insufficient privileges to operate",
        reason="the role lacks a privilege",
        example=DATABASE + "003001 (42501): SQL access control error:\n"
        "  Insufficient privileges to operate on schema 'ANALYTICS'",
    ),
    _sure(
        SNOWFLAKE,
        r"duplicate row detected during dml",
        reason="several rows match one row of a merge",
        example=DATABASE + "100090 (42P18): Duplicate row detected during DML action",
    ),
    _sure(
        SNOWFLAKE,
        r"value '[^'\n]{0,300}' is not recognized|failed to cast variant value"
        r"|(?:date|timestamp) '[^'\n]{0,300}' is not recognized",
        reason="a value does not fit its type",
        example=DATABASE + "100038 (22018): Numeric value 'n/a' is not recognized",
    ),
    _sure(
        SNOWFLAKE,
        r"incorrect username or password|user access disabled|is not allowed to access snowflake"
        r"|role '[^'\n]{1,200}' specified",
        reason="Snowflake does not let this user in",
        example="Database Error\n  250001 (08001): None: Failed to connect to DB: ab12345.snowflakecomputing.com:443. "
        "Incorrect username or password was specified.",
    ),
    _sure(
        SNOWFLAKE,
        r"user account has been (?:temporarily )?locked|mfa authentication is required"
        r"|\brequested role does not exist|role '[^'\n]{1,200}' does not exist",
        reason="Snowflake does not let this user in",
        example="Database Error\n  250001 (08001): None: Failed to connect to DB: ab12345.snowflakecomputing.com:443. "
        "Your user account has been temporarily locked due to too many failed attempts.",
    ),
    _sure(
        SNOWFLAKE,
        r"javascript execution error: uncaught (?:reference|type|syntax|range)error",
        reason="a JavaScript function is wrong",
        example=DATABASE + "100132 (P0000): JavaScript execution error: Uncaught ReferenceError: x is not defined",
    ),
    _sure(
        SNOWFLAKE,
        r"python interpreter error:[\s\S]{0,1500}\b(?:key|type|name|attribute|index|zerodivision)error: ",
        reason="a Python function is wrong, or the data does not fit it",
        example=DATABASE + "100357 (P0000): Python Interpreter Error:\n  Traceback (most recent call last):\n"
        "    File \"_udf_code.py\", line 3, in main\n  KeyError: 'AMOUNT'",
    ),
    _sure(
        SNOWFLAKE,
        r"sql compilation error",
        reason="the SQL is wrong",
        example=DATABASE + "001003 (42000): SQL compilation error:\n"
        "  syntax error line 4 at position 0 unexpected 'FORM'.",
    ),
)

_BIGQUERY = (
    _sure(
        BIGQUERY,
        r"\bunrecognized name: ",
        reason="a column does not exist",
        example=DATABASE + "Unrecognized name: timeout at [3:5]",
    ),
    _sure(
        BIGQUERY,
        r"\bnot found: (?:table|dataset|project|routine|model)\b|(?:function|type) not found: "
        r"|\bname \S{1,200} not found inside |does not exist in struct<",
        reason="an object does not exist",
        example=DATABASE + "Not found: Table shop-prod:raw.orders was not found in location EU",
    ),
    _sure(
        BIGQUERY,
        r"\baccess denied: |does not have bigquery\.[\w.]{1,80} (?:permission|access)"
        r"|prohibited by organization's policy",
        reason="the service account lacks a permission",
        example=DATABASE + "Access Denied: Table shop-prod:raw.orders: User does "
        "not have permission to query table shop-prod:raw.orders",
    ),
    _sure(
        BIGQUERY,
        r"^[ \t]*syntax error: |no matching signature for (?:function|operator)|invalid query: |unexpected keyword",
        reason="the SQL is wrong",
        example=DATABASE + 'Syntax error: Unexpected identifier "form" at [4:1]',
    ),
    _sure(
        BIGQUERY,
        r"\bcannot access field |which is neither grouped nor aggregated|in using clause not found on "
        r"|(?:aggregate|analytic) function \S{1,200} not allowed in |must be qualified with a dataset",
        reason="the SQL is wrong",
        example=DATABASE
        + "SELECT list expression references column timeout which is neither grouped nor aggregated at [3:5]",
    ),
    _sure(
        BIGQUERY,
        r"duplicate column names in the result|have mismatched column count|inserted row has wrong column count"
        r"|^[ \t]*column \d{1,5} in [a-z ]{1,30} has incompatible types: ",
        reason="the columns do not fit one another",
        example=DATABASE
        + "Queries in UNION ALL have mismatched column count; query 1 has 3 columns, query 2 has 4 columns",
    ),
    _sure(
        BIGQUERY,
        r"with a different (?:partitioning|clustering) spec|too many partitions produced by query"
        r"|without a filter over column\(s\)|provided schema does not match table"
        r"|operation because it is currently an? ",
        reason="the table is of another form than the query needs",
        example=DATABASE
        + "Cannot replace a table with a different partitioning spec. Instead, DROP the table, and then recreate it.",
    ),
    _sure(
        BIGQUERY,
        r"must match at most one source row",
        reason="several rows match one row of a merge",
        example=DATABASE + "UPDATE/MERGE must match at most one source row for each target row",
    ),
    _sure(
        BIGQUERY,
        r"\bbad (?:int64|double|bool|numeric) value|could not cast literal|which cannot be (?:inserted|assigned)"
        r"|invalid (?:timestamp|date|datetime|json)(?: string)?: |invalid cast from |failed to parse input string "
        r"|mismatch between format character|array cannot have a null element|required field \S{1,200} cannot be null"
        r"|scalar subquery produced more than one element",
        reason="a value does not fit its type",
        example=DATABASE + "Bad int64 value: n/a",
    ),
    _sure(
        BIGQUERY,
        r"exceeded limit for bytes billed|quotaexceeded[^\n]{0,80}bytes billed|bytesbilledlimitexceeded"
        r"|\bcustom quota (?:exceeded|for queryusage)|exceeded quota for free query bytes",
        reason="it would cost more than is allowed",
        example=DATABASE + "Query exceeded limit for bytes billed: 1000000000. 4200595456 or higher required.",
    ),
)

_SPARK = (
    _sure(
        SPARK,
        r"\[parse_syntax_error\]|\bparseexception\b",
        reason="the SQL is wrong",
        example=DATABASE + "[PARSE_SYNTAX_ERROR] Syntax error at or near 'FORM'. SQLSTATE: 42601 (line 4, pos 0)",
    ),
    _sure(
        SPARK,
        r"\[(?:table_or_view|schema|catalog|delta_table)_not_found[\].]|table or view not found"
        r"|no cluster found matching",
        reason="an object does not exist",
        example=DATABASE + "[TABLE_OR_VIEW_NOT_FOUND] The table or view "
        "`raw`.`orders` cannot be found. SQLSTATE: 42P01",
    ),
    _sure(
        SPARK,
        r"\[unresolved_(?:column|routine|field|map_key)|cannot resolve '[^'\n]{1,200}' given input columns",
        reason="a column or function does not exist",
        example=DATABASE + "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, "
        "or function parameter with name `timeout` cannot be resolved. SQLSTATE: 42703",
    ),
    _sure(
        SPARK,
        r"\[insufficient_permissions\]|\bpermission_denied\b|insufficient privileges:|: invalid access token\b"
        r"|^[ \t]*user does not have [a-z ]{2,40} on \w",
        reason="the user lacks a permission",
        example=DATABASE + "[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\n"
        "  User does not have USE SCHEMA on Schema 'main.raw'. SQLSTATE: 42501",
    ),
    _sure(
        SPARK,
        r"\[(?:cast_invalid_input|cast_overflow|datatype_mismatch|cannot_parse_timestamp|numeric_value_out_of_range"
        r"|invalid_array_index)",
        reason="a value does not fit its type",
        example=DATABASE + "Job aborted due to stage failure: Task 3 in stage 12.0 "
        'failed 4 times: [CAST_INVALID_INPUT] The value \'n/a\' of the type "STRING" cannot be cast to "INT"',
    ),
    _sure(
        SPARK,
        r"delta_multiple_source_row_matching_target_row_in_merge|multiple source rows matched",
        reason="several rows match one row of a merge",
        example=DATABASE + "[DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE] "
        "Cannot perform Merge as multiple source rows matched",
    ),
    _sure(
        SPARK,
        r"delta_(?:violate_constraint|not_null_constraint_violated|exceed_char_varchar_limit|failed_to_merge_fields)"
        r"|\[not_null_constraint_violation[\].]|^[ \t]*check constraint [^\n]{1,300} violated by row"
        r"|\ba schema mismatch detected",
        reason="the data breaks a constraint of the table",
        example=DATABASE + "[DELTA_NOT_NULL_CONSTRAINT_VIOLATED] NOT NULL constraint "
        "violated for column: order_id. SQLSTATE: 23502",
    ),
    _sure(
        SPARK,
        r"\banalysisexception\b|\[ambiguous_reference\]",
        reason="the SQL is wrong",
        example=RUNTIME + "org.apache.spark.sql.AnalysisException: "
        "[AMBIGUOUS_REFERENCE] Reference `order_id` is ambiguous",
    ),
)

WAREHOUSES = (*_SNOWFLAKE, *_BIGQUERY, *_SPARK)
