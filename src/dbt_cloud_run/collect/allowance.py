"""What the downloads of one attempt may take: room on the disk, and time. Each limit costs the file that exceeds it."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.cloud.errors import CloudError, TooLarge
from dbt_cloud_run.cloud.retrying import ARTIFACT_BUDGET

LARGEST_ATTEMPT = 8 * 1024**3
"""Bytes on the disk of all artifacts of an attempt; of one of them `cloud.inflating.LARGEST_BODY`."""
PATIENCE = ARTIFACT_BUDGET
"""Seconds in which downloads of an attempt are under way. What comes adds to them, as follows, up to `LONGEST`."""
SECONDS_A_FILE = 1.0
EXPECTED_RATE = 256 * 1024
"""Bytes a second: a transfer at this rate, or a faster one, uses up no patience."""
LONGEST = 900.0
"""Seconds after which no download of an attempt goes on, whatever comes."""
AFTER_LIMIT = ARTIFACT_BUDGET
"""Seconds after `timeout-minutes`, or after the end of a run that was cancelled at it, that downloads may go on."""


def downloads_until(limit: float | None, now: float) -> float:
    """The time on the monotonic clock at which downloads that begin now end, whatever comes. None: without a limit."""
    return float("inf") if limit is None else max(limit, now) + AFTER_LIMIT


class Overdue(CloudError):  # noqa: N818 - it says what happened to the request, as its kind does
    """The artifacts of a run did not arrive in the time allowed for them."""

    code = "artifacts-overdue"
    remedy = "Keep fewer files with `artifacts`, or find out what slows down the network of the runner."


@dataclass(slots=True)
class Allowance:
    """Of one attempt. Waiting for a file that is late takes none of its time: only transfers do."""

    clock: Clock
    until: float = float("inf")  # by the clock: when downloads end, whatever comes
    _room: int = 0  # bytes taken on the disk
    _arrived: int = 0  # bytes
    _files: int = 0
    _spent: float = 0.0  # seconds, without those since `_since`
    _since: float = 0.0  # when the downloads that are under way began
    _under_way: int = 0

    def begin(self) -> Usage:
        """The usage of a download that begins. Raises `Overdue` where it must not."""
        self.check_time()
        if not self._under_way:
            self._since = self.clock.monotonic()
        self._under_way += 1
        return Usage(self)

    def end(self, room: int, *, is_kept: bool) -> None:
        """A download has ended. Where its file is not kept, its room is free again."""
        self._under_way -= 1
        if not self._under_way:
            self._spent += self.clock.monotonic() - self._since
        self._files += is_kept
        self._room -= 0 if is_kept else room

    def check_time(self, arrived: int = 0) -> None:
        """Count bytes from the wire. Raises `Overdue` where there is no time left."""
        self._arrived += arrived
        spent = self._spent + (self.clock.monotonic() - self._since if self._under_way else 0.0)
        allowed = min(PATIENCE + self._files * SECONDS_A_FILE + self._arrived / EXPECTED_RATE, LONGEST)
        if spent > allowed or self.clock.monotonic() > self.until:
            raise Overdue("The time limit for the artifacts of this run is reached.")

    def take_room(self, count: int) -> None:
        """Count bytes that are about to be written. Raises `TooLarge` where there is no room for them."""
        if self._room + count > LARGEST_ATTEMPT:
            raise TooLarge(f"All artifacts of a run may be {LARGEST_ATTEMPT // 1024**3} GiB, and it exceeds that.")
        self._room += count


@dataclass(slots=True)
class Usage:
    """What one download takes, to be used with `with`."""

    _allowance: Allowance
    _room: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._allowance.end(self._room, is_kept=kind is None)

    def arrived(self, count: int) -> None:
        """Bytes from the wire. Raises `Overdue`."""
        self._allowance.check_time(count)

    def stored(self, count: int) -> None:
        """Bytes that are about to be written to disk. Raises `TooLarge` where there are too many."""
        self._allowance.take_room(count)
        self._room += count
