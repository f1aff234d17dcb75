"""Waiting for a run: what each look brings, and what ends the wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import CloudServer, FakeClock, Fault, Request

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.model import Limit, RunState
from dbt_cloud_run.waiting.polling import PollSchedule
from dbt_cloud_run.waiting.wait import STEPS_EVERY, Limits, Look, LostSightError, looks

QUEUED, RUNNING, SUCCESS, ERROR = 1, 3, 10, 20
RUN = r"/runs/\d+/$"
STEPS = [{"id": 1, "index": 1, "name": "Clone git repository", "status": 10}]


class Forbidding(CloudServer):
    """It refuses to show the steps of a run."""

    def _handle(self, request: Request) -> tuple[int, bytes | Path]:
        return (403, b"") if "run_steps" in request.query.get("include_related", "") else super()._handle(request)


def seen(
    *,
    states: dict[float, int],
    limits: Limits | None = None,
    interval: float = 5.0,
    prepare: Callable[[CloudServer, FakeClock], None] = lambda *_: None,
    make: Callable[[], CloudServer] = CloudServer,
    **fields: Any,
) -> tuple[list[Look], CloudServer, FakeClock]:
    """The looks at a run that has these states from this many seconds after its trigger on."""

    async def waiting() -> tuple[list[Look], CloudServer, FakeClock]:
        clock = FakeClock()
        began = clock.now
        async with make() as server:
            run = server.add_run(status=states[0], **fields)

            def advance() -> None:
                run["status"] = next(state for at, state in reversed(states.items()) if clock.now - began >= at)

            clock.on_sleep = advance
            prepare(server, clock)
            async with server.client(clock, read_timeout=20.0) as client:
                stream = looks(
                    Run.model_validate(run),
                    client=client,
                    reader=Reader(clock),
                    schedule=PollSchedule(fixed_interval=interval),
                    limits=limits or Limits(),
                )
                found = [look async for look in stream]
        return found, server, clock

    return asyncio.run(waiting())


def test_the_last_look_is_at_the_end_of_the_run() -> None:
    found, _, _ = seen(states={0: QUEUED, 6: RUNNING, 12: SUCCESS})
    states = [look.run.state for look in found]
    assert (states[0], states[-1]) == (RunState.QUEUED, RunState.SUCCESS)
    assert states.count(RunState.SUCCESS) == 1
    assert all(look.limit is None for look in found)


def test_the_overall_limit_has_one_last_look_at_its_very_time() -> None:
    found, _, clock = seen(states={0: RUNNING}, limits=Limits(overall=1000.0 + 61))
    assert clock.now == pytest.approx(1061, abs=0.2)
    assert [look.limit for look in found if look.limit] == [Limit.TOTAL]
    assert found[-1].limit is Limit.TOTAL
    ended, _, _ = seen(states={0: RUNNING, 61: SUCCESS}, limits=Limits(overall=1000.0 + 61))
    assert (ended[-1].run.state, ended[-1].limit) == (RunState.SUCCESS, None), "a run that has ended is in time"


def test_the_queue_limit_is_about_the_queue_alone() -> None:
    found, _, clock = seen(states={0: QUEUED}, limits=Limits(queue=60))
    assert (found[-1].limit, clock.now) == (Limit.QUEUE, pytest.approx(1060, abs=0.2))
    left, _, clock = seen(states={0: QUEUED, 50: RUNNING, 600: SUCCESS}, limits=Limits(queue=60))
    assert (left[-1].limit, left[-1].run.state) == (None, RunState.SUCCESS)


def test_the_limit_is_reached_even_where_dbt_cloud_does_not_answer() -> None:
    def silent(server: CloudServer, _: FakeClock) -> None:
        server.fault("GET", RUN, Fault(503, times=10**6))

    found, _, _ = seen(states={0: RUNNING}, limits=Limits(overall=1000.0 + 60), prepare=silent)
    assert found[-1].limit is Limit.TOTAL
    assert found[-1].run.state is RunState.RUNNING, "as it was last seen"


def test_the_steps_are_asked_for_now_and_then_and_stay_known_in_between() -> None:
    found, server, _ = seen(states={0: RUNNING, 60: SUCCESS}, run_steps=STEPS, trigger={"cause": "mine"})
    asked = [request for request in server.requests if "run_steps" in request.query.get("include_related", "")]
    assert 1 <= len(asked) <= 60 / STEPS_EVERY
    assert sum(look.is_whole for look in found) == len(asked)
    assert all(look.run.steps for look in found)
    assert all(look.run.trigger is not None for look in found)


def test_a_look_that_may_not_ask_for_the_steps_never_does_so_again() -> None:
    found, server, _ = seen(states={0: RUNNING, 90: SUCCESS}, make=Forbidding)
    assert found[-1].run.state is RunState.SUCCESS
    assert sum("run_steps" in request.query.get("include_related", "") for request in server.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_run_that_can_no_longer_be_seen_is_an_error_that_says_it_was_not_cancelled(status: int) -> None:
    def refuses(server: CloudServer, _: FakeClock) -> None:
        server.fault("GET", RUN, Fault(status, times=10**6))

    with pytest.raises(LostSightError, match="not cancelled"):
        seen(states={0: RUNNING}, prepare=refuses)


def test_a_new_run_may_be_answered_with_404_for_a_minute_and_no_longer() -> None:
    def hides(times: int) -> Callable[[CloudServer, FakeClock], None]:
        return lambda server, _: server.fault("GET", RUN, Fault(404, times=times))

    found, _, _ = seen(states={0: RUNNING, 30: SUCCESS}, prepare=hides(3))
    assert found[-1].run.state is RunState.SUCCESS
    with pytest.raises(LostSightError):
        seen(states={0: RUNNING}, prepare=hides(10**6))


def test_a_signal_ends_the_wait() -> None:
    def soon(_: CloudServer, clock: FakeClock) -> None:
        clock.interrupt_after = 2

    with pytest.raises(Interrupted):
        seen(states={0: RUNNING}, prepare=soon)
