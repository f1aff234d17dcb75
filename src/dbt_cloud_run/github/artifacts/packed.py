"""gzip data as an entry of a zip file, not compressed again: both hold the same kind of stream (RFC 1951, RFC 1952)."""

from __future__ import annotations

import os
import struct
import threading
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, Final

_CHUNK: Final = 1024 * 1024
_TRAILER: Final = 8  # CRC-32 and size modulo 2^32
_HAS_CHECKSUM, _HAS_EXTRA, _HAS_NAME, _HAS_COMMENT = 2, 4, 8, 16


class Stopped(Exception):  # noqa: N818 - it is no error: the result is no longer needed
    """`stop` was set while the zip file was being written."""


def write_packed(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, packed: Path, file: BinaryIO, stop: threading.Event
) -> bool:
    """Append the content of a gzip file with a single member as the entry `info`, whose `file_size` is known.

    `file` is what the entry has to hold. False, and nothing is written, if `packed` is none such or is about other
    content: its checksum is compared with that of `file`, which then stands where it stood. Raises `Stopped`.
    """
    target = archive.fp
    try:
        source = packed.open("rb")
    except OSError:
        return False
    with source:
        begin, end = _bounds(source)
        if target is None or end <= begin:
            return False
        source.seek(end)
        info.CRC, size = struct.unpack("<LL", source.read(_TRAILER))
        if size != info.file_size % 2**32 or _checksum(file, stop) != info.CRC:
            return False
        source.seek(begin)
        info.compress_size = end - begin
        info.header_offset = target.tell()
        target.write(info.FileHeader(zip64=max(info.file_size, info.compress_size) > zipfile.ZIP64_LIMIT))
        left = info.compress_size
        while left:
            if stop.is_set():
                raise Stopped
            chunk = source.read(min(_CHUNK, left))
            if not chunk:
                raise OSError(f"{packed.name} became shorter while it was read")
            left -= len(chunk)
            target.write(chunk)
    archive.filelist.append(info)
    archive.NameToInfo[info.filename] = info
    archive.start_dir = target.tell()  # where the next entry, or the directory, begins
    return True


def _checksum(file: BinaryIO, stop: threading.Event) -> int:
    """The CRC-32 of what is left of `file`, which is put back to where it stood."""
    begin, checksum = file.tell(), 0
    while chunk := file.read(_CHUNK):
        if stop.is_set():
            raise Stopped
        checksum = zlib.crc32(chunk, checksum)
    file.seek(begin)
    return checksum


def _bounds(source: BinaryIO) -> tuple[int, int]:
    """Where the compressed stream begins and ends; (0, 0) if this is not gzip."""
    head = source.read(10)
    if len(head) < 10 or head[:3] != b"\x1f\x8b\x08":
        return 0, 0
    flags = head[3]
    if flags & _HAS_EXTRA:
        source.seek(int.from_bytes(source.read(2), "little"), os.SEEK_CUR)
    for flag in (_HAS_NAME, _HAS_COMMENT):
        while flags & flag and source.read(1) not in (b"\0", b""):
            pass
    if flags & _HAS_CHECKSUM:
        source.seek(2, os.SEEK_CUR)
    return source.tell(), source.seek(0, os.SEEK_END) - _TRAILER
