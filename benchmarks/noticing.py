"""How soon the end of a run is noticed, and at how many calls: a simulation of polling schedules over run lengths.

`python -m benchmarks.noticing` prints the table. Each look is a call without duration, the first one right after the
trigger; a look that also reads the steps is the same one call. Lag is the time from the end of a run to the look that
sees it.

Distributions: `usual` lengths are log-normal around a median with a spread (standard deviation of the logarithm) of
0.12, and the history of each run is 10 earlier draws of the same; `short` ones are uniform between 10 and 120 seconds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from dbt_cloud_run.waiting.polling import PollSchedule
from dbt_cloud_run.waiting.wait import STEPS_FROM

SEED = 20240527
SPREAD = 0.12
HISTORY = 10
Interval = Callable[[float], float]  # elapsed seconds -> seconds until the next look
Policy = Callable[[Sequence[float]], Interval]  # history -> schedule of one run


@dataclass(frozen=True)
class Noticed:
    """Means over the runs: calls, lag in seconds, and the lag that 95 of 100 runs stay below."""

    calls: float
    lag: float
    lag_p95: float


def ours(history: Sequence[float]) -> Interval:
    """The action's schedule, given the history, for a job of one step: once its steps are read, it is in the last."""
    schedule = PollSchedule(history=tuple(history))
    return lambda elapsed: schedule.next_interval(elapsed, in_last_step=elapsed >= STEPS_FROM)


def ours_unknowing(_: Sequence[float]) -> Interval:
    """The action's schedule for a job without a history."""
    return PollSchedule().next_interval


def fixed(seconds: float, *, first: float | None = None) -> Policy:
    """A poller that sleeps `seconds` between looks; `first` before the first look (None: it looks at once)."""

    def policy(_: Sequence[float]) -> Interval:
        return lambda elapsed: seconds if elapsed or first is None else first

    return policy


def watch(interval: Interval, length: float) -> tuple[int, float]:
    """Calls and lag for one run of this many seconds."""
    calls, now = 1, 0.0
    while now < length:
        now += interval(now)
        calls += 1
    return calls, now - length


def usual(median: float, count: int, rng: random.Random) -> list[tuple[float, list[float]]]:
    """Runs with their histories: log-normal around the median."""

    def draw() -> float:
        return rng.lognormvariate(math.log(median), SPREAD)

    return [(draw(), [draw() for _ in range(HISTORY)]) for _ in range(count)]


def short(count: int, rng: random.Random) -> list[tuple[float, list[float]]]:
    """Runs of 10 to 120 seconds of jobs without a usual length: no history."""
    return [(rng.uniform(10, 120), []) for _ in range(count)]


def simulate(policy: Policy, runs: Sequence[tuple[float, Sequence[float]]]) -> Noticed:
    """Watch every run with its own schedule."""
    seen = [watch(policy(history), length) for length, history in runs]
    lags = sorted(lag for _, lag in seen)
    return Noticed(fmean(calls for calls, _ in seen), fmean(lags), lags[int(0.95 * len(lags))])


POLICIES: dict[str, Policy] = {
    "this action, with history": ours,
    "this action, without history": ours_unknowing,
    "every 5 s": fixed(5),
    "every 10 s": fixed(10),
    "every 15 s": fixed(15),
    "every 30 s": fixed(30),
    "every 60 s": fixed(60),
}
LENGTHS = {
    "10 s": 10,
    "30 s": 30,
    "1 min": 60,
    "2 min": 120,
    "5 min": 300,
    "15 min": 900,
    "30 min": 1800,
    "1 h": 3600,
    "2 h": 7200,
    "4 h": 14400,
}


def table(count: int = 2000, seed: int = SEED) -> str:
    """The whole comparison as markdown; each cell is calls / mean lag / 95th percentile of the lag."""
    rng = random.Random(seed)  # noqa: S311 - a simulation that must be repeatable
    samples = {name: usual(median, count, rng) for name, median in LENGTHS.items()}
    samples["short: 10 to 120 s"] = short(count, rng)
    lines = ["| run length | " + " | ".join(POLICIES) + " |", "|---" * (len(POLICIES) + 1) + "|"]
    for name, runs in samples.items():
        cells = [simulate(policy, runs) for policy in POLICIES.values()]
        text = " | ".join(f"{cell.calls:.0f} / {cell.lag:.1f} s / {cell.lag_p95:.1f} s" for cell in cells)
        lines.append(f"| {name} | {text} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
