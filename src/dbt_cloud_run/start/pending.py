"""A write that starts a run, from before it is sent until its answer is known: what a signal must not tear apart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import CloudError
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.start.tag import Tag
from dbt_cloud_run.start.trigger import find_tagged, runs_above


@dataclass(slots=True, kw_only=True)
class Pending:
    """A trigger, found again by its `tag`, or dbt Cloud's own retry of run `native_of`, found by that."""

    job_id: int
    baseline_id: int
    request: Callable[[], Coroutine[Any, Any, Run]]
    tag: Tag | None = None
    native_of: int | None = None
    task: asyncio.Task[Run] | None = None

    async def send(self) -> Run:
        """Send it, in a task that outlives the caller's being cancelled."""
        self.task = asyncio.create_task(self.request())
        return await asyncio.shield(self.task)

    async def run_after_all(self, client: CloudClient, patience: float) -> Run | None:
        """The run that it has started, as far as that can be known in so many seconds, and as long again."""
        if self.task is None:
            return None
        # After a signal every wait in it ends with `Interrupted`: then nothing but a look can tell.
        with contextlib.suppress(CloudError, Interrupted, TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(patience):
                return await asyncio.shield(self.task)
        self.task.cancel()
        with contextlib.suppress(CloudError, TimeoutError):
            async with asyncio.timeout(patience):
                return await find_started(client, self.job_id, self.baseline_id, tag=self.tag, native_of=self.native_of)
        return None


async def find_started(
    client: CloudClient, job_id: int, baseline_id: int, *, tag: Tag | None, native_of: int | None
) -> Run | None:
    """One look for the run that such a write has started; the oldest, if there are several. Raises `CloudError`s."""
    if tag is not None:
        found = await find_tagged(client, job_id, tag, baseline_id)
    else:
        runs = await runs_above(client, job_id, baseline_id)
        found = tuple(run for run in runs if native_of is not None and run.retrying_run_id == native_of)
    return found[0] if found else None
