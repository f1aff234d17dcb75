"""What a run left, as the loop reads it: how often, what it does without it, and what it says of it then."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import Fault, Request
from standins.results_service import ResultsService
from tests.integration.test_loop_times import moment
from tests.support.told_cloud import build, command, row, told
from tests.support.told_scene import LOST, NODES, A, B, ToldScene, built, in_told_scene

FAILED = told(20, build([row(A, "error", LOST)], NODES, status=20, logs=LOST))
GREEN = built(10, {A: "success"})
GOES_ON = {"status": 3, "finished_at": None}
FOREVER = float("inf")
LOOK = r"/runs/\d+/$"


def is_whole(request: Request) -> bool:
    return request.method == "GET" and "run_steps" in request.query.get("include_related", "")


def wholes(scene: ToldScene) -> int:
    """How many looks have asked for the steps of a run, too."""
    return sum(is_whole(request) and "/runs/" in request.path for request in scene.server.requests)


def refuses_steps(scene: ToldScene, after: int = 0, said: str = "It cannot include them.") -> None:
    """From then on, every look at the first run that asks for its steps, too, is refused."""
    take, answered = scene.server._take_fault, 0

    def taking(request: Request) -> Fault | None:
        nonlocal answered
        if is_whole(request) and request.path.endswith(f"/runs/{scene.server.runs[0]['id']}/"):
            answered += 1
            if answered > after:
                return Fault(400, said=said)
        return take(request)

    scene.server._take_fault = taking  # type: ignore[method-assign]


def at_whole_look(scene: ToldScene, number: int, do: Callable[[dict[str, Any]], None], *, first: bool) -> None:
    """Do something with the first run at this look that asks for its steps, before it is answered or after it."""
    handle = scene.server._handle

    def handling(request: Request) -> tuple[int, bytes | Path]:
        is_it = is_whole(request) and wholes(scene) == number
        if is_it and first:
            do(scene.server.runs[0])
        answer = handle(request)
        if is_it and not first:
            do(scene.server.runs[0])
        return answer

    scene.server._handle = handling  # type: ignore[method-assign]


def ends(run: dict[str, Any], status: int = 20) -> None:
    run.update(status=status, finished_at=moment())


def test_a_run_whose_last_look_brought_its_steps_is_not_read_again(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        at_whole_look(scene, 1, ends, first=True)
        step = await scene.play(targeted_retries="0")
        assert wholes(scene) == 1
        assert json.loads(step.outputs["failed-nodes"]) == [A]

    in_told_scene(tmp_path, [{**FAILED, **GOES_ON}], play)


def test_a_run_whose_last_look_lacks_the_log_of_its_failed_step_is_read_again(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        def without_log(run: dict[str, Any]) -> None:
            ends(run)
            run["run_steps"][-1]["logs"] = ""

        at_whole_look(scene, 1, without_log, first=True)
        at_whole_look(scene, 2, lambda run: run["run_steps"][-1].update(logs="Here it is."), first=True)
        step = await scene.play(targeted_retries="0")
        assert wholes(scene) == 2
        assert "Here it is." in step.log

    in_told_scene(tmp_path, [{**FAILED, **GOES_ON}], play)


def test_where_the_steps_are_known_a_log_that_cannot_be_read_is_all_that_is_missing(tmp_path: Path) -> None:
    without_log = told(3, build([row(A, "error", LOST)], NODES, status=20), finished_at=None)

    async def play(scene: ToldScene) -> None:
        at_whole_look(scene, 1, ends, first=True)
        refuses_steps(scene, after=1)
        step = await scene.play(targeted_retries="0")
        assert "could not be read" not in step.log
        assert json.loads(step.outputs["failed-nodes"]) == [A]

    in_told_scene(tmp_path, [without_log], play)


def test_steps_that_an_earlier_look_brought_are_read_again_at_the_end(tmp_path: Path) -> None:
    """All that the job asks for was listed then. dbt Cloud generated the docs after it."""
    docs = command("dbt docs generate", files={"catalog.json": {"metadata": {}, "nodes": {}, "sources": {}}})
    whole = told(3, build([row(A)], NODES), docs, finished_at=None)

    async def play(scene: ToldScene) -> None:
        added: list[dict[str, Any]] = []

        def later(run: dict[str, Any]) -> None:
            run["run_steps"].extend(added)
            ends(run, 10)

        at_whole_look(scene, 1, lambda run: added.append(run["run_steps"].pop()), first=True)
        at_whole_look(scene, 1, later, first=False)
        step = await scene.play()
        assert wholes(scene) == 2
        assert step.outputs["status"] == "success"
        assert "“dbt docs generate”: success" in step.log

    in_told_scene(tmp_path, [whole], play)


def test_steps_that_cannot_be_read_at_the_end_are_not_taken_for_all_of_them(tmp_path: Path) -> None:
    """The last results are those of a step that no look has brought."""
    rest = build([row(B)], NODES, words="dbt build --select b")
    whole = told(3, build([row(A)], NODES), rest, finished_at=None)

    async def play(scene: ToldScene) -> None:
        at_whole_look(scene, 1, lambda run: run["run_steps"].pop(), first=True)
        at_whole_look(scene, 1, lambda run: ends(run, 10), first=False)
        refuses_steps(scene, after=1)
        step = await scene.play()
        first = scene.server.runs[0]["id"]
        note = f"The steps of run {first} could not be read: "
        assert note in step.log
        assert "It cannot include them." in step.summary
        assert f"Not every result of run {first} could be read" in step.summary

    in_told_scene(tmp_path, [whole], play)


def test_steps_that_could_not_be_read_are_missed_in_the_second_reading_too(tmp_path: Path) -> None:
    """A look brought the command that failed. What came after it, and was not seen, may have failed as well."""
    failed = build([row(A, "error", LOST)], NODES, status=20, logs=LOST)

    async def play(scene: ToldScene) -> None:
        at_whole_look(scene, 1, ends, first=False)
        refuses_steps(scene, after=1)
        scene.server.fault("GET", "run_results.json$", Fault(429))
        step = await scene.play(retry_delay="0", targeted_retries="1")
        first, _ = (run["id"] for run in scene.server.runs)
        assert f"What run {first} left behind is read once more" in step.log
        assert f"after a retry every result must be known, and those of run {first} are not" in step.log
        assert step.outputs["status"] == "error"

    in_told_scene(tmp_path, [told(3, failed, finished_at=None), GREEN], play)


def test_what_every_run_left_is_in_the_artifact(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", targeted_retries="1")
        stored = results.artifacts[step.outputs["artifact-name"]]
        with zipfile.ZipFile(io.BytesIO(stored.blob)) as archive:
            names = set(archive.namelist())
        assert {f"runs/{run['id']}/step-3/run_results.json" for run in scene.server.runs} < names
        assert len(scene.server.runs) == 2

    with ResultsService() as results:
        in_told_scene(tmp_path, [FAILED, GREEN], play, results=results)


def test_why_the_steps_could_not_be_read_is_said_with_one_full_stop(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        refuses_steps(scene)
        step = await scene.play(targeted_retries="0")
        (line,) = {line for line in step.log.splitlines() if "could not be read: " in line and "steps of run" in line}
        assert f"The steps of run {scene.server.runs[0]['id']} could not be read: " in line
        assert line.endswith("It cannot include them. token ***.")
        assert line.partition(" token")[0] in step.summary
        assert step.outputs["status"] == "error"

    in_told_scene(tmp_path, [FAILED], play)


def test_at_a_limit_it_is_the_answer_that_says_why_the_steps_could_not_be_read(tmp_path: Path) -> None:
    async def play(scene: ToldScene) -> None:
        refuses_steps(scene)
        step = await scene.play(timeout_minutes="1")
        assert "It cannot include them." in step.summary
        assert step.outputs["status"] == "timed-out"

    in_told_scene(tmp_path, [told(3)], play)


def breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaking(*_: object, **__: object) -> None:
        raise RuntimeError("something odd")

    monkeypatch.setattr("dbt_cloud_run.loop.collect", breaking)


def test_a_run_ended_as_it_did_whatever_is_unexpected_in_what_it_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    breaks(monkeypatch)

    async def play(scene: ToldScene) -> None:
        step = await scene.play(retry_delay="0", targeted_retries="1")
        first, second = (run["id"] for run in scene.server.runs)
        assert f"Attempt 1: run {first} ended: error" in step.log
        assert f"Attempt 2: run {second} ended: success" in step.log
        why = "The results of run {} could not be read (RuntimeError: something odd)."
        assert why.format(first) in step.log
        assert why.format(second) in step.log
        assert f"Its results could not be read: {why.format(first)}" in step.log
        assert f"after a retry every result must be known, and those of run {second} are not" in step.log
        assert step.outputs["status"] == "error"

    in_told_scene(tmp_path, [FAILED, GREEN], play)


@pytest.mark.parametrize(("run", "said"), [(GREEN, "success"), (FAILED, "error"), (told(30), "cancelled")])
def test_how_a_run_ended_is_known_without_its_results(
    run: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    breaks(monkeypatch)

    async def play(scene: ToldScene) -> None:
        step = await scene.play(targeted_retries="0")
        assert step.outputs["status"] == said
        assert step.outputs["run-id"] == str(scene.server.runs[0]["id"])
        assert step.outputs["nodes-failed"] == ""

    in_told_scene(tmp_path, [run], play)


# -- how often a run is looked at


@pytest.mark.parametrize(
    ("lasted", "inputs", "least", "most"),
    [(None, {}, 35, 60), ("01:00:00", {}, 15, 34), (None, {"poll_interval": "60"}, 6, 9)],
    ids=["nothing is known", "it usually takes an hour", "as often as is asked for"],
)
def test_how_often_a_run_is_looked_at(
    lasted: str | None, inputs: dict[str, str], least: int, most: int, tmp_path: Path
) -> None:
    async def play(scene: ToldScene) -> None:
        for _ in range(5 if lasted else 0):
            scene.server.add_run(status=10, run_duration=lasted).update(
                status=10, finished_at=moment(days=1), run_duration=lasted
            )
        step = await scene.play(timeout_minutes="5", **inputs)
        assert step.outputs["status"] == "timed-out"
        paths = [request.path for request in scene.server.requests]
        until = next(number for number, path in enumerate(paths) if path.endswith("/cancel/"))
        assert least <= sum(bool(re.search(LOOK, path)) for path in paths[:until]) <= most

    in_told_scene(tmp_path, [told(3, started_at=moment(), job=None)], play)
