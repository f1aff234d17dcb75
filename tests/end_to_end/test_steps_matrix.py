"""What is wrong with `run_steps`, how the run ended, and what comes of it, over real sockets.

Each cell says the runs that were started, the verdict (`ok`, `error`, `cancelled`) and the nodes that succeeded out of
those that are known; `?` where the counts are not known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.loop import PlayedStep
from tests.support.steps_matrix import (
    CHARGE,
    ENDINGS,
    EXPECTED,
    JOBS,
    ODDITIES,
    Job,
    Oddity,
    Play,
    SteplessCloud,
    table,
)
from tests.support.told_cloud import job_at

AT_ONCE = 6
HIDDEN = "its steps could not be read, so it is not known which command failed"


async def _played(play: Play, folder: Path, slots: asyncio.Semaphore) -> str:
    async with slots, SteplessCloud(play) as server:
        step = await job_at(server, folder).play()
        _check(play, step, server)
    outputs = step.outputs
    total = outputs["nodes-total"]
    nodes = f"{outputs['nodes-succeeded']}/{total}" if total else "?"
    verdict = {"success": "ok"}.get(outputs["status"], outputs["status"])
    return f"{len(server.runs)} {verdict} {nodes}"


def _check(play: Play, step: PlayedStep, server: SteplessCloud) -> None:
    """What holds for every cell."""
    name = f"{play.job.name}, {play.oddity.name}, {play.ending}\n{step.log}"
    assert not any(CHARGE in line for line in server.commands), f"an operation is never repeated: {name}"
    if play.ending != "green":
        assert "succeeded: there is nothing to retry" not in step.log + step.summary, name
    if HIDDEN in step.log:
        assert HIDDEN in step.summary, name


def _cells(job: Job, folder: Path, oddities: Sequence[Oddity]) -> dict[tuple[str, str], str]:
    folder.mkdir(exist_ok=True)

    async def all_of_them() -> dict[tuple[str, str], str]:
        slots = asyncio.Semaphore(AT_ONCE)
        plays = {(odd.name, ending): Play(job, odd, ending) for odd in oddities for ending in ENDINGS}
        folders = (folder / str(number) for number in range(len(plays)))
        found = await asyncio.gather(
            *(_played(play, place, slots) for play, place in zip(plays.values(), folders, strict=True))
        )
        return dict(zip(plays, found, strict=True))

    return asyncio.run(all_of_them())


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_nothing_is_started_or_claimed_that_is_not_known(
    job: Job, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found = table(job, _cells(job, tmp_path, ODDITIES))
    assert request.config.cache is not None
    name = f"steps-{JOBS.index(job)}.txt"
    (request.config.cache.mkdir("fault-matrix") / name).write_text(found, encoding="utf-8")
    assert found == EXPECTED[job.name]


def test_a_choice_of_what_is_wrong_with_steps(tmp_path: Path) -> None:
    chosen = [odd for odd in ODDITIES if odd.name in ("empty, late", "unfinished", "504")]
    for job in JOBS[1:3]:
        found = table(job, _cells(job, tmp_path / job.name, chosen)).splitlines()[1:]
        expected = [line.split() for line in EXPECTED[job.name].splitlines()]
        assert all(line.split() in expected for line in found), found
