"""Reading a run that has ended with all of its steps: what is asked for again, how long, and what is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import Fault, Request
from tests.support.waiting_scene import Scene, in_scene

from dbt_cloud_run.cloud.client import WHOLE_RUN
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import NEW_RUN_GRACE
from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.model import RunState
from dbt_cloud_run.waiting.steps import BUDGET, LIGHT_BUDGET, PAUSES, read_whole

RUN = r"/runs/\d+/$"
FOREVER = float("inf")
RUNNING, SUCCESS, ERROR, CANCELLED = 3, 10, 20, 30
WHOLE = ",".join(WHOLE_RUN)
LIGHT = ",".join(name for name in WHOLE_RUN if name != "run_steps")

Body = Callable[[Scene], Awaitable[None]]


def step(index: int, command: str, status: int, logs: str = "") -> dict[str, Any]:
    return {"index": index, "name": f"Invoke dbt with `{command}`", "status": status, "logs": logs}


DEPS = step(1, "dbt deps", SUCCESS)
FAILED = step(2, "dbt build", ERROR, "Database Error")
BEFORE_ITS_END = step(2, "dbt build", RUNNING)
AUDIT = {"cancellation": {"actor": {"id": 9, "name": "Ada"}}}


def play(body: Body) -> None:
    """Run `body` with a run that was last seen to run its second step; too many waits end it with `Interrupted`."""

    async def prepared(scene: Scene) -> None:
        scene.clock.interrupt_after = 500
        scene.run.update(run_steps=[DEPS, BEFORE_ITS_END], status=ERROR, trigger={"cause": "mine"}, audit=None)
        await body(scene)

    in_scene(prepared)


def asked(scene: Scene) -> list[str]:
    """What each request asked for besides the run itself."""
    return [request.query.get("include_related", "") for request in scene.server.requests]


def states(run: Run) -> list[RunState]:
    return [step.state for step in run.steps]


def answer(scene: Scene, kind: int, *, where: Callable[[Request], bool]) -> None:
    """Let each request go wrong that is like this."""
    original = scene.server._handle

    def handle(request: Request) -> tuple[int, bytes | Path]:
        return (kind, b"") if where(request) else original(request)

    scene.server._handle = handle  # type: ignore[method-assign]


def with_steps(request: Request) -> bool:
    return "run_steps" in request.query.get("include_related", "")


def test_a_run_that_lists_all_of_its_steps_is_read_once() -> None:
    async def body(scene: Scene) -> None:
        known = scene.known
        scene.run.update(run_steps=[DEPS, FAILED, step(3, "dbt test", CANCELLED)], audit=AUDIT)
        run, wrong = await read_whole(known, scene.client, scene.reader)
        assert wrong is None
        ended = [RunState.SUCCESS, RunState.ERROR, RunState.CANCELLED]
        assert states(run) == ended, "as they ended, not as an earlier look saw them"
        assert run.audit is not None
        assert (asked(scene), scene.clock.sleeps) == ([WHOLE], [])

    play(body)


def test_what_the_answer_leaves_out_stays_known_but_for_its_steps() -> None:
    async def body(scene: Scene) -> None:
        known = scene.known
        scene.run.update(trigger=None, job=None, run_steps=None)
        run, wrong = await read_whole(known, scene.client, scene.reader)
        assert (run.trigger, run.job) == (known.trigger, known.job)
        assert wrong == "dbt Cloud lists no steps of it"
        assert run.steps == ()

    play(body)


@pytest.mark.parametrize(("after", "sleeps"), [(1.0, PAUSES[:1]), (4.0, PAUSES[:2]), (15.0, PAUSES)])
@pytest.mark.parametrize("late", [[DEPS], [DEPS, {**FAILED, "logs": ""}]], ids=["step", "log"])
def test_a_step_or_a_log_that_comes_late_is_waited_for(
    after: float, sleeps: tuple[float, ...], late: list[dict[str, Any]]
) -> None:
    async def body(scene: Scene) -> None:
        scene.run["run_steps"] = late
        scene.at(after, run_steps=[DEPS, FAILED])
        run, wrong = await read_whole(scene.known, scene.client, scene.reader)
        assert wrong is None
        assert run.steps[-1].log == "Database Error"
        assert scene.clock.sleeps == list(sleeps)
        assert asked(scene) == [WHOLE] * (len(sleeps) + 1)

    play(body)


def test_a_step_that_never_comes_is_said_to_be_missing_and_those_that_ended_stand() -> None:
    async def body(scene: Scene) -> None:
        run, wrong = await read_whole(scene.known, scene.client, scene.reader)
        assert wrong == "dbt Cloud lists a step of it that has not ended"
        assert states(run) == [RunState.SUCCESS]
        assert run.state is RunState.ERROR
        assert scene.clock.sleeps == list(PAUSES)
        assert asked(scene) == [WHOLE] * (len(PAUSES) + 1)

    play(body)


def test_a_log_that_never_comes_hides_no_step() -> None:
    async def body(scene: Scene) -> None:
        scene.run["run_steps"] = [DEPS, {**FAILED, "logs": ""}]
        run, wrong = await read_whole(scene.known, scene.client, scene.reader)
        assert (wrong, states(run)) == (None, [RunState.SUCCESS, RunState.ERROR])
        assert scene.clock.sleeps == list(PAUSES)

    play(body)


def test_a_run_that_goes_on_is_read_once_whatever_is_late() -> None:
    async def body(scene: Scene) -> None:
        steps = [{**FAILED, "index": 1, "logs": ""}, BEFORE_ITS_END]
        scene.run.update(status=RUNNING, run_steps=steps)
        run, wrong = await read_whole(scene.known, scene.client, scene.reader)
        assert (wrong, states(run)) == (None, [RunState.ERROR, RunState.RUNNING])
        assert (asked(scene), scene.clock.sleeps) == ([WHOLE], [])

    play(body)


def test_steps_that_are_refused_are_unknown_and_the_rest_is_read_without_them() -> None:
    """The logs make the steps heavy: who cancelled the run, and what it was asked for, can be read all the same."""

    async def body(scene: Scene) -> None:
        known = scene.known
        scene.run.update(run_steps=[DEPS, FAILED], status=CANCELLED, trigger=None, audit=AUDIT)
        answer(scene, 403, where=with_steps)
        run, wrong = await read_whole(known, scene.client, scene.reader)
        assert wrong is not None
        assert "403" in wrong
        assert asked(scene) == [WHOLE, LIGHT]
        assert (run.state, states(run)) == (RunState.CANCELLED, [RunState.SUCCESS])
        assert run.audit is not None
        assert run.trigger == known.trigger
        assert scene.clock.sleeps == []

    play(body)


def test_steps_of_a_run_that_goes_on_stay_as_they_were_seen_where_they_are_refused() -> None:
    async def body(scene: Scene) -> None:
        scene.run.update(status=RUNNING, audit=AUDIT)
        known = scene.known.model_copy(update={"audit": None})
        answer(scene, 403, where=with_steps)
        run, wrong = await read_whole(known, scene.client, scene.reader)
        assert wrong is not None
        assert states(run) == [RunState.SUCCESS, RunState.RUNNING]
        assert run.audit is not None

    play(body)


def test_steps_that_were_read_at_the_end_are_judged_by_themselves_where_a_later_answer_is_refused() -> None:
    async def body(scene: Scene) -> None:
        scene.run["run_steps"] = [DEPS, FAILED]
        answer(scene, 403, where=with_steps)
        run, wrong = await read_whole(scene.known, scene.client, scene.reader, is_whole=True)
        assert (wrong, states(run)) == (None, [RunState.SUCCESS, RunState.ERROR])
        run, wrong = await read_whole(scene.known, scene.client, scene.reader)
        assert wrong is not None, "they may have gone on since"

    play(body)


def test_what_the_first_answer_lacks_is_what_is_wrong_where_the_second_is_refused() -> None:
    async def body(scene: Scene) -> None:
        scene.clock.on_sleep = lambda: answer(scene, 400, where=with_steps)
        scene.run["run_steps"] = [DEPS]
        run, wrong = await read_whole(scene.known, scene.client, scene.reader)
        assert (wrong, states(run)) == ("dbt Cloud lists no failed step of it", [RunState.SUCCESS])
        assert asked(scene) == [WHOLE, WHOLE, LIGHT]

    play(body)


@pytest.mark.parametrize("kind", [503, "reset", 404])
def test_what_passes_is_outlasted(kind: int | str) -> None:
    async def body(scene: Scene) -> None:
        scene.run["run_steps"] = [DEPS, FAILED]
        scene.server.fault("GET", RUN, Fault(kind, times=3))
        _, wrong = await read_whole(scene.known, scene.client, scene.reader)
        assert wrong is None
        assert set(asked(scene)) == {WHOLE}

    play(body)


def test_dbt_cloud_that_does_not_answer_with_the_steps_is_asked_for_a_minute() -> None:
    async def body(scene: Scene) -> None:
        scene.run["audit"] = AUDIT
        known = scene.known.model_copy(update={"audit": None})
        answer(scene, 503, where=with_steps)
        run, wrong = await read_whole(known, scene.client, scene.reader)
        assert wrong is not None
        assert "503" in wrong
        assert run.audit is not None
        assert scene.elapsed == pytest.approx(BUDGET, abs=0.1)
        assert asked(scene)[-1] == LIGHT

    play(body)


def test_dbt_cloud_that_answers_nothing_at_all_is_left_after_a_quarter_of_a_minute_more() -> None:
    async def body(scene: Scene) -> None:
        known = scene.known
        answer(scene, 503, where=lambda _: True)
        run, wrong = await read_whole(known, scene.client, scene.reader)
        assert wrong is not None
        assert "503" in wrong
        assert (run.state, run.trigger, states(run)) == (RunState.ERROR, known.trigger, [RunState.SUCCESS])
        assert scene.elapsed == pytest.approx(BUDGET + LIGHT_BUDGET, abs=0.1)

    play(body)


def test_a_run_that_is_not_found_for_a_minute_is_not_asked_for_any_longer() -> None:
    async def body(scene: Scene) -> None:
        scene.server.fault("GET", RUN, Fault(404, times=FOREVER))
        _, wrong = await read_whole(scene.known, scene.client, scene.reader)
        assert wrong is not None
        assert "404" in wrong
        assert scene.elapsed == pytest.approx(NEW_RUN_GRACE, abs=0.1)

    play(body)


def test_an_end_stays_an_end_and_an_older_answer_is_asked_for_again() -> None:
    async def body(scene: Scene) -> None:
        known = scene.known
        scene.run.update(status=RUNNING)
        scene.at(3, status=ERROR, run_steps=[DEPS, FAILED])
        run, wrong = await read_whole(known, scene.client, scene.reader)
        assert (wrong, run.state) == (None, RunState.ERROR)
        assert states(run) == [RunState.SUCCESS, RunState.ERROR]

    play(body)


def test_an_older_answer_that_stays_is_what_is_wrong_and_changes_nothing_that_is_known() -> None:
    async def body(scene: Scene) -> None:
        known = scene.known
        scene.run.update(status=RUNNING, audit=AUDIT)
        run, wrong = await read_whole(known, scene.client, scene.reader)
        assert wrong is not None
        assert f"run {run.id} ended, and now reports it as {RunState.RUNNING.value}" in wrong
        assert (run.state, run.audit, states(run)) == (RunState.ERROR, None, [RunState.SUCCESS])
        assert scene.elapsed == pytest.approx(BUDGET, abs=0.1)

    play(body)


def test_a_signal_ends_the_wait_for_what_is_late() -> None:
    async def body(scene: Scene) -> None:
        scene.clock.interrupt_after = 1
        with pytest.raises(Interrupted):
            await read_whole(scene.known, scene.client, scene.reader)

    play(body)
