"""Each request of the loop, each fault, once, twice and for ever, over real sockets against the emulator.

The emulator replays recorded real runs, and a cooldown runs on a scaled clock. Printed as a table, and kept in
`.pytest_cache/d/fault-matrix/table.txt`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from standins.emulator import RunningEmulator, running_emulator
from tests.support.fault_matrix import (
    FAULTS,
    FOREVER,
    ONCE,
    ROWS,
    Cell,
    Refusals,
    Result,
    Row,
    cells_of,
    faults_of,
    table,
)
from tests.support.loop import LoopJob
from tests.support.replayed import configuration, job_id

ACCOUNTS = 12  # so many cells are played at a time, each in an account of its own
READ_TIMEOUT = 0.5  # of a request that is never answered
CONNECT_TIMEOUT = 1.0  # of one whose answer trickles: an answer as a whole may take this and two reads
SLOW_RUN = 0.6  # seconds that a run takes of which only the last look sees the end


@pytest.fixture(scope="module")
def emulator(recordings: list[Path]) -> Iterator[RunningEmulator]:
    with running_emulator(config=configuration(recordings, ACCOUNTS)) as running:
        yield running


@pytest.fixture(scope="module")
def slow_emulator(recordings: list[Path]) -> Iterator[RunningEmulator]:
    with running_emulator(config=configuration(recordings, ACCOUNTS)) as running:
        running.behave(starting_seconds=SLOW_RUN)
        yield running


class Stage:
    """Plays cells against one emulator."""

    def __init__(self, emulator: RunningEmulator, folder: Path) -> None:
        self._emulator = emulator
        self._folder = folder
        self._accounts = list(range(1, ACCOUNTS + 1))
        self._admin = httpx.AsyncClient(base_url=emulator.base_url, trust_env=False, timeout=60)
        self.logs: dict[Cell, str] = {}
        self.untouched: list[str] = []  # plays whose request was never made

    async def play_all(self, cells: Sequence[Cell]) -> dict[Cell, Result]:
        slots = asyncio.Semaphore(ACCOUNTS)

        async def one(number: int, cell: Cell) -> Result:
            async with slots:
                account = self._accounts.pop()
                try:
                    return await self._play(cell, account, self._folder / str(number))
                finally:
                    self._accounts.append(account)

        async with self._admin:
            results = await asyncio.gather(*(one(number, cell) for number, cell in enumerate(cells)))
        return dict(zip(cells, results, strict=True))

    async def _play(self, cell: Cell, account: int, folder: Path) -> Result:
        before = await self._runs(account)
        set_faults = await self._set_faults(cell, account)
        refusals = Refusals(cell) if cell.fault.family == "refused" else None
        row = cell.row
        job = LoopJob(
            folder,
            inputs={
                "api-token": self._emulator.token,
                "account-id": str(account),
                "host": self._emulator.base_url,
                "job-id": str(job_id(account, row.job)),
                "upload-artifact": "false",
                "targeted-retries": "1",
                "retry-on": "any",
                **row.inputs,
            },
            read_timeout=READ_TIMEOUT if cell.fault.name.startswith(("timeout", "trickles")) else 30.0,
            connect_timeout=CONNECT_TIMEOUT if cell.fault.name == "trickles" else 5.0,
            is_refused=refusals,
        )
        step = await job.play(event=row.event)
        self.logs[cell] = step.log
        await self._take_back(cell, set_faults, refusals)
        new = [run for run in await self._runs(account) if run["id"] not in {known["id"] for known in before}]
        active = [run for run in new if run["status"] < 10]
        return Result(len(new), step.outputs.get("status", "none"), step.status, len(active))

    async def _take_back(self, cell: Cell, numbers: Sequence[int], refusals: Refusals | None) -> None:
        known = {fault["id"]: fault for fault in (await self._admin.get("/__emulator__/faults")).json()}
        hits = [known[number]["hits"] for number in numbers]
        if refusals is not None:
            hits.append(refusals.seen - cell.row.after)
        if min(hits) < 1:
            self.untouched.append(cell.name)
        for number in numbers:
            await self._admin.delete(f"/__emulator__/faults/{number}")

    async def _runs(self, account: int) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = (await self._admin.get("/__emulator__/runs")).json()
        return [run for run in runs if run["account_id"] == account]

    async def _set_faults(self, cell: Cell, account: int) -> list[int]:
        faults = faults_of(cell, account)
        answer = await self._admin.post("/__emulator__/faults", json=faults)
        return [fault["id"] for fault in answer.json()]


RESULTS: dict[Cell, Result] = {}


@pytest.fixture(scope="module", autouse=True)
def printed(request: pytest.FixtureRequest) -> Iterator[None]:
    """The table, in a file, from which the report prints it at the end (`tests/conftest.py`)."""
    yield
    if RESULTS:
        text = table(RESULTS)
        assert request.config.cache is not None
        (request.config.cache.mkdir("fault-matrix") / "table.txt").write_text(text + "\n", encoding="utf-8")


def played(emulator: RunningEmulator, folder: Path, cells: Sequence[Cell]) -> None:
    stage = Stage(emulator, folder)
    results = asyncio.run(stage.play_all(cells))
    RESULTS.update(results)
    assert not stage.untouched, f"no such request was made in {stage.untouched}"
    wrong = [cell for cell in cells if results[cell] != cell.expected]
    said = "\n".join(f"--- {cell.name}: {results[cell]}, not {cell.expected}\n{stage.logs[cell]}" for cell in wrong[:3])
    assert not wrong, f"{len(wrong)} of {len(cells)} are wrong:\n{[cell.name for cell in wrong]}\n{said}"


# Of each request, a fault of each family, as often as leads furthest.
CHOSEN = [
    Cell(row, next(fault for fault in FAULTS if fault.name == name), times)
    for row in ROWS
    if row.job != "slow"
    for name, times in (("reset after", ONCE), ("503", 2), ("429", ONCE), ("trickles", ONCE), ("refused", FOREVER))
]


def test_a_choice_of_faults(emulator: RunningEmulator, tmp_path: Path) -> None:
    played(emulator, tmp_path, CHOSEN)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_fault_of_a_request(row: Row, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    emulator: RunningEmulator = request.getfixturevalue("slow_emulator" if row.job == "slow" else "emulator")
    played(emulator, tmp_path, cells_of(row))
