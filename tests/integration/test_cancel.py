"""A cancellation, and what became of the run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from standins.cloud_server import CloudServer, FakeClock, Fault, Request

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.model import Fate, FateKind, RunState
from dbt_cloud_run.waiting.cancel import CANCEL_BUDGET, cancel_with_fate

RUNNING, SUCCESS = 3, 10
CANCEL, RUN = r"/cancel/$", r"/runs/\d+/$"


class Stubborn(CloudServer):
    """It accepts every cancellation, and its runs go on."""

    def _handle(self, request: Request) -> tuple[int, bytes | Path]:
        answer = super()._handle(request)
        for run in self.runs:
            run["status"] = RUNNING
        return answer


def cancelled(
    server: CloudServer, *faults: tuple[str, str, Fault], status: int = RUNNING
) -> tuple[Run, Fate, FakeClock]:
    async def cancelling() -> tuple[Run, Fate, FakeClock]:
        clock = FakeClock()
        async with server:
            run = Run.model_validate(server.add_run(status=RUNNING, cause="mine"))
            server.runs[0]["status"] = status
            for method, path, fault in faults:
                server.fault(method, path, fault)
            async with server.client(clock, read_timeout=20.0) as client:
                latest, fate = await cancel_with_fate(client, Reader(clock), run)
        assert fate.run_id == latest.id == run.id
        return latest, fate, clock

    return asyncio.run(cancelling())


def test_a_run_is_cancelled_when_dbt_cloud_reports_that_it_has_ended() -> None:
    server = CloudServer()
    run, fate, _ = cancelled(server)
    assert (run.state, fate.kind) == (RunState.CANCELLED, FateKind.CANCELLED)
    assert run.trigger is not None, "what the light answers leave out stays known"
    assert [request.method for request in server.requests] == ["POST", "GET"]


def test_a_run_that_had_ended_is_reported_as_it_ended() -> None:
    run, fate, _ = cancelled(CloudServer(), ("POST", CANCEL, Fault(400)), status=SUCCESS)
    assert (run.state, fate.kind, fate.state) == (RunState.SUCCESS, FateKind.HAD_ENDED, RunState.SUCCESS)
    assert not fate.is_unsettled


def test_a_run_that_goes_on_after_an_accepted_cancellation_is_not_called_cancelled() -> None:
    run, fate, clock = cancelled(Stubborn())
    assert (run.state, fate.kind, fate.is_unsettled) == (RunState.RUNNING, FateKind.CANCELLING, True)
    assert sum(clock.sleeps) == pytest.approx(CANCEL_BUDGET, abs=3)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_cancellation_that_is_refused_says_why(status: int) -> None:
    server = CloudServer()
    run, fate, _ = cancelled(server, ("POST", CANCEL, Fault(status, times=10**6)))
    assert (run.state, fate.kind, fate.is_unsettled) == (RunState.RUNNING, FateKind.NOT_CANCELLED, True)
    assert "Scripted" in fate.error
    assert server.count("POST", CANCEL) == 1


@pytest.mark.parametrize("fault", [Fault(503, times=3), Fault("reset"), Fault(404, times=2), Fault(429)], ids=str)
def test_a_cancellation_is_repeated_for_what_may_pass(fault: Fault) -> None:
    server = CloudServer()
    _, fate, _ = cancelled(server, ("POST", CANCEL, fault))
    assert fate.kind is FateKind.CANCELLED


def test_two_cooldowns_are_waited_out_and_no_more() -> None:
    _, fate, clock = cancelled(CloudServer(), ("POST", CANCEL, Fault(429, times=10**6)))
    assert fate.kind is FateKind.NOT_CANCELLED
    assert 600 <= sum(clock.sleeps) <= 900
