"""A cancellation, and what became of the run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import CloudServer, FakeClock, Fault, Request
from tests.support.waiting_scene import Play, Scene, in_scene

from dbt_cloud_run.cloud.errors import CloudError
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.model import Fate, FateKind, RunState
from dbt_cloud_run.waiting.cancel import CANCEL_BUDGET, cancel, cancel_with_fate

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
    assert fate.state is RunState.RUNNING
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


@pytest.fixture
def scene() -> Play:
    return in_scene


def test_a_cancellation_is_confirmed_by_looking(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.run["status"] = 3
        run, fate = await cancel_with_fate(scene.client, scene.reader, scene.known)
        assert (run.state, fate.kind, fate.run_id, fate.state) == (
            RunState.CANCELLED,
            FateKind.CANCELLED,
            scene.run["id"],
            RunState.CANCELLED,
        )
        assert (scene.server.count("POST", CANCEL), scene.server.count("GET", RUN)) == (1, 1)
        assert run.job is not None

    scene(body)


@pytest.mark.parametrize("status", [10, 20])
def test_a_run_that_ended_in_the_meantime_counts_as_it_ended(scene: Play, status: int) -> None:
    async def body(scene: Scene) -> None:
        known = scene.known
        scene.run["status"] = status
        scene.server.fault("POST", CANCEL, Fault(400))
        run, fate = await cancel_with_fate(scene.client, scene.reader, known)
        assert (run.status, fate.kind) == (status, FateKind.HAD_ENDED)
        assert run.job == known.job

    scene(body)


@pytest.mark.parametrize("kind", [400, 403])
def test_a_cancellation_that_is_refused_is_said(scene: Play, kind: int) -> None:
    async def body(scene: Scene) -> None:
        scene.run["status"] = 3
        scene.server.fault("POST", CANCEL, Fault(kind))
        run, fate = await cancel_with_fate(scene.client, scene.reader, scene.known)
        assert (run.id, fate.kind, fate.run_id) == (scene.run["id"], FateKind.NOT_CANCELLED, scene.run["id"])
        assert str(kind) in (fate.error or "")
        scene.server.fault("POST", CANCEL, Fault(kind))
        with pytest.raises(CloudError):
            await cancel(scene.client, scene.reader, scene.known)

    scene(body)


def test_a_run_that_does_not_end_is_looked_at_for_two_minutes_which_is_said_once(
    scene: Play, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(scene: Scene) -> None:
        def still_running() -> None:
            scene.run["status"] = 3

        scene.run["status"] = 3
        original = scene.server._handle

        def handle(request: Any) -> Any:
            answer = original(request)
            still_running()
            return answer if request.method == "POST" else original(request)

        scene.server._handle = handle  # type: ignore[method-assign]
        _, fate = await cancel_with_fate(scene.client, scene.reader, scene.known)
        assert fate.kind is FateKind.CANCELLING
        assert scene.elapsed == CANCEL_BUDGET
        assert set(scene.clock.sleeps) == {2.0}

    with caplog.at_level("INFO"):
        scene(body)
    assert sum("has ended" in line for line in caplog.messages) == 1


@pytest.mark.parametrize("kind", [503, 429, "reset", 404])
def test_a_cancellation_outlasts_what_passes(scene: Play, kind: int | str) -> None:
    async def body(scene: Scene) -> None:
        scene.run["status"] = 3
        scene.server.fault("POST", CANCEL, Fault(kind, times=2))
        assert (await cancel(scene.client, scene.reader, scene.known)).state is RunState.CANCELLED

    scene(body)


def test_a_cancellation_is_given_up_after_two_minutes_of_faults(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.run["status"] = 3
        scene.server.fault("POST", CANCEL, Fault(503, times=float("inf")))
        _, fate = await cancel_with_fate(scene.client, scene.reader, scene.known)
        assert fate.kind is FateKind.NOT_CANCELLED
        assert CANCEL_BUDGET - 5 <= scene.elapsed <= CANCEL_BUDGET + 1

    scene(body)


def test_two_cooldowns_are_waited_out_and_no_third(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.run["status"] = 3
        scene.server.fault("POST", CANCEL, Fault(429, times=float("inf")))
        _, fate = await cancel_with_fate(scene.client, scene.reader, scene.known)
        assert fate.kind is FateKind.NOT_CANCELLED
        assert 2 * 300 <= scene.elapsed < 3 * 300

    scene(body)
