"""Annotations: an error for each failed node, a warning for each `warn`, on the file that a person would open."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from dbt_cloud_run.dbt.console_log import failure_lines
from dbt_cloud_run.dbt.statuses import Kind, kind
from dbt_cloud_run.report.facts import Facts
from dbt_cloud_run.report.markdown.escape import one_line, plain
from dbt_cloud_run.report.wording import clip, duration, plural
from dbt_cloud_run.unknown import step_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbt_cloud_run.model import FreshnessResult, Step
    from dbt_cloud_run.node_results import NodeOutcome
    from dbt_cloud_run.report.report import NodeInfo, Report

MESSAGE_LIMIT = 3_800
"""Characters; the platform cuts a message at 4,096."""

# Every repetition has a bound: a message may be long, and is not ours.
_PATH = r"(?P<path>[\w./ -]{1,300}\.(?:sql|py|ya?ml|csv|md))"
_KIND = r"[A-Z][A-Za-z ]{0,40} Error"
_HEADER = re.compile(rf"\A{_KIND} in \w{{1,60}} [^\n(]{{0,600}}\({_PATH}\)")
_POINTED = re.compile(rf"(?:-->|\bat) {_PATH}:(?P<line>\d{{1,7}})\b")
_JINJA_LINE = re.compile(r"^[ \t]+line (?P<line>\d{1,7})[ \t]*$", re.MULTILINE)
_QUOTED_LINE = re.compile(r"^[ \t]*LINE \d+: ?(?P<code>.*\S)[ \t]*$", re.MULTILINE)
_SHORTEST_QUOTE = 6  # characters of code that say enough to be looked for


class AnnotationKind(StrEnum):
    """The two levels that results are shown with."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation. The text is untrusted: the console makes it harmless. `file` is relative to the repository."""

    kind: AnnotationKind
    message: str
    file: str | None = None
    line: int | None = None
    title: str | None = None


def annotate(
    data: Report,
    *,
    project_directory: str,
    exists: Callable[[str], bool],
    read: Callable[[str], str | None],
) -> list[Annotation]:
    """Every annotation, the errors first. There may be more of them than the platform takes of a step.

    `exists` and `read` take a path relative to the repository: whether that file is there, and its text (None where it
    cannot be read).
    """
    facts = Facts(data)
    files = _Files(project_directory, exists, read)
    freshness = data.outcome.ledger.freshness
    errors = [_of_step(facts, files, step, AnnotationKind.ERROR) for _, step in facts.failed_steps]
    errors += [_of_node(facts, files, found, AnnotationKind.ERROR) for found in facts.ranked]
    errors += [_of_source(facts, row, AnnotationKind.ERROR) for row in facts.stale]
    warned = [_of_step(facts, files, step, AnnotationKind.WARNING) for _, step in facts.tolerated_steps]
    warned += [_of_node(facts, files, found, AnnotationKind.WARNING) for found in facts.warned]
    warned += [
        _of_source(facts, row, AnnotationKind.WARNING)
        for row in freshness
        if kind(row.status) in (Kind.WARNED, Kind.FAILED) and row not in facts.stale
    ]
    return errors + warned


class _Files:
    """Which file and line of the repository a message is about."""

    def __init__(
        self, project_directory: str, exists: Callable[[str], bool], read: Callable[[str], str | None]
    ) -> None:
        self._project, self._exists, self._read = PurePosixPath(project_directory or "."), exists, read

    def of_project(self, path: str | None) -> str | None:
        """A path below the dbt project as a path below the repository, if that file is there."""
        if not path or path.startswith("/") or ".." in PurePosixPath(path).parts:
            return None
        found = str(self._project / path)
        return found if self._exists(found) else None

    def line(self, file: str | None, original: str | None, message: str) -> int | None:
        """The line of `file` that the message names; None when it names one of the compiled code, which is another."""
        if file is None:
            return None
        for found in _POINTED.finditer(message):
            if found["path"].strip() in (file, original):
                return int(found["line"])
        # Jinja counts the lines of the file itself, and says so in a compilation error, whose header names the file.
        if message.startswith(("Compilation Error", "Parsing Error")) and (jinja := _JINJA_LINE.search(message)):
            header = _HEADER.match(message)
            if header is not None and header["path"] in (file, original):
                return int(jinja["line"])
        # A database counts the lines of what it was sent. Where it quotes the line, the file may have it just once.
        if quoted := _QUOTED_LINE.search(message):
            return self._line_of(file, quoted["code"].strip())
        return None

    def _line_of(self, file: str, code: str) -> int | None:
        whole = code.removeprefix("...").removesuffix("...").strip()
        text = self._read(file) if len(whole) >= _SHORTEST_QUOTE else None
        found = [number for number, line in enumerate((text or "").splitlines(), start=1) if whole in line]
        return found[0] if len(found) == 1 else None


def _of_node(facts: Facts, files: _Files, found: NodeOutcome, level: AnnotationKind) -> Annotation:
    info = facts.info(found.unique_id)
    message = plain(found.result.message or "dbt reported no message.").strip()
    file, original = _file(info, files, message)
    words = {"test": "data test", "unit_test": "unit test"}.get(info.resource_type, info.resource_type)
    title = f"{words} {info.name}: {found.result.status}"
    if found.attempt > 1:
        title += f" (attempt {found.attempt})"
    return Annotation(level, _short(message), file, files.line(file, original, message), one_line(title, 200))


def _file(info: NodeInfo, files: _Files, message: str) -> tuple[str | None, str | None]:
    """The file, and its path in the project: the one that the error names (a macro's, say) before the node's."""
    header = _HEADER.match(message)
    if header is not None and header["path"] != info.original_file_path:
        named = files.of_project(header["path"])
        if named is not None and info.file is not None:
            return named, header["path"]
    return info.file, info.original_file_path


def _of_source(facts: Facts, row: FreshnessResult, level: AnnotationKind) -> Annotation:
    info = facts.info(row.unique_id)
    age = f"last loaded {duration(row.age_seconds)} ago" if row.age_seconds is not None else ""
    said = "; ".join(part for part in (plain(row.message or "").strip(), age, row.criteria) if part)
    title = one_line(f"source {info.name}: freshness {row.status}", 200)
    return Annotation(level, _short(said or "The source is not fresh."), info.file, None, title)


def _of_step(facts: Facts, files: _Files, step: Step, level: AnnotationKind) -> Annotation:
    """A step that failed before nodes ran: where dbt names the file that it could not compile, that file."""
    message = plain("\n".join(failure_lines(step.log))).strip() or facts.message or "The step failed."
    header = _HEADER.match(message)
    file = files.of_project(header["path"]) if header else None
    line = files.line(file, header["path"] if header else None, message)
    return Annotation(level, _short(message), file, line, one_line(f"{step_words(step.index)}: {step.name}", 200))


def _short(message: str) -> str:
    short, cut = clip(message, 40, MESSAGE_LIMIT - 100)
    short = short[: MESSAGE_LIMIT - 100]
    return f"{short}\n{plural(len(message), 'character')} in all; see the summary." if cut else short
