"""Standard error and last faults, on the one harmless stream: the runner takes commands from standard error, too."""

from __future__ import annotations

import contextlib
import io
import traceback
from collections.abc import Callable, Iterator

from dbt_cloud_run.github.console import Console


class _Harmless(io.TextIOBase):
    """What libraries and the interpreter write: their lines may hold anybody's text."""

    def __init__(self, console: Console) -> None:
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
def one_stream(console: Console) -> Iterator[None]:
    """While it lasts, what is written to standard error comes out of the console."""
    stream = _Harmless(console)
    with contextlib.redirect_stderr(stream):
        try:
            yield
        finally:
            stream.end()


def without_raising(console: Console, work: Callable[[], int], status: int) -> int:
    """The work's exit status; where a fault of ours gets so far, one error, its lines in the log, and `status`."""
    with one_stream(console):
        try:
            return work()
        except Exception as error:
            with console.group("Where this action itself went wrong"):
                console.relay("".join(traceback.format_exception(error)))
            console.error(f"This action itself went wrong ({type(error).__name__}: {error}).", title="dbt Cloud")
            return status
