"""An artifact upload with defaults for all that a test does not care about."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standins.results_service import ResultsService, runtime_token
from tests.support.notes import kept_notes

from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.github.artifacts.upload import (
    ArtifactFile,
    UploadedArtifact,
    upload_artifact,
)


def two_files(folder: Path) -> list[ArtifactFile]:
    """A file that cannot be compressed, and one that can be."""
    folder.mkdir()
    (folder / "manifest.json").write_bytes(os.urandom(5000))
    (folder / "b.json").write_text('{"a": "Größe"}' * 1000)
    return [
        ArtifactFile(folder / "manifest.json", "manifest.json"),
        ArtifactFile(folder / "b.json", "runs/7/step-1/b.json"),
    ]


class QuickClock:
    """Waits are recorded, not waited."""

    def __init__(self, interrupt_at: int = 0) -> None:
        self.waits: list[float] = []
        self._interrupt_at = interrupt_at

    def monotonic(self) -> float:
        return sum(self.waits)

    def utcnow(self) -> datetime:
        return datetime(2026, 11, 22, 15, 40, 45, 565000, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        if len(self.waits) == self._interrupt_at:
            raise Interrupted(2)


class Upload:
    """One upload with defaults for all that a test does not care about."""

    def __init__(self, service: ResultsService, files: list[ArtifactFile], temp_dir: Path) -> None:
        self.clock = QuickClock()
        self.notes: list[str] = []
        self.masked: list[str] = []
        self.arguments: dict[str, Any] = {
            "name": "dbt-cloud-run-1-2",
            "retention_days": None,
            "results_url": service.url + "some/path/",
            "runtime_token": runtime_token(),
            "server_url": "https://github.com",
            "repository": "org/repo",
            "run_id": "77",
            "max_retention": 90,
            "temp_dir": temp_dir,
        }
        self.files = files

    def __call__(self, **changes: Any) -> UploadedArtifact:
        arguments = self.arguments | {"clock": self.clock} | changes
        with kept_notes() as self.notes:
            return asyncio.run(upload_artifact(self.files, mask=self.masked.append, **arguments))
