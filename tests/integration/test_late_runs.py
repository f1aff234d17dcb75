"""Runs that dbt Cloud lists late: found, told from duplicates, and never started twice for it."""

from __future__ import annotations

from typing import Any

import pytest
from standins.cloud_server import JOB, Fault
from tests.support.write_scene import Scene, in_scene

from dbt_cloud_run.cloud.errors import CloudError, Unconfirmed
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.post import _appeared, _cancel
from dbt_cloud_run.start.once import NativeRetry, NewRun

FOREVER = float("inf")
RUN_PATH = "/run/$"
RETRY_PATH = "/retry/$"


def test_a_run_that_shows_up_late_within_the_window_is_used() -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RUN_PATH, Fault("reset", took_effect=True))
        scene.server.hidden[scene.server._next_id] = 4
        run = await scene.start()
        assert scene.started == 1
        assert run.id == scene.server.runs[-1]["id"]

    in_scene(play)


def test_a_first_run_that_appears_after_the_second_request_wins_and_the_duplicate_is_cancelled() -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RUN_PATH, Fault("reset", took_effect=True))
        looks_in_the_window = 7
        scene.server.hidden[scene.server._next_id] = looks_in_the_window
        run = await scene.start()
        first, second = scene.server.runs[-2:]
        assert (run.id, first["status"], second["status"]) == (first["id"], 1, 30)
        assert any("duplicate" in note for note in scene.notes)

    in_scene(play)


def test_a_duplicate_that_is_not_listed_yet_is_cancelled_all_the_same() -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RUN_PATH, Fault("reset", took_effect=True))
        first_id = scene.server._next_id
        scene.server.hidden[first_id] = 7
        scene.server.hidden[first_id + 3] = 2
        run = await scene.start()
        first, second = scene.server.runs[-2:]
        assert (run.id, first["status"], second["status"]) == (first["id"], 1, 30)

    in_scene(play)


@pytest.mark.parametrize(("times", "status", "word"), [(2, 30, "was cancelled"), (FOREVER, 1, "could not be")])
def test_the_cancelling_of_a_duplicate_is_tried_again(times: float, status: int, word: str) -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RUN_PATH, Fault("reset", took_effect=True))
        scene.server.fault("POST", "/cancel/$", Fault(503, times=times))
        scene.server.hidden[scene.server._next_id] = 7
        run = await scene.start()
        first, second = scene.server.runs[-2:]
        assert (run.id, second["status"]) == (
            first["id"],
            status,
        )  # the older one counts, whatever becomes of the other
        assert word in scene.notes[-1]

    in_scene(play)


def test_the_post_step_looks_for_a_minute_for_what_was_in_flight() -> None:
    async def play(scene: Scene) -> None:
        late = scene.server.add_run(cause=str(scene.tag))["id"]
        scene.server.hidden[late] = 6
        async with scene.server.client(scene.clock) as client:
            found = await _appeared(client, Reader(scene.clock), scene.request)
            assert found is not None
            assert found.id == late
            assert (
                await _appeared(client, Reader(scene.clock), NewRun(job_id=JOB, baseline_id=late, tag=scene.tag))
                is None
            )
        assert sum(scene.clock.sleeps) == pytest.approx(120)

    in_scene(play)


def test_a_refusal_after_a_lost_first_request_looks_before_it_believes_it() -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RUN_PATH, Fault("reset", took_effect=True))
        scene.server.fault("POST", RUN_PATH, Fault(400))
        scene.server.hidden[scene.server._next_id] = 7
        run = await scene.start()
        assert scene.started == 1
        assert run.id == scene.server.runs[-1]["id"]

    in_scene(play)


def test_a_retry_that_is_refused_because_a_lost_one_took_effect_is_found_however_late_it_is_listed() -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RETRY_PATH, Fault(502, took_effect=True))
        scene.server.fault("POST", RETRY_PATH, Fault(400))
        scene.server.hidden[scene.server._next_id] = 10
        run = await scene.retry()
        assert scene.started == 1
        assert run.id == scene.server.runs[-1]["id"]

    in_scene(play)


