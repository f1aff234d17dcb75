"""The body of a download: unpacked onto the disk as it comes, and kept packed, too, where that has a use."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from dbt_cloud_run.cloud.inflating import Inflating


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
    """Sizes in bytes, as written and as transferred; and whether the body is kept packed as well."""

    size: int
    wire_bytes: int
    is_packed: bool


async def write_body(
    pieces: AsyncIterator[bytes],
    encoding: str,
    file: BinaryIO,
    *,
    packed: Path | None = None,
    meter: Meter | None = None,
) -> WrittenBody:
    """Write the body that comes in `pieces` to `file`, unpacked; and to `packed` as it comes, if that is gzip.

    Only a body that is a single gzip member stays packed. Raises `httpx.DecodingError` for one that is damaged or cut
    short, `TooLarge`, what the meter raises, and what reading the pieces raises.
    """
    inflating = Inflating(encoding)
    packed = packed if inflating.is_gzip else None
    try:
        with contextlib.ExitStack() as stack:
            kept = stack.enter_context(packed.open("wb")) if packed is not None else None
            async for piece in pieces:
                if meter is not None:
                    meter.arrived(len(piece))
                if kept is not None:
                    _store(piece, kept, meter)
                for chunk in inflating.feed(piece):
                    _store(chunk, file, meter)
        inflating.finish()
        is_packed = packed is not None and inflating.members == 1
    except BaseException:
        is_packed = False
        raise
    finally:
        if packed is not None and not is_packed:
            packed.unlink(missing_ok=True)
    return WrittenBody(inflating.size, inflating.wire, is_packed)


def _store(data: bytes, file: BinaryIO, meter: Meter | None) -> None:
    if meter is not None:
        meter.stored(len(data))
    file.write(data)
