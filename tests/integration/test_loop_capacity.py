"""A run that dbt Cloud cancelled because it lacked capacity: sent once more as it was, and only where that is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import Fault
from tests.support.told_cloud import SETUP, Told, build, command, row, told
from tests.support.told_scene import LOST, NODES, A, B, ToldScene, built, in_told_scene

MESSAGE = "This run was cancelled after waiting 10 minutes to start, due to capacity constraints."
GREEN = built(10, {"model.shop.a": "success"})
FOREVER = float("inf")


def lacking(**fields: Any) -> Told:
    return {**told(30), "steps": (), "started_at": None, "status_message": MESSAGE, **fields}


def at_each_start(scene: ToldScene, do: Callable[[dict[str, Any]], None]) -> None:
    """Do something with each run that is started, before the answer is sent."""
    add = scene.server.add_run

    def adding(**fields: Any) -> dict[str, Any]:
        run = add(**fields)
        do(run)
        return run

    scene.server.add_run = adding  # type: ignore[method-assign]


@pytest.mark.parametrize("strategy", ["nodes", "native"])
def test_all_of_it_is_sent_once_more_as_a_new_run(strategy: str, tmp_path: Path) -> None:
    job = {"execute_steps": ["dbt build", "dbt docs generate"]}

    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", retry_strategy=strategy)
        first, second = scene.server.runs
        assert scene.commands(0) == []
        assert scene.commands(1) == ["dbt build", "dbt docs generate"]
        assert "retrying_run_id" not in second, "dbt Cloud's own retry is for a run that failed"
        assert "dbt Cloud's own retry is not used" not in step.log
        assert (scene.tag(1).root, scene.tag(1).is_partial) == (first["id"], False)
        assert (step.outputs["status"], step.outputs["attempts"]) == ("success", "2")
        assert "because it lacked capacity before any step began: all of it runs once more" in step.summary

    ran = told(10, GREEN["steps"][-1], command("dbt docs generate"))
    in_told_scene(tmp_path, [lacking(), ran], play, job=job)


def test_the_steps_of_the_trigger_are_what_is_sent_once_more(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        await scene.play(retry_delay="0", steps_override="dbt run --select a\ndbt test")
        assert scene.commands(1) == scene.commands(0) == ["dbt run --select a", "dbt test"]

    in_told_scene(tmp_path, [lacking(), GREEN], play)


def test_the_delay_is_waited_before_it_too(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="40")
        assert [slept for slept in step.clock.slept if slept > 30]
        assert len(scene.server.runs) == 2

    in_told_scene(tmp_path, [lacking(), GREEN], play)


def test_nothing_is_sent_once_more_where_the_time_would_be_over(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="120", timeout_minutes="2")
        assert len(scene.server.runs) == 1
        assert max(step.clock.slept, default=0.0) < 60
        assert "timeout-minutes leaves no time for a retry" in step.log
        assert step.outputs["status"] == "cancelled"

    in_told_scene(tmp_path, [lacking(), GREEN], play)


def test_a_second_time_it_is_left_at_that(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0")
        assert len(scene.server.runs) == 2
        assert "dbt Cloud had no capacity for it a second time" in step.log
        assert (step.status, step.outputs["status"]) == (1, "cancelled")

    in_told_scene(tmp_path, [lacking(), lacking(), GREEN], play)


def test_a_second_time_counts_whatever_was_between(tmp_path: Path) -> None:
    failed = built(20, {"model.shop.a": "error"})

    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0")
        assert len(scene.server.runs) == 3
        assert "dbt Cloud had no capacity for it a second time" in step.log

    in_told_scene(tmp_path, [lacking(), failed, lacking(), GREEN], play)


def test_a_person_who_runs_the_workflow_again_has_it_sent_again(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        await scene.play(retry_delay="0")
        assert len(scene.server.runs) == 2
        step = await scene.play(retry_delay="0", attempt=2)
        assert (len(scene.server.runs), step.outputs["status"]) == (3, "cancelled"), step.log
        assert "dbt Cloud had no capacity for it a second time" in step.log
        step = await scene.play(retry_delay="0", attempt=3)
        assert scene.commands(3) == ["dbt build"]
        assert (step.status, step.outputs["status"]) == (0, "success")

    in_told_scene(tmp_path, [lacking(), lacking(), lacking(), GREEN], play)


def test_a_person_who_runs_the_workflow_again_has_what_was_left_out_sent_too(tmp_path: Path) -> None:
    rows = [row(A, "error", LOST), row(B, "error", "Compilation Error\n  'x' is undefined")]
    failed = told(20, build(rows, NODES, status=20))

    async def play(scene: ToldScene) -> None:
        await scene.play(retry_delay="0", targeted_retries="1")
        (only_a,) = scene.commands(1)
        assert "shop.a" in only_a
        assert "shop.b" not in only_a
        step = await scene.play(retry_delay="0", attempt=2)
        (both,) = scene.commands(2)
        assert "shop.a" in both
        assert "shop.b" in both
        assert (step.status, step.outputs["status"]) == (0, "success"), step.log

    in_told_scene(tmp_path, [failed, lacking(), built(10, {A: "success", B: "success"})], play)


def test_without_retries_it_is_not_sent_again(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(targeted_retries="0")
        assert len(scene.server.runs) == 1
        assert step.outputs["status"] == "cancelled"

    in_told_scene(tmp_path, [lacking(), GREEN], play)


def test_what_it_was_asked_for_must_be_known(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0")
        assert len(scene.server.runs) == 1
        assert "the commands of the run are not known" in step.log

    in_told_scene(tmp_path, [lacking(), GREEN], play, job={"execute_steps": None})


BEGUN = ({**SETUP[0], "status": 30},)


@pytest.mark.parametrize(
    "run",
    [
        lacking(started_at="2026-11-27 12:00:00+00:00"),
        lacking(steps=BEGUN),
        lacking(status_message="The run was cancelled."),
        lacking(status=20),
    ],
    ids=["it has a start", "a step has begun", "another reason", "it failed"],
)
def test_any_other_run_is_not_taken_for_one(run: Told, tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", targeted_retries="1")
        assert "because it lacked capacity before any step began: all of it" not in step.log + step.summary

    in_told_scene(tmp_path, [run, GREEN], play)


# -- a newer run of the job


def test_a_newer_run_that_is_active_does_its_work(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        def others(run: dict[str, Any]) -> None:
            for status in (10, 3, 1):
                scene.server.runs.append({**run, "id": scene.server._next_id, "status": status, "trigger": {}})
                scene.server._next_id += 3

        at_each_start(scene, others)
        step = await scene.play(retry_delay="0")
        first, ended, active, _ = scene.server.runs
        assert (step.status, step.outputs["status"]) == (1, "superseded")
        assert f"run {active['id']} of the job is active, and does the same work" in step.log
        assert f"run {ended['id']} of the job" not in step.log
        (looked,) = [request.query for request in scene.server.requests if "id__gt" in request.query]
        assert looked["id__gt"] == str(first["id"])
        assert looked["order_by"] == "id"

    in_told_scene(tmp_path, [lacking(), GREEN], play)


def test_newer_runs_that_have_ended_and_older_ones_do_not(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        def another(run: dict[str, Any]) -> None:
            if len(scene.server.runs) == 1:
                scene.server.runs.append({**run, "id": scene.server._next_id, "status": 10, "trigger": {}})
                scene.server._next_id += 3
                scene.server.runs.insert(0, {**run, "id": run["id"] - 1, "status": 3, "trigger": {}})

        at_each_start(scene, another)
        step = await scene.play(retry_delay="0")
        assert len(scene.server.runs) == 4
        assert step.outputs["status"] == "success"

    in_told_scene(tmp_path, [lacking(), GREEN], play)


def test_a_run_that_is_listed_behind_its_time_is_no_newer_run(tmp_path: Path) -> None:
    """The list is asked for newer runs alone. Should it hold the run itself, still queued, that is none."""

    async def play(scene: ToldScene) -> None:
        listed = scene.server._listed

        def listing(query: dict[str, str]) -> list[dict[str, Any]]:
            return [*({**run, "status": 1} for run in scene.server.runs if "id__gt" in query), *listed(query)]

        scene.server._listed = listing  # type: ignore[method-assign]
        step = await scene.play(retry_delay="0")
        assert (len(scene.server.runs), step.outputs["status"]) == (2, "success")

    in_told_scene(tmp_path, [lacking(), GREEN], play)


@pytest.mark.parametrize(
    ("job_type", "inputs", "theirs"),
    [
        ("ci", {"github_pull_request_id": "5", "git_sha": "a" * 40}, {"github_pull_request_id": 6}),
        ("scheduled", {"schema_override": "mine"}, {"schema_override": "another"}),
    ],
    ids=["another pull request", "another schema"],
)
@pytest.mark.parametrize("is_same", [False, True])
def test_a_newer_run_that_builds_elsewhere_does_other_work(
    job_type: str, inputs: dict[str, str], theirs: dict[str, Any], is_same: bool, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        def another(run: dict[str, Any]) -> None:
            if len(scene.server.runs) == 1:
                trigger = {**run["trigger"], **({} if is_same else theirs)}
                scene.server.runs.append({**run, "id": scene.server._next_id, "status": 3, "trigger": trigger})
                scene.server._next_id += 3

        at_each_start(scene, another)
        step = await scene.play(retry_delay="0", **inputs)
        assert (step.outputs["status"], len(scene.server.runs)) == (("superseded", 2) if is_same else ("success", 3))

    in_told_scene(tmp_path, [lacking(), GREEN], play, job={"job_type": job_type})


@pytest.mark.parametrize(("inputs", "longest"), [({}, 200), ({"timeout_minutes": "1"}, 75)])
def test_where_the_newer_runs_cannot_be_listed_nothing_is_sent(
    inputs: dict[str, str], longest: float, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        at_each_start(scene, lambda _: scene.server.fault("GET", "/runs/$", Fault(503, times=FOREVER)))
        step = await scene.play(retry_delay="0", **inputs)
        assert len(scene.server.runs) == 1
        assert "whether a newer run of the job does the same work could not be read: dbt Cloud could not" in step.log
        assert step.outputs["status"] == "cancelled"
        assert longest / 2 < step.seconds < longest

    in_told_scene(tmp_path, [lacking(), GREEN], play)


# -- the time in the queue


@pytest.mark.parametrize(
    ("first", "least", "most"),
    [
        (lacking(queued_duration="00:01:00"), 60, 80),
        (lacking(queued_duration="00:05:00"), 0, 20),
        (lacking(queued_duration=None, created_at=None), 120, 140),
        (built(20, {"model.shop.a": "error"}, queued_duration="00:01:00"), 120, 160),
    ],
    ids=["goes on", "is over", "is not known", "of a run that failed"],
)
def test_after_a_lack_of_capacity_the_time_in_the_queue_goes_on(
    first: Told, least: float, most: float, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", queue_timeout_minutes="2")
        assert step.outputs["status"] == "timed-out"
        assert scene.cancelled == [scene.server.runs[1]["id"]]
        assert least <= step.seconds < most

    in_told_scene(tmp_path, [first, told(1, started_at=None)], play)
