"""The step from its first request to its exit status, and the path of a signal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from standins.cloud_server import Fault
from tests.support.told_cloud import told
from tests.support.told_scene import A, ToldScene, built, in_told_scene

from dbt_cloud_run.publish.publish import Publication

GREEN = built(10, {A: "success"})
RED = built(20, {A: "error"})


def test_a_green_run_is_one_request_that_starts_it_and_leaves_nothing_to_the_post_step(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play()
        assert (step.status, step.outputs["status"], step.outputs["attempts"]) == (0, "success", "1"), step.log
        assert scene.server.count("POST", ".*") == 1
        assert step.state["ended"] == "verdict"
        assert (step.state["pending"], step.state["published"]) == ("", "true")

    in_told_scene(tmp_path, [GREEN], play)


def test_a_failed_run_fails_the_step_and_leaves_it_green_only_where_it_is_asked_for(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        for fails, status in (("true", 1), ("false", 0)):
            step = await scene.play(targeted_retries="0", fail_on_error=fails)
            assert (step.status, step.outputs["status"]) == (status, "error")
        scene.server.fault("POST", "/run/$", Fault(403))
        refused = await scene.play(fail_on_error="false")
        assert (refused.status, refused.outputs["failure-kind"]) == (1, "api"), "the action could not do its work"

    in_told_scene(tmp_path, [RED], play)


def test_a_request_is_in_the_state_before_it_is_sent(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        scene.server.fault("POST", "/run/$", Fault(403))
        step = await scene.play()
        written = (step.files / "state").read_text(encoding="utf-8")
        assert "pending" in written
        assert written.index("pending") < written.index("ended")
        assert step.state["ended"] == "error"

    in_told_scene(tmp_path, [GREEN], play)


def test_a_signal_cancels_the_run_with_one_request(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(interrupt=lambda: scene.server.count("GET", r"/runs/\d+/$") > 0)
        (run,) = scene.server.runs
        assert (step.status, step.outputs["status"]) == (143, "cancelled")
        assert scene.cancelled == [run["id"]]
        assert step.log.count("The step received SIGTERM.") == 1
        assert "ended" not in step.state, "the post step waits until it has ended"
        assert step.state["run_id"] == str(run["id"])

    in_told_scene(tmp_path, [told(3)], play)


def test_a_signal_between_two_attempts_leaves_the_attempts_that_are_known(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="3600", interrupt=lambda: any(slept > 3500 for slept in scene.clock.slept))
        assert (step.status, step.outputs["status"], step.outputs["attempts"]) == (143, "cancelled", "1")
        assert json.loads(step.outputs["failed-nodes"]) == [A]
        assert scene.cancelled == []
        assert len(scene.server.runs) == 1

    in_told_scene(tmp_path, [RED], play)


@pytest.mark.parametrize(("runs", "verdict"), [([GREEN], "success"), ([RED], "error")])
def test_a_signal_during_publishing_leaves_the_verdict_and_cancels_nothing(
    runs: list[dict[str, object]], verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing = asyncio.Event()

    async def hangs(publication: Publication) -> None:
        publishing.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(Publication, "publish", hangs)

    async def play(scene: ToldScene) -> None:
        step = await scene.play(interrupt=publishing.is_set, targeted_retries="0")
        assert (step.status, step.outputs["status"]) == (143, verdict), step.log
        assert scene.cancelled == []
        assert step.state["ended"] == "verdict", "the post step cancels nothing either"
        assert step.summary.count("\n# ") + step.summary.startswith("# ") <= 1
        assert "SIGTERM" in step.log

    in_told_scene(tmp_path, runs, play)


def test_a_signal_while_the_results_are_read_leaves_the_run_s_own_end_and_counts_nothing(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        scene.server.fault("GET", "run_results.json", Fault("silence"))
        step = await scene.play(interrupt=lambda: scene.server.count("GET", "run_results.json") > 0)
        assert (step.status, step.outputs["status"]) == (143, "success"), step.log
        assert (step.outputs["nodes-total"], step.outputs["assets-count"]) == ("", "")

    in_told_scene(tmp_path, [GREEN], play)


@pytest.mark.parametrize("inputs", [{"wait": "false"}, {"cancel_run": "false"}])
def test_a_signal_while_the_trigger_is_in_flight_cancels_nothing_where_the_inputs_say_so(
    inputs: dict[str, str], tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        scene.server.fault("POST", "/run/$", Fault("silence", took_effect=True))
        step = await scene.play(interrupt=lambda: scene.server.count("POST", "/run/$") > 0, **inputs)
        assert (step.status, step.outputs["status"]) == (143, "cancelled"), step.log
        assert len(scene.server.runs) == 1
        assert scene.cancelled == []
        why = "wait is false" if "wait" in inputs else "cancel-run is false"
        assert f"The run continues in dbt Cloud if it was started, which is not known: {why}." in step.log

    in_told_scene(tmp_path, [told(3)], play)


def test_a_signal_while_the_trigger_is_in_flight_cancels_the_run_that_it_started(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        scene.server.fault("POST", "/run/$", Fault("silence", took_effect=True))
        step = await scene.play(interrupt=lambda: scene.server.count("POST", "/run/$") > 0)
        assert step.status == 143
        assert scene.cancelled == [scene.server.runs[0]["id"]]
        assert step.outputs["run-id"] == str(scene.server.runs[0]["id"])

    in_told_scene(tmp_path, [told(3)], play)


def test_a_signal_while_it_is_not_known_whether_the_trigger_started_a_run_says_so(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        scene.server.fault("POST", "/run/$", Fault("silence"))
        step = await scene.play(interrupt=lambda: scene.server.count("POST", "/run/$") > 0)
        assert (step.status, step.outputs["status"], scene.server.runs) == (143, "cancelled", [])
        assert (
            "Whether the run was started could not be determined: dbt Cloud lists no such run yet. "
            "The post step tries again."
        ) in step.log
        assert step.state["pending"]

    in_told_scene(tmp_path, [told(3)], play)


def test_a_step_that_does_not_wait_ends_green_and_leaves_the_run(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(wait="false", timeout_minutes="0.01")
        assert (step.status, step.outputs["status"]) == (0, "queued")
        assert step.state["ended"] == "wait: false"
        assert scene.cancelled == []

    in_told_scene(tmp_path, [told(1)], play)
