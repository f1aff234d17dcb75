"""How runs and steps stand."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """The status codes of runs and steps."""

    QUEUED = 1
    STARTING = 2
    RUNNING = 3
    SUCCESS = 10
    ERROR = 20
    CANCELLED = 30

    @property
    def is_complete(self) -> bool:
        return self >= Status.SUCCESS
