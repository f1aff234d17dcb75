"""The zip file of an artifact, which is sent while it is written."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import BinaryIO, Final, Self

from dbt_cloud_run.github.artifacts.archive import Archive, ArtifactFile, write_archive
from dbt_cloud_run.github.artifacts.shared import ArtifactUploadError

BLOCK_SIZE: Final = 8 * 1024 * 1024


class GrowingZip:
    """A context in which a thread writes the zip file into `file`; leaving it ends the thread.

    It keeps state, since the thread writes at the file's end while the event loop reads from its beginning. What is
    written stays as it is: nothing in the zip file is filled in later.
    """

    def __init__(self, files: Iterable[ArtifactFile], file: BinaryIO) -> None:
        self._files, self._file = files, file
        self._loop = asyncio.get_running_loop()
        self._grown = asyncio.Event()
        self._stop = threading.Event()
        self._written = self._readable = 0  # bytes

    async def __aenter__(self) -> Self:
        self._writing = asyncio.create_task(asyncio.to_thread(self._write_all))
        self._writing.add_done_callback(self._has_ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After a cancellation, nothing reads what the thread writes.
        self._stop.set()
        if not self._writing.done():
            self._writing.cancel()

    async def has_block(self, offset: int = 0) -> bool:
        """Wait until a block from `offset` on can be read, or the file is whole; False where nothing follows.

        Raises:
            ArtifactUploadError: the file could not be written, or no file is in it.
        """
        while not self._writing.done() and self._readable < offset + BLOCK_SIZE:
            self._grown.clear()
            await self._grown.wait()
        if self._writing.done():
            await self.whole()
        return self._readable > offset

    async def blocks(self) -> AsyncIterator[bytes]:
        """The file from its beginning, in blocks of `BLOCK_SIZE` and a last one that may be smaller."""
        offset = 0
        while await self.has_block(offset):
            block = await asyncio.to_thread(os.pread, self._file.fileno(), BLOCK_SIZE, offset)
            offset += len(block)
            yield block

    async def whole(self) -> Archive:
        """Wait until the file is whole; raises as `has_block`."""
        try:
            archive = await self._writing
        except OSError as error:
            message = f"The zip file of the artifact could not be written: {error.strerror or error}."
            raise ArtifactUploadError(message, "Free space in the runner's temporary folder.") from error
        if not archive.files:
            raise ArtifactUploadError("There is no file to upload as an artifact.")
        return archive

    def _has_ended(self, writing: asyncio.Task[Archive]) -> None:
        # Its error is retrieved even where nobody waits for it any more.
        if not writing.cancelled():
            writing.exception()
        self._grown.set()

    # -- in the thread

    def _write_all(self) -> Archive:
        archive = write_archive(self._files, self._write, stop=self._stop)
        self._flush()
        return archive

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._written += len(data)
        if self._written - self._readable >= BLOCK_SIZE:
            self._flush()

    def _flush(self) -> None:
        self._file.flush()
        self._readable = self._written
        if not self._stop.is_set():
            self._loop.call_soon_threadsafe(self._grown.set)
