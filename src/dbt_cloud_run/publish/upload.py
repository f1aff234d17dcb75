"""The workflow artifact of this step: which files it is made of, and zipping some while others are still being made."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.github.console import Console
from dbt_cloud_run.settings.settings import Settings

if TYPE_CHECKING:
    from dbt_cloud_run.github.artifacts.upload import ArtifactFile, UploadedArtifact


@dataclass(slots=True)
class Uploading:
    """An upload that is under way. Files are given as they become final; `finish` waits for the rest of it."""

    folder: Path
    packed: Mapping[Path, Path]  # of these files: where the same lies compressed
    _queue: SimpleQueue[ArtifactFile | None] = field(default_factory=SimpleQueue)
    _given: set[Path] = field(default_factory=set)
    _task: asyncio.Task[UploadedArtifact] | None = None

    def start(self, settings: Settings, console: Console, clock: Clock, name: str) -> None:
        """Begin to zip what is given."""
        files = iter(self._queue.get, None)  # a thread waits here for the next file
        self._task = asyncio.create_task(_upload(settings, console, clock, files, name))
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())  # if nobody asks any more

    def give(self, files: Collection[Path]) -> None:
        """These files are final."""
        new = set(files) - self._given
        self._given |= new
        for file in artifact_files(self.folder, new, self.packed):
            self._queue.put(file)

    async def finish(self) -> UploadedArtifact:
        """There are no more files. Raises `ArtifactUploadError` and `Interrupted`."""
        assert self._task is not None  # noqa: S101 - it was started
        self._queue.put(None)
        return await self._task

    def abandon(self) -> None:
        """Nobody waits for it: its thread ends, too."""
        self._queue.put(None)
        if self._task is not None:
            self._task.cancel()


async def upload(
    settings: Settings, console: Console, clock: Clock, folder: Path, files: Iterable[Path], name: str
) -> UploadedArtifact:
    """Upload these files of `folder` as a workflow artifact. Raises `ArtifactUploadError` and `Interrupted`."""
    return await _upload(settings, console, clock, artifact_files(folder, files, {}), name)


def artifact_files(folder: Path, files: Iterable[Path], packed: Mapping[Path, Path]) -> list[ArtifactFile]:
    """Those that are there and in the folder, by their paths in it."""
    from dbt_cloud_run.github.artifacts.archive import ArtifactFile

    return [
        ArtifactFile(path, path.relative_to(folder).as_posix(), packed.get(path))
        for path in sorted(files)
        if path.is_relative_to(folder) and path.is_file()
    ]


async def _upload(
    settings: Settings, console: Console, clock: Clock, files: Iterable[ArtifactFile], name: str
) -> UploadedArtifact:
    from dbt_cloud_run.github.artifacts.upload import upload_artifact

    github = settings.github
    return await upload_artifact(
        files,
        name=name,
        may_rename=settings.artifact_name is None,
        retention_days=settings.artifact_retention_days,
        results_url=github.results_url,
        runtime_token=github.runtime_token,
        server_url=github.server_url,
        repository=github.repository,
        run_id=github.run_id,
        max_retention=github.retention_days,
        clock=clock,
        temp_dir=github.runner_temp,
        on_note=console.info,
        mask=console.mask,
    )
