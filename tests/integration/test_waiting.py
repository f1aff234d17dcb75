"""Waiting for a run, over real sockets on a clock whose waits are over at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any

import pytest
from standins.cloud_server import FakeClock, Fault
from tests.support.waiting_scene import Play, Scene, in_scene

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.model import Limit, RunState
from dbt_cloud_run.waiting.polling import FIRST_INTERVAL, LONGEST_QUEUED_INTERVAL, PollSchedule
from dbt_cloud_run.waiting.wait import (
    STEPS_COST,
    STEPS_EVERY,
    STEPS_FROM,
    STEPS_SHARE,
    LostSightError,
    with_known,
)

RUN = r"/runs/\d+/$"
FOREVER = float("inf")


@pytest.fixture
def scene() -> Play:
    return in_scene


def test_the_wait_ends_with_the_look_that_sees_the_end(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.at(20, status=3)
        scene.at(50, status=10)
        found = await scene.wait()
        assert [look.run.state for look in found[:-1]] != [RunState.SUCCESS] * (len(found) - 1)
        assert found[-1].run.state is RunState.SUCCESS
        assert all(look.limit is None for look in found)
        assert 50 <= scene.elapsed <= 50 + 5

    scene(body)


@pytest.mark.parametrize("state", [10, 20, 30])
def test_a_run_that_has_ended_is_looked_at_once(scene: Play, state: int) -> None:
    async def body(scene: Scene) -> None:
        scene.run["status"] = state
        assert len(await scene.wait(overall=scene.began, queue=0.0)) == 1
        assert scene.clock.sleeps == []

    scene(body)


def test_the_limit_of_all_is_a_point_in_time_and_ends_the_wait_right_then(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.run["status"] = 3
        found = await scene.wait(overall=scene.began + 100)
        assert [look.limit for look in found] == [None] * (len(found) - 1) + [Limit.TOTAL]
        assert scene.elapsed == pytest.approx(100, abs=0.1)

    scene(body)


def test_the_limit_of_the_queue_counts_from_the_begin_until_the_run_has_left_it(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        found = await scene.wait(queue=100)
        assert found[-1].limit is Limit.QUEUE
        assert scene.elapsed == pytest.approx(100, abs=0.01)

    scene(body)


def test_a_run_that_has_left_the_queue_is_not_in_it_again(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.at(40, status=3)
        scene.at(80, status=1)
        scene.at(300, status=10)
        found = await scene.wait(queue=60)
        assert found[-1].limit is None
        assert scene.elapsed >= 300

    scene(body)


def test_both_limits_at_once_are_the_one_of_all(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        found = await scene.wait(queue=60, overall=scene.began + 60)
        assert found[-1].limit is Limit.TOTAL

    scene(body)


def test_the_steps_are_asked_for_now_and_then_and_only_while_it_runs(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.run["run_steps"] = [{"index": 4, "name": "Invoke dbt with `dbt build`", "status": 3}]
        scene.at(30, status=3)
        scene.at(100, status=10)
        found = await scene.wait(PollSchedule(fixed_interval=2.0))
        heavy = [number for number, is_heavy in enumerate(scene.heavy) if is_heavy]
        assert heavy[0] * 2.0 >= 28
        assert all(second - first >= STEPS_EVERY / 2.0 for first, second in pairwise(heavy))
        assert len(heavy) >= 4
        assert [look.is_whole for look in found] == scene.heavy, "each look is one request"
        # What a light look leaves out stays known.
        assert all(look.run.steps for look in found)

    scene(body)


def test_the_steps_are_not_asked_for_at_the_very_begin(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.at(0, status=3)
        scene.at(STEPS_FROM - 1, status=10)
        await scene.wait(PollSchedule(fixed_interval=1.0))
        assert not any(scene.heavy)

    scene(body)


def times_of_steps(scene: Scene) -> list[float]:
    """When the steps were asked for, in seconds from the begin, if each look is one request."""
    times = accumulate(scene.clock.sleeps, initial=0.0)
    return [time for time, is_heavy in zip(times, scene.heavy, strict=True) if is_heavy]


def test_the_steps_are_asked_for_after_ten_seconds_every_twelve_and_then_ever_less_often(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.at(0, status=3)
        scene.at(1000, status=10)
        await scene.wait(PollSchedule(fixed_interval=2.0))
        times = times_of_steps(scene)
        assert times[:5] == [10, 22, 34, 46, 58]
        assert all(second - first >= STEPS_SHARE * second for first, second in pairwise(times))
        assert times[-1] - times[-2] <= STEPS_SHARE * 1000 + 2

    scene(body)


def test_steps_that_take_long_to_read_are_asked_for_less_often(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        original, times = scene.server._handle, []

        def handle(request: Any) -> Any:
            if "include_related" in request.query:
                times.append(scene.elapsed)
                scene.clock.now += 5.0
            return original(request)

        scene.server._handle = handle  # type: ignore[method-assign]
        scene.at(0, status=3)
        scene.at(190, status=10)
        await scene.wait(PollSchedule(fixed_interval=2.0))
        assert len(times) >= 3
        assert all(5.0 * STEPS_COST <= second - first <= 5.0 * STEPS_COST + 7 for first, second in pairwise(times))

    scene(body)


def test_each_look_at_the_steps_brings_the_newest_ones_and_the_end_of_the_run_too(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        running, ended = ({"index": 4, "name": "Invoke dbt with `dbt build`", "status": status} for status in (3, 10))
        scene.run["run_steps"] = [running]
        scene.at(0, status=3)
        scene.at(21, run_steps=[running, {**running, "index": 5}])
        scene.at(33, status=10, run_steps=[ended, {**ended, "index": 5}])
        found = await scene.wait(PollSchedule(fixed_interval=2.0))
        whole = [look for look in found if look.is_whole]
        assert [[step.state for step in look.run.steps] for look in whole] == [
            [RunState.RUNNING],
            [RunState.RUNNING] * 2,
            [RunState.SUCCESS] * 2,
        ]
        assert whole[-1] is found[-1], "nothing of it has to be read again"
        assert found[-1].run.state is RunState.SUCCESS

    scene(body)


@pytest.mark.parametrize(("kind", "asked"), [(503, 3), (404, 3), (403, 1), (400, 1)])
def test_what_is_wrong_with_the_steps_hides_no_end(scene: Play, kind: int, asked: int) -> None:
    async def body(scene: Scene) -> None:
        original = scene.server._handle

        def handle(request: Any) -> Any:
            return (kind, b"") if "include_related" in request.query else original(request)

        scene.server._handle = handle  # type: ignore[method-assign]
        scene.run["status"] = 3
        scene.at(60, status=10)
        found = await scene.wait(PollSchedule(fixed_interval=5.0))
        assert found[-1].run.state is RunState.SUCCESS
        assert sum(scene.heavy) >= asked if asked > 1 else sum(scene.heavy) == 1
        assert not any(look.is_whole for look in found)

    scene(body)


@pytest.mark.parametrize("hours", [-1, 0, 1])
@pytest.mark.parametrize("is_named", [True, False])
def test_this_machine_s_clock_changes_no_look(
    scene: Play, monkeypatch: pytest.MonkeyPatch, hours: int, *, is_named: bool
) -> None:
    """How long a run has run, which the schedule goes by, is known by dbt Cloud's own clock alone."""

    async def body(scene: Scene) -> None:
        there = datetime(2026, 3, 1, tzinfo=UTC)
        scene.server.now = (lambda: there + timedelta(seconds=scene.elapsed)) if is_named else None
        monkeypatch.setattr(FakeClock, "utcnow", lambda _: there + timedelta(hours=hours, seconds=scene.elapsed))
        begun = (there - timedelta(seconds=540)).isoformat()
        scene.at(0, status=3, dequeued_at=begun)
        scene.at(60, status=10)
        await scene.wait(PollSchedule(history=(600.0,) * 5))
        lengths.add(tuple(round(slept, 2) for slept in scene.clock.sleeps))

    lengths: set[tuple[float, ...]] = set()
    for hours_off in (0, hours):
        hours = hours_off
        scene(body)
    assert len(lengths) == 1


