"""Upload files as a workflow artifact, from inside the container."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final, cast
from urllib.parse import urlsplit

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.github.artifacts.archive import Archive, ArtifactFile
from dbt_cloud_run.github.artifacts.blob import BlobClient
from dbt_cloud_run.github.artifacts.growing import GrowingZip
from dbt_cloud_run.github.artifacts.limits import STEP_LIMITS, Flow, UploadLimits
from dbt_cloud_run.github.artifacts.results import Backend, ResultsClient
from dbt_cloud_run.github.artifacts.shared import (
    UPLOAD_ELSEWHERE,
    ArtifactNameTakenError,
    ArtifactUploadError,
    ArtifactUploadUnavailable,
)
from dbt_cloud_run.network.session import open_session

__all__ = [
    "ArtifactFile",
    "ArtifactUploadError",
    "ArtifactUploadUnavailable",
    "UploadedArtifact",
    "safe_artifact_name",
    "upload_artifact",
]

_logger = logging.getLogger(__name__)

_NAME_LIMIT: Final = 200
_NAMES_TRIED: Final = 9
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f":<>|*?\\/]+')


@dataclass(frozen=True, slots=True)
class UploadedArtifact:
    """An artifact of this workflow run; `digest` is `sha256:<hex>` of the zip file, `size` its bytes."""

    id: int
    url: str
    name: str
    digest: str
    size: int


def safe_artifact_name(name: str) -> str:
    """The nearest name that the service takes: none of `" : < > | * ? \\ /`, no line ends, not empty."""
    return _FORBIDDEN.sub("-", name).strip()[:_NAME_LIMIT].rstrip() or "dbt-cloud-run"


async def upload_artifact(
    files: Iterable[ArtifactFile],
    *,
    name: str,
    retention_days: int | None,
    results_url: str | None,
    runtime_token: str | None,
    server_url: str,
    repository: str,
    run_id: str,
    max_retention: int | None,
    clock: Clock,
    temp_dir: Path | None,
    mask: Callable[[str], None],
    may_rename: bool = False,
    limits: UploadLimits = STEP_LIMITS,
) -> UploadedArtifact:
    """Zip the files to disk and upload them, streamed, in blocks.

    What the user should know (a shorter retention, a file left out) is a line of the log. `mask` gets every secret
    before anything could print it. `may_rename`: where the name is taken, `<name>-2` or a higher number will do.

    Raises:
        ArtifactUploadUnavailable: there is no service here that could take it.
        ArtifactUploadError: it could not be uploaded; the message and the advice are for the user.
        Interrupted: a signal came while it waited.
    """
    _require_service(server_url)
    backend = Backend.from_runner(results_url, runtime_token)
    if (safe_name := safe_artifact_name(name)) != name:
        _logger.info("The artifact is named '%s': GitHub does not accept '%s'.", safe_name, name)
    expires_at = _expires_at(retention_days, max_retention, clock)
    names = _names(safe_name) if may_rename else [safe_name]
    with _temporary_file(temp_dir) as file, _network_errors():
        async with GrowingZip(files, file) as zip_file:
            # Until there is something to send, the artifact is not announced: its name would be taken for nothing.
            await zip_file.has_block()
            # The session has no headers of its own: the token is for the service alone.
            async with await asyncio.to_thread(open_session, os.environ) as http, Flow(limits) as flow:
                results = ResultsClient(http, backend, clock=clock, mask=mask, flow=flow)
                kept_name, signed_url = await _create(results, names, expires_at)
                storage = BlobClient(http, signed_url, clock=clock, flow=flow)
                archive, number = await _send(zip_file, storage, results, kept_name)
    url = f"{server_url.rstrip('/')}/{repository}/actions/runs/{run_id}/artifacts/{number}"
    return UploadedArtifact(number, url, kept_name, f"sha256:{archive.sha256}", archive.size)


async def _send(zip_file: GrowingZip, storage: BlobClient, results: ResultsClient, name: str) -> tuple[Archive, int]:
    """Upload the zip file as it grows, and finish the artifact; returns its id, too."""
    await storage.upload(zip_file.blocks(), "application/zip")
    archive = await zip_file.whole()
    return archive, await results.finalize(name, size=archive.size, sha256=archive.sha256)


@contextlib.contextmanager
def _network_errors() -> Iterator[None]:
    """A proxy or an authority that cannot be used is one more reason why there is no artifact."""
    try:
        yield
    except ConfigError as error:
        raise ArtifactUploadError(error.message, error.advice) from None


def _names(name: str) -> list[str]:
    return [name, *(f"{name[: _NAME_LIMIT - 2]}-{number}" for number in range(2, _NAMES_TRIED + 1))]


async def _create(results: ResultsClient, names: Sequence[str], expires_at: str | None) -> tuple[str, str]:
    """The first of the names that is free, and the address to upload to."""
    for name, following in zip(names, [*names[1:], None], strict=True):
        try:
            return name, await results.create(name, expires_at=expires_at)
        except ArtifactNameTakenError:
            if following is None:
                raise
            _logger.info("This workflow run already has an artifact '%s': this one is named '%s'.", name, following)
    raise AssertionError("unreachable")


def _require_service(server_url: str) -> None:
    host = urlsplit(server_url).hostname or ""
    # As the official client distinguishes them.
    if host == "github.com" or host.endswith((".ghe.com", ".localhost")):
        return
    # GitHub Enterprise Server, Gitea, Forgejo: their services refuse, or lose, what the newest clients send.
    message = f"{host or 'This server'} has no artifact service that this action can upload to."
    raise ArtifactUploadUnavailable(message, UPLOAD_ELSEWHERE)


def _expires_at(days: int | None, max_days: int | None, clock: Clock) -> str | None:
    if not days or days < 1:
        return None
    if max_days and days > max_days:
        _logger.info("The artifact is kept for %d days instead of %d: the repository allows no more.", max_days, days)
        days = max_days
    return (clock.utcnow() + timedelta(days=days)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextlib.contextmanager
def _temporary_file(folder: Path | None) -> Iterator[BinaryIO]:
    # It has no name in the file system, so that nothing is left over however we end.
    usable = folder if folder is not None and folder.is_dir() else None
    try:
        file = cast("BinaryIO", tempfile.TemporaryFile(dir=usable))  # noqa: SIM115 - closed below
    except OSError as error:
        message = f"There is no room for the zip file of the artifact: {error.strerror}."
        raise ArtifactUploadError(message, UPLOAD_ELSEWHERE) from error
    try:
        yield file
    finally:
        # On a full disk, closing it tries once more to write what is left, and would hide why the upload ended.
        with contextlib.suppress(OSError):
            file.close()
