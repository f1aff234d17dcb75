"""The goals of polling, held by the benchmark's own simulation with a fixed seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from statistics import NormalDist, geometric_mean, median_high, stdev

import pytest
from benchmarks.noticing import fixed, ours, ours_unknowing, short, simulate, usual
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.waiting.polling import PollSchedule, usual_durations

RUNS = 600


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - a simulation that must be repeatable


def test_with_history_the_end_of_half_an_hour_is_noticed_within_3_s_by_fewer_calls_than_every_15_s() -> None:
    runs = usual(1800, RUNS, seeded(6))
    seen, poller = simulate(ours, runs), simulate(fixed(15), runs)
    assert seen.lag <= 3
    assert seen.calls <= min(poller.calls, 120)


def test_in_the_last_step_it_looks_more_often() -> None:
    runs = usual(1800, RUNS, seeded(6))

    def before_it(history: Sequence[float]) -> Callable[[float], float]:
        return PollSchedule(history=tuple(history)).next_interval

    last, before = simulate(ours, runs), simulate(before_it, runs)
    assert last.lag < before.lag
    assert last.calls > before.calls


@pytest.mark.parametrize("median", [10, 30, 60, 120, 180, 240, 300, 400, 900, 1800, 3600, 14400])
def test_without_history_it_is_no_later_than_every_30_s(median: float) -> None:
    runs = usual(median, RUNS // 2, seeded(7))
    seen, poller = simulate(ours_unknowing, runs), simulate(fixed(30), runs)
    assert seen.lag <= min(poller.lag, 15)
    assert seen.calls <= 1.5 * poller.calls + 20


@pytest.mark.parametrize("policy", [ours, ours_unknowing])
def test_short_runs_are_noticed_soon(policy: object) -> None:
    assert simulate(policy, short(RUNS, seeded(8))).lag <= 3  # type: ignore[arg-type]


@pytest.mark.parametrize("median", [300, 900, 3600, 14400])
def test_with_history_it_beats_every_15_s_in_lag_at_any_length(median: float) -> None:
    runs = usual(median, RUNS // 4, seeded(9))
    seen, poller = simulate(ours, runs), simulate(fixed(15), runs)
    assert seen.lag <= poller.lag
    assert seen.calls <= poller.calls * 1.3 + 25


def test_a_run_that_ends_otherwise_than_the_history_says_is_noticed_too() -> None:
    schedule = PollSchedule(history=(1800.0,) * 10)
    for length in (20, 120, 400, 5000, 20000):
        now = 0.0
        while now < length:
            now += schedule.next_interval(now)
        # Of a failure that is retried, up to `retry-delay` of this costs nothing: the delay counts from the end.
        assert now - length <= min(0.2 * length + 2, 45)


@given(
    st.lists(st.floats(0, 1e7), max_size=5),
    st.floats(0, 1e7),
    st.booleans(),
    st.booleans(),
    st.none() | st.floats(0, 1e7),
)
def test_every_interval_is_sane(
    history: list[float], elapsed: float, queued: bool, last: bool, running: float | None
) -> None:
    interval = PollSchedule(history=history).next_interval(
        elapsed, queued=queued, in_last_step=last, running_seconds=running
    )
    assert 2 <= interval <= 45


def test_the_last_step_and_the_user_s_own_interval() -> None:
    schedule = PollSchedule(history=(1800.0, 1700.0, 1900.0))
    assert schedule.next_interval(1200, in_last_step=True) < schedule.next_interval(1200)
    own = PollSchedule(history=(1800.0,), fixed_interval=10.0)
    assert [own.next_interval(elapsed) for elapsed in (0.0, 0.1, 4.5, 5000.0)] == [4.5, 4.5, 10.0, 10.0]
    assert PollSchedule(fixed_interval=0.5).next_interval(0.0) == 0.5


def test_the_last_step_is_news_in_the_second_half_of_the_usual_time_alone() -> None:
    schedule = PollSchedule(history=(600.0,))
    assert schedule.next_interval(300, in_last_step=True) == schedule.next_interval(300)
    assert schedule.next_interval(301, in_last_step=True) < schedule.next_interval(301)


def lasting(history: Sequence[float], seconds: float) -> float:
    """The share of runs that last longer: a log-normal around each recent one, and 2 % that end otherwise."""
    logs = [math.log(duration) for duration in history]
    # Silverman's rule of thumb for the width, within bounds.
    width = 0.15 if len(logs) == 1 else min(max(1.06 * stdev(logs) / len(logs) ** 0.2, 0.06), 0.5)
    near = [1 - NormalDist(log, width).cdf(math.log(seconds)) for log in logs]
    usual_length = geometric_mean(history)
    return 0.98 * sum(near) / len(near) + 0.02 * usual_length / (usual_length + seconds)


@pytest.mark.parametrize(
    ("history", "times"),
    [
        ((1800.0,), (1500, 1700, 1800, 1900, 2100)),
        ((1800.0, 1500.0, 2200.0), (1200, 1500, 1800, 2000, 2500, 3000)),
        ((600.0, 610.0, 605.0), (520, 560, 600, 640, 700)),
        ((400.0, 4000.0, 40000.0), (300, 400, 1000, 4000, 6000)),
    ],
)
def test_the_intervals_follow_the_chance_that_the_run_ends_now(
    history: tuple[float, ...], times: tuple[float, ...]
) -> None:
    """They are proportional to 1/√hazard, which is by how much fewer runs last a moment longer."""
    schedule = PollSchedule(history=history)
    scale = 0.315 * (1800 / median_high(history)) ** 0.3
    for seconds in times:
        ended = (lasting(history, seconds - 0.01) - lasting(history, seconds + 0.01)) / 0.02
        expected = scale * math.sqrt(lasting(history, seconds) / ended)
        assert schedule.next_interval(seconds) == pytest.approx(min(max(expected, 2.0), 45.0), rel=1e-4)


def test_a_retry_goes_by_no_history_and_keeps_the_user_s_own_interval() -> None:
    assert PollSchedule((600.0,), fixed_interval=9.0).without_history() == PollSchedule((), fixed_interval=9.0)


def test_the_history_is_about_the_time_after_the_queue() -> None:
    schedule = PollSchedule(history=(600.0,) * 5)
    assert schedule.next_interval(5000, running_seconds=600.0) == schedule.next_interval(600.0)
    assert schedule.without_history().next_interval(600.0) > schedule.next_interval(600.0)


def test_only_comparable_runs_are_history() -> None:
    def run(number: int, **fields: object) -> Run:
        return Run.model_validate({"id": number, "status": 10, "run_duration": "00:10:00", "trigger": {}} | fields)

    runs = [
        run(9, run_duration="00:09:00"),
        run(8, status=20),
        run(7, retrying_run_id=6),
        run(6, trigger={"steps_override": ["dbt build -s a"]}),
        run(5, run_duration=None, started_at="2026-01-01 00:00:00+00:00", finished_at="2026-01-01 00:05:00+00:00"),
        run(4, run_duration=None),
        run(3, trigger={"git_sha": "another commit", "schema_override": "pr"}),
        run(2, run_duration="00:00:30", trigger={"generate_docs_override": True}),
        run(1, run_duration="00:00:40", trigger={"target_name_override": "ci"}),
    ]
    assert usual_durations(runs, TriggerOverrides(git_sha="x")) == (540.0, 300.0, 600.0)
    assert usual_durations(runs, TriggerOverrides(generate_docs_override=True)) == (30.0,)
    assert usual_durations(runs, TriggerOverrides(target_name_override="ci")) == (40.0,)
    assert len(usual_durations([run(number) for number in range(1, 90)], TriggerOverrides())) == 20


def test_the_time_that_a_run_took_is_known_by_both_its_times_or_by_its_whole_duration() -> None:
    def run(**fields: object) -> Run:
        return Run.model_validate({"id": 1, "status": 10} | fields)

    began, later = "2026-01-01 00:00:00+00:00", "2026-01-01 00:05:00+00:00"
    runs = [
        run(started_at=began, finished_at=later, duration="00:09:00"),
        run(started_at=began, duration="00:07:00"),
        run(finished_at=later, duration="00:08:00"),
        # These cannot be: nothing runs for no time.
        run(started_at=began, finished_at=began),
        run(started_at=later, finished_at=began),
    ]
    assert usual_durations(runs, TriggerOverrides()) == (300.0, 420.0, 480.0)
