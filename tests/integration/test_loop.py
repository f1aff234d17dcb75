"""The loop over attempts: what each retry is asked for, when it is started, and when none is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from standins.cloud_server import Fault
from tests.support.told_cloud import SETUP, Told, build, command, row, told
from tests.support.told_scene import LOST, NODES, A, B, T, ToldScene, built, in_told_scene

PARTLY = built(20, {A: "error", B: "success", T: "fail"})
AGAIN = built(20, {A: "error"})
GREEN = built(10, {A: "success"})
WHOLE = built(10, {A: "success", T: "pass"})
LEFT_OUT = "failures before it were left out of the retry"


def test_a_retry_after_one_that_left_something_out_has_left_it_out_too(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0")
        assert [scene.tag(number).is_partial for number in range(3)] == [False, True, True]
        assert scene.tag(2).root == scene.server.runs[0]["id"]
        assert T not in " ".join(scene.commands(1) + scene.commands(2))
        assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (1, "error", "nodes")
        assert json.loads(step.outputs["failed-nodes"]) == [T]
        assert LEFT_OUT in step.log

    in_told_scene(tmp_path, [PARTLY, AGAIN, GREEN], play)


@pytest.mark.parametrize("last", [WHOLE, built(10, {B: "success", T: "pass"})])
def test_a_node_that_never_started_and_that_the_retry_does_not_report_is_no_success(last: Told, tmp_path: Path) -> None:
    why = "This run timed out after running for 1 hour, which exceeded the configured timeout of 3600 seconds."
    cut_off = built(30, {A: "success"}, status_message=why)

    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", targeted_retries="1")
        assert "fqn:shop.b" in " ".join(scene.commands(1))
        assert step.outputs["status"] == ("error" if last is WHOLE else "success")
        assert (f"no retry has a result of them: {B}" in step.log) is (last is WHOLE)

    in_told_scene(tmp_path, [cut_off, last], play)


def test_dbt_clouds_own_retry_inherits_what_was_left_out(tmp_path: Path) -> None:
    willing = built(20, {A: "error"}, can_retry=True)

    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", retry_strategy="native")
        first, second, third, _ = scene.server.runs
        assert "retrying_run_id" not in second, "it would run what the plan leaves out"
        assert third["retrying_run_id"] == second["id"]
        assert scene.tag(3).is_partial, "the retry after it has left it out as well"
        assert (step.status, step.outputs["status"]) == (1, "error")
        assert LEFT_OUT in step.log
        assert first["id"] == scene.tag(1).root

    refusing = {**AGAIN, "can_retry": False, "retry_not_supported_reason": "RETRY_NOT_LATEST_RUN"}
    in_told_scene(tmp_path, [PARTLY, willing, refusing, GREEN], play)


@pytest.mark.parametrize("last", [WHOLE, built(10, {T: "fail"})])
def test_a_rerun_with_resume_all_is_green_only_with_what_was_left_out(last: object, tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        await scene.play(retry_delay="0")
        again = await scene.play(attempt=2, resume="all", retry_delay="0", targeted_retries="1")
        assert len(scene.server.runs) == 4
        assert "fqn:shop.t" in " ".join(scene.commands(3))
        assert not scene.tag(3).is_partial
        failed = json.loads(again.outputs["failed-nodes"])
        assert (again.outputs["status"], failed) == (("success", []) if last is WHOLE else ("error", [T]))

    in_told_scene(tmp_path, [PARTLY, AGAIN, GREEN, last], play)  # type: ignore[list-item]


def test_a_rerun_with_resume_all_takes_what_a_green_retry_did_not_report(tmp_path: Path) -> None:
    """The plan of that retry is not known any more, and its run calls itself a success."""
    runs = [built(20, {A: "error", B: "skipped"}), GREEN, built(10, {B: "success"})]

    async def play(scene: ToldScene) -> None:
        first = await scene.play(retry_delay="0")
        assert (first.outputs["status"], len(scene.server.runs)) == ("error", 2)
        none = await scene.play(attempt=2, resume="all", retry_delay="0", targeted_retries="0")
        assert (none.status, none.outputs["status"], len(scene.server.runs)) == (1, "error", 2)
        again = await scene.play(attempt=2, resume="all", retry_delay="0", targeted_retries="1")
        assert (again.status, again.outputs["status"], len(scene.server.runs)) == (0, "success", 3)
        assert "fqn:shop.b" in " ".join(scene.commands(2))
        assert "fqn:shop.a" not in " ".join(scene.commands(2))

    in_told_scene(tmp_path, runs, play)


def test_a_rerun_with_resume_all_publishes_what_is_complete(tmp_path: Path) -> None:
    runs = [built(20, {A: "error", B: "skipped"}), built(10, {A: "success", B: "success"})]

    async def play(scene: ToldScene) -> None:
        await scene.play(retry_delay="0")
        again = await scene.play(attempt=2, resume="all", retry_delay="0", targeted_retries="1")
        assert (again.status, again.outputs["status"], len(scene.server.runs)) == (0, "success", 2)

    in_told_scene(tmp_path, runs, play)


def test_a_native_retry_is_asked_for_the_commands_from_the_failure_on(tmp_path: Path) -> None:
    """dbt Cloud lists all of the job's commands for it. One that ended before the failure is not repeated after it."""
    operation = command("dbt run-operation grant")
    failed = build([row(A, "error", LOST)], NODES, 20, words="dbt run")
    lost = {"status": 20, "steps": ({**SETUP[0], "status": 20, "logs": LOST},)}
    ran = build([row(A)], NODES, words="dbt run")
    runs = [told(20, operation, failed, can_retry=True), lost, told(10, ran)]

    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", retry_strategy="native")
        first, second, _ = scene.server.runs
        assert second["retrying_run_id"] == first["id"]
        (again,) = scene.commands(2)
        assert again.startswith("dbt run --select")
        assert step.outputs["attempts"] == "3"

    in_told_scene(tmp_path, runs, play, job={"execute_steps": ["dbt run-operation grant", "dbt run"]})


