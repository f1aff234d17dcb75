"""`junit.xml`: data tests, unit tests and what failed, as test reports are read by other tools.

The form is the one that Jenkins' JUnit reader takes (jenkinsci/junit-plugin, `SuiteResult`, `CaseResult`): it shows the
text of `error` and `failure`, keeps one property of each name, and reads Maven Surefire's `flakyFailure` with a
`stackTrace` in a case that passed. `file` is an addition that other readers use. The schema is `schemas/junit.xsd`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import msgspec

from dbt_cloud_run.dbt.statuses import Kind
from dbt_cloud_run.redaction import redact
from dbt_cloud_run.report.facts import Facts
from dbt_cloud_run.report.markdown.escape import one_line, plain
from dbt_cloud_run.report.wording import clip, duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbt_cloud_run.model import FreshnessResult, Step
    from dbt_cloud_run.node_results import NodeOutcome
    from dbt_cloud_run.report.report import Report

_TESTS = ("test", "unit_test")
_SUITES = {"test": "data tests", "unit_test": "unit tests"}
_OTHERS = "nodes"
_MESSAGE_LINES, _MESSAGE_CHARACTERS = 1_000, 60_000
_HEADLINE = 300  # characters of the attribute `message`
_LONGEST_VALUE = 1_000  # characters
_AT_ONCE = 1_000  # cases that are made into bytes together: the memory of a few, and less work than one by one
# XML 1.0, production 2: what is no `Char` cannot be written in any form.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL = re.compile('[&<>"\t\n\r]')
_PLAIN_VALUE = re.compile("[!#-%'-;=?-~]+(?: [!#-%'-;=?-~]+)*")
_IN_ATTRIBUTE = {'"': "&quot;", "\t": "&#09;", "\n": "&#10;", "\r": "&#13;"}


class Problem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a case says besides that it passed. `tag`: `failure`, `error`, `skipped`, `flakyFailure`, `system-out`."""

    tag: str
    type: str = ""
    text: str = ""


