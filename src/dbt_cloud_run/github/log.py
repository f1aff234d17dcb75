"""Notes to people: records of the standard library's `logging` become lines, annotations and debug lines.

| level | on the runner |
|---|---|
| DEBUG | a debug line, where the runner asks for them |
| INFO | a line of the log |
| WARNING, ERROR | an annotation, with the record's `title` if it has one (`extra={"title": …}`) |
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from dbt_cloud_run.console import BaseConsole

LOGGER = "dbt_cloud_run"
TITLE = {"title": "dbt Cloud"}
"""`extra` of a record whose annotation is about dbt Cloud as a whole."""

# Several steps may run in one process, as they do in tests: each console gets the records of its own step.
_console: ContextVar[BaseConsole | None] = ContextVar("console", default=None)


class ConsoleHandler(logging.Handler):
    """Writes the records that are logged in the context of `console` to it."""

    def __init__(self, console: BaseConsole) -> None:
        super().__init__(logging.DEBUG if console.is_debug else logging.INFO)
        self._own = console

    def emit(self, record: logging.LogRecord) -> None:
        if _console.get() is not self._own:
            return
        text, title = record.getMessage(), getattr(record, "title", None)
        if record.levelno >= logging.ERROR:
            self._own.error(text, title=title)
        elif record.levelno >= logging.WARNING:
            self._own.warning(text, title=title)
        elif record.levelno >= logging.INFO:
            self._own.info(text)
        else:
            self._own.debug(text)


@contextmanager
def log_to(console: BaseConsole) -> Iterator[None]:
    """Write what this program logs to the console for as long as the context lasts."""
    logger, handler = logging.getLogger(LOGGER), ConsoleHandler(console)
    token = _console.set(console)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        _console.reset(token)
