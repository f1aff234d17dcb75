"""A failed run of a job on a small dbt Cloud, and the writes that start another one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from standins.cloud_server import JOB, CloudServer, FakeClock

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.start.tag import RunKey, Tag
from dbt_cloud_run.start.trigger import retry_natively_once, trigger_once

KEY = RunKey("0123456789", "abcdef")


class Scene:
    """A server, a clock and a tag; `start` triggers, `retry` retries run `failed` natively."""

    def __init__(self, server: CloudServer) -> None:
        self.server = server
        self.clock = FakeClock()
        self.notes: list[str] = []
        self.reader = Reader(self.clock, on_note=self.notes.append)
        self.tag = Tag.new(KEY)
        self.baseline = server.add_run(status=10, cause="someone else's")["id"]
        self.failed = server.add_run(status=20, cause="ours, failed")["id"]

    async def start(self, deadline: float | None = None) -> Run:
        async with self.server.client(self.clock) as client:
            return await trigger_once(
                client,
                JOB,
                TriggerOverrides(git_sha="abc"),
                "nightly",
                self.tag,
                self.failed,
                reader=self.reader,
                deadline=deadline,
                on_note=self.notes.append,
            )

    async def retry(self) -> Run:
        async with self.server.client(self.clock) as client:
            return await retry_natively_once(client, self.failed, JOB, reader=self.reader, on_note=self.notes.append)

    @property
    def started(self) -> int:
        """Runs that exist now and did not before."""
        return len(self.server.runs) - 2


def in_scene(play: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        async with CloudServer() as server:
            await play(Scene(server))

    asyncio.run(run())
