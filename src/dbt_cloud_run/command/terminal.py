"""A terminal: colours, one line that changes in place while a step runs, and the summary. It needs `rich`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, TextIO

from rich.console import Console as Rich
from rich.markdown import Markdown
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.style import Style
from rich.table import Column
from rich.text import Text

from dbt_cloud_run.command.console import PlainConsole
from dbt_cloud_run.command.shown_summary import for_terminal
from dbt_cloud_run.console import LABELS, AnnotationKind
from dbt_cloud_run.github.text import clean, harmless_line

_STYLES: Final = {"error": "bold red", "warning": "bold yellow", "notice": "bold cyan"}
_SHOW_CURSOR: Final = b"\r\x1b[K\x1b[?25h"


class TerminalConsole(PlainConsole):
    """Writes to a terminal. The line that changes is drawn by a thread of `rich`, below all other lines."""

    shows_live: ClassVar[bool] = True

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        is_debug: bool = False,
        summary_file: Path | None = None,
        shows_summary: bool = True,
    ) -> None:
        super().__init__(stream, is_debug=is_debug, summary_file=summary_file)
        self._rich = Rich(file=self._stream, markup=False, emoji=False, highlight=False)
        self._progress: Progress | None = None
        self._shows_summary = shows_summary

    def live(self, text: str, seconds: float) -> None:
        progress = self._progress or self._line()
        (task,) = progress.tasks
        task.start_time = progress.get_time() - seconds
        progress.update(task.id, description=harmless_line(self._redacted(text)))
        if self._progress is None:
            self._progress = progress
            progress.start()

    def _line(self) -> Progress:
        one_line = Column(no_wrap=True, overflow="ellipsis")
        progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=one_line),
            TimeElapsedColumn(),
            console=self._rich,
            transient=True,
            # Standard error has a place of its own, and standard output is written by `_write` alone.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        progress.add_task("")
        return progress

    def end_live(self) -> None:
        progress, self._progress = self._progress, None
        if progress is not None:
            with contextlib.suppress(OSError, ValueError):
                progress.stop()

    def abandon(self) -> None:
        # Nothing is locked here: the handler of a signal may have interrupted whoever holds a lock.
        with contextlib.suppress(OSError, ValueError):
            os.write(self._stream.fileno(), _SHOW_CURSOR)

    def write_summary(self, markdown: str) -> bool:
        if self._shows_summary:
            # It is written once more when something is added to it.
            self._shows_summary = False
            self._print(Markdown(for_terminal(self._redacted(markdown)), hyperlinks=False))
        return super().write_summary(markdown)

    def _write_title(self, line: str) -> None:
        self._print(Text(line, style=Style(bold=True)))

    def _write_note(self, kind: AnnotationKind, text: str) -> None:
        self._print(Text.assemble((f"{LABELS[kind]}: ", _STYLES[kind]), text))

    def _harmless(self, line: str) -> str:
        return harmless_line(clean(line, colours=True))

    def _write(self, lines: Sequence[str]) -> None:
        if lines:
            self._print(Text("\n").join(Text.from_ansi(line) for line in lines))

    def _print(self, what: Text | Markdown) -> None:
        with self._lock:
            if self._is_broken:
                return
            try:
                # The terminal breaks lines that are too long, so that they can be copied as they are.
                self._rich.print(what, soft_wrap=isinstance(what, Text))
            except (OSError, ValueError):
                self._is_broken = True
                self.end_live()
                self._drop_stream()
