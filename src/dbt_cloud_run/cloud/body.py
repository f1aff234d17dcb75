"""The body of a download: unpacked onto the disk as it comes, and kept packed, too, where that has a use."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

import httpx

_GZIP = 16 + zlib.MAX_WBITS  # with its header and its checksum, which are checked
_PIECE = 256 * 1024  # bytes taken from the wire at once


async def write_body(response: httpx.Response, file: BinaryIO, packed: Path | None) -> tuple[int, bool]:
    """Write the body unpacked to `file`; gives its size in bytes, and whether `packed` now holds it as it came.

    Only a body that is a single gzip member is kept packed. Raises `httpx.DecodingError` for one that is damaged or cut
    short, and what reading the response raises.
    """
    if packed is None or response.headers.get("content-encoding", "").strip().lower() not in ("gzip", "x-gzip"):
        size = 0
        async for piece in response.aiter_bytes():
            size += file.write(piece)
        return size, False
    with packed.open("wb") as kept:
        unpacking = _Unpacking(file)
        async for piece in response.aiter_raw(_PIECE):
            kept.write(piece)
            unpacking.take(piece)
    unpacking.finish()
    return unpacking.size, unpacking.members == 1


class _Unpacking:
    """gzip, which may have several members, to a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stream = zlib.decompressobj(_GZIP)
        self._has_begun = False
        self.size = 0
        self.members = 0

    def take(self, piece: bytes) -> None:
        try:
            while piece:
                if self._stream.eof:
                    self._stream, self._has_begun = zlib.decompressobj(_GZIP), False
                self.size += self._file.write(self._stream.decompress(piece))
                self.members += not self._has_begun
                self._has_begun = True
                piece = self._stream.unused_data
        except zlib.error as error:
            raise httpx.DecodingError(f"the gzip data cannot be read: {error}") from error

    def finish(self) -> None:
        if self._has_begun and not self._stream.eof:
            raise httpx.DecodingError("the gzip data ends too early")