@pytest.mark.parametrize(
    "trigger",
    [{"cause": "Retry", "cause_category": "rerun"}, {"cause": "Retry", "cause_category": None}, {}, None],
    ids=["a re-run", "no category", "no fields", "no trigger"],
)
def test_a_retry_that_does_not_say_what_it_retries_is_no_reason_to_send_another(trigger: object) -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RETRY_PATH, Fault("reset"))
        scene.server.add_run(trigger=trigger)
        with pytest.raises(Unconfirmed, match="does not say"):
            await scene.retry()
        assert scene.server.count("POST", RETRY_PATH) == 1

    in_scene(play)


def test_a_run_that_says_why_it_began_is_not_taken_for_a_retry() -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RETRY_PATH, Fault("reset"))
        scene.server.add_run(trigger={"cause": "Nightly", "cause_category": "scheduled"})
        run = await scene.retry()
        assert run.retrying_run_id == scene.failed
        assert scene.server.count("POST", RETRY_PATH) == 2

    in_scene(play)


def test_the_post_step_cannot_find_it_out_either_where_a_retry_does_not_say_what_it_retries() -> None:
    async def play(scene: Scene) -> None:
        scene.server.add_run(trigger={"cause": "Retry", "cause_category": "rerun"})
        async with scene.server.client(scene.clock) as client:
            with pytest.raises(CloudError, match="does not say"):
                await _appeared(client, Reader(scene.clock), NativeRetry(job_id=JOB, run_id=scene.failed))

    in_scene(play)


def test_the_post_step_says_what_it_searches_for_and_for_how_long() -> None:
    async def play(scene: Scene) -> None:
        async with scene.server.client(scene.clock) as client:
            assert await _appeared(client, Reader(scene.clock), scene.request) is None
        said = f"Searching for up to 60 s for a run of job {JOB} whose cause begins with {scene.tag}."
        assert scene.notes.count(said) == 1
        assert sum(scene.clock.sleeps) == 60

    in_scene(play)


@pytest.mark.parametrize(
    "answer", [{"id": 5}, {"id": 0}, {"id": -3}, {"job_definition_id": JOB + 1}, {"trigger": None}, {"trigger": {}}]
)
def test_an_answer_that_is_not_of_this_request_is_not_believed(answer: dict[str, Any]) -> None:
    """The look-up decides: it finds the run that the request has started."""

    async def play(scene: Scene) -> None:
        scene.server.answer_of_trigger = answer
        run = await scene.start()
        assert scene.started == 1
        assert run.id == scene.server.runs[-1]["id"]

    in_scene(play)


def test_a_retry_that_is_refused_after_a_lost_answer_may_have_been_started() -> None:
    """Whoever takes the refusal for a no starts a second retry in another way."""

    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RETRY_PATH, Fault("reset", took_effect=True))
        scene.server.fault("POST", RETRY_PATH, Fault(400))
        scene.server.hidden[scene.server._next_id] = 1000
        with pytest.raises(Unconfirmed, match="could not be determined"):
            await scene.retry()
        assert scene.started == 1

    in_scene(play)


def test_a_native_retry_that_appears_after_the_second_request_wins_and_the_duplicate_is_cancelled() -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RETRY_PATH, Fault("reset", took_effect=True))
        scene.server.hidden[scene.server._next_id] = 7
        run = await scene.retry()
        first, second = scene.server.runs[-2:]
        assert (run.id, first["status"], second["status"]) == (first["id"], 1, 30)

    in_scene(play)


def test_a_post_step_that_is_told_to_stop_asks_for_the_cancellation_once_more() -> None:
    async def play(scene: Scene) -> None:
        active = scene.server.add_run(cause=str(scene.tag), status=3)
        scene.server.fault("POST", "/cancel/$", Fault(503))
        scene.clock.interrupt_after = 0
        async with scene.server.client(scene.clock) as client:
            with pytest.raises(Interrupted):
                await _cancel(client, Reader(scene.clock), Run.model_validate(active))
        assert active["status"] == 30

    in_scene(play)
