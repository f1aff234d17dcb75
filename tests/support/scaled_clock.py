"""A clock on which waiting is cheap: while anybody sleeps, time runs `factor` times as fast; otherwise as it does.

So a cooldown of 300 s costs a second or less, and a request takes as long as it takes.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.errors import Interrupted


class ScaledClock(SystemClock):
    """Takes the place of the system's clock. `slept` is how long was waited, in seconds of this clock."""

    def __init__(self, factor: float = 1000.0) -> None:
        super().__init__()
        self._factor = factor
        self._sleepers = 0
        self._since = 0.0
        self._gained = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        now = time.monotonic()
        running = (now - self._since) * (self._factor - 1) if self._sleepers else 0.0
        return now + self._gained + running

    def utcnow(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        if self.signum:
            raise Interrupted(self.signum)
        self.slept.append(seconds)
        end = self.monotonic() + seconds
        self._enter()
        try:
            while not self.signum and (left := end - self.monotonic()) > 0:
                await asyncio.wait([self._waiter()], timeout=left / self._factor)
        finally:
            self._leave()
        if self.signum:
            raise Interrupted(self.signum)

    def _waiter(self) -> asyncio.Task[int]:
        if self._interruption is None or self._interruption.done():
            self._interruption = asyncio.ensure_future(self.interrupted())
        return self._interruption

    _interruption: asyncio.Task[int] | None = None

    def close(self) -> None:
        """Nobody sleeps any more."""
        if self._interruption is not None:
            self._interruption.cancel()

    def _enter(self) -> None:
        if not self._sleepers:
            self._since = time.monotonic()
        self._sleepers += 1

    def _leave(self) -> None:
        self._sleepers -= 1
        if not self._sleepers:
            self._gained += (time.monotonic() - self._since) * (self._factor - 1)
