"""The console of the command: plain lines, without a command to anything that reads the log."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final, TextIO

from dbt_cloud_run.console import LABELS, Annotation, AnnotationKind, BaseConsole
from dbt_cloud_run.github.text import clean, harmless_line, one_line, split_lines

LONGEST_RELAY: Final = 40
"""Lines of a foreign text that are shown, the last ones."""

_INDENT: Final = "  "


class PlainConsole(BaseConsole):
    """Plain lines on one stream. `state` keeps what a post step would get, for the clean-up in the same process."""

    annotation_limit: ClassVar[int] = 50
    continued_by: ClassVar[str] = "this command"

    def __init__(
        self, stream: TextIO | None = None, *, is_debug: bool = False, summary_file: Path | None = None
    ) -> None:
        super().__init__(stream)
        self.state: dict[str, str] = {}
        self._is_debug = is_debug
        self._summary_file = summary_file
        self._depth = 0

    @property
    def signals(self) -> tuple[signal.Signals, ...]:
        """Those of the base, and that of a terminal that is closed, unless it is ignored (`nohup`)."""
        is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        return (*super().signals, *(() if is_ignored else (signal.SIGHUP,)))

    # -- the log

    @property
    def is_debug(self) -> bool:
        return self._is_debug

    def debug(self, text: str) -> None:
        if self._is_debug:
            self.info("\n".join(f"debug: {line}" for line in split_lines(text)))

    def relay(self, text: str) -> None:
        """The end of the text: nothing folds it, and the whole is in dbt Cloud."""
        lines = split_lines(text)
        left_out = 0 if self._is_debug else max(len(lines) - LONGEST_RELAY, 0)
        if left_out:
            self.info(f"… {left_out} lines are left out: --verbose shows them.")
        self.info("\n".join(lines[left_out:]))

    @contextlib.contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Indent what is written inside under the title."""
        self._write_title(f"{_INDENT * self._depth}{one_line(self._redacted(title))}")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def _write_title(self, line: str) -> None:
        self._write([line])

    def annotate(self, kind: AnnotationKind, annotation: Annotation) -> None:
        """Write it with its kind before it and its place behind it; further lines of the message are indented."""
        self._annotated[kind] += 1
        first, *rest = self._clean_lines(annotation.message.strip() or "(no message)")
        title = f"{one_line(self._redacted(annotation.title), 250)}: " if annotation.title else ""
        line = f":{annotation.line}" if annotation.line else ""
        place = f" ({one_line(self._redacted(annotation.file))}{line})" if annotation.file else ""
        self._write_note(kind, f"{title}{first}{place}")
        self._write([f"{_INDENT}{more}" for more in rest])

    def _write_note(self, kind: AnnotationKind, text: str) -> None:
        self._write([f"{LABELS[kind]}: {text}"])

    # -- what others read afterwards

    def set_output(self, name: str, value: str) -> None:
        """There is no place for it but `result.json`, which has every output."""

    def save_state(self, name: str, value: str) -> None:
        self.state[name] = value

    def summary_size(self) -> int:
        return 0

    def write_summary(self, markdown: str) -> bool:
        """Write it to the file that was asked for, if one was."""
        if self._summary_file is None:
            return True
        try:
            self._summary_file.parent.mkdir(parents=True, exist_ok=True)
            self._summary_file.write_text(self._redacted(markdown), encoding="utf-8", errors="replace")
        except OSError as error:
            self.warning(f"The summary could not be written to {self._summary_file}: {error}")
            return False
        return True

    # -- the stream

    def _lines(self, text: str) -> list[str]:
        return [f"{_INDENT * self._depth}{line}" for line in self._clean_lines(text)]

    def _clean_lines(self, text: str) -> list[str]:
        # Redacted twice: before, for secrets of several lines; after, for one that control characters had hidden.
        return [self._redacted(self._harmless(line)) for line in split_lines(self._redacted(text))]

    def _harmless(self, line: str) -> str:
        return harmless_line(clean(line))
