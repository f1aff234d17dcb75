"""What a re-run of the workflow does about what its step had done before."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standins.emulator import RunningEmulator, running_emulator
from tests.support.loop import PlayedStep, until
from tests.support.replayed import configuration, job_id
from tests.support.scaled_clock import ScaledClock
from tests.support.workflow_steps import Steps, run_ids

from dbt_cloud_run.start.tag import parse_tag

LIST, RUN, TRIGGER = r"/runs/$", r"/runs/\d+/$", r"/run/$"
TEST = "test.retail_utils.no_negative_amounts"  # succeeds in the recording, and is made to fail for good here


def test_a_rerun_retries_every_failure_with_a_fresh_budget(steps: Steps) -> None:
    first = steps.play("bad", targeted_retries="0")
    second = steps.play("bad", attempt=2, targeted_retries="1")
    assert (first.outputs["status"], second.outputs["status"]) == ("error", "success")
    assert run_ids(second) == [run["id"] for run in steps.runs]
    assert second.outputs["attempts"] == "2"
    tags = [parse_tag(run["trigger"]["cause"]) for run in steps.runs]
    assert tags[1] is not None
    assert tags[1].root == steps.runs[0]["id"]


def test_a_rerun_that_does_not_wait_starts_the_retry_and_leaves_it(steps: Steps) -> None:
    steps.play("bad", targeted_retries="0")
    again = steps.play("bad", attempt=2, wait="false", retry_delay="0")
    assert (again.status, again.outputs["status"]) == (0, "queued"), again.log
    assert run_ids(again) == [run["id"] for run in steps.runs]
    assert len(steps.runs) == 2
    assert again.state["run_id"] == ""


def test_a_run_that_is_called_running_once_more_after_its_end_has_ended(steps: Steps) -> None:
    run_id = steps.emulator.trigger(job_id(1, "good"))["id"]
    assert steps.emulator.wait(run_id)["status"] == 10
    stale = {"status": {"code": 200}, "data": {"id": run_id, "status": 3}}
    steps.emulator.add_fault(method="GET", path=RUN, query="audit", after=1, status=200, body=stale)
    step = steps.play(run_id=str(run_id), job_id="")
    assert "now reports it as running" in step.log
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log


@pytest.mark.parametrize("kind", ["signal", "active"])
def test_a_rerun_goes_on_with_what_a_cancelled_step_left(kind: str, steps: Steps) -> None:
    async def interrupted() -> PlayedStep:
        def later(clock: ScaledClock) -> None:
            async def watch() -> None:
                await until(lambda: bool(steps.emulator.requests("GET", "/runs/7")))
                clock.interrupt(2)

            clock.watch = asyncio.ensure_future(watch())  # type: ignore[attr-defined]

        cancels = "true" if kind == "signal" else "false"
        return await steps.playing("stuck", signal_at=later, poll_interval="1", cancel_run=cancels)

    first = asyncio.run(interrupted())
    assert first.status == 130
    left = steps.runs[0]
    assert left["status"] == (30 if kind == "signal" else 1)
    again = steps.play("stuck", attempt=2, queue_timeout_minutes="1", retry_delay="0")
    assert run_ids(again)[0] == left["id"]
    assert len(steps.runs) == (2 if kind == "signal" else 1)
    assert all(run["status"] == 30 for run in steps.runs)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"strategy_job_index": "0"}, {"strategy_job_index": "1"}),
        ({"action": "__self"}, {"action": "__self_2"}),
        ({}, {"threads_override": "3"}),
        ({}, {"resume": "off"}),
    ],
    ids=["another job of the matrix", "another step", "other overrides", "resume is off"],
)
def test_a_rerun_attaches_to_nothing_that_is_not_its_own(first: Any, second: Any, steps: Steps) -> None:
    steps.play("bad", targeted_retries="0", **first)
    again = steps.play("bad", attempt=2, targeted_retries="0", **second)
    assert run_ids(again) == [steps.runs[1]["id"]]
    assert steps.runs[1]["trigger"]["steps_override"] is None


@pytest.mark.parametrize("index", ["0", "1"])
def test_a_job_of_a_matrix_attaches_to_its_own(index: str, steps: Steps) -> None:
    for number in ("0", "1"):
        steps.play("bad", targeted_retries="0", strategy_job_index=number)
    again = steps.play("bad", attempt=2, strategy_job_index=index, targeted_retries="1")
    assert run_ids(again) == [steps.runs[int(index)]["id"], steps.runs[2]["id"]]


def test_jobs_that_cannot_be_told_apart_start_afresh(steps: Steps) -> None:
    for _ in range(2):
        steps.play("bad", targeted_retries="0", strategy_job_index="")
    again = steps.play("bad", attempt=2, strategy_job_index="", targeted_retries="0")
    assert run_ids(again) == [steps.runs[2]["id"]]
    assert "cannot be distinguished" in again.log


def test_a_job_that_was_rebuilt_since_starts_afresh(steps: Steps) -> None:
    steps.play("bad", targeted_retries="0")
    rebuilt = steps.emulator.trigger(job_id(1, "bad"), steps_override=["dbt build"])["id"]
    assert steps.emulator.wait(rebuilt)["status"] == 10
    again = steps.play("bad", attempt=2, targeted_retries="0")
    assert run_ids(again) == [steps.runs[2]["id"]]
    assert str(rebuilt) in again.log


def test_a_trigger_whose_answer_was_lost_is_found_again_by_the_rerun(steps: Steps) -> None:
    steps.emulator.add_fault(method="POST", path=TRIGGER, effect="reset", took_effect=True)
    steps.emulator.add_fault(method="GET", path=LIST, query="id__gt", status=503, times=None)
    first = steps.play("stuck")
    assert first.outputs["status"] == "error"
    assert "could not be determined" in first.log
    steps.emulator.clear_faults()
    again = steps.play("stuck", attempt=2, timeout_minutes="1")
    assert run_ids(again) == [run["id"] for run in steps.runs]
    assert len(steps.runs) == 1


# -- what a retry left out


@pytest.fixture(scope="module")
def half_hopeless(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """In its first run `bad` fails for a reason that passes, and for one that does not."""
    folder = tmp_path_factory.mktemp("hopeless")
    failing, good = (Path(shutil.copytree(one, folder / one.name)) for one in recordings)
    (results,) = failing.glob("steps/*/artifacts/run_results.json")
    content = json.loads(results.read_text())
    (row,) = (row for row in content["results"] if row["unique_id"] == TEST)
    row |= {"status": "fail", "failures": 6, "message": "Got 6 results, configured to fail if != 0"}
    results.write_text(json.dumps(content))
    # The third run is the retry of what was left out, and it passes there.
    corrected = Path(shutil.copytree(good, folder / "corrected"))
    (results,) = corrected.glob("steps/*/artifacts/run_results.json")
    content = json.loads(results.read_text())
    content["results"] = [row | {"status": "pass", "failures": 0, "message": None}]
    results.write_text(json.dumps(content))
    config = configuration([failing, good])
    (bad,) = (one for one in config["jobs"] if one["name"] == "bad")
    bad |= {"replay": [str(failing), str(good), str(corrected)], "replay_order": "sequence"}
    with running_emulator(config=config) as running:
        yield running


@pytest.fixture
def hopeless(half_hopeless: RunningEmulator, tmp_path: Path) -> Iterator[Steps]:
    made = Steps(half_hopeless, tmp_path / "job")
    made.job.inputs["retry-on"] = "transient"
    yield made
    half_hopeless.clear_faults()
    half_hopeless.behave(queued_seconds=0)
    half_hopeless.cancel_all()


def commands(run: dict[str, Any]) -> str:
    return "\n".join(run["trigger"]["steps_override"] or ())


@pytest.mark.parametrize("resume", ["unfinished", "all"])
def test_what_was_left_out_of_a_green_retry_is_retried_by_the_rerun(resume: str, hopeless: Steps) -> None:
    first = hopeless.play("bad")
    assert (first.status, first.outputs["status"]) == (1, "error"), first.log
    assert hopeless.runs[1]["status"] == 10
    assert "retail_utils.no_negative_amounts" not in commands(hopeless.runs[1])
    again = hopeless.play("bad", attempt=2, resume=resume)
    assert run_ids(again) == [run["id"] for run in hopeless.runs]
    assert commands(hopeless.runs[2]).count("fqn:") == 1
    assert "fqn:retail_utils.no_negative_amounts" in commands(hopeless.runs[2])
    assert (again.status, again.outputs["status"]) == (0, "success"), again.log


def test_what_was_left_out_stays_a_failure_where_it_is_not_to_be_retried(hopeless: Steps) -> None:
    hopeless.play("bad")
    again = hopeless.play("bad", attempt=2, targeted_retries="0")
    assert run_ids(again) == [hopeless.runs[2]["id"]]  # the job is triggered again
    assert commands(hopeless.runs[2]) == ""


def test_a_retry_that_leaves_something_out_is_waited_for_and_completed(hopeless: Steps) -> None:
    first = asyncio.run(left_active(hopeless, "bad"))
    assert (first.status, len(hopeless.runs)) == (130, 2)
    again = hopeless.play("bad", attempt=2, retry_delay="0")
    assert "still active" in again.log
    assert "fqn:retail_utils.no_negative_amounts" in commands(hopeless.runs[2])
    assert (again.status, again.outputs["status"]) == (0, "success"), again.log


async def left_active(steps: Steps, job: str, **inputs: str) -> PlayedStep:
    """A step that is interrupted while its retry goes on, and leaves it."""

    def later(clock: ScaledClock) -> None:
        async def watch() -> None:
            await until(lambda: bool(steps.runs) and steps.runs[0]["status"] == 20)
            steps.emulator.behave(queued_seconds=1)
            await until(lambda: len(steps.runs) == 2)
            clock.interrupt(2)

        clock.watch = asyncio.ensure_future(watch())  # type: ignore[attr-defined]

    return await steps.playing(job, signal_at=later, cancel_run="false", retry_delay="60", **inputs)


# -- an attached run


def test_the_retry_of_an_attached_run_is_not_repeated(steps: Steps) -> None:
    theirs = steps.emulator.trigger(job_id(1, "bad"))["id"]
    assert steps.emulator.wait(theirs)["status"] == 20
    first = steps.play("bad", run_id=str(theirs), job_id="", targeted_retries="1")
    assert (first.outputs["status"], len(steps.runs)) == ("success", 2)
    again = steps.play("bad", attempt=2, run_id=str(theirs), job_id="")
    assert (again.status, run_ids(again)) == (0, run_ids(first)), again.log
    assert len(steps.runs) == 2


def test_the_retry_of_an_attached_run_is_waited_for(steps: Steps) -> None:
    theirs = steps.emulator.trigger(job_id(1, "bad"))["id"]
    assert steps.emulator.wait(theirs)["status"] == 20
    inputs = {"run_id": str(theirs), "job_id": ""}
    assert asyncio.run(left_active(steps, "bad", **inputs)).status == 130
    again = steps.play("bad", attempt=2, **inputs)
    assert run_ids(again) == [run["id"] for run in steps.runs]
    assert len(steps.runs) == 2
    assert again.outputs["status"] == "success"
