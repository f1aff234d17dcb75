"""What the user gets wrong ends with one clear annotation, exit status 1, and no run triggered."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from standins.emulator import RunningEmulator
from tests.support.action import ActionJob, FinishedStep
from tests.support.action_project import action_world, job

BUILD, TWIN, OTHER_TWIN = 11, 12, 13
JOBS = [
    job(BUILD, "dbt build", deactivated=True),
    job(TWIN, "dbt build", name="Twin", deactivated=True),
    job(OTHER_TWIN, "dbt build", name="Twin", environment_id=21, deactivated=True),
]
TOKENS = [{"token": "demo-token"}, {"token": "outside", "ip_blocked": True}]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningEmulator, ActionJob]]:
    with action_world(tmp_path_factory.mktemp("bad"), JOBS, tokens=TOKENS) as made:
        yield made


def refused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def refused(world: tuple[RunningEmulator, ActionJob], inputs: dict[str, str], kind: str) -> FinishedStep:
    """Run the step, and see that it ends as it should; gives it for a look at its one error."""
    emulator, workflow = world
    before = len(emulator.runs())
    step = workflow.run({"job-id": str(BUILD), **inputs})
    assert step.status == 1, step.log
    assert len(step.errors) == 1, step.log
    assert len(emulator.runs()) == before
    assert (step.outputs["status"], step.outputs["failure-kind"]) == ("error", kind)
    assert (step.outputs["run-id"], step.outputs["attempts"], step.outputs["run-ids"]) == ("", "0", "[]")
    assert step.summary.startswith("### ❌ Failed")
    return step


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        ({"api-token": ""}, ["api-token", "fork", "Dependabot"]),
        ({"job-id": ""}, ["job-id", "job-name", "run-id"]),
        ({"job-id": "nightly"}, ["job-id", "'nightly'", "whole number"]),
        (
            {"targeted-retries": "three", "timeout-minutes": "1h", "wait": "maybe", "steps-override": "rm -rf /"},
            ["4 inputs", "targeted-retries", "timeout-minutes", "wait", "true or false", "steps-override"],
        ),
        ({"artifacts-path": "../elsewhere"}, ["artifacts-path", "workspace"]),
        ({"project-directory": "a/../../b"}, ["project-directory", "workspace"]),
        ({"host": "http://cloud.example.com"}, ["host", "https://"]),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_right_is_told_before_any_request(
    world: tuple[RunningEmulator, ActionJob], inputs: dict[str, str], names: list[str]
) -> None:
    before = len(world[0].requests())
    step = refused(world, inputs, "config")
    assert all(name in step.errors[0] for name in names), step.errors
    assert len(world[0].requests()) == before
    assert "demo-token" not in step.errors[0]


def test_a_link_out_of_the_workspace_is_no_folder_in_it(world: tuple[RunningEmulator, ActionJob]) -> None:
    workspace = world[1].workspace
    (workspace / "sly").symlink_to(Path("/tmp"))
    step = refused(world, {"artifacts-path": "sly/files"}, "config")
    assert "artifacts-path" in step.errors[0]


def test_an_unknown_job_is_told(world: tuple[RunningEmulator, ActionJob]) -> None:
    step = refused(world, {"job-id": "999", "fail-on-error": "false"}, "api")  # that is about dbt's failures alone
    assert "404" in step.errors[0]
    assert "permission" in step.errors[0]


def test_a_name_that_no_job_has_is_told_with_candidates(world: tuple[RunningEmulator, ActionJob]) -> None:
    step = refused(world, {"job-id": "", "job-name": "No such"}, "config")
    assert "'No such'" in step.errors[0]
    assert f"{TWIN} 'Twin'" in step.errors[0]


def test_a_name_that_two_jobs_have_is_told_with_both(world: tuple[RunningEmulator, ActionJob]) -> None:
    step = refused(world, {"job-id": "", "job-name": "Twin"}, "config")
    assert all(f"{job_id} 'Twin'" in step.errors[0] for job_id in (TWIN, OTHER_TWIN))
    assert "environment-name" in step.errors[0]


def test_a_run_that_does_not_exist_is_told(world: tuple[RunningEmulator, ActionJob]) -> None:
    step = refused(world, {"run-id": "5", "job-id": ""}, "api")
    assert "404" in step.errors[0]


def test_a_wrong_token_or_host_is_told(world: tuple[RunningEmulator, ActionJob]) -> None:
    step = refused(world, {"api-token": "wrong-token"}, "api")
    assert "401" in step.errors[0]
    assert "host" in step.errors[0]
    assert "wrong-token" not in step.errors[0]
    before = len(world[0].requests())
    post = world[1].post(step, {"job-id": str(BUILD), "api-token": "wrong-token"})
    assert (post.status, post.errors) == (0, [])
    assert len(world[0].requests()) == before, "there is nothing to clean up"


def test_a_blocked_address_is_told(world: tuple[RunningEmulator, ActionJob]) -> None:
    step = refused(world, {"api-token": "outside"}, "api")
    assert "403" in step.errors[0]
    assert "address" in step.errors[0]


@pytest.mark.slow  # the first read is tried for three minutes: a network may come back
def test_a_host_where_no_server_answers_is_named(world: tuple[RunningEmulator, ActionJob]) -> None:
    step = world[1].run({"job-id": str(BUILD), "host": f"http://127.0.0.1:{refused_port()}"}, seconds=240)
    assert (step.status, len(step.errors)) == (1, 1)
    assert "127.0.0.1" in step.errors[0]
    assert (step.outputs["failure-kind"], step.outputs["run-id"]) == ("api", "")


def test_without_a_token_and_told_to_skip_it_ends_green(world: tuple[RunningEmulator, ActionJob]) -> None:
    step = world[1].run({"api-token": "", "account-id": "", "job-id": "", "on-missing-token": "skip"})
    assert (step.status, step.errors) == (0, [])
    assert (step.outputs["status"], step.outputs["failure-kind"]) == ("skipped", "")
    [notice] = step.annotations("notice")
    assert "fork" in notice.data
    assert step.summary.startswith("### ⏭️ Skipped")
    assert "fork" in step.summary
    quiet = world[1].run({"api-token": "", "on-missing-token": "skip", "summary": "false"})
    assert quiet.summary == ""


def test_an_unknown_input_is_told_and_stops_nothing(world: tuple[RunningEmulator, ActionJob]) -> None:
    emulator, workflow = world
    step = workflow.run({"job-id": str(BUILD), "wait": "false", "jobid": "7"})
    emulator.cancel_all()
    assert (step.status, step.outputs["status"]) == (0, "queued")
    assert any("jobid" in warning for warning in step.warnings)
