"""The body of a download: unpacked onto the disk as it comes, and compressed for the artifact meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import RawIOBase
from typing import Protocol

from dbt_cloud_run.cloud.inflating import Inflating
from dbt_cloud_run.deflating import Deflating


class Meter(Protocol):
    """Counts what a download takes, and may end it by raising."""

    def arrived(self, count: int) -> None:
        """Count bytes from the wire."""
        ...

    def stored(self, count: int) -> None:
        """Count bytes that are about to be written to disk."""
        ...


@dataclass(frozen=True, slots=True)
class WrittenBody:
    """Sizes in bytes, as written and as transferred."""

    size: int
    wire_bytes: int


async def write_body(
    pieces: AsyncIterator[bytes],
    encoding: str,
    file: RawIOBase,
    *,
    packing: Deflating | None = None,
    meter: Meter | None = None,
) -> WrittenBody:
    """Write the body that comes in `pieces` to `file`, unpacked; `packing` follows it.

    Raises `httpx.DecodingError` for one that is damaged or cut short, `TooLarge`, what the meter raises, and what
    reading the pieces raises.
    """
    inflating = Inflating(encoding)
    async for piece in pieces:
        if meter is not None:
            meter.arrived(len(piece))
        for chunk in inflating.feed(piece):
            if meter is not None:
                meter.stored(len(chunk))
            _write(file, chunk)
            if packing is not None:
                packing.grown(inflating.size)
        if packing is not None and meter is not None:
            meter.stored(packing.growth())
    inflating.finish()
    if packing is not None:
        packing.finish(inflating.size)
    return WrittenBody(inflating.size, inflating.wire)


def _write(file: RawIOBase, data: bytes) -> None:
    """Write all of it: without a buffer, a single call may write a part."""
    written = file.write(data) or 0
    while written < len(data):
        written += file.write(memoryview(data)[written:]) or 0
