"""The workflow run once more: what the loop takes over of the runs before, and what it says and does of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import Fault
from tests.integration.test_loop_reads import refuses_steps
from tests.integration.test_loop_times import moment
from tests.support.events_server import EventsServer, events_server
from tests.support.told_cloud import Told, build, row, told
from tests.support.told_scene import NODES, A, B, T, ToldScene, built, in_told_scene

FAILED = built(20, {A: "error"}, can_retry=True)
PARTLY = built(20, {A: "error", B: "error", T: "fail"})
AGAIN = built(20, {A: "success", B: "error"}, can_retry=True)
HALF = told(3, build([row(A)], NODES, status=30), finished_at=None)


def cancelled(run: Told, **audit: Any) -> Told:
    """What becomes of a run that goes on when it is cancelled."""
    return {**run, "status": 30, "audit": audit}


def test_what_dbt_clouds_own_retry_inherited_is_still_left_out_when_the_workflow_runs_again(tmp_path: Path) -> None:
    """What succeeded in either of the two retries is done: only the test is left."""

    async def play(scene: ToldScene) -> None:
        first = await scene.play(retry_delay="0", retry_strategy="native")
        assert first.outputs["status"] == "error"
        assert scene.server.runs[2]["retrying_run_id"] == scene.server.runs[1]["id"]
        again = await scene.play(attempt=2, retry_delay="0")
        (only,) = scene.commands(3)
        assert "fqn:shop.t" in only
        assert "shop.a" not in only
        assert "shop.b" not in only
        assert not scene.tag(3).is_partial
        assert again.outputs["status"] == "success"

    in_told_scene(tmp_path, [PARTLY, AGAIN, built(10, {B: "success"}), built(10, {T: "pass"})], play)


def test_dbt_clouds_own_retry_of_all_that_failed_leaves_nothing_out(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        await scene.play(retry_delay="0", retry_strategy="native", targeted_retries="1")
        assert len(scene.server.runs) == 2
        again = await scene.play(attempt=2, retry_delay="0", retry_strategy="native", targeted_retries="1")
        second, third = scene.server.runs[1:]
        assert third["retrying_run_id"] == second["id"]
        assert again.outputs["status"] == "success"

    in_told_scene(tmp_path, [FAILED, FAILED, built(10, {A: "success"})], play)


def test_a_run_that_the_step_has_cancelled_is_retried_when_the_workflow_runs_again(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        first = await scene.play(timeout_minutes="1", retry_delay="0")
        assert (first.outputs["status"], scene.cancelled) == ("timed-out", [scene.server.runs[0]["id"]])
        again = await scene.play(attempt=2, retry_delay="0", targeted_retries="1")
        assert "fqn:shop.b" in " ".join(scene.commands(1))
        assert "fqn:shop.a" not in " ".join(scene.commands(1))
        assert again.outputs["status"] == "success"

    in_told_scene(tmp_path, [HALF, built(10, {B: "success", T: "pass"})], play)


def test_a_run_that_is_cancelled_in_dbt_cloud_is_not_retried(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0")
        assert len(scene.server.runs) == 1
        assert "No retry: the run was cancelled in dbt Cloud, which does not say by whom" in step.log
        assert step.outputs["status"] == "cancelled"

    in_told_scene(tmp_path, [cancelled(HALF)], play)


@pytest.mark.parametrize("is_another", [True, False])
def test_who_cancels_the_run_of_an_earlier_attempt_decides_whether_it_is_retried(
    is_another: bool, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        await scene.play(wait="false")
        (run,) = scene.server.runs

        def is_seen() -> bool:
            if scene.server.count("GET", r"/runs/\d+/$") >= 3 and run["status"] == 3:
                ours, theirs = ({"id": number, "type": "user", "name": "Ada"} for number in (1, 2))
                audit = {"trigger": {"actor": ours}, "cancellation": {"actor": theirs if is_another else ours}}
                run.update(status=30, finished_at=moment(), audit=audit)
            return False

        again = await scene.play(attempt=2, retry_delay="0", targeted_retries="1", interrupt=is_seen)
        assert len(scene.server.runs) == (1 if is_another else 2)
        if is_another:
            assert "No retry: the run was cancelled by a person or through the API" in again.log
        assert again.outputs["status"] == ("cancelled" if is_another else "success")

    in_told_scene(tmp_path, [HALF, built(10, {B: "success", T: "pass"})], play)


def test_the_run_of_an_earlier_attempt_is_the_step_s_own(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        await scene.play(wait="false")
        again = await scene.play(attempt=2, timeout_minutes="1")
        assert scene.cancelled == [scene.server.runs[0]["id"]]
        assert again.outputs["status"] == "timed-out"

    in_told_scene(tmp_path, [told(3)], play)


def test_after_a_chain_whose_begin_is_not_listed_any_more_something_may_be_left_out(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        await scene.play(retry_delay="0", targeted_retries="1")
        scene.server.hidden[scene.server.runs[0]["id"]] = 1_000
        again = await scene.play(attempt=2, retry_delay="0", targeted_retries="1")
        assert "fqn:shop.b" in " ".join(scene.commands(2))
        assert scene.tag(2).is_partial
        assert again.outputs["status"] == "error"
        assert "failures before it were left out of the retry" in again.log

    in_told_scene(tmp_path, [PARTLY, AGAIN, built(10, {B: "success"})], play)


def test_where_the_commands_of_the_first_run_are_not_known_any_more_its_failed_test_stays_left_out(
    tmp_path: Path,
) -> None:
    """The last run is green, and the first was cut off: it is the test that has failed."""
    why = "This run timed out after running for 1 hour, which exceeded the configured timeout of 3600 seconds."
    cut_off = built(30, {A: "success", T: "fail"}, status_message=why)

    async def play(scene: ToldScene) -> None:
        await scene.play(retry_delay="0", targeted_retries="1")
        assert scene.tag(1).is_partial
        scene.server.job["execute_steps"] = None
        again = await scene.play(attempt=2, retry_delay="0", targeted_retries="1")
        assert "No retry: the commands of the run are not known" in again.log
        assert (len(scene.server.runs), again.status) == (2, 1)
        assert (again.outputs["status"], again.outputs["failure-kind"]) == ("error", "nodes")

    in_told_scene(tmp_path, [cut_off, built(10, {B: "success"})], play)


def test_a_node_that_never_started_is_missed_as_long_as_no_run_reports_it(tmp_path: Path) -> None:
    """Which nodes there were to start shows in the manifest alone."""
    why = "This run timed out after running for 1 hour, which exceeded the configured timeout of 3600 seconds."
    cut_off = built(30, {A: "success"}, status_message=why)

    async def play(scene: ToldScene) -> None:
        first = await scene.play(retry_delay="0", targeted_retries="1")
        assert first.outputs["status"] == "error"
        again = await scene.play(attempt=2, resume="all", retry_delay="0", targeted_retries="0")
        assert (again.status, again.outputs["status"], len(scene.server.runs)) == (1, "error", 2)

    in_told_scene(tmp_path, [cut_off, built(10, {T: "pass"})], play)


def test_a_node_that_the_retry_of_an_earlier_attempt_did_not_run_is_still_missed(tmp_path: Path) -> None:
    """B was skipped, no run has reported it since, and the run that is retried last does not name it."""

    async def play(scene: ToldScene) -> None:
        await scene.play(retry_delay="0", targeted_retries="1")
        assert "fqn:shop.b" in " ".join(scene.commands(1))
        again = await scene.play(attempt=2, retry_delay="0", targeted_retries="1")
        assert len(scene.server.runs) == 3
        assert (again.status, again.outputs["status"]) == (1, "error")

    runs = [built(20, {A: "error", B: "skipped"}), built(20, {A: "error"}), built(10, {A: "success"})]
    in_told_scene(tmp_path, runs, play)


def test_a_lost_retry_is_searched_for_above_the_newest_run_of_the_job(tmp_path: Path) -> None:
    """It is the run of another workflow, and newer than those of this one."""

    async def play(scene: ToldScene) -> None:
        await scene.play(retry_delay="0", targeted_retries="0")
        another = scene.server.add_run()
        scene.server.fault("POST", "/run/$", Fault("reset", took_effect=True))
        again = await scene.play(attempt=2, retry_delay="0", targeted_retries="1")
        looked = {request.query["id__gt"] for request in scene.server.requests if "id__gt" in request.query}
        assert looked == {str(another["id"])}
        assert len(scene.server.runs) == 3
        assert again.outputs["status"] == "success"

    in_told_scene(tmp_path, [FAILED, FAILED, built(10, {A: "success"})], play)


def test_why_the_steps_of_an_earlier_run_could_not_be_read_is_what_the_answer_says(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        await scene.play(targeted_retries="0")
        refuses_steps(scene)
        again = await scene.play(attempt=2, retry_delay="0", targeted_retries="1")
        assert f"The steps of run {scene.server.runs[0]['id']} could not be read: dbt Cloud answered 400" in again.log

    in_told_scene(tmp_path, [FAILED], play)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[EventsServer]:
    with events_server() as server:
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        monkeypatch.setenv("OPENLINEAGE_DATASET_NAMESPACE", "postgres://db.internal:5432")
        yield server
    # The client adds variables of its own to the environment.
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE__")]:
        monkeypatch.delenv(name)


def test_a_run_that_an_earlier_attempt_has_reported_is_not_reported_again(events: EventsServer, tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        await scene.play(emit="openlineage")
        assert events.bodies
        events.bodies.clear()
        again = await scene.play(emit="openlineage", attempt=2, resume="all")
        assert (again.outputs["status"], len(scene.server.runs)) == ("success", 1)
        assert events.bodies == []

    in_told_scene(tmp_path, [built(10, {A: "success"})], play)


def test_a_run_that_ends_while_this_attempt_waits_is_reported_by_it(events: EventsServer, tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        await scene.play(wait="false")

        def is_seen() -> bool:
            if scene.server.count("GET", r"/runs/\d+/$") >= 3:
                scene.server.runs[0].update(status=10, finished_at=moment())
            return False

        again = await scene.play(emit="openlineage", attempt=2, interrupt=is_seen)
        assert (again.outputs["status"], len(scene.server.runs)) == ("success", 1)
        assert events.bodies

    in_told_scene(tmp_path, [{**built(10, {A: "success"}), "status": 3, "finished_at": None}], play)
