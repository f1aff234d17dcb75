"""Limits in the loop: when exactly one is reached, which run it ends, and what is read and reported after it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from standins.cloud_server import Fault, Request
from tests.integration.test_loop_capacity import at_each_start, lacking
from tests.integration.test_loop_times import moment
from tests.support.scaled_clock import WaitingClock
from tests.support.told_cloud import Told, build, row, told
from tests.support.told_scene import LOST, NODES, A, ToldScene, built, in_told_scene

FAILED = built(20, {A: "error"}, can_retry=True)
WITH_LOG = told(20, build([row(A, "error", LOST)], NODES, status=20, logs=LOST), finished_at=None)
GREEN = built(10, {A: "success"})
GOES_ON = {"status": 3, "finished_at": None}
FOREVER = float("inf")
LOOK = r"/runs/\d+/$"


@pytest.fixture
def only_waits_take_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.loop.ScaledClock", WaitingClock)


# -- which run is ended


@pytest.mark.parametrize("strategy", ["nodes", "native"])
@pytest.mark.parametrize("is_signal", [True, False], ids=["a signal", "a limit"])
def test_the_retry_of_a_run_that_the_step_did_not_start_is_its_own(
    is_signal: bool, strategy: str, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        run = scene.server.add_run()

        def is_seen() -> bool:
            looked = {request.path for request in scene.server.requests if request.method == "GET"}
            retries = [retry["id"] for retry in scene.server.runs if retry is not run]
            return is_signal and any(path.endswith(f"/runs/{retry}/") for path in looked for retry in retries)

        step = await scene.play(
            run_id=str(run["id"]), retry_delay="0", timeout_minutes="2", retry_strategy=strategy, interrupt=is_seen
        )
        assert step.status == (143 if is_signal else 1)
        assert scene.cancelled == [scene.server.runs[1]["id"]]

    in_told_scene(tmp_path, [FAILED, told(3)], play)


def test_a_signal_after_a_limit_cancels_no_run_that_has_been_cancelled(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        scene.server.fault("GET", "run_results.json$", Fault("silence"))
        step = await scene.play(
            timeout_minutes="1", interrupt=lambda: bool(scene.server.count("GET", "run_results.json$"))
        )
        assert step.status == 143
        assert scene.cancelled == [scene.server.runs[0]["id"]]

    in_told_scene(tmp_path, [{**FAILED, **GOES_ON}], play)


def test_how_a_run_ended_while_it_was_to_be_cancelled_is_known_without_another_look(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        handle = scene.server._handle

        def handling(request: Request) -> tuple[int, bytes | Path]:
            if scene.cancelled and re.search(LOOK, request.path):
                scene.server.runs[0].update(status=10, finished_at=moment())
                scene.server.fault("GET", LOOK, Fault(503, times=FOREVER))
            return handle(request)

        scene.server._handle = handling  # type: ignore[method-assign]
        scene.server.fault("POST", "/cancel/$", Fault(400, said="It has ended."))
        step = await scene.play(timeout_minutes="1")
        assert step.outputs["status"] == "success"

    in_told_scene(tmp_path, [{**GREEN, **GOES_ON}], play)


# -- when it is reached


@pytest.mark.usefixtures("only_waits_take_time")
@pytest.mark.parametrize(
    ("first", "seconds"),
    [
        (lacking(queued_duration="00:01:00"), 60),
        (lacking(queued_duration="00:02:00"), 0),
        (lacking(queued_duration="00:05:00"), 0),
        (lacking(queued_duration=None, created_at=None), 120),
    ],
    ids=["some is left", "none is left", "it is over", "it is not known"],
)
def test_after_a_lack_of_capacity_what_is_left_of_the_time_in_the_queue_is_exact(
    first: Told, seconds: float, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        began: list[float] = []
        at_each_start(scene, lambda _: began.append(scene.clock.monotonic()))
        cancelled: list[float] = []
        handle = scene.server._handle

        def handling(request: Request) -> tuple[int, bytes | Path]:
            if request.path.endswith("/cancel/"):
                cancelled.append(scene.clock.monotonic())
            return handle(request)

        scene.server._handle = handling  # type: ignore[method-assign]
        await scene.play(retry_delay="0", queue_timeout_minutes="2")
        assert seconds <= cancelled[0] - began[1] < seconds + 0.5

    in_told_scene(tmp_path, [first, told(1, started_at=None)], play)


@pytest.mark.usefixtures("only_waits_take_time")
@pytest.mark.parametrize(("delay", "is_retried"), [("60", False), ("59", True)])
def test_there_is_no_time_for_a_retry_that_would_begin_when_it_is_over(
    delay: str, is_retried: bool, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay=delay, timeout_minutes="1", targeted_retries="1")
        assert len(scene.server.runs) == (2 if is_retried else 1)
        assert ("No retry: timeout-minutes leaves no time for a retry" in step.log) is not is_retried

    in_told_scene(tmp_path, [WITH_LOG, GREEN], play)


@pytest.mark.usefixtures("only_waits_take_time")
def test_a_retry_begins_as_long_as_the_time_is_not_over(tmp_path: Path) -> None:
    """Three looks at whether dbt Cloud would retry the run, 5 s apart, take 10 s of the 10.5."""

    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", retry_strategy="native", timeout_minutes="0.175")
        assert len(scene.server.runs) == 2
        assert step.outputs["status"] == "success"

    in_told_scene(tmp_path, [WITH_LOG, GREEN], play)


@pytest.mark.usefixtures("only_waits_take_time")
def test_what_could_not_be_read_is_not_read_once_more_when_the_time_is_over(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        scene.server.fault("GET", "run_results.json$", Fault(503, times=FOREVER))
        step = await scene.play(retry_delay="0", timeout_minutes="1")
        assert "is read once more" not in step.log
        assert 60 < step.seconds < 130, "reading it takes 90 s"
        assert len(scene.server.runs) == 1

    in_told_scene(tmp_path, [FAILED], play)
