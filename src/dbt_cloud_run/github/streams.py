"""Standard error on the one harmless stream: the runner takes commands from standard error, too."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

from dbt_cloud_run.console import BaseConsole


class _Harmless(io.TextIOBase):
    """What libraries and the interpreter write: their lines may hold anybody's text."""

    def __init__(self, console: BaseConsole) -> None:
        self._console, self._rest = console, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._console.info(line)
        return len(text)

    def end(self) -> None:
        if self._rest:
            self.write("\n")


@contextlib.contextmanager
def one_stream(console: BaseConsole) -> Iterator[None]:
    """While it lasts, what is written to standard error comes out of the console."""
    stream = _Harmless(console)
    with contextlib.redirect_stderr(stream):
        try:
            yield
        finally:
            stream.end()
