"""The zip file of an artifact, streamed to disk and hashed on its way."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from dbt_cloud_run.deflating import CHUNK, Deflated, Deflating, Stopped, checksum_of, deflate
from dbt_cloud_run.github.artifacts.zip_format import MOST_NAME_BYTES, Entry, Moment, ZipWriter

__all__ = ["Archive", "ArtifactFile", "Stopped", "write_archive"]

_logger = logging.getLogger(__name__)

_IN_MEMORY: Final = 8 * 1024 * 1024  # bytes of a compressed file; what is larger goes to disk first
_LONGEST_PART: Final = 255  # bytes of one name that file systems take
_LONGEST_SUFFIX: Final = 16  # characters after the last dot of a name that is marked before it
# In paths within an artifact, after the official client; and what stands for bytes that are no UTF-8.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f":<>|*?\\\ud800-\udfff]')


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    """A file on disk, and its path in the artifact, relative and with `/`.

    `packed` is the same content, compressed while it came. A file that has another size or checksum by now is
    compressed itself.
    """

    path: Path
    arcname: str
    packed: Deflating | None = None


@dataclass(frozen=True, slots=True)
class Archive:
    """What was written: the size in bytes, the SHA-256 in hexadecimal digits, and the number of files."""

    size: int
    sha256: str
    files: int


def write_archive(files: Iterable[ArtifactFile], write: Callable[[bytes], object], *, stop: threading.Event) -> Archive:
    """Write a zip file through `write`, which blocks.

    Entries of a list are in the order of their names, those of an iterator as it yields them. A file that is missing or
    not a regular one is left out, with a line in the log; symbolic links are not followed.

    Raises:
        OSError: `write` raised it.
        Stopped: `stop` was set.
    """
    sink = _HashingSink(write)
    names: set[str] = set()
    archive = ZipWriter(sink.write)
    for file in sorted(files, key=_by_name) if isinstance(files, Sequence) else files:
        name = _entry_name(file.arcname)
        if name in names or ".." in name.split("/") or len(name.encode()) > MOST_NAME_BYTES:
            _logger.info("%s is not in the artifact: its name is taken or not allowed there.", file.arcname)
        elif _write_entry(archive, file, name, stop):
            names.add(name)
        else:
            _logger.info("%s is not in the artifact: it cannot be read as a regular file.", file.arcname)
    archive.finish()
    return Archive(size=sink.size, sha256=sink.digest.hexdigest(), files=len(names))


def _entry_name(arcname: str) -> str:
    """The name within the artifact; a part of it that had forbidden characters is marked, so that it is no other's."""
    parts = arcname.lstrip("/").split("/")
    return "/".join(map(_part_name, parts)) if _FORBIDDEN.search(arcname) else "/".join(parts)


def _part_name(part: str) -> str:
    name = _FORBIDDEN.sub("_", part)
    if name == part:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > _LONGEST_SUFFIX:
        stem, dot, suffix = name, "", ""
    end = f"-{hashlib.sha256(part.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}{dot}{suffix}"
    # With the mark it may be longer than a file system takes, and then the artifact could not be unpacked.
    return stem.encode()[: _LONGEST_PART - len(end.encode())].decode("utf-8", "ignore") + end


def _by_name(file: ArtifactFile) -> str:
    return file.arcname


def _write_entry(archive: ZipWriter, file: ArtifactFile, name: str, stop: threading.Event) -> bool:
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise
        return False
    with os.fdopen(descriptor, "rb") as source:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return False
        moment = _zip_time(status.st_mtime)
        ready = _packed(file.packed, source, status.st_size, stop) or _compressed(source, stop)
        with ready[0] as data:
            found = ready[1]
            archive.begin(
                Entry(
                    name=name,
                    moment=moment,
                    mode=status.st_mode,
                    size=found.size,
                    compressed_size=found.compressed_size,
                    checksum=found.checksum,
                )
            )
            _copy(data, found.compressed_size, archive, stop)
    return True


def _packed(
    packed: Deflating | None, source: BinaryIO, size: int, stop: threading.Event
) -> tuple[BinaryIO, Deflated] | None:
    """The compressed form of what is in `source`, which then stands where it stood; None where there is none."""
    found = packed.result(stop) if packed is not None else None
    if packed is None or found is None or found.size != size:
        return None
    is_same = checksum_of(_chunks(source, stop)) == found.checksum
    source.seek(0)
    try:
        return (packed.target.open("rb"), found) if is_same else None
    except OSError:
        return None


def _compressed(source: BinaryIO, stop: threading.Event) -> tuple[BinaryIO, Deflated]:
    data = cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115 - the caller closes it
    try:
        found = deflate(_chunks(source, stop), data.write)
        data.seek(0)
    except BaseException:
        data.close()
        raise
    return data, found


def _chunks(source: BinaryIO, stop: threading.Event) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        if stop.is_set():
            raise Stopped
        yield chunk


def _copy(data: BinaryIO, size: int, archive: ZipWriter, stop: threading.Event) -> None:
    for chunk in _chunks(data, stop):
        size -= len(chunk)
        archive.write(chunk)
    if size:
        raise OSError("a compressed file changed while it was read")


def _zip_time(seconds: float) -> Moment:
    moment = time.localtime(seconds)
    if not 1980 <= moment.tm_year <= 2107:  # what the format can say
        return 1980, 1, 1, 0, 0, 0
    return moment.tm_year, moment.tm_mon, moment.tm_mday, moment.tm_hour, moment.tm_min, moment.tm_sec


class _HashingSink:
    """A stream that is hashed as it is written."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._write(data)
        self.digest.update(data)
        self.size += len(data)
        return len(data)
