"""The zip file of an artifact, streamed to disk and hashed on its way."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import stat
import threading
import time
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from dbt_cloud_run.github.artifacts.packed import Stopped, write_packed

__all__ = ["Archive", "ArtifactFile", "Stopped", "write_archive"]

_logger = logging.getLogger(__name__)

_CHUNK: Final = 1024 * 1024
_LEVEL: Final = 6  # what the official client uses
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f":<>|*?\\]')  # in paths within an artifact, after the official client


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    """A file on disk, and its path in the artifact, relative and with `/`.

    `packed` is the same content as one gzip member, if there is that: its data is taken as it is, since zip files and
    gzip share their compression. A file of another size or checksum is not what it was, and is compressed itself.
    """

    path: Path
    arcname: str
    packed: Path | None = None


@dataclass(frozen=True, slots=True)
class Archive:
    """What was written: the size in bytes, the SHA-256 in hexadecimal digits, and the number of files."""

    size: int
    sha256: str
    files: int


def write_archive(files: Iterable[ArtifactFile], target: BinaryIO, *, stop: threading.Event) -> Archive:
    """Write a zip file; entries of a list in the order of their names, of an iterator as it yields them. Blocks.

    A file that is missing or not a regular one is left out, with a line in the log; symbolic links are not followed.

    Raises:
        OSError: `target` cannot be written.
        Stopped: `stop` was set.
    """
    sink = _HashingSink(target)
    names: set[str] = set()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for file in sorted(files, key=_by_name) if isinstance(files, Sequence) else files:
            name = _entry_name(file.arcname)
            if name in names or ".." in name.split("/"):
                _logger.info("%s is not in the artifact: its name is taken or not allowed there.", file.arcname)
            elif _write_entry(archive, file, name, stop):
                names.add(name)
            else:
                _logger.info("%s is not in the artifact: it cannot be read as a regular file.", file.arcname)
    return Archive(size=sink.size, sha256=sink.digest.hexdigest(), files=len(names))


def _entry_name(arcname: str) -> str:
    """The name within the artifact; one that had forbidden characters is marked, so that it is no other file's."""
    name = _FORBIDDEN.sub("_", arcname).lstrip("/")
    if name == arcname:
        return name
    stem, dot, suffix = name.rpartition(".") if "." in name.rpartition("/")[2] else (name, "", "")
    return f"{stem}-{hashlib.sha256(arcname.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}{dot}{suffix}"


def _by_name(file: ArtifactFile) -> str:
    return file.arcname


def _write_entry(archive: zipfile.ZipFile, file: ArtifactFile, name: str, stop: threading.Event) -> bool:
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
        info = zipfile.ZipInfo(name, _zip_time(status.st_mtime))
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = (status.st_mode & 0xFFFF) << 16
        info.file_size = status.st_size
        if file.packed is not None and write_packed(archive, info, file.packed, source, stop):
            return True
        # The size is not known for certain before the end, and a stream cannot go back to correct its header.
        with archive.open(info, "w", force_zip64=info.file_size > zipfile.ZIP64_LIMIT // 2) as entry:
            while chunk := source.read(_CHUNK):
                if stop.is_set():
                    raise Stopped
                entry.write(chunk)
    return True


def _zip_time(seconds: float) -> tuple[int, int, int, int, int, int]:
    moment = time.localtime(seconds)
    if not 1980 <= moment.tm_year <= 2107:  # what the format can say
        return 1980, 1, 1, 0, 0, 0
    return moment.tm_year, moment.tm_mon, moment.tm_mday, moment.tm_hour, moment.tm_min, moment.tm_sec


class _HashingSink:
    """A stream that cannot seek, so `zipfile` never goes back to what was hashed already."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._target.write(data)
        self.digest.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        self._target.flush()

    def close(self) -> None:
        """Leave the target open: it is read next."""
