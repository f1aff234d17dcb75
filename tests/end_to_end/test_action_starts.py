"""Which run it is about: one that the step attaches to, one that an earlier workflow attempt left, a pull request's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from standins.emulator import RunningEmulator
from tests.support.action import FinishedStep
from tests.support.action_project import FLAKY_BUILD, GREEN_BUILD, action_world, job, recorded
from tests.support.command import CommandJob

pytestmark = pytest.mark.slow

SHA, OTHER_SHA = "1" * 40, "2" * 40
# One for each test, so that no test sees another one's runs.
FAILED, GREEN, MISMATCH, REUSED, NOT_REUSED, RESUMED, SUCCEEDED, ALL, ACTIVE = range(11, 20)
CI, QUEUE, FORK, HOOKED = range(21, 25)
NIGHTLY, NIGHTLY_ON, REHEARSED = 31, 32, 33

World = tuple[RunningEmulator, Any]
"""The emulator, and an `ActionJob` or a `CommandJob`: most of what a test does with the one holds for the other."""

in_workflow = pytest.mark.parametrize("world", ["action"], indirect=True)
"""For what there is in a workflow of GitHub's alone: events, and attempts of a run of the workflow."""


@pytest.fixture(scope="module", params=["action", pytest.param("command", marks=pytest.mark.slow)])
def world(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder, cache = tmp_path_factory.mktemp("starts"), pytestconfig.cache
    assert cache is not None
    flaky, green = recorded(cache, folder, FLAKY_BUILD, GREEN_BUILD)
    jobs = [job(job_id, FLAKY_BUILD, replay=flaky) for job_id in (FAILED, NOT_REUSED, RESUMED, REHEARSED)]
    jobs += [
        job(job_id, GREEN_BUILD, replay=green)
        for job_id in (GREEN, MISMATCH, REUSED, SUCCEEDED, ALL, NIGHTLY, NIGHTLY_ON)
    ]
    jobs += [job(job_id, GREEN_BUILD, replay=green, job_type="ci") for job_id in (CI, QUEUE, FORK)]
    jobs += [job(HOOKED, GREEN_BUILD, replay=green, job_type="ci", triggers={"github_webhook": True})]
    jobs += [job(ACTIVE, GREEN_BUILD, deactivated=True)]
    with action_world(folder, jobs, behaviour={"replay_speed": 0}) as (emulator, workflow):
        if request.param == "action":
            yield emulator, workflow
        else:
            command = CommandJob(folder / "commands", workflow.inputs)
            yield emulator, command
            command.close()


def commit(world: World) -> dict[str, str]:
    """The input that says the commit, where no event does."""
    return {"git-sha": SHA} if isinstance(world[1], CommandJob) else {}


def runs_of(world: World, job_id: int) -> list[dict[str, Any]]:
    return [run for run in world[0].runs() if run["job_definition_id"] == job_id]


def ids_of(world: World, job_id: int) -> list[int]:
    return [run["id"] for run in runs_of(world, job_id)]


def finished(world: World, job_id: int, **overrides: Any) -> int:
    """A run that this step did not start, and that has ended."""
    emulator = world[0]
    run_id: int = emulator.trigger(job_id, **overrides)["id"]
    emulator.wait(run_id)
    return run_id


# -- attached


def test_a_failed_run_is_attached_to_and_its_failures_are_retried(world: World) -> None:
    known = finished(world, FAILED, threads_override=3)
    step = world[1].run({"job-id": "", "run-id": str(known)})
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    assert step.value("run-ids") == ids_of(world, FAILED)
    assert step.value("run-ids")[0] == known
    assert step.value("recovered-nodes") == ["model.tiny.flaky"]
    retry = runs_of(world, FAILED)[1]["trigger"]
    assert retry["threads_override"] == 3, "its overrides are sent again"
    assert retry["git_sha"] == step.outputs["git-sha"]
    assert step.outputs["artifacts-path"] == f"dbt-cloud/{FAILED}"
    assert str(known) in step.summary


def test_a_dry_run_has_the_very_retry_that_a_real_step_then_sends(world: World) -> None:
    known = finished(world, REHEARSED, threads_override=3)
    inputs = {"job-id": "", "run-id": str(known)}
    dry = world[1].run({**inputs, "dry-run": "true"})
    # The command's outputs are in a file of the workspace, and a dry run writes none.
    assert (dry.status, dry.outputs.get("status", "dry-run"), dry.state) == (0, "dry-run", {}), dry.log
    assert ids_of(world, REHEARSED) == [known]
    assert "re-run:    model.tiny.flaky" in dry.text
    shown = json.loads(dry.text.split(f"/jobs/{REHEARSED}/run/\n")[1].split("\n}\n")[0] + "}")
    real = world[1].run(inputs)
    assert real.status == 0, real.log
    sent = dict(world[0].requests("POST", f"/jobs/{REHEARSED}/run/")[-1]["body"])
    assert {name: value for name, value in shown.items() if name != "cause"} == {
        name: value for name, value in sent.items() if name != "cause"
    }
    assert "flaky" in sent["steps_override"][0]


def test_a_green_run_is_attached_to_and_published_and_nothing_is_triggered(world: World) -> None:
    known = finished(world, GREEN)
    step = world[1].run({"job-id": "", "run-id": str(known)})
    assert (step.status, step.outputs["status"], step.outputs["attempts"]) == (0, "success", "1")
    assert ids_of(world, GREEN) == [known]
    assert step.asset_names == {"numbers", "first"}


def test_a_run_of_another_job_than_the_one_named_is_refused(world: World) -> None:
    known = finished(world, MISMATCH)
    step = world[1].run({"job-id": str(GREEN), "run-id": str(known)})
    assert (step.status, len(step.errors)) == (1, 1)
    # A command that has no run leaves no result.json.
    assert step.outputs.get("failure-kind", "config") == "config"
    assert str(MISMATCH) in step.errors[0]
    assert ids_of(world, MISMATCH) == [known]


def test_the_successful_run_of_the_same_commit_is_reused(world: World) -> None:
    known = finished(world, REUSED, git_sha=SHA)
    finished(world, REUSED, git_sha=OTHER_SHA)
    step = world[1].run({"job-id": str(REUSED), "reuse": "same-commit", **commit(world)})
    assert (step.status, step.outputs["status"]) == (0, "success")
    assert step.outputs["run-id"] == str(known)
    assert len(ids_of(world, REUSED)) == 2
    assert step.asset_names == {"numbers", "first"}
    assert str(known) in step.summary


def test_a_failed_run_of_the_same_commit_is_not_reused(world: World) -> None:
    known = finished(world, NOT_REUSED, git_sha=SHA)
    step = world[1].run({"job-id": str(NOT_REUSED), "reuse": "same-commit", "targeted-retries": "0", **commit(world)})
    assert len(ids_of(world, NOT_REUSED)) == 2
    assert step.outputs["run-id"] != str(known)


# -- the workflow run is run again


@in_workflow
def test_a_rerun_of_the_workflow_retries_what_failed_before(world: World) -> None:
    inputs = {"job-id": str(RESUMED), "targeted-retries": "0", "schema-override": "elsewhere"}
    before = world[1].run(inputs)
    assert (before.status, before.outputs["attempts"]) == (1, "1")
    step = world[1].run({**inputs, "targeted-retries": "1"}, attempt=2)
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    assert step.value("run-ids") == ids_of(world, RESUMED)
    assert step.value("run-ids")[0] == int(before.outputs["run-id"])
    trigger = runs_of(world, RESUMED)[1]["trigger"]
    [command] = trigger["steps_override"]
    assert "flaky" in command
    assert "fqn:tiny.first" not in command.split()
    assert trigger["schema_override"] == "elsewhere"
    assert step.value("recovered-nodes") == ["model.tiny.flaky"]


@in_workflow
def test_a_rerun_after_a_success_begins_anew(world: World) -> None:
    for attempt in (1, 2):
        step = world[1].run({"job-id": str(SUCCEEDED)}, attempt=attempt)
        assert (step.status, step.outputs["attempts"]) == (0, "1")
    assert len(ids_of(world, SUCCEEDED)) == 2


@in_workflow
def test_a_rerun_that_resumes_all_publishes_the_success_before(world: World) -> None:
    before = world[1].run({"job-id": str(ALL)})
    step = world[1].run({"job-id": str(ALL), "resume": "all"}, attempt=2)
    assert step.status == 0, step.log
    assert step.outputs["run-id"] == before.outputs["run-id"]
    assert len(ids_of(world, ALL)) == 1
    assert step.merged == before.merged


@in_workflow
def test_a_rerun_waits_for_a_run_that_is_still_active(world: World) -> None:
    before = world[1].run({"job-id": str(ACTIVE), "wait": "false"})
    step = world[1].run({"job-id": str(ACTIVE), "wait": "false"}, attempt=2)
    assert step.status == 0, step.log
    assert step.outputs["run-id"] == before.outputs["run-id"]
    assert len(ids_of(world, ACTIVE)) == 1


@in_workflow
def test_another_workflow_run_attaches_to_nothing(world: World) -> None:
    before = len(ids_of(world, ACTIVE))
    world[1].run({"job-id": str(ACTIVE), "wait": "false"}, attempt=2, variables={"GITHUB_RUN_ID": "4343"})
    assert len(ids_of(world, ACTIVE)) == before + 1


# -- pull requests


def pull_request(head: str = "acme/shop", number: int = 7) -> tuple[str, dict[str, Any]]:
    request = {
        "number": number,
        "state": "open",
        "head": {"sha": SHA, "ref": "topic", "repo": {"full_name": head}},
        "base": {"repo": {"full_name": "acme/shop"}},
    }
    return "pull_request", {"action": "synchronize", "number": number, "pull_request": request}


def assert_refused(world: World, step: FinishedStep, job_id: int) -> str:
    assert (step.status, len(step.errors), step.outputs["failure-kind"]) == (1, 1, "config"), step.log
    assert ids_of(world, job_id) == []
    return step.errors[0]


@in_workflow
def test_a_ci_job_gets_commit_number_and_schema_of_the_pull_request(world: World) -> None:
    step = world[1].run({"job-id": str(CI)}, event=pull_request())
    assert (step.status, step.outputs["git-sha"]) == (0, SHA), step.log
    [request] = world[0].requests("POST", f"/jobs/{CI}/run/")
    body = dict(request["body"])
    body.pop("cause")
    assert body == {"git_sha": SHA, "github_pull_request_id": 7, "schema_override": f"dbt_cloud_pr_{CI}_7"}


@in_workflow
def test_a_merge_group_gets_a_schema_of_its_own(world: World) -> None:
    group = {"head_sha": SHA, "head_ref": f"refs/heads/gh-readonly-queue/main/pr-9-{OTHER_SHA}"}
    step = world[1].run(
        {"job-id": str(QUEUE)}, event=("merge_group", {"action": "checks_requested", "merge_group": group})
    )
    assert step.status == 0, step.log
    body = world[0].requests("POST", f"/jobs/{QUEUE}/run/")[0]["body"]
    assert (body["git_sha"], body["github_pull_request_id"]) == (SHA, 9)
    assert body["schema_override"].startswith(f"dbt_cloud_pr_{QUEUE}_9")
    assert body["schema_override"] != f"dbt_cloud_pr_{QUEUE}_9"


@in_workflow
def test_a_fork_is_refused(world: World) -> None:
    step = world[1].run({"job-id": str(FORK)}, event=pull_request(head="someone/shop"))
    assert "someone/shop" in assert_refused(world, step, FORK)


@in_workflow
def test_a_job_that_is_not_for_pull_requests_is_refused(world: World) -> None:
    step = world[1].run({"job-id": str(NIGHTLY)}, event=pull_request())
    assert "not ci" in assert_refused(world, step, NIGHTLY)


@in_workflow
def test_any_job_is_filled_when_told_so(world: World) -> None:
    step = world[1].run({"job-id": str(NIGHTLY_ON), "pull-request": "on"}, event=pull_request())
    assert step.status == 0, step.log
    assert runs_of(world, NIGHTLY_ON)[0]["trigger"]["schema_override"] == f"dbt_cloud_pr_{NIGHTLY_ON}_7"


@in_workflow
def test_a_job_with_a_webhook_of_dbt_clouds_own_is_warned_of(world: World) -> None:
    step = world[1].run({"job-id": str(HOOKED)}, event=pull_request())
    assert step.status == 0
    assert any("same-commit" in warning for warning in step.warnings)
