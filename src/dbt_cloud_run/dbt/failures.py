"""Whether a failure is likely to pass by itself, from a node's status and message, or from a step's log.

A judgement is `deterministic` (it fails again every time), `transient` or `unknown`; what is unknown is tried again.
A failed data test or unit test is deterministic by its status; everything else is judged by its wording, by the first
row of `failure_patterns.TABLE` that is found. A message that also says, outside of what it quotes, that something
passes is never deterministic. Nothing here raises, whatever the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dbt_cloud_run.dbt.failure_patterns import PASSING, TABLE, Pattern
from dbt_cloud_run.dbt.statuses import Kind, kind, normalise
from dbt_cloud_run.planned import Retryability

_HEAD = _TAIL = 8_000  # characters; an error says what it is at its beginning, a traceback at its end
_LOG_TAIL = 64_000

_ESCAPES = re.compile(r"\x1b\[[0-9;:]{0,32}[A-Za-z]")
_TIMESTAMPS = re.compile(r"^\d\d:\d\d:\d\d(?:\.\d{1,9})? {1,4}", re.MULTILINE)
_POINTERS = re.compile(r"^[ \t]{0,40}compiled (?:code|sql) at [^\n]{0,4000}$", re.IGNORECASE | re.MULTILINE)
_LAST_ERRORS = re.compile(
    r"^(?:Encountered an error:|Completed with \d{1,9} errors?\b|Traceback \(most recent call last\))", re.MULTILINE
)
_ONE_NODE = re.compile(
    r"^[ \t]{0,40}(?:Failure in \w{1,40} \S{1,300} \(|[A-Z]\w{1,20} Error in \w{1,40} \S{1,300} \()", re.MULTILINE
)
# What a message quotes of the user's own: identifiers after a word (`column "read timeout"`, unlike Python's
# `('08S01', '[08S01] …')`), the SQL that Postgres, DuckDB, Spark and ClickHouse repeat, and the names of nodes.
_NODE = re.compile(
    r"^([ \t]{0,20}(?:Failure|[A-Z]\w{1,20} Error) in \w{1,20}) [^\n(]{1,300}\([^\n)]{1,500}\)",
    re.MULTILINE | re.IGNORECASE,
)
_QUOTED = re.compile(
    r"(?:(?<=\w )|^[ \t]{0,20})(?:\"[^\"\n]{1,300}\"|'[^'\n]{1,300}'(?!\w))"
    r"|(?<=\w: )(?:\"[^\"\s]{1,300}\"|'[^'\s]{1,300}')"
    # A value of the user's data may hold blanks.
    r"|\binvalid input syntax for (?:type )?[\w ]{1,40}: \"[^\"\n]{1,300}\"|\brow values: \[[^\n]{0,2000}\]"
    r"|`[^`\n]{1,300}`|\b(?:unrecognized|field|column) name:? [^\s,]{1,300}",
    re.MULTILINE | re.IGNORECASE,
)
_SQL = re.compile(
    r"^[ \t]{0,20}(?:LINE \d{1,9}|HINT|Candidate bindings|Did you mean)\b[^\n]{0,2000}"
    r"|(?:^[ \t]{0,20}== SQL\b|\bwhile (?:processing|executing) |: in scope |\bstack trace:)[\s\S]{0,16000}",
    re.MULTILINE | re.IGNORECASE,
)
_SUMMARY = re.compile(r"^(?:Done\. PASS=|Completed with )[^\n]{0,4000}$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reason for people, and the row that it comes from, if it is one."""

    retryability: Retryability
    reason: str
    pattern: Pattern | None = None


def judge(
    status: str, message: str | None, *, adapter_type: str | None = None, resource_type: str | None = None
) -> Retryability:
    """`explain`, without the reason."""
    return explain(status, message, adapter_type=adapter_type, resource_type=resource_type).retryability


def explain(
    status: str, message: str | None, *, adapter_type: str | None = None, resource_type: str | None = None
) -> Judgement:
    """Judge a node that did not succeed.

    `status` is the result's word, `adapter_type` the manifest's (`snowflake`); without it all rows are tried.
    A `source` with the status `error` and no message is one whose data is too old.
    """
    word = normalise(status)
    if kind(word) is Kind.SKIPPED:
        return Judgement(Retryability.UNKNOWN, "it did not run")
    if word == "fail":
        what = (
            "unit test found other rows than expected" if resource_type == "unit_test" else "data did not pass the test"
        )
        return Judgement(Retryability.DETERMINISTIC, f"the {what}")
    if not message or not message.strip():
        if resource_type == "source" and word == "error":
            return Judgement(Retryability.DETERMINISTIC, "its data is older than allowed")
        return Judgement(Retryability.UNKNOWN, "dbt reported no message")
    return _by_wording(message, adapter_type)


def judge_log(log: str, *, adapter_type: str | None = None) -> Retryability:
    """`explain_log`, without the reason."""
    return explain_log(log, adapter_type=adapter_type).retryability


def explain_log(log: str, *, adapter_type: str | None = None) -> Judgement:
    """Judge a step that failed and left no results, from the last errors of its console log.

    Several nodes may have failed: the step is deterministic if all of them are, and transient if one of them is.
    """
    text = _TIMESTAMPS.sub("", _ESCAPES.sub("", log[-_LOG_TAIL:]))
    starts = [found.start() for found in _LAST_ERRORS.finditer(text)]
    # A traceback inside of a report belongs to it, so the report's own beginning is preferred.
    reports = [start for start in starts if not text.startswith("Traceback", start)]
    text = text[(reports or starts)[-1] :] if starts else text[-_TAIL:]
    judgements = [_by_wording(block, adapter_type) for block in _blocks(text)]
    if not judgements:
        return Judgement(Retryability.UNKNOWN, "the log contains no error")
    for verdict in (Retryability.TRANSIENT, Retryability.UNKNOWN):
        for judgement in judgements:
            if judgement.retryability is verdict:
                return judgement
    return judgements[-1]


def _blocks(text: str) -> list[str]:
    """The report of each failed node, or the whole text where it is not about nodes."""
    text = _SUMMARY.sub("", text)
    starts = [found.start() for found in _ONE_NODE.finditer(text)]
    if not starts:
        return [text] if text.strip() else []
    blocks = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    # `Failure in model x (…)` is followed by `Database Error in model x (…)`: a headline with nothing under it.
    return [block for block in blocks if "\n" in block.strip()] or blocks


def _by_wording(message: str, adapter_type: str | None) -> Judgement:
    text = _readable(message)
    adapter = adapter_type.strip().lower() if adapter_type else None
    judgement = _first(TABLE, text, adapter)
    if judgement is None:
        return Judgement(Retryability.UNKNOWN, "no rule matches the message")
    if judgement.retryability is Retryability.DETERMINISTIC:
        return _first(PASSING, _without_quotations(text), adapter) or judgement
    return judgement


def _first(patterns: tuple[Pattern, ...], text: str, adapter: str | None) -> Judgement | None:
    for pattern in patterns:
        if pattern.applies_to(adapter) and pattern.expression.search(text):
            return Judgement(pattern.verdict, pattern.reason, pattern)
    return None


def _readable(message: str) -> str:
    """The part of a message that is read: no colours, no name of its node or path of a file, and a bounded length."""
    if len(message) > _HEAD + _TAIL:
        message = f"{message[:_HEAD]}\n{message[-_TAIL:]}"
    text = _POINTERS.sub("", _ESCAPES.sub("", message)).replace("\u2019", "'")
    return _NODE.sub(r"\1", text)


def _without_quotations(text: str) -> str:
    return _QUOTED.sub("_", _SQL.sub("", text))
