"""Time, and the one way to wait: on an event that a signal sets, so that nothing sleeps through it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Protocol

from dbt_cloud_run.errors import Interrupted

LONGEST_SILENCE = 10.0
"""Seconds without a line in the log."""


def unknown_time() -> datetime | None:
    """The time of a server that has not named it."""
    return None


class Clock(Protocol):
    """What the loop needs of time; tests hold one of their own."""

    def monotonic(self) -> float:
        """Seconds since some start."""
        ...

    def utcnow(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; raises `Interrupted` as soon as a signal has come, also when it came before."""
        ...


class SystemClock:
    """The real clock. `interrupt` ends every wait, now and later."""

    def __init__(self) -> None:
        self._interrupted = asyncio.Event()
        self._signum = 0

    def monotonic(self) -> float:
        return time.monotonic()

    def utcnow(self) -> datetime:
        return datetime.now(UTC)

    def interrupt(self, signum: int) -> None:
        """Make every wait raise `Interrupted(signum)`; for signal handlers of the event loop."""
        self._signum = self._signum or signum
        self._interrupted.set()

    @property
    def signum(self) -> int:
        """The first signal that came; 0 for none."""
        return self._signum

    async def interrupted(self) -> int:
        """Wait for a signal, and return its number."""
        await self._interrupted.wait()
        return self._signum

    async def sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._interrupted.wait(), timeout=max(seconds, 0.0))
        if self._interrupted.is_set():
            raise Interrupted(self._signum)


async def ends_before_signal(work: asyncio.Task[Any], clock: SystemClock) -> bool:
    """Wait until the work has ended or a signal has come; returns whether the work ended, and not by a signal."""
    signal = asyncio.create_task(clock.interrupted())
    await asyncio.wait({work, signal}, return_when=asyncio.FIRST_COMPLETED)
    signal.cancel()
    return work.done() and not isinstance(work.exception(), Interrupted)


@contextlib.asynccontextmanager
async def announced(logger: logging.Logger, words: str) -> AsyncIterator[None]:
    """Log once what is waited for, where it takes longer than `LONGEST_SILENCE`."""
    timer = asyncio.get_running_loop().call_later(LONGEST_SILENCE, logger.info, words)
    try:
        yield
    finally:
        timer.cancel()
