"""What Databricks and Spark say: an error class and an SQL state, `[DIVIDE_BY_ZERO] … SQLSTATE: 22012`."""

from __future__ import annotations

from functools import partial

from dbt_cloud_run.dbt.failure_patterns.row import DATABASE, RUNTIME, SPARK, row
from dbt_cloud_run.planned import Retryability

_CODES = "Spark's and Delta Lake's error conditions, and public reports"

_passing = partial(row, SPARK, verdict=Retryability.TRANSIENT, source=_CODES)
_unsure = partial(row, SPARK, verdict=Retryability.UNKNOWN, source=_CODES)
_sure = partial(row, SPARK, verdict=Retryability.DETERMINISTIC, source=_CODES)


FIRST = (
    _passing(
        r"\[(?:delta_(?:schema_change_since_analysis|table_id_mismatch|state_recover\w{0,40})"
        r"|concurrent_\w{1,60}|transaction_\w{0,20}conflict\w{0,40}|session_closed|operation_cancel\w{0,20}"
        r"|connect\w{0,10}_\w{0,60}|unavailable\w{0,40})[\].]|\bhiveexception: (?:at least one column must be specified"
        r"|unable to (?:alter|fetch|get) )|\bbad status: no status code|\btoo many 5\d\d error responses",
        reason="another write changed the table meanwhile, or the metastore did not answer",
        example=RUNTIME + "org.apache.spark.sql.AnalysisException: org.apache.hadoop.hive.ql.metadata.HiveException: "
        "Unable to alter table. null",
    ),
    _unsure(
        r"\bsqlstate: (?:42k03|57kd0|57014|58\w{3}|5[34]\w{3})\b|\bdelta_file_not_found\w{0,20}\b",
        reason="a file was gone, or the cluster had too little of something",
        example=DATABASE + "[PATH_NOT_FOUND] Path does not exist: dbfs:/x/y. SQLSTATE: 42K03",
    ),
    _passing(
        r"\[?delta_(?:concurrent_|metadata_changed|protocol_changed)"
        r"|\b(?:concurrent(?:append|deleteread|deletedelete|write)"
        r"|metadatachanged|protocolchanged)exception\b",
        reason="another write changed the table meanwhile",
        example=RUNTIME + "[DELTA_CONCURRENT_APPEND] ConcurrentAppendException: Files were "
        "added to the root of the table by a concurrent update. Please try the operation again.",
    ),
)