def test_where_the_end_is_expected_the_looks_are_close(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        begun = (scene.clock.utcnow() - timedelta(seconds=590)).isoformat()
        scene.at(0, status=3, dequeued_at=begun)
        scene.at(30, status=10)
        await scene.wait(PollSchedule(history=(600.0,) * 5))
        close = max(scene.clock.sleeps[1:])
        assert close < FIRST_INTERVAL

    scene(body)


def expected(schedule: PollSchedule, scene: Scene, **known: bool) -> list[float]:
    """The waits of a run that left the queue at the first look, where there is nothing else to go by."""
    times = list(accumulate(scene.clock.sleeps, initial=0.0))[:-1]
    return [schedule.next_interval(time, running_seconds=time, **known) for time in times]


@pytest.mark.parametrize("begun", [None, 0.4, 5.0])
def test_a_run_counts_from_the_look_that_sees_it_run_where_dbt_cloud_names_no_earlier_time(
    scene: Play, begun: float | None
) -> None:
    """A time that is yet to come is none: the `Date` of an answer has no fractions of a second."""

    async def body(scene: Scene) -> None:
        dequeued_at = begun and (scene.clock.utcnow() + timedelta(seconds=begun)).isoformat()
        scene.at(0, status=3, dequeued_at=dequeued_at, job=None)
        scene.at(640, status=10)
        schedule = PollSchedule(history=(600.0, 620.0, 610.0))
        await scene.wait(schedule)
        assert scene.clock.sleeps == pytest.approx(expected(schedule, scene))

    scene(body)


@pytest.mark.parametrize("commands", [["dbt build"], ["dbt build", "dbt test"]])
def test_the_looks_are_closer_in_the_last_step(scene: Play, commands: list[str]) -> None:
    async def body(scene: Scene) -> None:
        scene.run["job"]["execute_steps"] = commands
        scene.run["run_steps"] = [{"index": 4, "name": "Invoke dbt with `dbt build`", "status": 3}]
        scene.at(0, status=3)
        scene.at(640, status=10)
        schedule = PollSchedule(history=(600.0, 620.0, 610.0))
        await scene.wait(schedule)
        is_last = len(commands) == 1
        assert scene.clock.sleeps == pytest.approx(expected(schedule, scene, in_last_step=is_last))

    scene(body)


def test_a_run_in_the_queue_is_looked_at_ever_less_often_whatever_its_history(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.at(1200, status=10)
        await scene.wait(PollSchedule(history=(600.0,) * 5))
        sleeps = scene.clock.sleeps
        assert sleeps == sorted(sleeps)
        assert (sleeps[0], sleeps[-1]) == (FIRST_INTERVAL, LONGEST_QUEUED_INTERVAL)

    scene(body)


def test_the_user_s_own_interval_begins_after_the_first_look(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.at(0, status=3)
        scene.at(60, status=10)
        await scene.wait(PollSchedule(fixed_interval=30.0))
        assert scene.clock.sleeps == [FIRST_INTERVAL, 30.0, 30.0]

    scene(body)


def test_a_rate_limit_makes_the_looks_rarer(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.server.fault("GET", RUN, Fault(429, headers={"Retry-After": "1"}))
        scene.at(0, status=3)
        scene.at(60, status=10)
        await scene.wait()
        assert min(scene.clock.sleeps[1:]) >= 15.0

    scene(body)


def test_a_new_run_may_be_unknown_for_a_minute_and_then_is_lost(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.server.fault("GET", RUN, Fault(404, times=4))
        scene.at(0, status=10)
        assert (await scene.wait())[-1].run.state is RunState.SUCCESS
        scene.server.fault("GET", RUN, Fault(404, times=FOREVER))
        with pytest.raises(LostSightError, match="can no longer be seen") as caught:
            await scene.wait()
        assert "was not cancelled" in caught.value.advice

    scene(body)


@pytest.mark.parametrize("kind", [302, 400, 418])
def test_an_odd_answer_ends_nothing(scene: Play, kind: int) -> None:
    async def body(scene: Scene) -> None:
        scene.server.fault("GET", RUN, Fault(kind, times=3))
        scene.at(0, status=10)
        assert (await scene.wait())[-1].run.state is RunState.SUCCESS

    scene(body)


def test_a_server_that_does_not_answer_until_the_limit_ends_the_wait_by_the_limit(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.run["status"] = 3
        scene.server.fault("GET", RUN, Fault(503, times=FOREVER))
        found = await scene.wait(overall=scene.began + 100)
        assert found[-1].limit is Limit.TOTAL
        assert found[-1].run.state is RunState.RUNNING

    scene(body)


def test_a_signal_ends_the_wait(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.clock.interrupt_after = 2
        with pytest.raises(Interrupted):
            await scene.wait()

    scene(body)


def test_what_a_light_answer_leaves_out_stays_known() -> None:
    steps = [{"index": 4, "name": "x", "status": 10}]
    known = Run.model_validate({"id": 1, "status": 3, "run_steps": steps, "trigger": {"cause": "c"}, "job": {"id": 7}})
    light = Run.model_validate({"id": 1, "status": 10, "run_steps": []})
    merged = with_known(light, known)
    assert (merged.state, len(merged.steps), merged.job, merged.trigger) == (
        RunState.SUCCESS,
        1,
        known.job,
        known.trigger,
    )
    whole = Run.model_validate({"id": 1, "status": 10, "run_steps": []})
    assert with_known(whole, known, is_whole=True).steps == ()
