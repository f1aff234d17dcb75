"""The lines that say why a step failed that ran no nodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.dbt.console_log import LONGEST_LINE, MOST_LINES, failure_lines

CLONE = """Cloning into '/tmp/jobs/70471/target'...
remote: Enumerating objects: 31, done.\rremote: Counting objects:  50% (1/2)\r
remote: Repository not found.
fatal: repository 'https://x-access-token:ghs_s3cr3t@github.com/acme/shop.git/' not found
"""
PROFILE = """Creating profile for connection BigQuery
Failed to generate profile due to incorrect credentials
"""
DEPS = """06:00:03  Running with dbt=1.11.0
06:00:09  \x1b[31mEncountered an error\x1b[0m:
06:00:09  HTTPSConnectionPool(host='hub.getdbt.com'): Max retries exceeded
"""
COMPILATION = """06:00:03  Running with dbt=1.11.0
06:00:05  Encountered an error:
Compilation Error in model orders (models/orders.sql)
  'cents_to_euro' is undefined.

06:00:05  Finished running
"""
VALIDATION = """dbt Semantic Layer
✔ Successfully parsed manifest from dbt project
✖ Breaking issues found when checking semantics of built manifest (ERRORS: 2, FUTURE_ERRORS: 0, WARNINGS: 0)
• ERROR: with metric `revenue`  - The measure `total` does not exist.
• ERROR: with metric `orders`  - The measure `count` does not exist.
• WARNING: with metric `old`  - It is not used.
"""
FUSION = """dbt-fusion 2.0.0
error: dbt0227: No column TIMEOUT found. Available are ORDER_ID, AMOUNT
  --> models/orders.sql:7:3
"""
CRASH = """06:00:05  Encountered an error:
Traceback (most recent call last):
  File "/usr/lib/dbt/cli.py", line 12, in run
    main()
google.auth.exceptions.RefreshError: invalid_grant: Token has been revoked
"""
USAGE = """Usage: dbt docs generate [OPTIONS]
Try 'dbt docs generate -h' for help.

Error: No such option '--selct'.
"""
DOCS = """06:00:05  Building catalog
06:00:09  Encountered an error while generating catalog: Database Error
  permission denied for schema pg_catalog
06:00:09  dbt encountered 1 failure while writing the catalog
"""


@pytest.mark.parametrize(
    ("log", "lines"),
    [
        (
            CLONE,
            ("remote: Repository not found.", "fatal: repository 'https://***@github.com/acme/shop.git/' not found"),
        ),
        (PROFILE, ("Failed to generate profile due to incorrect credentials",)),
        (DEPS, ("HTTPSConnectionPool(host='hub.getdbt.com'): Max retries exceeded",)),
        (COMPILATION, ("Compilation Error in model orders (models/orders.sql)", "  'cents_to_euro' is undefined.")),
        (
            VALIDATION,
            (
                (
                    "✖ Breaking issues found when checking semantics of built manifest (ERRORS: 2, FUTURE_ERRORS: 0, "
                    "WARNINGS: 0)"
                ),
                "• ERROR: with metric `revenue`  - The measure `total` does not exist.",
                "• ERROR: with metric `orders`  - The measure `count` does not exist.",
            ),
        ),
        (
            FUSION,
            (
                "error: dbt0227: No column TIMEOUT found. Available are ORDER_ID, AMOUNT",
                "  --> models/orders.sql:7:3",
            ),
        ),
        (CRASH, ("google.auth.exceptions.RefreshError: invalid_grant: Token has been revoked",)),
        (USAGE, ("Error: No such option '--selct'.",)),
        (
            DOCS,
            (
                "Encountered an error while generating catalog: Database Error",
                "  permission denied for schema pg_catalog",
            ),
        ),
        ("git: cloned\nall is well\n", ()),
        ("", ()),
    ],
    ids=["clone", "profile", "deps", "compile", "validate", "fusion", "crash", "usage", "docs", "nothing", "empty"],
)
def test_the_lines_that_matter(log: str, lines: tuple[str, ...]) -> None:
    found = failure_lines(log)
    assert found[: len(lines)] == lines
    assert len(found) <= len(lines) + (log is DOCS)


def test_they_are_few_and_short() -> None:
    found = failure_lines("\n".join(f"fatal: {number} {'x' * 1000}" for number in range(30)))
    assert len(found) == MOST_LINES
    assert max(map(len, found)) == LONGEST_LINE
    assert found[-1] == "[… 19 more lines in the log …]"


def test_the_same_line_is_said_once() -> None:
    assert failure_lines("fatal: no\nfatal: no\n") == ("fatal: no",)


@given(st.text(alphabet=" \n\tfatal:E\x1b[0m-*\u2022R/@", max_size=300))
def test_any_log_is_read_within_the_bounds(log: str) -> None:
    found = failure_lines(log)
    assert len(found) <= MOST_LINES
    assert all(len(line) <= LONGEST_LINE and line.strip() for line in found)


@pytest.mark.parametrize(
    "piece", ["Encountered an error: ", "A Error in x ", "://x", "fatal: ", "  ", "\x1b[0;", "error"]
)
def test_no_repetition_makes_it_hang(piece: str) -> None:
    assert len(failure_lines(piece * 200_000)) <= MOST_LINES
