"""The polling schedules on real sockets: the action's own waiting, against the emulator, with time made shorter.

Runs are replayed so many times as fast as they were, and the clock of the waiting runs as much faster; so a request
takes as many seconds of that clock as it takes, times the factor. Lag is measured from the end that the emulator says.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.emulated import emulator
from benchmarks.measure import WORK, table
from benchmarks.noticing import SEED, Noticed, Policy, fixed, ours, ours_unknowing, short, simulate, usual
from benchmarks.whole import recordings, stretched
from dbt_cloud_emulator.config import DEMO_TOKEN
from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.redaction import Secret
from dbt_cloud_run.waiting.polling import PollSchedule
from dbt_cloud_run.waiting.wait import Limits, looks

RUNS = 12  # of each kind
MEDIAN = 1800.0
FACTOR, FACTOR_SHORT = 30.0, 2.0
NAMES = {"ours": "this action, with history", "unknowing": "this action, without history"}


class FastClock(SystemClock):
    """Runs `factor` times as fast."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def monotonic(self) -> float:
        return time.monotonic() * self.factor

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / self.factor)


class Counting(CloudClient):
    """Counts its looks at runs."""

    looks = 0

    async def get_run(self, run_id: int, include: Sequence[str] = ()) -> Run:  # type: ignore[override]
        self.looks += 1
        return await super().get_run(run_id, include)


async def watch(url: str, job: int, schedule: PollSchedule, factor: float) -> tuple[int, float]:
    """Trigger a run and wait for its end: looks, and the lag in seconds of the fast clock."""
    clock = FastClock(factor)
    async with Counting(url, 1, Secret(DEMO_TOKEN), clock) as client:
        run = await client.trigger(job, {"cause": "benchmark"})
        async for look in looks(run, client=client, reader=Reader(clock), schedule=schedule, limits=Limits()):
            run = look.run
        assert run.finished_at is not None
        return client.looks, (clock.utcnow() - run.finished_at).total_seconds() * factor


def measure(
    runs: Sequence[tuple[float, Sequence[float]]], policies: Sequence[str], factor: float
) -> dict[str, Noticed]:
    """Every run under every policy, all at the same time."""
    with tempfile.TemporaryDirectory(dir=WORK) as scratch:
        source = recordings() / "2"
        replays = [
            str(stretched(source, Path(scratch) / str(n), seconds / factor)) for n, (seconds, _) in enumerate(runs)
        ]
        jobs = [
            {"id": 1 + place * len(runs) + n, "name": f"{n}", "execute_steps": ["dbt build"], "replay": [replay]}
            for place in range(len(policies))
            for n, replay in enumerate(replays)
        ]
        config = {"jobs": jobs, "accounts": [{"id": 1, "run_slots": len(jobs)}]}
        with emulator(Path(scratch) / "emulator", config) as emulated:
            os.environ["SSL_CERT_FILE"] = emulated.authority
            found = asyncio.run(_watch_all(emulated.url, runs, policies, factor))
            del os.environ["SSL_CERT_FILE"]
    return found


async def _watch_all(
    url: str, runs: Sequence[tuple[float, Sequence[float]]], policies: Sequence[str], factor: float
) -> dict[str, Noticed]:
    watches = [
        watch(url, 1 + place * len(runs) + n, _schedule(policy, history), factor)
        for place, policy in enumerate(policies)
        for n, (_, history) in enumerate(runs)
    ]
    seen = await asyncio.gather(*watches)
    found = {}
    for place, policy in enumerate(policies):
        mine = seen[place * len(runs) : (place + 1) * len(runs)]
        lags = sorted(lag for _, lag in mine)
        found[policy] = Noticed(sum(calls for calls, _ in mine) / len(mine), sum(lags) / len(lags), lags[-1])
    return found


def _schedule(policy: str, history: Sequence[float]) -> PollSchedule:
    if policy == "ours":
        return PollSchedule(history=tuple(history))
    return PollSchedule() if policy == "unknowing" else PollSchedule(fixed_interval=float(policy))


def report() -> str:
    """Measured and simulated, for the same runs."""
    rng = random.Random(SEED)  # noqa: S311 - must be repeatable
    long = usual(MEDIAN, RUNS, rng)
    brief = [(seconds, history) for seconds, history in short(RUNS, rng)]
    parts = []
    for title, runs, policies, factor in (
        (f"around 30 minutes, {FACTOR:g} times as fast", long, ("ours", "unknowing", "15", "30"), FACTOR),
        (f"10 s to 2 minutes, {FACTOR_SHORT:g} times as fast", brief, ("unknowing", "10", "30"), FACTOR_SHORT),
    ):
        found = measure(runs, policies, factor)
        simulated = {name: simulate(_policy(name), runs) for name in policies}
        rows = [
            [NAMES.get(name, f"every {name} s"), *_cells(found[name]), *_cells(simulated[name])] for name in policies
        ]
        head = (
            f"{RUNS} runs {title}",
            "calls",
            "mean lag, s",
            "longest, s",
            "simulated: calls",
            "mean lag, s",
            "longest, s",
        )
        parts.append(table(head, rows))
    return "\n".join(parts)


def _policy(name: str) -> Policy:
    return {"ours": ours, "unknowing": ours_unknowing}.get(name) or fixed(float(name), first=3.0)


def _cells(noticed: Noticed) -> list[str]:
    return [f"{noticed.calls:.0f}", f"{noticed.lag:.1f}", f"{noticed.lag_p95:.1f}"]
