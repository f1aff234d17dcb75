"""Files as raw deflate streams (RFC 1951), compressed in a thread while they still grow.

The library is zlib-ng: at this level its streams are 5 % larger than zlib's at level 6, in 40 % of the time
(`benchmarks/README.md`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final

from zlib_ng import zlib_ng

_logger = logging.getLogger(__name__)

CHUNK: Final = 4 * 1024 * 1024
"""Bytes that are read and compressed at a time. After each, its thread waits for its turn with those of Python."""
_GROWTH: Final = 1024 * 1024
"""Bytes after which the thread is told that there are more."""
SMALLEST: Final = 1024 * 1024
"""Bytes from which on a file is compressed while it grows: for less, a thread is not worth it."""
_LEVEL: Final = 4
_RAW: Final = -15


class Stopped(Exception):  # noqa: N818 - it is no error: the result is no longer wanted
    """The work was ended before its end."""


@dataclass(frozen=True, slots=True)
class Deflated:
    """A compressed file: bytes before and after, and the CRC-32 of what was compressed."""

    size: int
    compressed_size: int
    checksum: int


def deflate(chunks: Iterable[bytes | memoryview], write: Callable[[bytes], object]) -> Deflated:
    """Compress these chunks. Raises what reading and writing them raises."""
    compressor = zlib_ng.compressobj(_LEVEL, zlib_ng.DEFLATED, _RAW)
    size = compressed_size = checksum = 0
    for chunk in chunks:
        size += len(chunk)
        checksum = zlib_ng.crc32(chunk, checksum)
        compressed = compressor.compress(chunk)
        compressed_size += len(compressed)
        write(compressed)
    compressed = compressor.flush()
    write(compressed)
    return Deflated(size, compressed_size + len(compressed), checksum)


def checksum_of(chunks: Iterable[bytes | memoryview]) -> int:
    """The CRC-32 of these chunks."""
    checksum = 0
    for chunk in chunks:
        checksum = zlib_ng.crc32(chunk, checksum)
    return checksum


class Deflating:
    """One file that is compressed into `target` while another thread writes it.

    It holds state since two threads share it: `grown`, `finish` and `abandon` are the writer's, `result` is for whoever
    needs the stream. `source` must be there when it has grown to `SMALLEST`, and may get another name afterwards.
    """

    def __init__(self, source: Path, target: Path) -> None:
        self.target = target
        self._source = source
        self._changed = threading.Condition()
        self._available = 0
        self._is_whole = self._is_abandoned = False
        self._thread: threading.Thread | None = None
        self._found: Deflated | None = None
        self._written = self._counted = 0

    def grown(self, size: int) -> None:
        """The first `size` bytes of the file are written and can be read."""
        if size < SMALLEST:
            return
        if self._thread is None:
            file = self._source.open("rb")
            # It never outlives the process, which may end while it compresses.
            thread = threading.Thread(target=self._run, args=(file,), name="deflate", daemon=True)
            thread.start()
            self._thread = thread
        if size - self._available >= _GROWTH:
            with self._changed:
                self._available = size
                self._changed.notify_all()

    def finish(self, size: int) -> None:
        """The file is whole. A small one is left to whoever needs it."""
        with self._changed:
            self._available, self._is_whole = size, True
            self._changed.notify_all()

    def abandon(self) -> None:
        """The file is not kept: the thread ends, and what it has written is removed."""
        with self._changed:
            self._is_abandoned = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self.target.unlink(missing_ok=True)

    def growth(self) -> int:
        """Bytes on the disk since the last call."""
        written, before = self._written, self._counted
        self._counted = written
        return written - before

    def result(self, stop: threading.Event | None = None) -> Deflated | None:
        """Wait for the stream in `target`. None where there is none: the file is small, or a disk was full.

        Raises:
            Stopped: `stop` was set.
        """
        thread = self._thread
        while thread is not None and thread.is_alive():
            if stop is not None and stop.is_set():
                raise Stopped
            thread.join(0.1)
        return self._found

    def _run(self, file: BufferedReader) -> None:
        try:
            with file, self.target.open("wb") as target:
                found = deflate(self._chunks(file), lambda data: self._write(target, data))
            self._found = found
        except Stopped:
            pass
        except OSError as error:
            _logger.debug("%s is compressed later: %s", self._source.name, error)

    def _write(self, target: BinaryIO, data: bytes) -> None:
        target.write(data)
        self._written += len(data)

    def _chunks(self, file: BufferedReader) -> Iterable[memoryview]:
        # One buffer for all: what was read is compressed by the time more is read.
        buffer, done = memoryview(bytearray(CHUNK)), 0
        while True:
            with self._changed:
                while not (self._is_whole or self._is_abandoned or self._available - done >= _GROWTH):
                    self._changed.wait()
                if self._is_abandoned:
                    raise Stopped
                available, is_whole = self._available, self._is_whole
            while done < available:
                if self._is_abandoned:
                    raise Stopped
                size = file.readinto(buffer[: available - done])
                if not size:
                    raise OSError("the file became shorter")
                done += size
                yield buffer[:size]
            if is_whole:
                return
