"""Runs that do not come to their own end: cancelled, superseded, out of time, not waited for; and refused retries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import httpx
import pytest
from standins.emulator import RunningEmulator
from tests.support.action import ActionJob, FinishedStep, RunningStep
from tests.support.action_project import FLAKY_BUILD, GREEN_BUILD, action_world, job, recorded

from dbt_cloud_run.start.native import PAUSE as NATIVE_PAUSE

pytestmark = pytest.mark.slow

SHA = "1" * 40
# Runs of these go on for minutes: the recordings are replayed slowly.
CANCELLED, SUPERSEDED, TIMED_OUT, ATTACHED, LEFT, BUSY, NOT_WAITED = range(11, 18)
OWN_LIMIT = 18
# Of these they end at once.
OLD, REFUSED, NATIVE, COMPANY = range(21, 25)
TOKENS = [{"token": "demo-token", "name": "workflows"}, {"token": "person", "name": "Ann"}]
STEPS = {
    OLD: {"retry-strategy": "native"},
    REFUSED: {"retry-strategy": "native"},
    NATIVE: {"retry-strategy": "native"},
    TIMED_OUT: {"timeout-minutes": "0.06"},
    BUSY: {"queue-timeout-minutes": "0.04"},
    OWN_LIMIT: {"targeted-retries": "1"},
}

World = tuple[RunningEmulator, ActionJob]
Ended = Callable[[int], FinishedStep]


@pytest.fixture(scope="module")
def slow(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An emulator in which recorded runs take hundreds of seconds."""
    folder, cache = tmp_path_factory.mktemp("slow"), pytestconfig.cache
    assert cache is not None
    [green] = recorded(cache, folder, GREEN_BUILD)
    jobs = [job(i, GREEN_BUILD, replay=green) for i in (CANCELLED, TIMED_OUT, ATTACHED, LEFT, BUSY, NOT_WAITED)]
    jobs += [job(SUPERSEDED, GREEN_BUILD, replay=green, job_type="ci")]
    jobs += [job(OWN_LIMIT, GREEN_BUILD, replay=green, execution={"timeout_seconds": 1})]
    with action_world(folder, jobs, behaviour={"replay_speed": 0.005}, tokens=TOKENS) as made:
        yield made


