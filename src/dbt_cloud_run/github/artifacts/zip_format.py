"""A zip file of entries whose data is compressed already, written in one go (PKWARE's APPNOTE 6.3.10).

The standard library's `zipfile` compresses by itself, with zlib, and has no way in for data that is compressed.
Sizes and checksums are known before an entry begins, so there are no data descriptors, and 64-bit fields only where
they are needed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

LARGEST: Final = 0xFFFFFFFF
"""From here on a value needs a field of 64 bits."""
_MARK: Final = 0xFFFFFFFF  # what the 32-bit field says then
MOST_ENTRIES: Final = 0xFFFF
MOST_NAME_BYTES: Final = 0xFFFF

_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL = struct.Struct("<4sBBHHHHHLLLHHHHHLL")
_END = struct.Struct("<4sHHHHLLH")
_END_64 = struct.Struct("<4sQHHLLQQQQ")
_LOCATOR_64 = struct.Struct("<4sLQL")
_DEFLATED: Final = 8
_UTF_8: Final = 0x800
_UNIX: Final = 3  # the system by which the attributes are to be read
_VERSION, _VERSION_64 = 20, 45
_ZIP64_FIELD: Final = 1

Moment = tuple[int, int, int, int, int, int]
"""Year, month, day, hour, minute, second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file in the archive: its path, when it was changed, its permissions, and its data as raw deflate."""

    name: str
    moment: Moment
    mode: int  # as in `stat`
    size: int
    compressed_size: int
    checksum: int  # CRC-32


@dataclass(slots=True)
class ZipWriter:
    """Writes headers through `write`; between `begin` and the next call, the caller writes the entry's data there.

    It holds the offset and what the directory at the end says.
    """

    write: Callable[[bytes], object]
    _offset: int = 0
    _count: int = 0
    _directory: list[bytes] = field(default_factory=list)

    def begin(self, entry: Entry) -> None:
        """Write the header of an entry, whose `compressed_size` bytes follow. Raises `UnicodeEncodeError`."""
        name = entry.name.encode()
        is_large = max(entry.size, entry.compressed_size) >= LARGEST
        extra = struct.pack("<HHQQ", _ZIP64_FIELD, 16, entry.size, entry.compressed_size) if is_large else b""
        sizes = (_MARK, _MARK) if is_large else (entry.compressed_size, entry.size)
        version = _VERSION_64 if is_large else _VERSION
        shared = (_flags(entry), _DEFLATED, *_dos_time(entry.moment), entry.checksum, *sizes, len(name))
        self._directory.append(self._central(entry, name))
        header = _LOCAL.pack(b"PK\x03\x04", version, *shared, len(extra)) + name + extra
        self.write(header)
        self._offset += len(header) + entry.compressed_size
        self._count += 1

    def _central(self, entry: Entry, name: bytes) -> bytes:
        values = (entry.size, entry.compressed_size, self._offset)
        large = [value for value in values if value >= LARGEST]
        extra = struct.pack(f"<HH{len(large)}Q", _ZIP64_FIELD, 8 * len(large), *large) if large else b""
        size, compressed_size, offset = (_in_32_bits(value) for value in values)
        version = _VERSION_64 if large else _VERSION
        header = _CENTRAL.pack(
            *(b"PK\x01\x02", version, _UNIX, version, _flags(entry), _DEFLATED, *_dos_time(entry.moment)),
            *(entry.checksum, compressed_size, size, len(name), len(extra), 0, 0, 0),
            *((entry.mode & 0xFFFF) << 16, offset),
        )
        return header + name + extra

    def finish(self) -> None:
        """Write the directory."""
        begin, directory = self._offset, b"".join(self._directory)
        self.write(directory)
        end = begin + len(directory)
        if self._count >= MOST_ENTRIES or max(begin, len(directory)) >= LARGEST:
            count = self._count
            versions = (_VERSION_64, _VERSION_64)
            self.write(_END_64.pack(b"PK\x06\x06", 44, *versions, 0, 0, count, count, len(directory), begin))
            self.write(_LOCATOR_64.pack(b"PK\x06\x07", 0, end, 1))
        count = min(self._count, MOST_ENTRIES)
        sizes = (_in_32_bits(len(directory)), _in_32_bits(begin))
        self.write(_END.pack(b"PK\x05\x06", 0, 0, count, count, *sizes, 0))


def _flags(entry: Entry) -> int:
    return 0 if entry.name.isascii() else _UTF_8


def _in_32_bits(value: int) -> int:
    return value if value < LARGEST else _MARK


def _dos_time(moment: Moment) -> tuple[int, int]:
    year, month, day, hour, minute, second = moment
    return hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day
