"""A clock on which waiting is cheap: during a sleep, time runs `factor` times as fast; otherwise as it does.

So a cooldown of 300 s costs a second or less, and a request takes as long as it takes, also beside a sleep.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.errors import Interrupted


class ScaledClock(SystemClock):
    """Takes the place of the system's clock. `slept` is how long was waited, in seconds of this clock.

    It never runs past the moment at which the next sleeper is to wake: a busy machine costs no time on it.
    """

    def __init__(self, factor: float = 1000.0) -> None:
        super().__init__()
        self._factor = factor
        self._ends: list[float] = []
        self._at_work = 0  # what goes on that is no waiting
        self._real = self._scaled = time.monotonic()  # the last moment at which a sleep began or ended
        self._interruption: asyncio.Task[int] | None = None
        self.slept: list[float] = []

    def monotonic(self) -> float:
        elapsed = time.monotonic() - self._real
        if not self._ends:
            return self._scaled + elapsed
        factor = 1.0 if self._at_work else self._factor
        return min(self._scaled + elapsed * factor, max(min(self._ends), self._scaled))

    def utcnow(self) -> datetime:
        return datetime.now(UTC)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Within it, time runs as it does, whoever sleeps: a busy machine must not cost this work a thousand times."""
        self._mark()
        self._at_work += 1
        try:
            yield
        finally:
            self._mark()
            self._at_work -= 1

    async def sleep(self, seconds: float) -> None:
        if self.signum:
            raise Interrupted(self.signum)
        self.slept.append(seconds)
        end = self.monotonic() + seconds
        self._mark()
        self._ends.append(end)
        try:
            while not self.signum and (left := end - self.monotonic()) > 0:
                await asyncio.wait([self._waiter()], timeout=left / self._factor)
        finally:
            self._mark()
            self._ends.remove(end)
        if self.signum:
            raise Interrupted(self.signum)

    def close(self) -> None:
        """No sleep is left."""
        if self._interruption is not None:
            self._interruption.cancel()

    def _mark(self) -> None:
        self._scaled, self._real = self.monotonic(), time.monotonic()

    def _waiter(self) -> asyncio.Task[int]:
        if self._interruption is None or self._interruption.done():
            self._interruption = asyncio.ensure_future(self.interrupted())
        return self._interruption


class WaitingClock(ScaledClock):
    """On which nothing but a wait takes time, from 0 on: what happens at a limit is exact."""

    def __init__(self, factor: float = 1000.0) -> None:
        super().__init__(factor)
        self._scaled = 0.0

    def monotonic(self) -> float:
        return super().monotonic() if self._ends else self._scaled
