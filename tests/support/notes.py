"""What the program under test logs for people, as a list of sentences."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from dbt_cloud_run.github.log import LOGGER


class _Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.notes: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.notes.append(record.getMessage())


@contextmanager
def kept_notes() -> Iterator[list[str]]:
    """The sentences of level INFO and above that are logged while the context lasts."""
    logger, keeper, level = logging.getLogger(LOGGER), _Keeper(), logging.getLogger(LOGGER).level
    logger.addHandler(keeper)
    logger.setLevel(logging.DEBUG)
    try:
        yield keeper.notes
    finally:
        logger.removeHandler(keeper)
        logger.setLevel(level)
