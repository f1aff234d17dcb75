"""The one door to the runner: its log, annotations, outputs, state and summary.

Everything goes to one stream, since the runner reads standard output and standard error without an order between them
and takes commands from both. All text is made harmless on its way (`github.text`).
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Final, TextIO

from actions_toolkit.command import Command  # type: ignore[import-untyped]
from actions_toolkit.file_command import prepare_key_value_message  # type: ignore[import-untyped]

from dbt_cloud_run.console import LABELS, Annotation, AnnotationKind, BaseConsole
from dbt_cloud_run.github.text import clean, harmless_lines, harmless_message, one_line

ANNOTATION_LIMIT: Final = 10
"""Annotations of one kind that the runner records for a step; it drops further ones."""
SUMMARY_LIMIT: Final = 1024 * 1024
"""Bytes of a step's summary; the platform drops a larger one whole."""
RELAY_GUARD_LINES: Final = 20
"""Relayed blocks longer than this are also wrapped in `stop-commands`."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Console(BaseConsole):
    """Writes to the runner. Nothing here raises because the log, or a file of the runner, cannot be written."""

    annotation_limit: ClassVar[int] = ANNOTATION_LIMIT
    takes_outputs: ClassVar[bool] = True

    def __init__(self, stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> None:
        super().__init__(stream)
        self._environ = os.environ if environ is None else environ
        self._in_group = False
        # Where our part of the job summary begins and ends; 0 and 0 before it is written.
        self._summary = 0, 0

    @property
    def is_debug(self) -> bool:
        """Whether the runner asks for debug lines."""
        return self._environ.get("RUNNER_DEBUG") == "1"

    # -- the log

    def debug(self, text: str) -> None:
        """Write debug lines, if the runner asks for them."""
        if self.is_debug:
            self._write([_command("debug", line) for line in self._lines(text)])

    def relay(self, text: str) -> None:
        """Write untrusted text, such as a dbt log; a big block also goes between `stop-commands` and a random token."""
        lines = self._lines(text)
        if len(lines) <= RELAY_GUARD_LINES:
            self._write(lines)
            return
        token = secrets.token_hex(16)
        with self._lock:
            self._write([_command("stop-commands", token)])
            try:
                self._write(lines)
            finally:
                self._write([_command(token)])

    @contextlib.contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Fold what is written inside under `title`. The log knows one level: an inner group is a line of its title."""
        if self._in_group:
            self.info(one_line(title))
            yield
            return
        self._in_group = True
        try:
            self._write([_command("group", one_line(self._redacted(title)))])
            yield
        finally:
            self._in_group = False
            self._write([_command("endgroup")])

    def _masked(self, value: str) -> None:
        # Anywhere else than on a runner the command would print what it is to hide.
        if self._environ.get("GITHUB_ACTIONS") == "true":
            self._write([_command("add-mask", value)])

    # -- annotations

    def annotate(self, kind: AnnotationKind, annotation: Annotation) -> None:
        """Write one annotation; beyond the platform's limit it is a plain line of the log."""
        message = harmless_message(self._redacted(annotation.message)) or "(no message)"
        title = one_line(self._redacted(annotation.title), 250) if annotation.title else ""
        if not self.annotates or self.annotations_left(kind) <= 0:
            self.info(f"{LABELS[kind]}: {f'{title}: ' if title else ''}{message}")
            return
        self._annotated[kind] += 1
        properties = {
            "file": clean(annotation.file) if annotation.file else None,
            "line": annotation.line if annotation.file else None,
            "col": annotation.col if annotation.file and annotation.line else None,
            "title": title,
        }
        self._write([_command(kind, message, {name: value for name, value in properties.items() if value})])

    # -- the runner's files

    def set_output(self, name: str, value: str) -> None:
        """Set an output of the step. The value arrives as it is, NUL and lone surrogates (which cannot) as U+FFFD."""
        self._set("GITHUB_OUTPUT", name, value)

    def save_state(self, name: str, value: str) -> None:
        """Keep a value for the post step."""
        self._set("GITHUB_STATE", name, value)

    def summary_size(self) -> int:
        """Bytes that others have written to the summary."""
        start, end = self._summary
        size = self._summary_bytes()
        return start if end and size == end else size

    def write_summary(self, markdown: str) -> bool:
        """Write our part of the job summary: append it, or replace what we wrote where nothing has followed it.

        False (with a warning) where that fails or would lose the whole summary.
        """
        text = self._redacted(markdown).replace("\r\n", "\n").replace("\r", "\n").rstrip("\n") + "\n"
        before = self.summary_size()
        # What is there may end anywhere.
        data = ("\n\n" if before else "").encode() + text.encode("utf-8", "replace")
        size = before + len(data)
        if size > SUMMARY_LIMIT:
            self.warning(
                f"The job summary is left out: with it there would be {size} bytes, and GitHub takes {SUMMARY_LIMIT}."
            )
            return False
        is_ours = before < self._summary_bytes()
        is_written = self._replace_summary(before, data) if is_ours else self._append("GITHUB_STEP_SUMMARY", data)
        if is_written:
            self._summary = before, size
        return is_written

    def _summary_bytes(self) -> int:
        path = self._file("GITHUB_STEP_SUMMARY")
        try:
            return path.stat().st_size if path else 0
        except OSError:
            return 0

    def _replace_summary(self, start: int, data: bytes) -> bool:
        path = self._file("GITHUB_STEP_SUMMARY")
        if path is None:
            return False
        try:
            with self._lock, path.open("r+b", buffering=0) as file:
                file.seek(start)
                # Written before the rest is cut off: a step that is killed in between has a summary all the same.
                if file.write(data) != len(data):
                    raise OSError("no space left")
                file.truncate(start + len(data))
        except OSError as error:
            self.warning(f"GITHUB_STEP_SUMMARY could not be written: {error}")
            return False
        return True

    def _set(self, variable: str, name: str, value: str) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for an output or a state: letters, digits, _ and - only")
        value = self._redacted(value).replace("\x00", "\ufffd")
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        self._append(variable, f"{prepare_key_value_message(name, value)}\n".encode())

    def _file(self, variable: str) -> Path | None:
        path = self._environ.get(variable)
        return Path(path) if path and Path(path).is_file() else None

    def _append(self, variable: str, data: bytes) -> bool:
        # Without the file the toolkit would fall back to `::set-output`, which anybody's log line could forge as well.
        path = self._file(variable)
        if path is None:
            self.debug(f"{variable} names no file: nothing is written to it")
            return False
        try:
            with self._lock, path.open("ab", buffering=0) as file:
                before = file.seek(0, os.SEEK_END)
                if file.write(data) != len(data):
                    file.truncate(before)  # half an entry would make the runner refuse the whole file
                    raise OSError("no space left")
        except OSError as error:
            self.warning(f"{variable} could not be written: {error}")
            return False
        return True

    # -- the stream

    def _lines(self, text: str) -> list[str]:
        # Twice: before, for secrets of several lines; after, for one that control characters had hidden.
        return [self._redacted(line) for line in harmless_lines(self._redacted(text))]


def _command(name: str, message: str = "", properties: Mapping[str, str | int] | None = None) -> str:
    return str(Command(name, dict(properties or {}), message))
