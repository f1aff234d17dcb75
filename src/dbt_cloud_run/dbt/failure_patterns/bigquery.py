"""What BigQuery says."""

from __future__ import annotations

from functools import partial

from dbt_cloud_run.dbt.failure_patterns.row import BIGQUERY, DATABASE, row
from dbt_cloud_run.planned import Retryability

_CODES = "BigQuery's table of error reasons, and public reports"

_passing = partial(row, BIGQUERY, verdict=Retryability.TRANSIENT, source=_CODES)
_unsure = partial(row, BIGQUERY, verdict=Retryability.UNKNOWN, source=_CODES)
_sure = partial(row, BIGQUERY, verdict=Retryability.DETERMINISTIC, source=_CODES)


FIRST = (
    _passing(
        r"\b(?:job)?ratelimitexceeded\b|exceeded rate limits|exceeded quota for (?:concurrent|rate|number of)"
        r"|(?<!custom )quota exceeded: (?!your project exceeded quota for free)",
        reason="BigQuery limits the rate of requests",
        example=DATABASE + "403 Exceeded rate limits: too many table update operations for "
        "this table. For more information, see https://cloud.google.com/bigquery/docs/troubleshoot-quotas",
    ),
    _passing(
        r"\balready exists: (?:table|dataset|routine|job|model) |could not serialize access to table"
        r"|aborted due to concurrent update|\bnot found: job\b"
        r"|\bconcurrent policy changes\b|\bread-modify-write\b|\bconcurrent (?:dml|transaction|modification)s?\b",
        reason="it collided with another job",
        example=DATABASE + "Could not serialize access to table shop-prod:marts.orders due to concurrent update",
    ),
)

