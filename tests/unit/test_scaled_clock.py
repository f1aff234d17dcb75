"""The clock of the tests themselves: a sleep is cheap, and what goes on beside it takes its own time."""

from __future__ import annotations

import asyncio

from tests.support.scaled_clock import ScaledClock

FACTOR = 1_000_000.0  # an hour of sleep takes 4 ms


def test_a_sleep_is_cheap() -> None:
    async def play() -> float:
        clock = ScaledClock(FACTOR)
        began = clock.monotonic()
        await asyncio.wait_for(clock.sleep(3600), 30)
        clock.close()
        return clock.monotonic() - began

    assert asyncio.run(play()) >= 3600


def test_a_sleep_takes_no_time_from_the_work_beside_it() -> None:
    async def play() -> None:
        clock = ScaledClock(FACTOR)
        sleeping = asyncio.create_task(clock.sleep(3600))
        with clock.working():
            began = clock.monotonic()
            await asyncio.sleep(0.05)
            assert clock.monotonic() - began < 60
            assert not sleeping.done()
        await asyncio.wait_for(sleeping, 30)
        clock.close()

    asyncio.run(play())
