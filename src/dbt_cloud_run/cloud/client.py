"""dbt Cloud's Administrative API v2, as far as a run needs it: one method, one request, typed answers and errors.

Nothing is repeated here; `retrying` does that for reads, `trigger` for writes. Paths and parameters are those of the
official API description. Every method raises `CloudError`s.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.cloud.body import Meter, write_body
from dbt_cloud_run.cloud.errors import NotFound, Rejected, Unreadable
from dbt_cloud_run.cloud.transport import Transport, encoding_of
from dbt_cloud_run.deflating import SMALLEST, Deflating
from dbt_cloud_run.redaction import Secret

if TYPE_CHECKING:
    from dbt_cloud_run.cloud.models import Job, Named, Run

PAGE = 100  # the most that the platform returns at once
WHOLE_RUN = ("run_steps", "trigger", "job", "environment", "audit")
"""The related objects of a run that are asked for (`include_related`) where all of it is needed."""


@dataclass(frozen=True, slots=True)
class DownloadedFile:
    """An artifact on disk. `size` is in bytes as written, `wire_bytes` as transferred (compressed)."""

    path: Path
    size: int
    wire_bytes: int
    packed: Deflating | None = None  # the same, compressed; it may still be under way


class CloudClient:
    """A session with one account, to be used with `async with`. Timeouts, of one connect and one read, are seconds."""

    def __init__(
        self,
        base_url: str,
        account_id: int,
        token: Secret,
        clock: Clock,
        *,
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._account_id, self._pages = account_id, base_url.rstrip("/")
        self._account = f"/api/v2/accounts/{account_id}"
        self._account_v3 = f"/api/v3/accounts/{account_id}"
        self._transport = Transport(
            base_url,
            token,
            clock.monotonic,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._transport.aclose()

    @property
    def host(self) -> str:
        """The host that is spoken to, for people."""
        return self._transport.host

    def server_now(self) -> datetime | None:
        """dbt Cloud's own time, to compare with the times that it names; None as long as no answer has stated it."""
        return self._transport.server_now()

    async def get_run(self, run_id: int, include: Iterable[str] = ()) -> Run:
        """One run; `include` names related objects such as `run_steps`, `trigger`, `job`, `environment`, `audit`."""
        data = await self._transport.call("GET", f"{self._account}/runs/{run_id}/", params=_params(include))
        run = self._run(data, f"run {run_id}")
        if run.id != run_id:
            raise Unreadable(f"dbt Cloud answered with run {run.id} when asked for run {run_id}.")
        return run

    def _run(self, data: object, what: str) -> Run:
        return self._with_address(_run_model().read(data, what))

    def _with_address(self, run: Run) -> Run:
        """The run with the address of its page, which is built where dbt Cloud does not name it."""
        if run.href is not None or run.project_id is None:
            return run
        path = f"/deploy/{self._account_id}/projects/{run.project_id}/runs/{run.id}/"
        return run.model_copy(update={"href": self._pages + path})

    async def list_runs(
        self,
        job_id: int,
        *,
        id_gt: int | None = None,
        order_by: str = "-id",
        include: Iterable[str] = ("trigger",),
    ) -> tuple[Run, ...]:
        """One page of a job's runs, the newest first unless `order_by` says otherwise."""
        params = {"job_definition_id": str(job_id), "order_by": order_by, "limit": str(PAGE), **_params(include)}
        if id_gt is not None:
            params["id__gt"] = str(id_gt)
        data = await self._transport.call("GET", f"{self._account}/runs/", params=params)
        return tuple(self._with_address(run) for run in _run_model().read_all(data, "the list of runs"))

    async def trigger(self, job_id: int, body: Mapping[str, Any]) -> Run:
        """Start a run: a single request, never repeated here, since it may have taken effect whatever is answered."""
        data = await self._transport.call("POST", f"{self._account}/jobs/{job_id}/run/", body=body)
        return self._run(data, "the triggered run")

    async def retry_run(self, run_id: int) -> Run:
        """dbt Cloud's own retry of this very run: a single request. Gives the new run."""
        data = await self._transport.call("POST", f"{self._account}/runs/{run_id}/retry/")
        return self._run(data, "the retried run")

    async def cancel_run(self, run_id: int) -> Run:
        """Cancel a run. Harmless when it is repeated."""
        data = await self._transport.call("POST", f"{self._account}/runs/{run_id}/cancel/")
        return self._run(data, "the cancelled run")

    async def get_job(self, job_id: int) -> Job:
        """One job."""
        data = await self._transport.call("GET", f"{self._account}/jobs/{job_id}/")
        return _job_model().read(data, f"job {job_id}")

    async def list_jobs(
        self, *, name_contains: str | None = None, offset: int = 0, include: Iterable[str] = ()
    ) -> tuple[Job, ...]:
        """One page of the account's active jobs, in the order of their ids."""
        params = {"order_by": "id", "limit": str(PAGE), "offset": str(offset), **_params(include)}
        if name_contains:
            params["name__icontains"] = name_contains
        data = await self._transport.call("GET", f"{self._account}/jobs/", params=params)
        return _job_model().read_all(data, "the list of jobs")

    async def list_projects(self, *, offset: int = 0) -> tuple[Named, ...]:
        """One page of the account's projects (API v3). A token with the permission set Job Runner may not see them."""
        params = {"limit": str(PAGE), "offset": str(offset)}
        data = await self._transport.call("GET", f"{self._account_v3}/projects/", params=params)
        return _named_model().read_all(data, "the list of projects")

    async def list_environments(self, *, offset: int = 0) -> tuple[Named, ...]:
        """One page of the account's environments (API v3), with the same limit of permission."""
        params = {"limit": str(PAGE), "offset": str(offset)}
        data = await self._transport.call("GET", f"{self._account_v3}/environments/", params=params)
        return _named_model().read_all(data, "the list of environments")

    async def list_artifacts(self, run_id: int) -> tuple[str, ...]:
        """The paths of a run's artifacts, all steps together; none where the platform answers null."""
        data = await self._transport.call("GET", f"{self._account}/runs/{run_id}/artifacts/")
        if data is None:
            return ()
        if not isinstance(data, list):
            raise Unreadable(f"The list of artifacts of run {run_id} is not a list.")
        return tuple(path for path in data if isinstance(path, str))

    async def download(
        self,
        run_id: int,
        path: str,
        dest: Path,
        *,
        step: int | None = None,
        packed: Path | None = None,
        check: Callable[[Path], None] | None = None,
        meter: Meter | None = None,
    ) -> DownloadedFile | None:
        """Stream one artifact to `dest`, whose folder exists; None where there is none (404).

        `step` is a step's index; without it the platform serves the last step's. `dest` appears, and replaces what was
        there, only when the transfer is complete and `check` raises nothing about the file; without a check it may be
        empty, or not be JSON. A large file is compressed into `packed` as it comes; `meter` may end the download.
        Raises the disk's `OSError`, too.
        """
        if any(part in ("", ".", "..") for part in path.split("/")):
            raise Rejected(f"{path!r} is not the path of an artifact.")
        url = f"{self._account}/runs/{run_id}/artifacts/{quote(path, safe='/')}"
        params = {} if step is None else {"step": str(step)}
        part = dest.with_name(f".{os.urandom(8).hex()}.part")  # short: the name itself may be as long as names can be
        packing = Deflating(part, packed) if packed is not None else None
        try:
            async with self._transport.stream(url, params=params) as (response, pieces):
                # Without a buffer, what is written can be read by another thread at once.
                with part.open("xb", buffering=0) as file:
                    body = await write_body(pieces, encoding_of(response), file, packing=packing, meter=meter)
            if check is not None:
                await asyncio.to_thread(check, part)
            part.replace(dest)
        except BaseException as error:
            if packing is not None:
                packing.abandon()
            if isinstance(error, NotFound):
                return None
            raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
        return DownloadedFile(
            dest,
            body.size,
            body.wire_bytes,
            packing if body.size >= SMALLEST else None,
        )


def _params(include: Iterable[str]) -> dict[str, str]:
    related = ",".join(include)
    return {"include_related": related} if related else {}


# What reads an answer is imported with the first one: pydantic, and what it builds, would keep the request waiting.


def _run_model() -> type[Run]:
    from dbt_cloud_run.cloud.models import Run

    return Run


def _job_model() -> type[Job]:
    from dbt_cloud_run.cloud.models import Job

    return Job


def _named_model() -> type[Named]:
    from dbt_cloud_run.cloud.models import Named

    return Named