def test_the_delay_before_a_retry_is_doubled_each_time(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="40", targeted_retries="3")
        # It counts from the end of the run: 15 s of it pass until the log of the failed step is there.
        first, second, third = [slept for slept in step.clock.slept if slept > 5]
        assert first <= 40 - 15 < second <= 80 - 15 < third <= 160 - 15
        assert len(scene.server.runs) == 4
        assert step.outputs["status"] == "error"

    in_told_scene(tmp_path, [AGAIN], play)


def test_no_retry_is_planned_that_would_begin_after_the_time_is_over(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="61", timeout_minutes="1")
        assert len(scene.server.runs) == 1
        assert "timeout-minutes leaves no time for a retry" in step.log
        assert step.outputs["status"] == "error"
        assert 61 not in step.clock.slept

    in_told_scene(tmp_path, [AGAIN], play)


def test_no_retry_is_begun_where_the_time_ran_out_while_dbt_cloud_was_asked_for_its_own(tmp_path: Path) -> None:
    """Three looks at whether the run can be retried, 5 s apart, take longer than the 6 s."""
    with_log = told(20, build([row(A, "error", LOST)], NODES, status=20, logs=LOST))

    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", retry_strategy="native", timeout_minutes="0.1")
        assert len(scene.server.runs) == 1
        assert scene.server.count("GET", r"/runs/\d+/$") >= 4
        assert "No retry: timeout-minutes leaves no time for a retry" in step.log
        assert step.summary.count("dbt Cloud's own retry is not used: dbt Cloud names no reason.") == 2
        assert (step.outputs["status"], step.outputs["failure-kind"]) == ("error", "nodes")
        assert json.loads(step.outputs["failed-nodes"]) == [A]

    in_told_scene(tmp_path, [with_log], play)


@pytest.mark.parametrize(
    ("inputs", "status", "limit"),
    [({"timeout_minutes": "2"}, 3, "timeout-minutes"), ({"queue_timeout_minutes": "2"}, 1, "queue-timeout-minutes")],
)
def test_a_limit_is_in_minutes_and_ends_with_a_cancellation(
    inputs: dict[str, str], status: int, limit: str, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(**inputs)
        assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (1, "timed-out", "timeout")
        assert 120 <= step.seconds < 140
        assert scene.cancelled == [scene.server.runs[0]["id"]]
        assert f"{limit} is reached" in step.log
        assert len(scene.server.runs) == 1, "what our own limit ended is not retried"

    in_told_scene(tmp_path, [told(status)], play)


def test_what_a_run_left_is_read_once_more_before_a_retry_would_repeat_all_of_it(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        scene.server.fault("GET", "run_results.json$", Fault(429))
        step = await scene.play(retry_delay="0")
        assert "is read once more" in step.log
        assert len(scene.commands(1)) == 1
        assert "fqn:shop.a" in scene.commands(1)[0]
        assert step.outputs["status"] == "success"

    in_told_scene(tmp_path, [AGAIN, GREEN], play)


def test_a_run_without_a_step_of_dbt_is_retried_as_a_whole(tmp_path: Path) -> None:
    lost = {**SETUP[0], "status": 20, "logs": LOST}

    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0")
        assert scene.commands(1) == ["dbt build"], "they are sent: the job may have been edited since"
        assert step.outputs["status"] == "success"

    in_told_scene(tmp_path, [{"status": 20, "steps": (lost,)}, WHOLE], play)


def test_every_override_of_the_first_trigger_is_sent_again_with_the_commit_that_was_built(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        await scene.play(retry_delay="0", schema_override="here", target_name_override="ci")
        first, second = (run["trigger"] for run in scene.server.runs)
        assert second["schema_override"] == first["schema_override"] == "here"
        assert second["target_name_override"] == "ci"
        assert "git_sha" not in first
        assert second["git_sha"] == scene.server.runs[0]["git_sha"]

    in_told_scene(tmp_path, [told(20, command("dbt build", 20, LOST)), WHOLE], play)


def test_a_skipped_node_that_the_retry_was_to_run_and_does_not_report_is_no_success(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", targeted_retries="1")
        assert "fqn:shop.b" in " ".join(scene.commands(1))
        assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (1, "error", "nodes")
        assert (step.outputs["nodes-skipped"], step.outputs["recovered-nodes"]) == ("1", f'["{A}"]')
        assert f"no retry has a result of them: {B}." in step.log

    in_told_scene(tmp_path, [built(20, {A: "error", B: "skipped"}), GREEN], play)
