"""Whether dbt Cloud would retry a run by itself: how often it is asked, and what its answers mean."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from standins.cloud_server import CloudServer, FakeClock, Fault
from tests.support.notes import kept_notes

from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.start.native import LOOKS, PAUSE, native_refusal


def refusal(
    *answers: dict[str, Any], fault: Fault | None = None, deadline: float | None = None
) -> tuple[str | None, CloudServer, FakeClock]:
    """What is found where dbt Cloud answers so, one look after the other, the last one again at the end."""

    async def asking() -> tuple[str | None, CloudServer, FakeClock]:
        clock, left = FakeClock(), list(answers)
        async with CloudServer() as server:
            run = server.add_run(status=20, **left.pop(0))
            clock.on_sleep = lambda: run.update(left.pop(0) if left else {})
            if fault is not None:
                server.fault("GET", r"/runs/\d+/$", fault)
            async with server.client(clock, read_timeout=20.0) as client:
                found = await native_refusal(client, Reader(clock), run["id"], deadline)
        return found, server, clock

    return asyncio.run(asking())


def test_a_run_that_can_be_retried_is_not_refused() -> None:
    found, server, clock = refusal({"can_retry": True})
    assert (found, len(server.requests), clock.sleeps) == (None, 1, [])


def test_a_run_that_can_be_retried_some_seconds_later_is_not_refused() -> None:
    with kept_notes() as notes:
        found, server, clock = refusal({"can_retry": False}, {"can_retry": True})
    assert (found, clock.sleeps) == (None, [PAUSE])
    (note,) = notes
    run_id = server.runs[0]["id"]
    assert note == f"Waiting for up to 10 s until dbt Cloud can retry run {run_id} by itself.", "all the looks together"


@pytest.mark.parametrize(
    "reason",
    ["RETRY_UNSUPPORTED_CMD", "RETRY_UNSUPPORTED_VERSION", "RETRY_NOT_LATEST_RUN", "RETRY_NOT_FAILED_RUN"],
)
def test_a_reason_that_does_not_pass_is_asked_for_once(reason: str) -> None:
    found, server, _ = refusal({"can_retry": False, "retry_not_supported_reason": reason})
    assert (found, len(server.requests)) == (reason, 1)


@pytest.mark.parametrize("reason", ["A_REASON_OF_TOMORROW", None])
def test_any_other_reason_is_asked_for_again(reason: str | None) -> None:
    with kept_notes() as notes:
        found, server, clock = refusal({"can_retry": False, "retry_not_supported_reason": reason})
    assert len(notes) == 1, "the wait is named once"
    assert "can retry run" in notes[0]
    assert found == (reason or "dbt Cloud names no reason")
    assert len(server.requests) == LOOKS
    assert clock.sleeps == [PAUSE] * (LOOKS - 1)


def test_a_run_that_cannot_be_read_is_refused_with_the_error() -> None:
    found, _, _ = refusal({"can_retry": True}, fault=Fault(403))
    assert found is not None
    assert "403" in found


def test_the_deadline_ends_the_reading() -> None:
    found, _, clock = refusal({"can_retry": True}, fault=Fault(503, times=10**6), deadline=1000.0 + 20)
    assert found is not None
    assert clock.now < 1000 + 60
