"""Where a step writes: its log, notes to people, outputs, state and summary. The way in decides which console it is.

`github.console` writes to GitHub's runner, `command.console` to a terminal or a plain log.
"""

from __future__ import annotations

import abc
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TextIO, TypedDict, Unpack

from dbt_cloud_run.redaction import SHORTEST, forms, hide, redact

AnnotationKind = Literal["error", "warning", "notice"]

LABELS: Final = {"error": "Error", "warning": "Warning", "notice": "Notice"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One note to people; `file` is relative to the workspace, `line` and `col` are 1-based."""

    message: str
    file: str | None = None
    line: int | None = None
    col: int | None = None
    title: str | None = None


class Where(TypedDict, total=False):
    """The optional fields of an `Annotation`."""

    file: str | None
    line: int | None
    col: int | None
    title: str | None


class BaseConsole(abc.ABC):
    """One stream, on which everything is redacted. Nothing here raises because the stream cannot be written."""

    annotation_limit: ClassVar[int]
    """Annotations of one kind that are shown of a step."""

    shows_live: ClassVar[bool] = False
    """Whether `live` shows a line that changes in place."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._lock = threading.RLock()
        self._is_broken = False
        self._secrets: list[str] = []
        # A dry run leaves no annotation: what would be one is a line of the log.
        self.annotates = True
        self._annotated = dict.fromkeys(LABELS, 0)

    continued_by: ClassVar[str] = "the post step"
    """Who looks after a run when a signal has ended the step."""

    @property
    def signals(self) -> tuple[signal.Signals, ...]:
        """The signals that end the step in good order."""
        return signal.SIGINT, signal.SIGTERM

    # -- the log

    @property
    @abc.abstractmethod
    def is_debug(self) -> bool:
        """Whether debug lines are asked for."""

    def info(self, text: str = "") -> None:
        """Write text to the log, line by line; none of it can become a command."""
        self._write(self._lines(text))

    @abc.abstractmethod
    def debug(self, text: str) -> None:
        """Write debug lines, if they are asked for."""

    @abc.abstractmethod
    def relay(self, text: str) -> None:
        """Write untrusted text, such as a dbt log."""

    @abc.abstractmethod
    def group(self, title: str) -> AbstractContextManager[None]:
        """Show what is written inside as belonging under `title`."""

    def live(self, text: str, seconds: float) -> None:
        """Show what is going on now, and for how many seconds it has been, in place of what `live` showed before."""
        return

    def end_live(self) -> None:
        """Take away what `live` shows."""
        return

    def mask(self, value: str) -> None:
        """Hide a secret from here on; short or empty values are left alone."""
        value = value.strip()
        if len(value) < SHORTEST or value in self._secrets:
            return
        hide(value)
        self._secrets = sorted({*self._secrets, *forms(value)}, key=len, reverse=True)
        self._masked(value)

    def _masked(self, value: str) -> None:
        """A secret is hidden from now on."""
        return

    # -- annotations

    def notice(self, message: str, **where: Unpack[Where]) -> None:
        """Annotate with a notice."""
        self.annotate("notice", Annotation(message=message, **where))

    def warning(self, message: str, **where: Unpack[Where]) -> None:
        """Annotate with a warning."""
        self.annotate("warning", Annotation(message=message, **where))

    def error(self, message: str, **where: Unpack[Where]) -> None:
        """Annotate with an error."""
        self.annotate("error", Annotation(message=message, **where))

    def annotations_left(self, kind: AnnotationKind) -> int:
        """How many annotations of this kind are still shown of this step."""
        return self.annotation_limit - self._annotated[kind]

    def has_annotated(self, kind: AnnotationKind) -> bool:
        """Whether there was an annotation of this kind."""
        return self._annotated[kind] > 0

    @abc.abstractmethod
    def annotate(self, kind: AnnotationKind, annotation: Annotation) -> None:
        """Write one annotation."""

    def annotate_all(self, kind: AnnotationKind, annotations: Sequence[Annotation], *, reserve: int = 0) -> None:
        """Write what there is room for, but for `reserve`; the last annotation says how many more there are."""
        room = max(self.annotations_left(kind) - reserve, 0)
        if len(annotations) <= room:
            for annotation in annotations:
                self.annotate(kind, annotation)
            return
        for annotation in annotations[: room - 1] if room else ():
            self.annotate(kind, annotation)
        more = len(annotations) - max(room - 1, 0)
        rest = Annotation(message=f"and {more} more: see the summary.", title=f"{more} more of this kind")
        if room:
            self.annotate(kind, rest)
        else:
            self.info(f"{LABELS[kind]}: {rest.message}")

    # -- what others read afterwards

    takes_outputs: ClassVar[bool] = False
    """Whether there is a place for outputs other than `result.json`, and so a limit to them."""

    @abc.abstractmethod
    def set_output(self, name: str, value: str) -> None:
        """Set an output of the step."""

    @abc.abstractmethod
    def save_state(self, name: str, value: str) -> None:
        """Keep a value for what cleans up after the step."""

    @abc.abstractmethod
    def summary_size(self) -> int:
        """Bytes that others have written to the summary."""

    @abc.abstractmethod
    def write_summary(self, markdown: str) -> bool:
        """Write the summary, in place of what was written of it before; False, with a warning, where that fails."""

    # -- the stream

    def abandon(self) -> None:
        """Leave the stream as it was found; for signal handlers that end the process at once."""
        return

    @abc.abstractmethod
    def _lines(self, text: str) -> list[str]:
        """The lines of a text, redacted and harmless."""

    def _redacted(self, text: str) -> str:
        return redact(text, self._secrets)

    def _write(self, lines: Sequence[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        text = text.encode(self._encoding, "replace").decode(self._encoding)
        with self._lock:
            if self._is_broken:
                return
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):  # ValueError: the stream is closed
                self._is_broken = True
                self._drop_stream()

    def _drop_stream(self) -> None:
        # The interpreter flushes standard output once more when it ends, and would end with status 120.
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
