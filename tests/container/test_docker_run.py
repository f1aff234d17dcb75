"""The image, started and ended by plain `docker run` in the runner's own form; act does not model cancelling."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from standins.emulator import TERMINAL, TOKEN, RunningEmulator
from standins.results_service import ResultsService, runtime_token
from tests.support.container_step import INTERRUPT_SECONDS, MAIN, POST, TERMINATE_SECONDS, ContainerStep

pytestmark = pytest.mark.container
SLOW = "dbt build --vars '{shop_flaky: false, slow_model: stg_orders, slow_seconds: 120}'"
CANCELLED = 30


@pytest.fixture
def results() -> Iterator[ResultsService]:
    with ResultsService() as service:
        yield service


@pytest.fixture
def step(image: str, emulator: RunningEmulator, results: ResultsService, tmp_path: Path) -> ContainerStep:
    inputs = {"api-token": TOKEN, "account-id": "1", "job-id": "1001", "host": emulator.base_url}
    return ContainerStep(
        image=image,
        folder=tmp_path / "runner",
        inputs=inputs | {"poll-interval": "1", "retry-delay": "1"},
        services={"ACTIONS_RESULTS_URL": results.url, "ACTIONS_RUNTIME_TOKEN": runtime_token()},
    )


def with_inputs(step: ContainerStep, **inputs: str) -> ContainerStep:
    named = {name.replace("_", "-"): value for name, value in inputs.items()}
    return ContainerStep(step.image, step.folder, {**step.inputs, **named}, step.services)


def active_runs(emulator: RunningEmulator) -> list[int]:
    return [run["id"] for run in emulator.runs() if run["status"] not in TERMINAL]


def wait_until_running(emulator: RunningEmulator, seconds: float = 60) -> int:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        running = [run["id"] for run in emulator.runs() if run["status"] == 3]
        if running:
            return int(running[0])
        time.sleep(0.1)
    raise AssertionError("no run was started")


def test_a_whole_step(step: ContainerStep, emulator: RunningEmulator, results: ResultsService) -> None:
    started = step.start(MAIN)
    assert started.wait() == 0
    outputs = step.answers("output")
    assert outputs["status"] == "success"
    assert json.loads(outputs["recovered-nodes"]) == ["model.shop.orders"]
    assert "orders" in step.summary
    artifact = results.artifacts[outputs["artifact-name"]]
    assert artifact.is_final
    written = step.folder / "workspace" / outputs["artifacts-path"]
    assert json.loads((written / "assets.json").read_text())["assets"]
    owner = (step.folder / "workspace").stat().st_uid
    assert {path.stat().st_uid for path in written.rglob("*")} == {owner}
    assert TOKEN not in started.log.replace(f"::add-mask::{TOKEN}", "")
    post = step.start(POST, step.answers("state"))
    assert post.wait() == 0
    assert len(emulator.runs()) == 2


def test_files_belong_to_the_owner_of_the_workspace(step: ContainerStep, emulator: RunningEmulator) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give the workspace to another user")
    workspace = step.folder / "workspace"
    os.chown(workspace, 12345, 12346)
    assert step.start(MAIN).wait() == 0
    made = list(workspace.rglob("*"))
    assert made
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(12345, 12346)}


def test_cancelling_the_job_leaves_no_active_run(step: ContainerStep, emulator: RunningEmulator) -> None:
    step = with_inputs(step, steps_override=SLOW)
    started = step.start(MAIN)
    run_id = wait_until_running(emulator)
    time.sleep(1)
    told = time.monotonic()
    assert started.cancel() == 130
    assert time.monotonic() - told < 7.5
    assert not started.is_up()
    outputs = step.answers("output")
    assert (outputs["status"], outputs["run-id"]) == ("cancelled", str(run_id))
    assert step.summary
    post = step.start(POST, step.answers("state"))
    assert post.wait() == 0
    assert emulator.wait(run_id)["status"] == CANCELLED
    assert active_runs(emulator) == []
    assert len(emulator.runs()) == 1


def test_the_post_step_cancels_what_a_killed_step_left(step: ContainerStep, emulator: RunningEmulator) -> None:
    step = with_inputs(step, steps_override=SLOW)
    started = step.start(MAIN)
    run_id = wait_until_running(emulator)
    time.sleep(1)
    started.kill()
    assert active_runs(emulator) == [run_id]
    state = step.answers("state")
    assert TOKEN not in json.dumps(state)
    post = step.start(POST, state)
    assert post.wait() == 0
    assert emulator.wait(run_id)["status"] == CANCELLED
    assert len(emulator.runs()) == 1


def test_a_container_that_does_not_hear_outlives_the_runners_client_but_its_run_does_not(
    step: ContainerStep, emulator: RunningEmulator
) -> None:
    step = with_inputs(step, steps_override=SLOW)
    started = step.start(MAIN)
    run_id = wait_until_running(emulator)
    time.sleep(1)
    started.signal("STOP")
    told = time.monotonic()
    assert started.cancel() == -signal.SIGKILL
    assert time.monotonic() - told >= INTERRUPT_SECONDS + TERMINATE_SECONDS
    assert started.is_up()
    assert active_runs(emulator) == [run_id]
    post = step.start(POST, step.answers("state"))
    assert post.wait() == 0
    assert emulator.wait(run_id)["status"] == CANCELLED
    assert active_runs(emulator) == []
    # It receives the signal at last, and starts nothing.
    started.signal("CONT")
    started.wait_until_down()
    assert len(emulator.runs()) == 1


def test_the_post_step_leaves_a_run_alone_that_is_not_waited_for(
    step: ContainerStep, emulator: RunningEmulator
) -> None:
    step = with_inputs(step, steps_override=SLOW, wait="false")
    assert step.start(MAIN).wait() == 0
    assert step.answers("output")["status"] == "queued"
    assert step.start(POST, step.answers("state")).wait() == 0
    assert len(active_runs(emulator)) == 1
    emulator.cancel_all()


def test_bad_input_is_one_annotation_and_no_run(step: ContainerStep, emulator: RunningEmulator) -> None:
    step = with_inputs(step, job_id="nightly", artifacts_path="../outside", retry_delay="soon")
    started = step.start(MAIN)
    assert started.wait() == 1
    (annotation,) = [line for line in started.log.splitlines() if line.startswith("::error")]
    assert all(name in annotation for name in ("job-id", "artifacts-path", "retry-delay"))
    assert emulator.requests() == []


def test_nothing_of_the_checkout_is_loaded(step: ContainerStep, emulator: RunningEmulator) -> None:
    workspace = step.folder / "workspace"
    for module in ("json", "httpx", "dbt_cloud_run", "sitecustomize", "usercustomize"):
        (workspace / f"{module}.py").write_text("raise SystemExit('LOADED FROM THE CHECKOUT')")
    step = ContainerStep(
        step.image,
        step.folder,
        {**step.inputs, "on-missing-token": "skip", "api-token": ""},
        {**step.services, "PYTHONPATH": "/github/workspace", "PYTHONSTARTUP": "/github/workspace/json.py"},
    )
    started = step.start(MAIN)
    assert started.wait() == 0
    assert "LOADED" not in started.log
    assert step.answers("output")["status"] == "skipped"
