"""One run at one server whose clock needs no time, for the tests of waiting and of cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from standins.cloud_server import CloudServer, FakeClock

from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.waiting.polling import PollSchedule
from dbt_cloud_run.waiting.wait import Limits, Look, looks


def in_scene(body: Callable[[Scene], Awaitable[None]]) -> None:
    """Run `body` with a server, its client and one queued run."""

    async def run() -> None:
        clock = FakeClock()
        async with CloudServer() as server, server.client(clock) as client:
            await body(Scene(server, client, clock))

    asyncio.run(run())


class Scene:
    """One run at one server. `at` says how the run changes as the clock goes on, in seconds from the begin."""

    def __init__(self, server: CloudServer, client: CloudClient, clock: FakeClock) -> None:
        self.server, self.client, self.clock = server, client, clock
        self.reader = Reader(clock)
        self.began = clock.now
        self.run = server.add_run(status=1, job={"id": 7, "name": "Nightly", "execute_steps": ["dbt build"]})
        self._changes: list[tuple[float, dict[str, Any]]] = []
        clock.on_sleep = self._change

    def at(self, seconds: float, **fields: Any) -> None:
        self._changes.append((seconds, fields))
        self._change()

    def _change(self) -> None:
        for seconds, fields in [change for change in self._changes if change[0] <= self.elapsed]:
            self.run.update(fields)
            self._changes.remove((seconds, fields))

    @property
    def elapsed(self) -> float:
        return self.clock.now - self.began

    @property
    def known(self) -> Run:
        return Run.model_validate(self.run)

    async def wait(self, schedule: PollSchedule | None = None, **limits: float | None) -> list[Look]:
        stream = looks(
            self.known,
            client=self.client,
            reader=self.reader,
            schedule=schedule or PollSchedule(),
            limits=Limits(**limits),
        )
        return [look async for look in stream]

    @property
    def heavy(self) -> list[bool]:
        """Of each look, whether it asked for the steps, too."""
        return ["include_related" in request.query for request in self.server.requests if request.method == "GET"]


Play = Callable[[Callable[[Scene], Awaitable[None]]], None]
