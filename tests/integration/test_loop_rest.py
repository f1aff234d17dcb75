"""What else the loop does between two runs: what a plan is made of, why there is no retry, and what is said of it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_loop_capacity import at_each_start, lacking
from tests.support.told_cloud import build, node, row, told
from tests.support.told_scene import LOST, NODES, A, B, T, ToldScene, built, in_told_scene

FAILED = built(20, {A: "error"})
GREEN = built(10, {A: "success"})


# -- what a plan is made of


@pytest.mark.parametrize(("retry_on", "is_retried"), [("any", True), ("transient", False)])
def test_a_failed_test_is_retried_where_every_failure_is(retry_on: str, is_retried: bool, tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", retry_on=retry_on)
        assert len(scene.server.runs) == (2 if is_retried else 1)
        assert step.outputs["status"] == ("success" if is_retried else "error")
        if is_retried:
            assert "fqn:shop.t" in " ".join(scene.commands(1))

    in_told_scene(tmp_path, [built(20, {A: "success", T: "fail"}), built(10, {T: "pass"})], play)


def test_after_dbt_clouds_own_retry_what_neither_run_has_built_is_retried(tmp_path: Path) -> None:
    """dbt Cloud's own retry reports the rest of a command alone: that B was skipped shows in the run before it."""
    first = built(20, {A: "error", B: "skipped"}, can_retry=True)
    second = built(20, {A: "error"}, can_retry=False, retry_not_supported_reason="RETRY_NOT_LATEST_RUN")

    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", retry_strategy="native")
        assert scene.server.runs[1]["retrying_run_id"] == scene.server.runs[0]["id"]
        (command,) = scene.commands(2)
        assert "fqn:shop.a" in command
        assert "fqn:shop.b" in command
        assert step.outputs["status"] == "success"

    in_told_scene(tmp_path, [first, second, built(10, {A: "success", B: "success"})], play)


@pytest.mark.parametrize(("day", "are_due"), [(15, False), (20, True)])
def test_batches_that_were_due_have_a_command_of_their_own_where_the_retry_comes_days_later(
    day: int, are_due: bool, tmp_path: Path
) -> None:
    """By dbt Cloud's clock: a retry of the same day fills the batches of that day anyway."""
    config = {"materialized": "incremental", "incremental_strategy": "microbatch", "event_time": "at"}
    config |= {"batch_size": "day", "begin": "2026-01-01"}
    nodes = [NODES[0], node(B, A, fqn=["shop", "b"], config=config)]
    noon = "2026-06-15 12:00:00+00:00"
    step_of = build([row(A, "error", LOST), row(B, "skipped")], nodes, status=20)
    times = {"started_at": noon, "finished_at": noon}
    run = told(20, {**step_of, **times}, created_at=noon, **times)

    async def play(scene: ToldScene) -> None:
        scene.server.now = lambda: datetime.fromisoformat(f"2026-06-{day} 13:00:00+00:00")
        await scene.play(retry_delay="0", targeted_retries="1")
        commands = scene.commands(1)
        assert "fqn:shop.b" in " ".join(commands)
        assert any("--event-time-start" in command for command in commands) is are_due

    in_told_scene(tmp_path, [run, built(10, {A: "success", B: "success"})], play)


def test_a_step_is_retried_by_the_project_as_it_was_parsed_for_it(tmp_path: Path) -> None:
    """Another `--vars` moves the model elsewhere for the second command, whose manifest is the newest one."""
    commands = ["dbt build --vars '{place: one}'", "dbt build --vars '{place: two}'"]
    first = build([row(A, "error", LOST)], [node(A, fqn=["shop", "one", "a"])], status=20, words=commands[0])
    second = build([row(B)], [node(A, fqn=["shop", "two", "a"]), NODES[1]], words=commands[1])

    async def play(scene: ToldScene) -> None:
        await scene.play(retry_delay="0", targeted_retries="1")
        assert "fqn:shop.one.a" in scene.commands(1)[0]

    in_told_scene(tmp_path, [told(20, first, second), GREEN], play, job={"execute_steps": commands})


# -- why there is no retry


def test_where_it_is_not_known_what_a_run_was_asked_for_nothing_is_retried(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0")
        assert len(scene.server.runs) == 1
        assert "No retry: the commands of the run are not known" in step.log
        assert step.outputs["status"] == "error"

    in_told_scene(tmp_path, [FAILED], play, job={"execute_steps": None})


def test_of_a_run_that_succeeded_no_retry_is_even_considered(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0")
        assert step.outputs["status"] == "success"
        assert "No retry" not in step.log

    in_told_scene(tmp_path, [GREEN], play)


@pytest.mark.parametrize("inputs", [{"retry_delay": "61", "timeout_minutes": "1"}, {"targeted_retries": "0"}], ids=str)
def test_a_retry_that_there_is_no_time_for_is_in_no_report(inputs: dict[str, str], tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(**inputs)
        assert (step.status, step.outputs["status"], step.outputs["attempts"]) == (1, "error", "1")
        assert step.outputs["failure-kind"] == "nodes"
        assert "1 command" not in step.log + step.summary

    in_told_scene(tmp_path, [FAILED], play)


def test_the_run_that_does_the_same_work_is_named(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        def another(run: dict[str, Any]) -> None:
            scene.server.runs.append({**run, "id": scene.server._next_id, "status": 3, "trigger": {}})
            scene.server._next_id += 3

        at_each_start(scene, another)
        step = await scene.play(retry_delay="0")
        first, newer = (run["id"] for run in scene.server.runs)
        assert f"Run {first} was superseded: dbt Cloud runs run {newer} instead." in step.log
        assert f"No retry: run {newer} of the job is active, and does the same work" in step.log
        assert (step.outputs["status"], step.outputs["failure-kind"]) == ("superseded", "cancelled")
        assert json.loads(step.outputs["run-ids"]) == [first]

    in_told_scene(tmp_path, [lacking()], play)


# -- what becomes of the current run


@pytest.mark.parametrize(
    ("inputs", "why"),
    [({"cancel_run": "false"}, "cancel-run is false"), ({}, "this step did not start it")],
    ids=["not wanted", "not ours"],
)
def test_a_run_that_is_left_alone_at_a_limit_is_named_with_the_reason(
    inputs: dict[str, str], why: str, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        attached = {} if inputs else {"run_id": str(scene.server.add_run()["id"])}
        step = await scene.play(timeout_minutes="1", **inputs, **attached)
        (run,) = scene.server.runs
        assert f"timeout-minutes is reached. Run {run['id']} continues in dbt Cloud: {why}" in step.log
        assert f"Attempt 1: run {run['id']} ended: timed-out" in step.log

    in_told_scene(tmp_path, [told(3)], play)


def test_a_signal_in_the_delay_before_another_retry_ends_no_run_and_searches_for_none(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(
            retry_delay="100", interrupt=lambda: len(scene.server.runs) == 2 and scene.clock.slept[-1:] > [150]
        )
        assert step.status == 143
        assert len(scene.server.runs) == 2
        assert scene.cancelled == []
        assert not [request for request in scene.server.requests if "id__gt" in request.query]

    in_told_scene(tmp_path, [FAILED], play)
