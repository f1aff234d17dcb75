"""The three ways in: the action, the command and the image run the same step, and leave the same files."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from standins.emulator import RunningEmulator
from tests.support.action import ActionJob, inputs_for
from tests.support.command import CommandJob, ImageJob
from tests.support.replayed import job_id

TERMINAL = (10, 20, 30)
WAYS = ["action", "command", pytest.param("image", marks=pytest.mark.container)]

Job = ActionJob | CommandJob


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def job(way: str, replaying: RunningEmulator, tmp_path: Path) -> Iterator[Job]:
    """A job of one of the ways; the emulator has no active run before it."""
    replaying.clear_requests()
    inputs = inputs_for(replaying, retry_on="any")
    made: Job
    if way == "image":
        image = os.environ.get("E2E_IMAGE")
        if not image:
            pytest.fail("E2E_IMAGE is not set: these tests are run by `make e2e`")
        made = ImageJob(tmp_path, inputs, image=image)
    elif way == "command":
        made = CommandJob(tmp_path, inputs)
    else:
        made = ActionJob(tmp_path, {**inputs, "upload-artifact": "false"})
    yield made
    made.close()
    replaying.clear_faults()
    replaying.cancel_all()


def await_request(emulator: RunningEmulator, method: str, ending: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not any(one["path"].endswith(ending) for one in emulator.requests(method)):
        assert time.monotonic() < deadline, f"no {method} {ending}"
        time.sleep(0.05)


def await_run(emulator: RunningEmulator, seconds: float = 60) -> int:
    """Until the step has looked at the run that it started; returns its id."""
    await_request(emulator, "POST", "/run/", seconds)
    run_id: int = emulator.runs()[-1]["id"]
    await_request(emulator, "GET", f"/runs/{run_id}/", seconds)
    return run_id


def test_a_recovered_run(job: Job, replaying: RunningEmulator) -> None:
    step = job.run({"job-id": str(job_id(1, "bad"))})
    assert step.status == 0, step.log
    outputs = step.outputs
    assert (outputs["status"], outputs["attempts"], outputs["nodes-failed"]) == ("success", "2", "0")
    assert json.loads(outputs["recovered-nodes"]) == ["model.shop.orders"]
    run_ids = json.loads(outputs["run-ids"])
    assert run_ids == [run["id"] for run in replaying.runs()[-2:]]
    left = {path.relative_to(step.folder).as_posix() for path in step.folder.rglob("*") if path.is_file()}
    assert {"assets.json", "result.json", "summary.md", "manifest.json", "run_results.json"} <= left
    assert {int(path.split("/")[1]) for path in left if path.startswith("runs/")} == set(run_ids)
    assert "orders" in step.asset_names
    assert "error" not in step.merged.values()
    assert "orders" in step.summary
    assert replaying.token not in step.log.replace(f"::add-mask::{replaying.token}", "")


def test_a_run_that_stays_failed(job: Job, replaying: RunningEmulator) -> None:
    step = job.run({"job-id": str(job_id(1, "bad")), "targeted-retries": "0"})
    assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (1, "error", "nodes"), step.log
    assert any("orders" in error for error in step.errors)
    assert json.loads(step.outputs["failed-nodes"]) == ["model.shop.orders"]


def test_a_failed_run_that_is_to_be_green(job: Job) -> None:
    step = job.run({"job-id": str(job_id(1, "bad")), "targeted-retries": "0", "fail-on-error": "false"})
    assert (step.status, step.outputs["status"]) == (0, "error"), step.log


def test_overrides_reach_dbt_cloud(job: Job, replaying: RunningEmulator) -> None:
    sha = "a" * 40
    step = job.run(
        {
            "job-id": str(job_id(1, "good")),
            "cause": "because",
            "git-sha": sha,
            "steps-override": "dbt seed\ndbt build",
            "gitlab-merge-request-id": "17",
            "schema-override": "",
        }
    )
    assert (step.status, step.outputs["git-sha"]) == (0, sha), step.log
    (request,) = replaying.requests("POST", "/run/")
    assert request["body"].pop("cause").endswith("] because")
    assert request["body"] == {
        "git_sha": sha,
        "steps_override": ["dbt seed", "dbt build"],
        "gitlab_merge_request_id": 17,
    }


def test_every_invalid_input_is_one_error_and_no_request(job: Job, replaying: RunningEmulator) -> None:
    step = job.run({"job-id": "nightly", "artifacts-path": "../outside", "retry-delay": "soon"})
    assert step.status == 1
    (error,) = step.errors
    assert all(name in error for name in ("job-id", "artifacts-path", "retry-delay"))
    assert replaying.requests() == []


def test_a_token_that_is_refused(job: Job) -> None:
    step = job.run({"job-id": str(job_id(1, "good")), "api-token": "not-the-token"})
    assert step.status == 1
    (error,) = step.errors
    assert "api-token" in error


def test_a_missing_token_may_be_no_failure(job: Job, replaying: RunningEmulator) -> None:
    step = job.run({"job-id": str(job_id(1, "good")), "api-token": "", "on-missing-token": "skip"})
    assert step.status == 0, step.log
    assert "Skipped" in step.log
    assert replaying.requests() == []


def test_a_run_that_is_not_waited_for(job: Job, replaying: RunningEmulator) -> None:
    step = job.run({"job-id": str(job_id(1, "stuck")), "wait": "false"})
    assert (step.status, step.outputs["status"]) == (0, "queued"), step.log
    assert replaying.runs()[-1]["status"] not in TERMINAL
    assert replaying.requests("POST", "/cancel/") == []


def test_a_run_that_is_out_of_time_is_cancelled(job: Job, replaying: RunningEmulator) -> None:
    step = job.run({"job-id": str(job_id(1, "stuck")), "timeout-minutes": "0.02"})
    assert (step.status, step.outputs["status"]) == (1, "timed-out"), step.log
    assert replaying.runs()[-1]["status"] == 30


def test_a_trigger_whose_answer_is_lost_is_looked_up_and_not_sent_again(job: Job, replaying: RunningEmulator) -> None:
    replaying.add_fault(path=r"/run/$", method="POST", effect="reset", took_effect=True)
    step = job.run({"job-id": str(job_id(1, "good"))})
    assert (step.status, step.outputs["attempts"]) == (0, "1"), step.log
    assert len(replaying.requests("POST", "/run/")) == 1


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_run(job: Job, replaying: RunningEmulator, signum: int, status: int) -> None:
    running = job.start({"job-id": str(job_id(1, "stuck"))})
    run_id = await_run(replaying)
    running.send(signum)
    step = running.finish()
    assert (step.status, step.outputs["status"]) == (status, "cancelled"), step.log
    assert replaying.wait(run_id)["status"] == 30
    assert "Traceback" not in step.log
