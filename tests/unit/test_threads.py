"""Blocking work in threads that may be left behind."""

from __future__ import annotations

import asyncio
import threading

import pytest

from dbt_cloud_run.threads import in_thread


def test_what_the_work_returns_or_raises_comes_back() -> None:
    async def both() -> int:
        with pytest.raises(ZeroDivisionError):
            await in_thread(lambda: 1 // 0, "test")
        return await in_thread(lambda: 7, "test")

    assert asyncio.run(both()) == 7


def test_the_end_of_the_loop_does_not_wait_for_it() -> None:
    may_end = threading.Event()

    async def left_behind() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await in_thread(may_end.wait, "test-left-behind")

    asyncio.run(left_behind())
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "test-left-behind")
    assert thread.daemon
    may_end.set()
    thread.join()