REFUSED = (
    _sure(
        r"\breason: (?:invalidquery|accessdenied|billingnotenabled|responsetoolarge|billingtierlimitexceeded)\b"
        r"|\bbilling has not been enabled\b|\binvalid jwt signature\b|\bservice account not found\b",
        reason="BigQuery refuses the query, or lacks billing",
        example=DATABASE + "400 GET https://bigquery.googleapis.com/bigquery/v2/projects/shop-prod/jobs: Invalid "
        "field; reason: invalidQuery, location: query",
    ),
    _sure(
        r"\bcorrelated subquer(?:y|ies)\b|\bexceeds the maximum allowed number of nested views"
        r"|\bquery is too (?:large|complex)\b|\bquery without from clause cannot\b"
        r"|\bonly allow(?:ed|s) in (?:standard|legacy) sql|\bnot supported in (?:standard|legacy|bigquery)"
        r"|\bpartition(?:ing)? by expressions? (?:of|must)\b|\bexpected (?:end of input|keyword) but got\b"
        r"|\bnumber of arguments does not match for function\b|\bis not visible after (?:group by|select)"
        r"|\b(?:left|right|full) outer join cannot be used without a condition\b|\binvalid schema update\b"
        r"|\bcannot add required fields to an existing schema\b|\bclustering is not supported on\b"
        r"|\binvalid project id '|\bunexpected (?:string|integer|floating point) literal\b"
        r"|\bcannot be (?:compared|coerced)\b|\btable encountered too many errors, giving up\b"
        r"|\bassignment (?:to|is not)\b[^\n]{0,100}\bnot allowed\b|\bgrouping by expressions of type\b"
        r"|\barray index \d{1,9} is out of bounds|\bstar expansion expression references\b"
        r"|\bmust be an? (?:literal|constant|aggregate)\b|\bdoes not have a (?:column|schema)\b",
        reason="BigQuery cannot do this",
        example=DATABASE + "Correlated subqueries that reference other tables are not supported unless they can be "
        "de-correlated, such as by transforming them into an efficient JOIN.",
    ),
    _sure(
        r"\bunrecognized name: ",
        reason="a column does not exist",
        example=DATABASE + "Unrecognized name: timeout at [3:5]",
    ),
    _sure(
        r"\bnot found: (?:table|dataset|project|routine|model)\b|(?:function|type) not found: "
        r"|\bname \S{1,200} not found inside |does not exist in struct<",
        reason="an object does not exist",
        example=DATABASE + "Not found: Table shop-prod:raw.orders was not found in location EU",
    ),
    _sure(
        r"\baccess denied: |does not have bigquery\.[\w.]{1,80} (?:permission|access)"
        r"|prohibited by organization's policy",
        reason="the service account lacks a permission",
        example=DATABASE + "Access Denied: Table shop-prod:raw.orders: User does "
        "not have permission to query table shop-prod:raw.orders",
    ),
    _sure(
        r"^[ \t]{0,40}syntax error: |no matching signature for (?:function|operator)|invalid query: "
        r"|unexpected keyword",
        reason="the SQL is wrong",
        example=DATABASE + 'Syntax error: Unexpected identifier "form" at [4:1]',
    ),
    _sure(
        r"\bcannot access field |which is neither grouped nor aggregated|in using clause not found on "
        r"|(?:aggregate|analytic) function \S{1,200} not allowed in |must be qualified with a dataset",
        reason="the SQL is wrong",
        example=DATABASE
        + "SELECT list expression references column timeout which is neither grouped nor aggregated at [3:5]",
    ),
    _sure(
        r"duplicate column names in the result|have mismatched column count|inserted row has wrong column count"
        r"|^[ \t]{0,40}column \d{1,5} in [a-z ]{1,30} has incompatible types: ",
        reason="the columns do not fit one another",
        example=DATABASE
        + "Queries in UNION ALL have mismatched column count; query 1 has 3 columns, query 2 has 4 columns",
    ),
    _sure(
        r"with a different (?:partitioning|clustering) spec|too many partitions produced by query"
        r"|without a filter over column\(s\)|provided schema does not match table"
        r"|operation because it is currently an? ",
        reason="the table is of another form than the query needs",
        example=DATABASE
        + "Cannot replace a table with a different partitioning spec. Instead, DROP the table, and then recreate it.",
    ),
    _sure(
        r"must match at most one source row",
        reason="several rows match one row of a merge",
        example=DATABASE + "UPDATE/MERGE must match at most one source row for each target row",
    ),
    _sure(
        r"\bbad (?:int64|double|bool|numeric|bignumeric|timestamp|date|datetime|time) value|could not cast literal"
        r"|which cannot be (?:inserted|assigned)"
        r"|invalid (?:timestamp|date|datetime|json)(?: string)?: |invalid cast from |failed to parse input string "
        r"|mismatch between format character|array cannot have a null element|required field \S{1,200} cannot be null"
        r"|scalar subquery produced more than one element",
        reason="a value does not fit its type",
        example=DATABASE + "Bad int64 value: n/a",
    ),
    _sure(
        r"exceeded limit for bytes billed|quotaexceeded[^\n]{0,80}bytes billed|bytesbilledlimitexceeded"
        r"|\bcustom quota (?:exceeded|for queryusage)|exceeded quota for free query bytes",
        reason="it would cost more than is allowed",
        example=DATABASE + "Query exceeded limit for bytes billed: 1000000000. 4200595456 or higher required.",
    ),
)

LAST = (
    _passing(
        r"\breason: (?:backenderror|internalerror|job(?:backend|internal)error|tableunavailable|timeout)\b"
        r"|\breason: resourceinuse\b"
        r"|\bstorage api is not available for query\b|\bdid not complete within the designated timeout\b"
        r"|\btransport: error\b|\bunable to acquire impersonated credentials\b|\btransporterror\b",
        reason="BigQuery or Google's log-in did not answer",
        example="[BigQuery] Storage API is not available for query:\nhttps://console.cloud.google.com/bigquery?project=p"
        "\nTreating as failing test.",
    ),
    _unsure(
        r"\bresources exceeded\b|\breason: (?:resourcesexceeded|stopped|quotaexceeded)\b",
        reason="it needed more than BigQuery had",
        example=DATABASE + "Job shop-prod:EU.x failed; reason: resourcesExceeded",
    ),
    _passing(
        r"retrying (?:the job )?may solve the problem|\bbackenderror\b|visibility check was unavailable"
        r"|deadline of [\d.]{1,12}s exceeded"
        r"|timeout of [\d.]{1,12}s exceeded|\bdeadline=[\d.]{1,12}s",
        reason="BigQuery had an error of its own",
        example=DATABASE + "503 Error encountered during execution. Retrying may solve the problem.",
    ),
)
