"""How long an upload may take: a blob store behind a firewall can swallow bytes for ever, and the step waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar

from dbt_cloud_run.github.artifacts.shared import UPLOAD_ELSEWHERE, ArtifactUploadError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Seconds. `stall`: without a byte that is taken; `total`: in all, unless parts are still being finished."""

    stall: float = 120.0
    total: float = 600.0


STEP_LIMITS: Final = UploadLimits()
POST_STEP_LIMITS: Final = UploadLimits(stall=60.0, total=150.0)
"""The runner grants the post steps of a job less than five minutes after a cancel."""


class Flow:
    """A context that ends with an error as soon as the limits are exceeded; `moved` and `finished` say what goes on.

    It keeps state since it counts what others send: the client of the service and that of the blob.
    """

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._timeout = asyncio.timeout(None)
        self._began = 0.0
        self._finished = 0.0
        self._bytes = 0

    async def __aenter__(self) -> Self:
        self._began = self._finished = asyncio.get_running_loop().time()
        await self._timeout.__aenter__()
        self._set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            if not self._timeout.expired():
                raise
            raise ArtifactUploadError(self._what_happened(), UPLOAD_ELSEWHERE) from None

    def moved(self) -> None:
        """Bytes were taken, or an answer came."""
        self._set()

    def finished(self, size: int) -> None:
        """A part of this size in bytes has arrived for good."""
        self._bytes += size
        self._finished = asyncio.get_running_loop().time()
        self._set()

    async def idle(self, wait: Awaitable[T]) -> T:
        """Wait for something to send: that time is not the network's, and does not count."""
        began = asyncio.get_running_loop().time()
        self._timeout.reschedule(None)
        try:
            return await wait
        finally:
            waited = asyncio.get_running_loop().time() - began
            self._began += waited
            self._finished += waited
            self._set()

    def _set(self) -> None:
        now, limits = asyncio.get_running_loop().time(), self._limits
        # Bytes that are sent again and again arrive nowhere: in the end only finished parts count.
        in_all = max(self._began + limits.total, self._finished + limits.stall)
        self._timeout.reschedule(min(now + limits.stall, in_all))

    def _what_happened(self) -> str:
        spent = asyncio.get_running_loop().time() - self._began
        limits = self._limits
        why = f"no byte was accepted for {limits.stall:g} s" if spent < limits.total else f"it took {spent:.0f} s"
        return f"The upload was stopped, because {why}; {self._bytes:,} bytes had arrived."
