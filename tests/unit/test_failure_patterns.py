"""The table of failure messages against real messages with their right judgement, and the shape of its expressions."""

from __future__ import annotations

import re
import re._constants as constants
import re._parser as parser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dbt_cloud_run.dbt import failures
from dbt_cloud_run.dbt.failure_patterns import PASSING, TABLE
from dbt_cloud_run.dbt.failures import explain, explain_log
from dbt_cloud_run.planned import Retryability

DATA = Path(__file__).parent / "failure_messages"
# `collected.tsv` names the public report or the vendor's list of each message; `composed.tsv` has messages that wrap
# one error in another; `written.tsv` was written after the table, in the shape of each driver, to find its gaps.
FILES = ["reported.tsv", "collected.tsv", "composed.tsv", "written.tsv"]
RIGHT = {
    "deterministic": {Retryability.DETERMINISTIC},
    "transient": {Retryability.TRANSIENT},
    "unknown or transient": {Retryability.TRANSIENT, Retryability.UNKNOWN},
}
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


def _messages() -> Iterator[tuple[str, str, str]]:
    for file in FILES:
        for line in (DATA / file).read_text(encoding="utf-8").splitlines()[1:]:
            adapter, right, message = line.split("\t")[:3]
            yield adapter, right, re.sub(r"\\(.)", lambda found: _ESCAPED.get(found[1], found[1]), message)


MESSAGES = list(_messages())


@pytest.mark.parametrize(("adapter", "right", "message"), MESSAGES)
def test_real_message(adapter: str, right: str, message: str) -> None:
    adapter_type = None if adapter == "dbt" else adapter
    for judgement in (
        explain("error", message, adapter_type=adapter_type),
        explain("error", message),
        explain("error", message.upper(), adapter_type=adapter_type),
        explain_log(message, adapter_type=adapter_type),
        explain_log(message.replace("\n", "\r\n")),
    ):
        assert judgement.retryability in RIGHT[right], judgement


def test_there_are_messages_of_every_kind_for_every_warehouse() -> None:
    kinds: dict[str, set[str]] = {}
    for adapter, right, _ in MESSAGES:
        kinds.setdefault(adapter, set()).add(right)
    assert len(MESSAGES) > 300
    assert kinds.keys() >= {"athena", "bigquery", "clickhouse", "databricks", "dbt", "duckdb", "fabric", "postgres"}
    assert kinds.keys() >= {"redshift", "snowflake", "spark", "sqlserver", "trino"}
    for adapter, found in kinds.items():
        assert {"deterministic", "transient"} <= found, adapter


TROUBLES = [
    "Connection reset by peer",
    "Read timed out. (read timeout=60)",
    "HTTP Response code: 503. Service Unavailable",
    "('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))",
    "java.net.SocketTimeoutException: Read timed out",
    "Max retries exceeded with url: /x (Caused by NewConnectionError('Failed to establish a new connection'))",
    "was deadlocked on lock resources with another process and has been chosen as the deadlock victim",
    "Too many requests. Please try again later.",
    "out of memory",
]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_next_to_a_refusal_is_never_deterministic(trouble: str) -> None:
    """Whatever a deterministic row is about: a message that says beside it what passes by itself is tried again."""
    for pattern in TABLE:
        for message in (f"{pattern.example}\n  {trouble}", f"{trouble}\n{pattern.example}"):
            for adapter in [None, *pattern.adapters]:
                judgement = explain("error", message, adapter_type=adapter)
                assert judgement.retryability is not Retryability.DETERMINISTIC, (message, judgement)


NAMES = ["connection reset", "read_timeout", "timed out", "503 server error", "bad gateway", "please retry"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("adapter", "template"),
    [
        ("postgres", 'column "{}" does not exist\n  LINE 3:  {},\n           ^\n  HINT:  Perhaps you meant {}.'),
        ("duckdb", 'Binder Error: Referenced column "{}" not found in FROM clause!\n  Candidate bindings: "{}"'),
        ("snowflake", "000904 (42000): SQL compilation error: error line 3 at position 4\n  invalid identifier '{}'"),
        (
            "databricks",
            "[UNRESOLVED_COLUMN] A column with name `{}` cannot be resolved. SQLSTATE: 42703\n== SQL ==\n{}",
        ),
        (
            "trino",
            "TrinoUserError(type=USER_ERROR, name=COLUMN_NOT_FOUND, message=\"line 3:5: Column '{}' cannot be\")",
        ),
        (
            "sqlserver",
            "('42S22', \"[42S22] [Microsoft][ODBC][SQL Server]Invalid column name '{}'. (207) (SQLExecDirectW)\")",
        ),
        ("clickhouse", "Code: 47. DB::Exception: Missing columns: '{}' while processing {}. (UNKNOWN_IDENTIFIER)"),
    ],
)
def test_name_that_sounds_like_trouble_changes_nothing(adapter: str, template: str, name: str) -> None:
    # ClickHouse's quotations after a colon cannot be told from Python's, where they hold a blank.
    name = name.replace(" ", "_") if adapter == "clickhouse" else name
    message = f"Database Error in model {name} (models/{name}/x.sql)\n  " + template.replace("{}", name)
    judgement = explain("error", message, adapter_type=adapter)
    assert judgement.retryability is Retryability.DETERMINISTIC, judgement


def _repetitions(parsed: Any, inside: int = 0) -> Iterator[tuple[int, int]]:
    """The upper bound of each repetition, and how many repetitions of more than one time it stands in."""
    for operation, argument in parsed:
        if operation in (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT):
            _, most, inner = argument
            yield most, inside
            yield from _repetitions(inner, inside + (most > 1))
        elif operation is constants.BRANCH:
            for branch in argument[1]:
                yield from _repetitions(branch, inside)
        elif operation is constants.SUBPATTERN:
            yield from _repetitions(argument[-1], inside)
        elif operation in (constants.ASSERT, constants.ASSERT_NOT):
            yield from _repetitions(argument[1], inside)


OWN = [value for value in vars(failures).values() if isinstance(value, re.Pattern)]


@pytest.mark.parametrize("expression", [*(pattern.expression for pattern in TABLE), *OWN], ids=lambda e: e.pattern[:60])
def test_no_repetition_is_unbounded_or_holds_another(expression: re.Pattern[str]) -> None:
    """Such an expression takes a time that grows with the text alone, whatever the text."""
    for most, inside in _repetitions(parser.parse(expression.pattern, expression.flags)):
        assert most <= 16_000
        assert inside == 0 or most == 1


def test_what_outweighs_a_refusal_is_part_of_the_table() -> None:
    assert set(PASSING) < set(TABLE)
    assert not [pattern for pattern in PASSING if pattern.verdict is Retryability.DETERMINISTIC]
