"""What the loop owes: how long it tries, when it stops at once, and whose runs a re-run of the workflow takes up."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.emulator import RunningEmulator
from tests.support.loop import LoopJob, PlayedStep, until
from tests.support.replayed import job_id
from tests.support.scaled_clock import ScaledClock

from dbt_cloud_run.start.tag import parse_tag

WORKFLOW_RUNS = itertools.count(9001)
RUN, LIST, TRIGGER = r"/runs/\d+/$", r"/runs/$", r"/run/$"


@pytest.fixture
def emulator(replaying: RunningEmulator) -> Iterator[RunningEmulator]:
    replaying.clear_requests()
    yield replaying
    replaying.clear_faults()
    replaying.behave(hidden_requests=0, replay_speed=0)
    replaying.cancel_all()


class Steps:
    """Steps of one workflow run, in this process."""

    def __init__(self, emulator: RunningEmulator, folder: Path) -> None:
        self.emulator = emulator
        self._before = {run["id"] for run in emulator.runs()}
        self._workflow_run = str(next(WORKFLOW_RUNS))
        self.job = LoopJob(
            folder,
            inputs={
                "api-token": emulator.token,
                "account-id": "1",
                "host": emulator.base_url,
                "upload-artifact": "false",
                "retry-on": "any",
            },
        )

    def play(self, job: str = "good", *, attempt: int = 1, action: str = "__self", **inputs: str) -> PlayedStep:
        return asyncio.run(self.playing(job, attempt=attempt, action=action, **inputs))

    async def playing(
        self, job: str, *, attempt: int = 1, action: str = "__self", signal_at: Any = None, **inputs: str
    ) -> PlayedStep:
        given = {"job-id": str(job_id(1, job)), **{name.replace("_", "-"): value for name, value in inputs.items()}}
        variables = {"GITHUB_ACTION": action, "GITHUB_RUN_ID": self._workflow_run}
        return await self.job.play(given, attempt=attempt, variables=variables, signal_at=signal_at)

    @property
    def runs(self) -> list[dict[str, Any]]:
        return [run for run in self.emulator.runs() if run["id"] not in self._before]


@pytest.fixture
def steps(emulator: RunningEmulator, tmp_path: Path) -> Steps:
    return Steps(emulator, tmp_path / "job")


def run_ids(step: PlayedStep) -> list[int]:
    ids: list[int] = json.loads(step.outputs["run-ids"])
    return ids


# -- how long it tries


def test_reads_before_the_trigger_are_given_three_minutes(steps: Steps) -> None:
    steps.emulator.add_fault(path=LIST, status=503, times=None)
    step = steps.play()
    assert step.status == 1
    assert 140 < step.seconds < 190
    assert steps.runs == []
    assert "503" in step.log


def test_the_wait_for_the_run_outlasts_hours_of_silence(steps: Steps) -> None:
    steps.emulator.add_fault(method="GET", path=RUN, status=503, times=150)
    step = steps.play()
    assert (step.status, step.outputs["status"]) == (0, "success")
    assert step.seconds > 3600
    assert len(steps.runs) == 1
    waits = [round(slept, 3) for slept in step.clock.slept if 20 < slept < 40]
    assert len(set(waits)) > 50  # with jitter


@pytest.mark.parametrize(("headers", "wait"), [({}, 300.0), ({"Retry-After": "42"}, 42.0)])
def test_a_rate_limit_is_kept(headers: dict[str, str], wait: float, steps: Steps) -> None:
    steps.emulator.add_fault(method="GET", path=RUN, status=429, headers=headers)
    step = steps.play()
    assert step.outputs["status"] == "success"
    assert any(slept == pytest.approx(wait, abs=1) for slept in step.clock.slept)


def test_a_look_that_may_not_ask_for_the_steps_is_repeated_without_them(steps: Steps) -> None:
    steps.emulator.add_fault(method="GET", path=RUN, query="run_steps", status=403, times=None)
    step = steps.play(poll_interval="30")
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    assert "could not be read" in step.summary


def test_once_a_run_has_ended_its_steps_are_read_once(steps: Steps) -> None:
    steps.emulator.behave(replay_speed=100)  # so that the end is seen by a look that asks for the steps, too
    step = steps.play(poll_interval="30")
    assert step.outputs["nodes-total"] == "28"
    (run,) = steps.runs
    ended = datetime.fromisoformat(run["finished_at"]).timestamp()
    looks = [request for request in steps.emulator.requests("GET") if "run_steps" in request["query"]]
    assert len([look for look in looks if look["time"] > ended]) == 1


def test_a_new_run_may_be_unknown_for_a_minute(steps: Steps) -> None:
    steps.emulator.behave(hidden_requests=4)
    step = steps.play()
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    assert len(steps.runs) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_does_not_pass_stops_the_wait_and_cancels_nothing(status: int, steps: Steps) -> None:
    steps.emulator.add_fault(method="GET", path=RUN, after=1, status=status, times=None)
    step = steps.play("stuck", poll_interval="5")
    assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (1, "error", "api")
    assert (40 < step.seconds < 100) if status == 404 else (step.seconds < 30)
    (run,) = steps.runs
    assert run["status"] == 1  # it goes on
    assert step.outputs["run-id"] == str(run["id"])
    assert not steps.emulator.requests("POST", "/cancel/")
    advice = {401: "access URL", 403: "IP addresses", 404: "permission"}[status]
    assert advice in step.log
    assert str(run["id"]) in step.summary


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_a_refused_trigger_is_sent_once(status: int, steps: Steps) -> None:
    steps.emulator.add_fault(method="POST", path=TRIGGER, status=status, times=None)
    step = steps.play()
    assert step.status == 1
    assert step.seconds < 30
    assert len(steps.emulator.requests("POST", "/run/")) == 1
    assert steps.runs == []


def test_a_run_that_stays_in_the_queue_is_cancelled_confirmed_and_published(steps: Steps) -> None:
    step = steps.play("stuck", queue_timeout_minutes="2")
    (run,) = steps.runs
    assert (step.status, step.outputs["status"], run["status"]) == (1, "timed-out", 30)
    assert 118 < step.seconds < 200
    assert str(run["id"]) in step.summary


# -- re-runs of the workflow


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
    assert "now calls it running" in step.log
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
def test_a_rerun_takes_up_nothing_that_is_not_its_own(first: Any, second: Any, steps: Steps) -> None:
    steps.play("bad", targeted_retries="0", **first)
    again = steps.play("bad", attempt=2, targeted_retries="0", **second)
    assert run_ids(again) == [steps.runs[1]["id"]]
    assert steps.runs[1]["trigger"]["steps_override"] is None


@pytest.mark.parametrize("index", ["0", "1"])
def test_a_job_of_a_matrix_takes_up_its_own(index: str, steps: Steps) -> None:
    for number in ("0", "1"):
        steps.play("bad", targeted_retries="0", strategy_job_index=number)
    again = steps.play("bad", attempt=2, strategy_job_index=index, targeted_retries="1")
    assert run_ids(again) == [steps.runs[int(index)]["id"], steps.runs[2]["id"]]


def test_jobs_that_cannot_be_told_apart_start_afresh(steps: Steps) -> None:
    for _ in range(2):
        steps.play("bad", targeted_retries="0", strategy_job_index="")
    again = steps.play("bad", attempt=2, strategy_job_index="", targeted_retries="0")
    assert run_ids(again) == [steps.runs[2]["id"]]
    assert "cannot be told apart" in again.log


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
    assert "could not be found out" in first.log
    steps.emulator.clear_faults()
    again = steps.play("stuck", attempt=2, timeout_minutes="1")
    assert run_ids(again) == [run["id"] for run in steps.runs]
    assert len(steps.runs) == 1
