"""Times in the loop: where the delay counts from, whatever the clocks say, and what a limit ends."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import Fault, Request
from tests.support.loop import until
from tests.support.told_cloud import Told, told
from tests.support.told_scene import A, B, T, ToldScene, built, in_told_scene

from dbt_cloud_run.clock import SystemClock

FAILED = built(20, {A: "error"})
PARTLY = built(20, {A: "error", B: "success", T: "fail"})
GREEN = built(10, {A: "success"})
WHOLE = built(10, {A: "success", T: "pass"})
FOREVER = float("inf")
LOOK = r"/runs/\d+/$"


def moment(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


async def ends(scene: ToldScene, looks: int = 3, **fields: Any) -> None:
    """The first run, which goes on, ends after these many looks at it."""
    await until(lambda: scene.server.count("GET", LOOK) >= looks)
    scene.server.runs[0].update(**fields)


# -- the delay


@pytest.mark.parametrize("date", [None, timedelta(0), timedelta(hours=1), timedelta(hours=-1), timedelta(days=3000)])
@pytest.mark.parametrize("finished", [{"hours": 1}, {"hours": -1}, {"days": 3000}, None], ids=str)
def test_the_delay_before_a_retry_is_waited_whatever_the_clocks_say(
    date: timedelta | None, finished: dict[str, float] | None, tmp_path: Path
) -> None:
    """The run was seen going on, so it has ended since: `finished_at` and `Date` only say when, and may be wrong."""

    async def play(scene: ToldScene) -> None:
        scene.server.now = None if date is None else lambda: datetime.now(UTC) + date
        finished_at = None if finished is None else moment(**finished)
        ending = asyncio.create_task(ends(scene, status=20, finished_at=finished_at))
        step = await scene.play(retry_delay="400", targeted_retries="1")
        await ending
        assert [slept for slept in step.clock.slept if 300 < slept <= 400]
        assert len(scene.server.runs) == 2

    going_on = {**FAILED, "status": 3, "finished_at": None}
    in_told_scene(tmp_path, [going_on, GREEN], play)


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_artifacts_that_are_late_are_waited_for_whatever_the_date_says(hours: int, tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        scene.server.now = lambda: datetime.now(UTC) + timedelta(hours=hours)

        async def end() -> None:
            await ends(scene, status=20, finished_at=moment(), artifacts_saved=False)
            late = dict(scene.server.files)
            scene.server.files.clear()
            looks = scene.server.count("GET", LOOK)
            await until(lambda: scene.server.count("GET", LOOK) >= looks + 9)
            scene.server.files.update(late)
            scene.server.runs[0]["artifacts_saved"] = True

        ending = asyncio.create_task(end())
        await scene.play(retry_delay="0", targeted_retries="1")
        await ending
        assert "fqn:shop.a" in " ".join(scene.commands(1)), "without the results, all of it would be repeated"

    in_told_scene(tmp_path, [{**FAILED, "status": 3, "finished_at": None}, GREEN], play)


def set_clock(hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's clock is so many hours ahead, or behind."""
    here = SystemClock.utcnow
    for clock in ("SystemClock", "tests.support.scaled_clock.ScaledClock"):
        target = f"dbt_cloud_run.clock.{clock}" if "." not in clock else clock
        monkeypatch.setattr(f"{target}.utcnow", lambda self: here(self) + timedelta(hours=hours))


