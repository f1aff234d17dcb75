"""A failed run of a job on a small dbt Cloud, and the writes that start another one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from standins.cloud_server import JOB, CloudServer, FakeClock
from tests.support.notes import kept_notes

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.start.once import NativeRetry, NewRun, start_once
from dbt_cloud_run.start.tag import RunKey, Tag, cause_text

KEY = RunKey("0123456789", "abcdef")


class Scene:
    """A server, a clock and a tag; `start` triggers, `retry` retries run `failed` natively."""

    def __init__(self, server: CloudServer, notes: list[str]) -> None:
        self.server = server
        self.notes = notes
        self.clock = FakeClock()
        self.reader = Reader(self.clock)
        self.tag = Tag.new(KEY)
        self.baseline = server.add_run(status=10, cause="someone else's")["id"]
        self.failed = server.add_run(status=20, cause="ours, failed")["id"]

    @property
    def request(self) -> NewRun:
        body = {"cause": cause_text(self.tag, "nightly"), "git_sha": "abc"}
        return NewRun(job_id=JOB, baseline_id=self.failed, tag=self.tag, body=body)

    async def start(self, deadline: float | None = None) -> Run:
        async with self.server.client(self.clock) as client:
            return await start_once(self.request, client, self.reader, deadline=deadline)

    async def retry(self) -> Run:
        async with self.server.client(self.clock) as client:
            return await start_once(NativeRetry(job_id=JOB, run_id=self.failed), client, self.reader)

    @property
    def started(self) -> int:
        """Runs that exist now and did not before."""
        return len(self.server.runs) - 2


def in_scene(play: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        with kept_notes() as notes:
            async with CloudServer() as server:
                await play(Scene(server, notes))

    asyncio.run(run())
