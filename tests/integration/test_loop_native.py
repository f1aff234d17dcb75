"""dbt Cloud's own retry within the loop: when it is asked for, and what becomes of a retry that it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from standins.cloud_server import Fault
from tests.support.told_scene import A, T, ToldScene, built, in_told_scene

RETRY = "/retry/$"
FAILED = built(20, {A: "error"}, can_retry=True)
PARTLY = built(20, {A: "error", T: "fail"}, can_retry=True)
GREEN = built(10, {A: "success"})
WHOLE = built(10, {A: "success", T: "pass"})
INSTEAD = "dbt Cloud's own retry is not used: {}. A new run retries the nodes instead."


def test_a_run_that_can_be_retried_is_retried_by_dbt_cloud(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="40", retry_strategy="native")
        first, second = scene.server.runs
        assert second["retrying_run_id"] == first["id"]
        assert scene.server.count("POST", "/run/$") == scene.server.count("POST", RETRY) == 1
        assert (step.status, step.outputs["status"], step.outputs["attempts"]) == (0, "success", "2")
        assert json.loads(step.outputs["run-ids"]) == [first["id"], second["id"]]
        assert [slept for slept in step.clock.slept if 20 < slept <= 40], "the delay holds for it, too"
        assert "own retry is not used" not in step.log + step.summary
        assert "own retry" in step.summary

    in_told_scene(tmp_path, [FAILED, GREEN], play)


def test_it_is_one_of_the_retries_that_are_allowed(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", retry_strategy="native", targeted_retries="2")
        assert [run.get("retrying_run_id") for run in scene.server.runs] == [
            None,
            *(run["id"] for run in scene.server.runs[:2]),
        ]
        assert step.outputs["attempts"] == "3"

    in_told_scene(tmp_path, [FAILED], play)


@pytest.mark.parametrize("reason", ["RETRY_NOT_LATEST_RUN", "RETRY_UNSUPPORTED_CMD."])
def test_where_dbt_cloud_would_not_a_new_run_retries_the_nodes(reason: str, tmp_path: Path) -> None:
    refusing = {**FAILED, "can_retry": False, "retry_not_supported_reason": reason}

    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", retry_strategy="native")
        (again,) = scene.commands(1)
        assert again.startswith("dbt build --select")
        assert scene.server.count("POST", RETRY) == 0
        words = INSTEAD.format(reason.rstrip("."))
        assert step.log.count(words) >= 1
        assert step.summary.count(words) == 2, "among the notes, and with the plan"
        assert step.outputs["status"] == "success"

    in_told_scene(tmp_path, [refusing, GREEN], play)


def test_whether_dbt_cloud_would_is_not_asked_beyond_the_limit_of_time(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        def once_it_was_read() -> bool:
            if scene.server.count("GET", "run_results.json$") and not faults:
                faults.append(Fault(503, times=float("inf")))
                scene.server.fault("GET", r"/runs/\d+/$", faults[0])
            return False

        faults: list[Fault] = []
        step = await scene.play(
            retry_delay="40", retry_strategy="native", timeout_minutes="2", interrupt=once_it_was_read
        )
        assert faults
        assert 100 < step.seconds < 125
        assert "timeout-minutes leaves no time for a retry" in step.log
        assert len(scene.server.runs) == 1

    in_told_scene(tmp_path, [FAILED, GREEN], play)


def test_where_dbt_cloud_refuses_the_request_a_new_run_retries_the_nodes(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        scene.server.fault("POST", RETRY, Fault(400, said="Not now."))
        step = await scene.play(retry_delay="0", retry_strategy="native")
        first, second = scene.server.runs
        assert "retrying_run_id" not in second
        assert scene.commands(1)
        assert scene.tag(1).root == first["id"]
        assert "own retry is not used: dbt Cloud does not retry run" in step.log
        assert "Not now" in step.log
        assert (step.outputs["status"], step.outputs["attempts"]) == ("success", "2")

    in_told_scene(tmp_path, [FAILED, GREEN], play)


def test_what_the_plan_leaves_out_is_not_left_to_dbt_cloud(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", retry_strategy="native")
        assert scene.server.count("POST", RETRY) == 0
        assert INSTEAD.format("it would also run what this plan leaves out") in step.log
        assert scene.tag(1).is_partial
        assert len(scene.server.runs) == 2
        assert step.outputs["status"] == "error", "what was left out has failed"

    in_told_scene(tmp_path, [PARTLY, GREEN], play)


def test_a_rerun_that_goes_back_to_what_was_left_out_is_not_left_to_dbt_cloud(tmp_path: Path) -> None:
    """dbt Cloud would retry the last run, which was not asked for all of it."""
    again = built(20, {A: "error"}, can_retry=True)

    async def play(scene: ToldScene) -> None:
        await scene.play(retry_delay="0", targeted_retries="1", retry_strategy="native")
        step = await scene.play(attempt=2, retry_delay="0", targeted_retries="1", retry_strategy="native")
        second, third = scene.server.runs[1:]
        assert "retrying_run_id" not in third
        words = f"run {second['id']} did not include everything that had failed before it"
        assert INSTEAD.format(words) in step.log
        assert "fqn:shop.t" in " ".join(scene.commands(2))
        assert not scene.tag(2).is_partial
        assert step.outputs["status"] == "success"

    in_told_scene(tmp_path, [PARTLY, again, WHOLE], play)


def test_what_dbt_cloud_retries_of_a_partial_run_is_partial(tmp_path: Path) -> None:
    again = built(20, {A: "error"}, can_retry=True)

    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", retry_strategy="native", targeted_retries="2")
        assert scene.server.runs[2]["retrying_run_id"] == scene.server.runs[1]["id"]
        assert json.loads(step.outputs["failed-nodes"]) == [T]
        assert (step.status, step.outputs["status"]) == (1, "error")

    in_told_scene(tmp_path, [PARTLY, again, GREEN], play)


@pytest.mark.parametrize(("path", "strategy"), [(RETRY, "native"), ("/run/$", "nodes")])
def test_a_signal_while_the_request_is_in_flight_ends_the_run_that_it_started(
    path: str, strategy: str, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        def is_sent() -> bool:
            if len(scene.server.runs) == 1 and not faults:
                faults.append(Fault("silence", took_effect=True))
                scene.server.fault("POST", path, faults[0])
            return len(scene.server.runs) == 2

        faults: list[Fault] = []
        step = await scene.play(retry_delay="20", retry_strategy=strategy, interrupt=is_sent)
        assert faults[0].times == 0
        assert step.status == 143
        assert scene.cancelled == [scene.server.runs[1]["id"]]

    in_told_scene(tmp_path, [FAILED, built(3, {A: "error"})], play)


@pytest.mark.parametrize(("path", "strategy"), [(RETRY, "native"), ("/run/$", "nodes")])
def test_the_request_is_not_repeated_beyond_the_limit_of_time(path: str, strategy: str, tmp_path: Path) -> None:
    """dbt Cloud asks for a wait of 5 minutes, and there are 2 for all of it."""

    async def play(scene: ToldScene) -> None:
        def once_it_has_failed() -> bool:
            if len(scene.server.runs) == 1 and not faults:
                faults.append(Fault(429, headers={"Retry-After": "300"}))
                scene.server.fault("POST", path, faults[0])
            return False

        faults: list[Fault] = []
        step = await scene.play(
            retry_delay="20", retry_strategy=strategy, timeout_minutes="2", interrupt=once_it_has_failed
        )
        assert faults[0].times == 0
        assert len(scene.server.runs) == 1
        assert step.seconds < 120
        assert "which is longer than the time left" in step.log
        assert (step.status, step.outputs["status"]) == (1, "error")

    in_told_scene(tmp_path, [FAILED, GREEN], play)


def test_a_signal_that_cannot_find_the_retry_of_a_lost_answer_says_so_and_leaves_the_search_to_the_post_step(
    tmp_path: Path,
) -> None:
    async def play(scene: ToldScene) -> None:
        scene.server.fault("POST", RETRY, Fault("silence", took_effect=True))
        step = await scene.play(retry_delay="0", retry_strategy="native", interrupt=lambda: len(scene.server.runs) == 2)
        first, second = scene.server.runs
        assert (step.status, scene.cancelled) == (143, [])
        assert (
            "Whether the run was started could not be determined: dbt Cloud does not say which run its run "
            f"{second['id']} retries. The post step tries again."
        ) in step.log
        assert "ended" not in step.state
        assert json.loads(step.state["pending"])[1] == first["id"]

    in_told_scene(tmp_path, [FAILED, built(3, {}, retrying_run_id=None)], play)
