"""Hundreds of jobs with faults at random: no run lost, none doubled, no file half written, memory flat.

The seed is printed; `SOAK_SEED` plays it again.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ctypes
import gc
import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from standins.emulator import RunningEmulator, running_emulator
from tests.support.fault_matrix import AFTER, FAULTS, ROWS, Cell, Refusals, faults_of
from tests.support.loop import LoopJob, PlayedStep
from tests.support.replayed import configuration, job_id

from dbt_cloud_run.github.leftovers import INDEX
from dbt_cloud_run.start.tag import parse_tag

JOBS = 200
AT_ONCE = (1, 20)
RETRIES = 2
OWN_FILES = (".gitignore", INDEX)  # whole under a name with a dot
READ_TIMEOUT = 1.0
WARM_UP = 60  # jobs, until everything that is loaded once is loaded
MOST_GROWTH = 24 * 2**20  # bytes from then on
ROWS_PLAYED = [row for row in ROWS if row.job in ("good", "bad", "bad once") and row.event is None]


@pytest.fixture(scope="module")
def emulator(recordings: list[Path]) -> Iterator[RunningEmulator]:
    with running_emulator(config=configuration(recordings, max(AT_ONCE))) as running:
        yield running


@dataclass
class Soak:
    """Plays jobs, and keeps what is wrong with them."""

    emulator: RunningEmulator
    folder: Path
    rng: random.Random
    wrong: list[str] = field(default_factory=list)
    endings: collections.Counter[str] = field(default_factory=collections.Counter)
    runs: int = 0
    faults: int = 0
    memory: list[int] = field(default_factory=list)  # bytes, after each job

    async def play(self, jobs: int, at_once: int) -> None:
        accounts = list(range(1, at_once + 1))
        slots = asyncio.Semaphore(at_once)
        orders = [self._order() for _ in range(jobs)]

        async def one(number: int) -> None:
            async with slots:
                account = accounts.pop()
                try:
                    await self._play(number, account, *orders[number])
                finally:
                    accounts.append(account)
                self.memory.append(rss())

        # A connection that is kept may be closed by the server at the moment of the next request.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(
            base_url=self.emulator.base_url, trust_env=False, timeout=120, limits=limits
        ) as self._admin:
            await asyncio.gather(*(one(number) for number in range(jobs)))

    _admin: Any = None

    def _order(self) -> tuple[str, str, list[Cell]]:
        """A job, a strategy, and what goes wrong."""
        cells = [
            Cell(row, self.rng.choice(FAULTS + AFTER if row.is_write else FAULTS), self.rng.choice((1, 1, 2)))
            for row in self.rng.choices(ROWS_PLAYED, k=self.rng.choice((0, 1, 1, 2, 3)))
        ]
        return self.rng.choice(("good", "bad")), self.rng.choice(("nodes", "native")), cells

    async def _play(self, number: int, account: int, name: str, strategy: str, cells: list[Cell]) -> None:
        before = {run["id"] for run in await self._runs(account)}
        refusals = [Refusals(cell) for cell in cells if cell.fault.family == "refused"]
        faults = [fault for cell in cells for fault in faults_of(cell, account)]
        answer = (await self._admin.post("/__emulator__/faults", json=faults)).json()
        job = LoopJob(
            self.folder / str(number),
            inputs={
                "api-token": self.emulator.token,
                "account-id": str(account),
                "host": self.emulator.base_url,
                "job-id": str(job_id(account, name)),
                "targeted-retries": str(RETRIES),
                "retry-on": "any",
                "retry-strategy": strategy,
                "upload-artifact": "false",
                "timeout-minutes": "120",
            },
            read_timeout=READ_TIMEOUT,
            is_refused=lambda request: True in tuple(refusal(request) for refusal in refusals),  # each counts
        )
        step = await job.play()
        known = {fault["id"]: fault["hits"] for fault in (await self._admin.get("/__emulator__/faults")).json()}
        for fault in answer:
            self.faults += known[fault["id"]]
            await self._admin.delete(f"/__emulator__/faults/{fault['id']}")
        new = [run for run in await self._runs(account) if run["id"] not in before]
        self.runs += len(new)
        self.endings[step.outputs["status"]] += 1
        for problem in problems(step, new):
            self.wrong.append(
                f"job {number} ({name}, {strategy}, {[cell.name for cell in cells]}): {problem}\n{step.log[-4000:]}"
            )
        shutil.rmtree(self.folder / str(number))

    async def _runs(self, account: int) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = (await self._admin.get("/__emulator__/runs")).json()
        return [run for run in runs if run["account_id"] == account]


def problems(step: PlayedStep, runs: list[dict[str, Any]]) -> Iterator[str]:
    """What is wrong with a job that has been played."""
    known = json.loads(step.outputs["run-ids"])
    ids = [run["id"] for run in runs]
    is_unconfirmed = "could not be determined" in step.log  # then the run is named by its tag, and left to people
    if known != ids and not (is_unconfirmed and known == ids[: len(known)] and len(ids) == len(known) + 1):
        yield f"a run is lost: there are {ids}, and it knows of {known}"
    if active := [run["id"] for run in runs if run["status"] < 10]:
        yield f"{active} are still active"
    nonces = [tag.nonce for run in runs if (tag := parse_tag(run["trigger"]["cause"])) and not run["retrying_run_id"]]
    if len(nonces) != len(set(nonces)) or len(runs) > 1 + RETRIES:
        yield f"a run is doubled: {ids}"
    succeeded = bool(runs) and runs[-1]["status"] == 10
    # A retry whose results could not be read is no success, however its run ended.
    is_unread = len(runs) > 1 and f"The results of run {runs[-1]['id']} are incomplete" in step.log
    may_differ = succeeded and is_unread and step.outputs["status"] == "error"
    if not may_differ and (step.outputs["status"] == "success") != (succeeded and not is_unconfirmed):
        yield f"{step.outputs['status']} is not how the last of {[run['status'] for run in runs]} ended"
    if (step.status == 0) != (step.outputs["status"] == "success"):
        yield f"exit status {step.status} with {step.outputs['status']}"
    for path in step.workspace.rglob("*"):
        if path.is_file() and path.name not in OWN_FILES and (path.name.startswith(".") or not is_whole(path)):
            yield f"{path.name} is half written"
    if "itself went wrong" in step.log:
        yield "a fault of the action's own"


def is_whole(path: Path) -> bool:
    if path.suffix != ".json":
        return path.stat().st_size > 0
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def rss() -> int:
    """Resident bytes, without those that the C library keeps for threads that have gone: they come and go by chance."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("at_once", AT_ONCE, ids=["one after another", "20 at a time"])
def test_soak(at_once: int, emulator: RunningEmulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(2**32))
    with capsys.disabled():
        print(f"\nSOAK_SEED={seed}, {JOBS} jobs, {at_once} at a time", flush=True)
    soak = Soak(emulator, tmp_path, random.Random(seed))  # noqa: S311 - no secret
    asyncio.run(soak.play(JOBS, at_once))
    growth = max(soak.memory[-20:]) - max(soak.memory[WARM_UP : WARM_UP + 20])
    with capsys.disabled():
        print(
            f"{soak.runs} runs, {soak.faults} faults, {dict(soak.endings)}, "
            f"memory {soak.memory[-1] / 2**20:.0f} MiB, {growth / 2**20:+.1f} MiB since job {WARM_UP}"
        )
    assert not soak.wrong, f"{len(soak.wrong)} with SOAK_SEED={seed}:\n" + "\n\n".join(soak.wrong[:3])
    assert growth < MOST_GROWTH