class Case(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One test case. `seconds` are those of the last execution."""

    suite: str
    name: str
    classname: str
    seconds: float = 0.0
    file: str | None = None
    started_at: datetime | None = None
    properties: tuple[tuple[str, str], ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def has_failed(self) -> bool:
        return any(problem.tag in ("failure", "error") for problem in self.problems)


def cases(data: Report) -> Iterator[Case]:
    """The cases, in the ledger's order: at least one of them has failed wherever the step has."""
    facts = Facts(data)
    has_failed = False
    for found in data.outcome.ledger.outcomes.values():
        kind, is_test = facts.kinds[found.unique_id], facts.resource_type(found.unique_id) in _TESTS
        if is_test or found.recovered or kind is Kind.FAILED:
            has_failed |= kind is Kind.FAILED
            yield _node(facts, found, kind)
    for attempt, step in facts.failed_steps:
        has_failed = True
        yield _step(step, attempt.run_id)
    for row in facts.stale:
        has_failed = True
        yield _source(facts, row)
    if not facts.ending.is_good and not has_failed:
        yield _run(facts)


def _node(facts: Facts, found: NodeOutcome, kind: Kind) -> Case:
    info, result = facts.info(found.unique_id), found.result
    resource_type = facts.resource_type(found.unique_id)
    tested = facts.info(info.tested_nodes[0]).name if info.tested_nodes else _SUITES.get(resource_type, resource_type)
    parts = found.unique_id.split(".")
    package = info.package_name or (parts[1] if len(parts) > 2 else "dbt")
    return Case(
        suite=_SUITES.get(resource_type, _OTHERS),
        name=info.name,
        # Jenkins takes what is before the last dot for the package.
        classname=f"{package}.{tested.replace('.', '_')}",
        seconds=result.execution_seconds,
        file=info.file or info.original_file_path,
        started_at=result.started_at,
        properties=_properties(facts, found),
        problems=tuple(_problems(facts, found, kind)),
    )


def _properties(facts: Facts, found: NodeOutcome) -> tuple[tuple[str, str], ...]:
    owners = facts.owners(found.unique_id)
    return (
        ("unique_id", found.unique_id),
        *((("owner", ", ".join(owners)),) if owners else ()),
        ("attempts", str(facts.executions[found.unique_id])),
        ("run_id", str(found.run_id)),
    )


def _problems(facts: Facts, found: NodeOutcome, kind: Kind) -> Iterator[Problem]:
    status, message = found.result.status, found.result.message or ""
    if kind is Kind.FAILED:
        # A test that did its work and found something; all else could not do its work.
        tag = "failure" if status == "fail" else "error"
        yield Problem(tag=tag, type=status, text=message or "dbt reported no message.")
    elif kind is Kind.SKIPPED:
        yield Problem(tag="skipped", text=message or "skipped")
    elif found.recovered:
        number, said = facts.first_failures.get(found.unique_id, (0, None))
        yield Problem(tag="flakyFailure", type=f"failed in attempt {number}", text=said or "dbt reported no message.")
    if kind is Kind.WARNED:
        yield Problem(tag="system-out", text=f"{status}: {message}" if message else status)


def _step(step: Step, run_id: int) -> Case:
    """A step that failed before any node did: without a case, the report would look as if all were well."""
    text = plain(step.log).strip()[-_MESSAGE_CHARACTERS:]
    return Case(
        suite="steps",
        name=step.command or step.name,
        classname="dbt Cloud.steps",
        seconds=step.duration_seconds or 0.0,
        started_at=step.started_at,
        properties=(("run_id", str(run_id)), ("step", str(step.index))),
        problems=(Problem(tag="error", type="step failed", text=text or "dbt Cloud has no log of this step."),),
    )


def _source(facts: Facts, row: FreshnessResult) -> Case:
    info = facts.info(row.unique_id)
    age = f"last loaded {duration(row.age_seconds)} ago" if row.age_seconds is not None else ""
    owners = facts.owners(row.unique_id)
    said = "; ".join(part for part in (row.message or "", age, row.criteria) if part)
    return Case(
        suite="source freshness",
        name=info.name,
        classname="dbt.source freshness",
        file=info.file or info.original_file_path,
        properties=(("unique_id", row.unique_id), *((("owner", ", ".join(owners)),) if owners else ())),
        problems=(Problem(tag="error", type=row.status, text=said or "The source is not fresh."),),
    )


def _run(facts: Facts) -> Case:
    """The step failed, and no node, step or source of it shows that."""
    last = facts.data.outcome.last
    why = " ".join(words for words in facts.reason if words)
    return Case(
        suite="run",
        name=f"run {last.run_id}" if last else "run",
        classname="dbt Cloud.run",
        problems=(Problem(tag="error", type=facts.ending.value, text=why or f"The run ended as {facts.ending}."),),
    )


@dataclass(slots=True)
class _Suite:
    cases: list[Case] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def junit_xml(found: Iterable[Case]) -> Iterator[bytes]:
    """The file in pieces, in UTF-8. Suites come in the order of their first case."""
    suites: dict[str, _Suite] = {}
    for case in found:
        suite = suites.get(case.suite)
        if suite is None:
            suite = suites[case.suite] = _Suite()
        suite.cases.append(case)
        suite.seconds += case.seconds
        if case.problems:
            suite.counts.update({problem.tag for problem in case.problems})
    whole = sum((suite.counts for suite in suites.values()), Counter[str]())
    tests, seconds = sum(len(suite.cases) for suite in suites.values()), sum(one.seconds for one in suites.values())
    # Owners, files and runs come again in neighbouring cases. For one file, since more secrets may be hidden later.
    value_of = lru_cache(maxsize=512)(_value)
    yield b'<?xml version="1.0" encoding="UTF-8"?>\n'
    yield _opening("testsuites", _totals("dbt", tests, whole, seconds, skipped=False))
    for name, suite in suites.items():
        totals = _totals(name, len(suite.cases), suite.counts, suite.seconds)
        starts = [case.started_at for case in suite.cases if case.started_at is not None]
        if starts:
            totals["timestamp"] = f"{min(starts):%Y-%m-%dT%H:%M:%S}"
        yield _opening("testsuite", totals)
        for start in range(0, len(suite.cases), _AT_ONCE):
            yield "".join([_element(case, value_of) for case in suite.cases[start : start + _AT_ONCE]]).encode()
        yield b"</testsuite>\n"
    yield b"</testsuites>\n"


def _totals(name: str, tests: int, counts: Counter[str], seconds: float, *, skipped: bool = True) -> dict[str, str]:
    numbers = {"tests": tests, "failures": counts["failure"], "errors": counts["error"]}
    numbers |= {"skipped": counts["skipped"]} if skipped else {}
    return {"name": name, **{key: str(value) for key, value in numbers.items()}, "time": _time(seconds)}


def _opening(tag: str, attributes: Mapping[str, str]) -> bytes:
    return f"<{tag}{_attributes(attributes)}>\n".encode()


def _element(case: Case, value_of: Callable[[str], str]) -> str:
    name, classname = value_of(case.name) or "?", value_of(case.classname) or "dbt"
    file = value_of(case.file) if case.file else ""
    where = f' file="{file}"' if file else ""
    head = f'<testcase name="{name}" classname="{classname}" time="{_time(case.seconds)}"{where}'
    found = "".join([f'<property name="{name}" value="{value_of(value)}" />' for name, value in case.properties])
    inside = f"<properties>{found}</properties>" if found else ""
    if case.problems:
        inside += "".join(map(_problem, case.problems))
    return f"{head}>{inside}</testcase>\n" if inside else f"{head} />\n"


def _problem(problem: Problem) -> str:
    text, _ = clip(_legal(plain(problem.text)), _MESSAGE_LINES, _MESSAGE_CHARACTERS)
    if problem.tag == "system-out":
        return _tag(problem.tag, {}, _content(text))
    attributes = {"message": _line(text.strip().partition("\n")[0])[:_HEADLINE]}
    if problem.tag == "skipped":
        return _tag(problem.tag, attributes, "")
    attributes["type"] = _line(problem.type) or "unknown"
    inside = _content(text)
    return _tag(problem.tag, attributes, _tag("stackTrace", {}, inside) if problem.tag == "flakyFailure" else inside)


def _tag(tag: str, attributes: Mapping[str, str], inside: str) -> str:
    """An element. `inside` is markup already."""
    return f"<{tag}{_attributes(attributes)}>{inside}</{tag}>" if inside else f"<{tag}{_attributes(attributes)} />"


def _attributes(attributes: Mapping[str, str]) -> str:
    return "".join(f' {name}="{_attribute(value)}"' for name, value in attributes.items())


def _value(text: str) -> str:
    # Most are names and ids, in which nothing but a secret has to be changed.
    if len(text) <= _LONGEST_VALUE and _PLAIN_VALUE.fullmatch(text):
        return redact(text)
    return _attribute(_line(text))


def _attribute(text: str) -> str:
    """The inside of a quoted attribute, where a line end or a tab would be read as a blank (XML 1.0, 3.3.3)."""
    return escape(text, _IN_ATTRIBUTE) if _SPECIAL.search(text) else text


def _content(text: str) -> str:
    return escape(text) if _SPECIAL.search(text) else text


def _line(text: str) -> str:
    return _legal(one_line(text, _LONGEST_VALUE))


def _legal(text: str) -> str:
    """The text without what XML cannot hold in any form, such as form feeds and lone surrogates."""
    return text if text.isprintable() else _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)


def _time(seconds: float) -> str:
    return f"{max(seconds, 0.0):.3f}"