@pytest.fixture(scope="module")
def fast(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, cache = tmp_path_factory.mktemp("fast"), pytestconfig.cache
    assert cache is not None
    [flaky] = recorded(cache, folder, FLAKY_BUILD)
    jobs = [job(job_id, FLAKY_BUILD, replay=flaky) for job_id in (REFUSED, NATIVE, COMPANY)]
    jobs += [job(OLD, FLAKY_BUILD, replay=flaky, dbt_version="1.5.0")]
    with action_world(folder, jobs, behaviour={"replay_speed": 4, "can_retry_delay": 2}, tokens=TOKENS) as made:
        yield made


@pytest.fixture(scope="module")
def ended(slow: World, fast: World) -> Ended:
    """The step of a job when it has ended; all of them run side by side."""
    slow[0].trigger(BUSY)
    message = {"status": {"code": 400, "user_message": "This run cannot be retried."}, "data": "RETRY_NOT_LATEST_RUN"}
    started: dict[int, RunningStep] = {}
    for job_id, inputs in STEPS.items():
        workflow = fast[1] if job_id in (OLD, REFUSED, NATIVE) else slow[1]
        started[job_id] = workflow.start({"job-id": str(job_id), **inputs})
    [first] = wait_for_runs(fast, REFUSED)
    fast[0].add_fault(method="POST", path=f"/runs/{first['id']}/retry/", status=400, body=message)
    return cache(lambda job_id: started[job_id].finish(240))


def runs_of(world: World, job_id: int) -> list[dict[str, Any]]:
    return [run for run in world[0].runs() if run["job_definition_id"] == job_id]


def wait_for_runs(world: World, job_id: int, count: int = 1, seconds: float = 60) -> list[dict[str, Any]]:
    deadline = time.monotonic() + seconds
    while len(found := runs_of(world, job_id)) < count:
        assert time.monotonic() < deadline, f"{len(found)} runs of job {job_id} after {seconds} s"
        time.sleep(0.05)
    return found


# -- cancelled


def test_a_run_that_a_person_cancels_is_reported_so_and_not_retried(slow: World) -> None:
    emulator, workflow = slow
    step = workflow.start({"job-id": str(CANCELLED)})
    [run] = wait_for_runs(slow, CANCELLED)
    step.wait_for(str(run["id"]))
    emulator.wait_for(run["id"], (3,))
    url = f"{emulator.base_url}/api/v2/accounts/1/runs/{run['id']}/cancel/"
    httpx.post(url, headers={"Authorization": "Token person"}, trust_env=False).raise_for_status()
    done = step.finish()
    assert done.status == 1
    assert (done.outputs["status"], done.outputs["failure-kind"]) == ("cancelled", "cancelled")
    assert len(done.errors) == 1
    assert len(runs_of(slow, CANCELLED)) == 1
    assert str(run["id"]) in done.summary
    assert done.json("result.json")["status"] == "cancelled"


def test_a_run_that_makes_way_for_a_newer_commit_is_superseded(slow: World) -> None:
    emulator, workflow = slow
    step = workflow.start({"job-id": str(SUPERSEDED), "git-sha": SHA, "github-pull-request-id": "7"})
    wait_for_runs(slow, SUPERSEDED)
    newer = emulator.trigger(SUPERSEDED, git_sha="2" * 40, github_pull_request_id=7)
    done = step.finish()
    emulator.api("POST", f"runs/{newer['id']}/cancel/")
    assert (done.status, done.outputs["status"], done.outputs["failure-kind"]) == (1, "superseded", "cancelled")
    assert len(runs_of(slow, SUPERSEDED)) == 2, "ours and the newer one"


# -- out of time


def test_out_of_time_the_run_is_cancelled_confirmed_and_published(ended: Ended, slow: World) -> None:
    step = ended(TIMED_OUT)
    assert step.status == 1
    assert (step.outputs["status"], step.outputs["failure-kind"]) == ("timed-out", "timeout")
    [run] = runs_of(slow, TIMED_OUT)
    assert run["is_cancelled"]
    assert [request["status"] for request in slow[0].requests("POST", f"/runs/{run['id']}/cancel/")] == [200]
    assert len(step.errors) == 1
    assert "timeout-minutes" in step.errors[0]
    assert "timeout-minutes" in step.summary
    assert step.uploaded().keys() >= {"result.json", "summary.md"}


def test_an_attached_run_is_not_cancelled(slow: World) -> None:
    emulator, workflow = slow
    known = emulator.trigger(ATTACHED)["id"]
    step = workflow.run({"job-id": "", "run-id": str(known), "timeout-minutes": "0.02"})
    assert (step.status, step.outputs["status"], step.outputs["run-id"]) == (1, "timed-out", str(known))
    assert not emulator.run(known)["is_complete"]
    assert emulator.requests("POST", f"/runs/{known}/cancel/") == []
    post = workflow.post(step, {"job-id": "", "run-id": str(known)})
    assert post.status == 0
    assert not emulator.run(known)["is_complete"]


def test_a_run_that_stays_in_the_queue_is_cancelled_and_the_one_before_it_is_not(ended: Ended, slow: World) -> None:
    step = ended(BUSY)
    other, ours = runs_of(slow, BUSY)
    assert (step.status, step.outputs["status"], step.outputs["run-id"]) == (1, "timed-out", str(ours["id"]))
    assert ours["is_cancelled"]
    assert not other["is_complete"]
    assert "queue-timeout-minutes" in step.errors[0]
    assert step.outputs["attempts"] == "1"


def test_a_run_that_dbt_clouds_own_limit_ends_is_retried_as_a_whole(ended: Ended, slow: World) -> None:
    step = ended(OWN_LIMIT)
    assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (1, "timed-out", "timeout")
    first, second = runs_of(slow, OWN_LIMIT)
    assert step.value("run-ids") == [first["id"], second["id"]]
    assert second["trigger"]["steps_override"] in (None, [GREEN_BUILD]), "nothing of it is known to have succeeded"


# -- not waited for


def test_without_waiting_the_run_is_triggered_and_left_alone(slow: World) -> None:
    emulator, workflow = slow
    inputs = {"job-id": str(NOT_WAITED), "wait": "false"}
    step = workflow.run(inputs)
    assert (step.status, step.errors, step.outputs["status"], step.outputs["failure-kind"]) == (0, [], "queued", "")
    [run] = runs_of(slow, NOT_WAITED)
    assert (step.outputs["run-id"], step.outputs["run-url"]) == (str(run["id"]), run["href"])
    assert (step.outputs["run-ids"], step.outputs["attempts"]) == (f"[{run['id']}]", "1")
    assert str(run["id"]) in step.summary
    post = workflow.post(step, inputs)
    assert post.status == 0
    assert not emulator.run(run["id"])["is_complete"]
    assert emulator.requests("POST", f"/runs/{run['id']}/cancel/") == []


def test_a_job_that_dies_leaves_no_run_behind(slow: World) -> None:
    """Killed without a word: the post step cancels what the step had started."""
    emulator, workflow = slow
    step = workflow.start({"job-id": str(LEFT)})
    [run] = wait_for_runs(slow, LEFT)
    step.wait_for(str(run["id"]))
    step.process.kill()
    step.process.wait()
    post = workflow.post(step, {"job-id": str(LEFT)})
    assert post.status == 0
    assert emulator.run(run["id"])["is_cancelled"], post.log


# -- dbt Cloud's own retry


def test_the_native_strategy_lets_dbt_cloud_retry_as_soon_as_it_is_willing(ended: Ended, fast: World) -> None:
    step = ended(NATIVE)
    assert (step.status, step.outputs["status"], step.outputs["attempts"]) == (0, "success", "2"), step.log
    first, second = runs_of(fast, NATIVE)
    assert second["retrying_run_id"] == first["id"]
    assert len(fast[0].requests("POST", f"/jobs/{NATIVE}/run/")) == 1
    assert step.value("recovered-nodes") == ["model.tiny.flaky"]
    assert fast[0].requests(path="/rerun/") == []


@pytest.mark.parametrize(("job_id", "reason"), [(OLD, "RETRY_UNSUPPORTED_VERSION"), (REFUSED, "RETRY_NOT_LATEST_RUN")])
def test_where_dbt_cloud_refuses_the_nodes_are_retried_and_the_reason_is_shown(
    ended: Ended, fast: World, job_id: int, reason: str
) -> None:
    step = ended(job_id)
    assert (step.status, step.outputs["status"], step.outputs["attempts"]) == (0, "success", "2"), step.log
    first, second = runs_of(fast, job_id)
    assert second["retrying_run_id"] is None
    [command] = second["trigger"]["steps_override"]
    assert "fqn:tiny.flaky" in command
    assert reason in step.text
    assert reason in step.summary.replace("\\_", "_")
    posts = fast[0].requests("POST", f"/runs/{first['id']}/retry/")
    assert len(posts) == (1 if job_id == REFUSED else 0), "it is asked only where `can_retry` says so"
    if job_id == OLD:
        waited = datetime.fromisoformat(second["created_at"]) - datetime.fromisoformat(first["finished_at"])
        assert waited < 2 * timedelta(seconds=NATIVE_PAUSE), "a reason that does not pass is not asked for again"


# -- other runs of the same job


def test_a_retry_waits_behind_another_run_of_the_job(fast: World) -> None:
    emulator, workflow = fast
    step = workflow.start({"job-id": str(COMPANY), "retry-delay": "1"})
    [first] = wait_for_runs(fast, COMPANY)
    other = emulator.trigger(COMPANY)["id"]
    done = step.finish()
    assert (done.status, done.outputs["status"]) == (0, "success"), done.log
    retry = next(run["id"] for run in runs_of(fast, COMPANY) if run["id"] not in (first["id"], other))
    assert done.value("run-ids") == [first["id"], retry], "the other run is none of ours"
    assert emulator.wait(other)["status"] == 20
    assert emulator.requests("POST", f"/runs/{other}/cancel/") == []
    assert emulator.run(retry)["dequeued_at"] >= emulator.run(other)["finished_at"]