REFUSED = (
    _sure(
        r"\[(?:arithmetic_overflow|binary_arithmetic_overflow|group_by_\w{1,40}|missing_group_by|missing_aggregation"
        r"|column_already_exists|num_columns_mismatch|incompatible_column_type|wrong_num_args|invalid_parameter_value"
        r"|unsupported_(?:feature|generator|subquery\w{0,60})|not_supported\w{0,60}"
        r"|insert_column_arity_mismatch\w{0,30}"
        r"|delta_(?:create_table_schem\w{0,30}|invalid_\w{1,60}|missing_column\w{0,20}|merge_incompatible_datatype"
        r"|failed_to_merge_fields|column_not_found\w{0,30}|schema_not_provided|table_not_found))[\].]",
        reason="the SQL is wrong",
        example=DATABASE
        + "[DELTA_MERGE_INCOMPATIBLE_DATATYPE] Failed to merge incompatible data types IntegerType and "
        "StringType",
    ),
    _sure(
        r"\[parse_syntax_error\]|\bparseexception\b",
        reason="the SQL is wrong",
        example=DATABASE + "[PARSE_SYNTAX_ERROR] Syntax error at or near 'FORM'. SQLSTATE: 42601 (line 4, pos 0)",
    ),
    _sure(
        r"\[(?:table_or_view|schema|catalog|delta_table)_not_found[\].]|table or view not found"
        r"|\b(?:database|schema|catalog) '[^'\n]{1,200}' not found|\bno such (?:database|catalog|schema)\b"
        r"|no cluster found matching",
        reason="an object does not exist",
        example=DATABASE + "[TABLE_OR_VIEW_NOT_FOUND] The table or view "
        "`raw`.`orders` cannot be found. SQLSTATE: 42P01",
    ),
    _sure(
        r"\[unresolved_(?:column|routine|field|map_key)|cannot resolve '[^'\n]{1,200}' given input columns",
        reason="a column or function does not exist",
        example=DATABASE + "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, "
        "or function parameter with name `timeout` cannot be resolved. SQLSTATE: 42703",
    ),
    _sure(
        r"\[insufficient_permissions\]|\bpermission_denied\b|insufficient privileges:"
        r"|(?:: (?:b')?|^[ \t]{0,40})invalid access token\b"
        r"|^[ \t]{0,40}user does not have [a-z ]{2,40} on \w",
        reason="the user lacks a permission",
        example=DATABASE + "[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\n"
        "  User does not have USE SCHEMA on Schema 'main.raw'. SQLSTATE: 42501",
    ),
    _sure(
        r"\[(?:cast_invalid_input|cast_overflow|datatype_mismatch|cannot_parse_timestamp|numeric_value_out_of_range"
        r"|invalid_array_index)",
        reason="a value does not fit its type",
        example=DATABASE + "Job aborted due to stage failure: Task 3 in stage 12.0 "
        'failed 4 times: [CAST_INVALID_INPUT] The value \'n/a\' of the type "STRING" cannot be cast to "INT"',
    ),
    _sure(
        r"delta_multiple_source_row_matching_target_row_in_merge|multiple source rows matched",
        reason="several rows match one row of a merge",
        example=DATABASE + "[DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE] "
        "Cannot perform Merge as multiple source rows matched",
    ),
    _sure(
        r"delta_(?:violate_constraint|not_null_constraint_violated|exceed_char_varchar_limit|failed_to_merge_fields)"
        r"|\[not_null_constraint_violation[\].]|^[ \t]{0,40}check constraint [^\n]{1,300} violated by row"
        r"|\ba schema mismatch detected",
        reason="the data breaks a constraint of the table",
        example=DATABASE + "[DELTA_NOT_NULL_CONSTRAINT_VIOLATED] NOT NULL constraint "
        "violated for column: order_id. SQLSTATE: 23502",
    ),
    _sure(
        # The metastore's and the network's exceptions come wrapped in this one.
        r"\banalysisexception\b(?!: (?:java|javax|com|io|org)\.[\w.$]{1,120}(?:exception|error)\b)"
        r"|\[ambiguous_reference\]",
        reason="the SQL is wrong",
        example=RUNTIME + "org.apache.spark.sql.AnalysisException: "
        "[AMBIGUOUS_REFERENCE] Reference `order_id` is ambiguous",
    ),
)

LAST = (
    _passing(
        r"executorlostfailure|executor (?:\d{1,9} )?lost|fetchfailed|spark driver has stopped|spot_instance_termination"
        r"|node lost|\brpctimeoutexception\b"
        r"|driver_(?:unreachable|unresponsive)|cloud_provider_shutdown",
        reason="the cluster lost a machine",
        example=RUNTIME + "Job aborted due to stage failure: Task 7 in stage 31.0 failed 4 "
        "times, most recent failure: ExecutorLostFailure (executor 3 exited caused by one of the running tasks)",
    ),
    _passing(
        r"\bcluster\b[^\n]{0,120}(?:terminated|unexpected state|is starting|not running)|invalid sessionhandle"
        r"|temporarily_unavailable|request_limit_exceeded|could not be scheduled|\bcluster launch failed\b"
        r"|insufficient_instance_capacity",
        reason="the cluster was not up, or too busy",
        example=RUNTIME + 'Error starting terminated cluster.\n   b\'{"error_code":'
        '"INVALID_STATE","message":"Cluster 0712-1 is in unexpected state Pending."}\'',
    ),
)
