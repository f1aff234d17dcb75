"""What dbt itself says, whatever the warehouse: nothing of it passes by itself."""

from __future__ import annotations

from functools import partial

from dbt_cloud_run.dbt.failure_patterns.row import ANY, REPORTS, RUNS, row
from dbt_cloud_run.planned import Retryability

_sure = partial(row, ANY, verdict=Retryability.DETERMINISTIC, source=RUNS)

DBT = (
    _sure(
        r"^[ \t]{0,40}got \d{1,18} results?, configured to (?:fail|error) if",
        reason="the data did not pass the test",
        example="Got 3 results, configured to fail if != 0",
    ),
    _sure(
        r"actual differs from expected",
        reason="the unit test found other rows than expected",
        example="\n\nactual differs from expected:\n\n@@ ,customer_id,order_count\n→  ,1          ,2→3\n",
    ),
    _sure(
        r"enforced contract that failed|contracted models require data_type to be defined",
        reason="the model breaks its contract",
        example="Compilation Error in model customer_summary (models/marts/customer_summary_v2.sql)\n"
        "  This model has an enforced contract that failed.\n"
        "  Please ensure the name, data_type, and number of columns in your contract match the columns in your "
        "model's definition.",
    ),
    _sure(
        r"^[ \t]{0,40}(?:encountered an error:[ \t]{0,40})?(?:compilation|parsing|validation|alias|recursion) error\b",
        reason="dbt could not compile it",
        example="Compilation Error in model orders (models/orders.sql)\n  'cents_to_euro' is undefined.",
    ),
    _sure(
        r"depends on a (?:node|source|macro) named [^\n]{1,200} which (?:was not found|is disabled)",
        reason="it refers to something that the project does not have",
        example="Runtime Error\n  Model 'model.shop.orders' (models/orders.sql) depends on a node named 'stg_order' "
        "which was not found",
    ),
    _sure(
        r"env var required but not provided|required var '[^'\n]{1,200}' not found",
        reason="a variable that the project needs is not set",
        example="Runtime Error\n  Env var required but not provided: 'DBT_REGION'",
    ),
    _sure(
        r"could not find (?:profile|selector) named|does not have a target named|no dbt_project\.yml found"
        r"|^[ \t]{0,40}found duplicate project \"|because no profile was specified|not a valid value for '?--"
        r"|^error: invalid value for '?--"
        r"|could not find adapter type |^[ \t]{0,40}credentials in profile \"[^\n]{1,300} invalid\b",
        reason="the project or its profile is not set up for this command",
        example="Runtime Error\n  Could not find selector named nightly, expected one of ['daily']",
    ),
    _sure(
        r"^error encountered in [^\n]{1,400}\.yml\b|^[ \t]{0,40}at path \[[^\n]{0,200}\]: "
        r"|^[ \t]{0,40}syntax error near line \d"
        r"|could not read selector file data|\.yml file in this project is malformed|is not a valid semantic version",
        reason="a file of the project is wrong",
        example="Encountered an error:\nRuntime Error\n  at path ['model-paths']: 3 is not valid under any of the "
        "given schemas\n\nError encountered in /repository/dbt_project.yml",
    ),
    _sure(
        r"^[ \t]{0,40}field \"[^\"\n]{1,200}\" of type [^\n]{1,300} has invalid value\b"
        r"|\brow \d{1,9} has \d{1,6} values, but table only has \d{1,6} columns",
        reason="a file of the project is wrong",
        example='Encountered an error:\nField "macros" of type Mapping[str, Macro] in WritableManifest has invalid '
        "value at $.macros.foo.supported_languages: 'javascript' is not a valid ModelLanguage.",
        source=REPORTS,
    ),
    _sure(
        r"\bsemantic (?:manifest )?validation failed\b|\bbreaking issues found when (?:checking|validating) semantics\b"
        r"|\bbreaking issues found when building (?:model|manifest)\b",
        reason="the semantic layer's definitions are wrong",
        example="\u2716 Breaking issues found when checking semantics of built manifest (ERRORS: 8, FUTURE_ERRORS: 0, "
        "WARNINGS: 0)\n\u2022 ERROR: with metric `revenue`  - The measure does not exist.",
        source=REPORTS,
    ),
    _sure(
        r"^(?:[ \t]{0,40}|runtimeerror: )found a cycle: ",
        reason="models depend on one another in a circle",
        example="Encountered an error:\nFound a cycle: model.shop.a --> model.shop.b",
    ),
    _sure(
        r"'[^'\n]{1,200}' is not a valid method name|got a state selector method, but no comparison manifest"
        r"|--state or --defer-state are required for deferral|could not find previous run in '"
        r"|provided in the --(?:vars|args) argument is not valid|dbt could not find a macro with the name",
        reason="the command asks for what is not there",
        example="Encountered an error:\nRuntime Error\n  Got a state selector method, but no comparison manifest",
    ),
    _sure(
        r"this version of dbt is not supported with",
        reason="the dbt version does not fit the project",
        example="Runtime Error\n  This version of dbt is not supported with the 'retail_utils' package.",
    ),
    _sure(
        r"\bno such (?:option|command)\b|^usage: dbt\b",
        reason="dbt does not know the command or one of its options",
        example="Usage: dbt build [OPTIONS]\nTry 'dbt build --help' for help.\n\nError: No such option '--selct'.",
    ),
    _sure(
        r"was not found in the package index|version error for package|could not find a matching compatible version"
        r"|found a dependency that is not compatible",
        reason="a package or its version is not available",
        example="Encountered an error:\nDependency Error\n  Version error for package dbt-labs/dbt_utils: "
        "Could not find a satisfactory version from options: ['>=9.0.0']",
    ),
    _sure(
        r"packages? .{0,80}not installed|run .{0,3}dbt deps.{0,3} to install (?:package )?dependencies",
        reason="the packages are not installed",
        example="Runtime Error\n  dbt found 1 package(s) specified in packages.yml, but only 0 package(s) installed in "
        'dbt_packages. Run "dbt deps" to install package dependencies.',
    ),
    _sure(
        r"\berror: dbt0[12]\d\d:|^\[?dbt0[12]\d\d\]?:",
        reason="the SQL was found wrong before it ran",
        example="error: dbt0227: No column TIMEOUT found. Available are ORDERS.ORDER_ID, ORDERS.AMOUNT",
    ),
    _sure(
        r"(?:\berror: |^\[?)dbt(?:1013|1451|150[2-8]|160[0-2]|170[0-4])\]?:",
        reason="the project or the command was found wrong before anything ran",
        example="error: dbt1013: YAML error: invalid type: map, expected a string\n  --> models/timeout.yml:8:18",
    ),
    _sure(
        r"^[ \t]{0,40}(?:ModuleNotFoundError|NameError|SyntaxError|IndentationError): ",
        reason="the Python model is wrong, or lacks a module",
        example="Runtime Error in model forecast (models/forecast.py)\n  Python model failed:\n"
        "  Traceback (most recent call last):\n  ModuleNotFoundError: No module named 'prophet'",
    ),
    _sure(
        r"fatal: (?:repository '[^'\n]{1,300}' not found|couldn't find remote ref|reference is not a tree"
        r"|remote branch [^\n]{1,200} not found)|error: pathspec '[^'\n]{1,200}' did not match"
        r"|^fatal: bad object |upload-pack: not our ref|^fatal: unable to read tree "
        r"|^(?:remote: |error: ){1,2}repository not found\.?\r?$",
        reason="the repository, branch or commit does not exist",
        example="Error checking out spec='v9' for repo https://github.com/shop/retail_utils.git\n"
        "error: pathspec 'v9' did not match any file(s) known to git",
    ),
    _sure(
        r"^fatal: authentication failed for '|invalid username or (?:password|token)\b"
        r"|^fatal: could not read (?:username|password) for '|^host key verification failed",
        reason="the repository does not let dbt Cloud in",
        example="remote: Invalid username or token. Password authentication is not supported for Git operations.\n"
        "fatal: Authentication failed for 'https://github.com/shop/dbt.git/'",
    ),
    _sure(
        r"^(?:valueerror: |error: )?no (?:closing quotation|escaped character)$",
        reason="the command's quotes do not match",
        example="No closing quotation",
    ),
    _sure(
        r"^[ \t]{0,40}\d{1,6} of \d{1,6} error stale freshness of ",
        reason="its data is older than allowed",
        example="1 of 1 ERROR STALE freshness of shop.orders ........ [ERROR STALE in 0.10s]\nDone.",
    ),
)

RENDERING = (
    _sure(
        r"(?:\berror: |^\[?)dbt1501\]?:",
        reason="dbt could not render it",
        example="error: dbt1501: Failed to render SQL unknown function: cents_to_euro is undefined\n"
        "  --> models/orders.sql:3:4",
    ),
)
"""What the new engine says of a template; a query in it may have failed for any reason, which it then quotes."""
