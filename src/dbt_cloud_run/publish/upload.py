"""The workflow artifact of this step: which files it is made of, and zipping some while others are still being made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.console import BaseConsole
from dbt_cloud_run.deflating import Deflating
from dbt_cloud_run.github.artifacts.archive import ArtifactFile
from dbt_cloud_run.github.artifacts.limits import STEP_LIMITS, UploadLimits
from dbt_cloud_run.github.artifacts.upload import UploadedArtifact, upload_artifact
from dbt_cloud_run.settings.settings import Settings


@dataclass(slots=True)
class Uploading:
    """An upload that is under way. Files are added as they become final; `finish` waits for the end of it."""

    folder: Path
    _queue: SimpleQueue[ArtifactFile | None]
    _task: asyncio.Task[UploadedArtifact]
    _given: set[Path] = field(default_factory=set)

    @classmethod
    def begin(cls, folder: Path, settings: Settings, console: BaseConsole, clock: Clock, name: str) -> Uploading:
        """Begin to zip what will be given."""
        queue: SimpleQueue[ArtifactFile | None] = SimpleQueue()
        # A thread waits in `get` for the next file.
        task = asyncio.create_task(upload(settings, console, clock, iter(queue.get, None), name))
        # Its error is retrieved even if the step does not wait for it.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return cls(folder, queue, task)

    def give(self, files: Mapping[Path, Deflating | None]) -> None:
        """These files are final; each with its compressed form where there is one."""
        new = {path: packed for path, packed in files.items() if path not in self._given}
        self._given.update(new)
        for file in artifact_files(self.folder, new):
            self._queue.put(file)

    async def finish(self) -> UploadedArtifact:
        """No more files follow. Raises `ArtifactUploadError` and `Interrupted`."""
        self._queue.put(None)
        return await self._task

    def abandon(self) -> None:
        """End the upload, and its thread, if it has not finished."""
        self._queue.put(None)
        self._task.cancel()


def artifact_files(folder: Path, files: Mapping[Path, Deflating | None]) -> list[ArtifactFile]:
    """Those that are there and in the folder, by their paths in it. What cannot be looked at may be there."""
    return [
        ArtifactFile(path, path.relative_to(folder).as_posix(), files[path])
        for path in sorted(files)
        if path.is_relative_to(folder) and _may_be_there(path)
    ]


def _may_be_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # The archive leaves it out with a line in the log, if it cannot be read either.
        return True


async def upload(
    settings: Settings,
    console: BaseConsole,
    clock: Clock,
    files: Iterable[ArtifactFile],
    name: str,
    *,
    may_rename: bool = False,
    limits: UploadLimits = STEP_LIMITS,
) -> UploadedArtifact:
    """Upload these files as the workflow artifact of this step. Raises `ArtifactUploadError` and `Interrupted`.

    `may_rename`: a name of the user's gets a number, too, where it is taken.
    """
    github = settings.github
    return await upload_artifact(
        files,
        name=name,
        may_rename=may_rename or settings.artifact_name is None,
        retention_days=settings.artifact_retention_days,
        results_url=github.results_url,
        runtime_token=github.runtime_token,
        server_url=github.server_url,
        repository=github.repository,
        run_id=github.run_id,
        max_retention=github.retention_days,
        clock=clock,
        temp_dir=github.runner_temp,
        mask=console.mask,
        limits=limits,
    )
