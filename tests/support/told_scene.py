"""Several steps against one told dbt Cloud: re-runs of a workflow run, and signals at a moment that the server sees.

async def play(scene: ToldScene) -> None:
    step = await scene.play(interrupt=lambda: len(scene.server.runs) == 2)
    assert scene.cancelled == [scene.server.runs[1]["id"]]

in_told_scene(tmp_path, [told(20, …), told(3)], play)
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from standins.results_service import ResultsService
from tests.support.loop import PlayedStep, interrupt_when
from tests.support.scaled_clock import ScaledClock
from tests.support.told_cloud import Told, ToldCloud, build, job_at, node, row, told

from dbt_cloud_run.start.tag import Tag, parse_tag

LOST = "could not connect to server: Connection timed out"
"""A message of a failure that passes."""

A, B, T = "model.shop.a", "model.shop.b", "test.shop.t"
NODES = [node(name, fqn=name.split(".")[1:]) for name in (A, B, T)]


def built(status: int, rows: Mapping[str, str], **fields: Any) -> Told:
    """A run of one `dbt build` with these statuses; a model that failed did so for a reason that passes."""
    found = [row(name, word, LOST if word == "error" else "OK") for name, word in rows.items()]
    return told(status, build(found, NODES, status=status), **fields)


class ToldScene:
    """A server, and the steps of one workflow run in one workspace."""

    def __init__(self, server: ToldCloud, folder: Path, results: ResultsService | None) -> None:
        self.server = server
        self.folder = folder
        self._results = results
        self.clock = ScaledClock()  # of the step that is played
        self._plays = itertools.count(1)

    async def play(
        self,
        *,
        interrupt: Callable[[], bool] | None = None,
        attempt: int = 1,
        variables: Mapping[str, str] | None = None,
        **inputs: str,
    ) -> PlayedStep:
        job = job_at(self.server, self.folder / f"job-{next(self._plays)}", self._results, **inputs)

        def begin(clock: ScaledClock) -> None:
            self.clock = clock
            if interrupt is not None:
                interrupt_when(interrupt)(clock)

        return await job.play(attempt=attempt, variables=variables, signal_at=begin)

    @property
    def cancelled(self) -> list[int]:
        """The runs whose cancellation was requested."""
        paths = (request.path for request in self.server.requests if request.method == "POST")
        return [int(match[1]) for path in paths if (match := re.search(r"/runs/(\d+)/cancel/$", path))]

    def tag(self, number: int) -> Tag:
        """The tag of the run with this number, from 0."""
        found = parse_tag(self.server.runs[number]["trigger"]["cause"])
        assert found is not None
        return found

    def commands(self, number: int) -> list[str]:
        """The commands that the run with this number was asked for; none where it was asked for the job's."""
        return list(self.server.runs[number]["trigger"].get("steps_override") or ())


def in_told_scene(
    folder: Path,
    runs: Sequence[Told],
    play: Callable[[ToldScene], Awaitable[None]],
    *,
    job: Mapping[str, Any] | None = None,
    results: ResultsService | None = None,
) -> None:
    async def playing() -> None:
        async with ToldCloud(runs, job) as server:
            await play(ToldScene(server, folder, results))

    asyncio.run(playing())