@pytest.mark.parametrize("hours", [-24, 0, 24])
def test_how_long_a_step_has_taken_is_by_dbt_clouds_own_clock(
    hours: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_clock(hours, monkeypatch)

    async def play(scene: ToldScene) -> None:
        run = scene.server.add_run()
        run["created_at"] = moment(minutes=20)
        step = await scene.play(run_id=str(run["id"]), queue_timeout_minutes="1", cancel_run="false")
        assert step.outputs["status"] == "timed-out"
        # dbt Cloud names its time in whole seconds.
        assert 1190 <= float(step.outputs["duration-seconds"]) < 1800

    in_told_scene(tmp_path, [told(1)], play)


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_after_a_run_that_ended_long_ago_nothing_is_waited(
    hours: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By dbt Cloud's own clock: the one of this machine is an hour ahead or behind."""
    set_clock(hours, monkeypatch)

    async def play(scene: ToldScene) -> None:
        run = scene.server.add_run()
        run["finished_at"] = moment(minutes=20)
        step = await scene.play(run_id=str(run["id"]), retry_delay="400", targeted_retries="1")
        assert max(step.clock.slept, default=0.0) < 20
        assert len(scene.server.runs) == 2

    in_told_scene(tmp_path, [FAILED, GREEN], play)


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_there_are_as_many_retries_as_are_allowed(retries: int, tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", targeted_retries=str(retries))
        assert len(scene.server.runs) == 1 + retries
        assert step.outputs["attempts"] == str(1 + retries)

    in_told_scene(tmp_path, [FAILED], play)


def test_a_later_retry_whose_longer_delay_leaves_no_time_is_not_planned(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="60", timeout_minutes="2.5")
        assert len(scene.server.runs) == 2
        assert "timeout-minutes leaves no time for a retry" in step.log
        assert step.seconds < 120

    in_told_scene(tmp_path, [FAILED], play)


def test_where_nothing_is_retried_no_time_is_missed(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="600", timeout_minutes="1")
        assert "leaves no time for a retry" not in step.log
        assert "No retry" in step.log

    in_told_scene(tmp_path, [built(20, {T: "fail"})], play)


# -- the limits


@pytest.mark.parametrize(
    ("inputs", "is_attached", "words"),
    [
        ({"cancel_run": "false"}, False, "cancel-run"),
        ({}, True, "did not start"),
        ({"cancel_run": "false"}, True, "did not start"),
    ],
    ids=["not wanted", "not ours", "neither"],
)
@pytest.mark.parametrize("limit", ["timeout_minutes", "queue_timeout_minutes"])
def test_at_a_limit_what_must_not_be_cancelled_is_left_alone(
    limit: str, inputs: dict[str, str], is_attached: bool, words: str, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        attached = {"run_id": str(scene.server.add_run()["id"])} if is_attached else {}
        step = await scene.play(**{limit: "1"}, **inputs, **attached)
        assert scene.cancelled == []
        assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (1, "timed-out", "timeout")
        assert 60 <= step.seconds < 80
        assert words in step.log + step.summary
        assert len(scene.server.runs) == 1

    in_told_scene(tmp_path, [told(1, started_at=None)], play)


@pytest.mark.parametrize(("run", "status"), [(WHOLE, "success"), (FAILED, "error")])
def test_a_run_that_ended_while_it_was_to_be_cancelled_counts_as_it_ended(
    run: Told, status: str, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        scene.server.fault("POST", "/cancel/$", Fault(400, said="It has ended."))

        answer = scene.server._answer

        async def answering(request: Request, writer: asyncio.StreamWriter) -> bool:
            if request.path.endswith("/cancel/"):
                scene.server.runs[0].update(status=run["status"], finished_at=moment())
            return await answer(request, writer)

        scene.server._answer = answering  # type: ignore[method-assign]
        step = await scene.play(timeout_minutes="1", retry_delay="0")
        assert step.outputs["status"] == ("success" if status == "success" else "error")
        assert len(scene.server.runs) == 1, "after the limit nothing is retried"

    in_told_scene(tmp_path, [{**run, "status": 3, "finished_at": None}], play)


def test_a_limit_of_a_retry_ends_the_retry(tmp_path: Path) -> None:
    """The limit is one for all attempts, and the retry is this step's own."""

    async def play(scene: ToldScene) -> None:
        step = await scene.play(timeout_minutes="2", retry_delay="0")
        assert scene.cancelled == [scene.server.runs[1]["id"]]
        assert step.outputs["status"] == "timed-out"
        assert 120 <= step.seconds < 140
        assert json.loads(step.outputs["run-ids"]) == [run["id"] for run in scene.server.runs]

    in_told_scene(tmp_path, [FAILED, told(3)], play)


@pytest.mark.parametrize(
    ("inputs", "is_cut"), [({"timeout_minutes": "1"}, True), ({"queue_timeout_minutes": "1"}, False)]
)
def test_the_time_limit_ends_the_downloads_and_no_other_does(
    inputs: dict[str, str], is_cut: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("dbt_cloud_run.collect.allowance.AFTER_LIMIT", -1.0)

    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", **inputs)
        assert step.outputs["status"] == "timed-out"
        assert ("took too long" in step.log) == is_cut

    started = None if "queue_timeout_minutes" in inputs else moment()
    in_told_scene(
        tmp_path, [{**FAILED, "status": 1 if started is None else 3, "finished_at": None, "started_at": started}], play
    )


# -- reading once more


def missing_results(scene: ToldScene, **options: Any) -> None:
    scene.server.fault("GET", "run_results.json$", Fault(429, **options))


@pytest.mark.parametrize(("wait", "minutes", "is_read"), [("100", "3", True), ("100", "1", False), ("300", "0", True)])
def test_a_rate_limit_is_waited_out_before_the_second_look_if_there_is_time(
    wait: str, minutes: str, is_read: bool, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        missing_results(scene, headers={"Retry-After": wait})
        step = await scene.play(retry_delay="0", timeout_minutes=minutes, targeted_retries="1")
        assert ("is read once more in " in step.log) == is_read
        assert bool([slept for slept in step.clock.slept if slept > 50]) == is_read
        if is_read:
            assert "fqn:shop.a" in " ".join(scene.commands(1))

    in_told_scene(tmp_path, [FAILED, GREEN], play)


@pytest.mark.parametrize("run", [FAILED, WHOLE], ids=["no retry left", "it succeeded"])
def test_what_is_not_retried_is_not_read_once_more(run: Told, tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        missing_results(scene)
        step = await scene.play(retry_delay="0", targeted_retries="0" if run is FAILED else "1")
        assert "is read once more" not in step.log
        assert len(scene.server.runs) == 1

    in_told_scene(tmp_path, [run], play)


# -- without waiting


@pytest.mark.parametrize(("status", "said"), [(20, "error"), (10, "success"), (3, "queued")])
def test_without_waiting_a_run_is_read_where_it_has_ended_and_never_retried(
    status: int, said: str, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        run = scene.server.add_run()
        step = await scene.play(run_id=str(run["id"]), wait="false")
        assert step.outputs["status"] == said
        assert len(scene.server.runs) == 1
        assert scene.server.count("GET", "run_results.json") == (0 if said == "queued" else 1)

    results = built(20, {A: "error"}) if status == 20 else built(10, {A: "success"})
    in_told_scene(tmp_path, [{**results, "status": status}], play)


# -- the workflow run once more


def test_a_person_s_rerun_takes_every_failure_once(tmp_path: Path) -> None:
    """A failed test is not retried otherwise."""
    failing = built(20, {A: "success", T: "fail"})

    async def play(scene: ToldScene) -> None:
        await scene.play(retry_delay="0")
        assert len(scene.server.runs) == 1
        again = await scene.play(attempt=2, retry_delay="400", targeted_retries="3")
        assert len(scene.server.runs) == 2
        assert "fqn:shop.t" in " ".join(scene.commands(1))
        assert [slept for slept in again.clock.slept if 380 < slept <= 400], "the delay counts from now"
        assert json.loads(again.outputs["failed-nodes"]) == [T]

    in_told_scene(tmp_path, [failing], play)


@pytest.mark.parametrize("reported", ["b" * 40, None])
def test_a_retry_is_pinned_to_what_was_built_or_else_to_what_was_asked_for(
    reported: str | None, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        await scene.play(retry_delay="0", git_sha="c" * 40)
        first, second = (run["trigger"] for run in scene.server.runs)
        assert first["git_sha"] == "c" * 40
        assert second["git_sha"] == (reported or "c" * 40)

    in_told_scene(tmp_path, [{**FAILED, "git_sha": reported}, GREEN], play)


def test_a_lost_retry_is_searched_for_above_all_runs_before_it(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        def once_it_has_failed() -> bool:
            if len(scene.server.runs) == 1 and not faults:
                faults.append(Fault("reset", took_effect=True))
                scene.server.fault("POST", "/run/$", faults[0])
            return False

        faults: list[Fault] = []
        step = await scene.play(retry_delay="20", interrupt=once_it_has_failed)
        first, second = scene.server.runs
        looked = {request.query["id__gt"] for request in scene.server.requests if "id__gt" in request.query}
        assert looked == {str(first["id"])}
        assert json.loads(step.outputs["run-ids"]) == [first["id"], second["id"]]
        assert step.outputs["status"] == "success"

    in_told_scene(tmp_path, [FAILED, GREEN], play)
