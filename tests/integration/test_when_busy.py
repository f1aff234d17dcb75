"""`when-busy`, from the input to the wire: one decision before the trigger, from the list that is read anyway."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import JOB, Fault
from standins.runner_log import read_stream
from tests.support.loop import PlayedStep, until
from tests.support.told_cloud import ToldCloud, build, job_at, node, row, told

A = "model.shop.a"
GREEN = told(10, build([row(A)], [node(A)]))
ACTIVE = {**GREEN, "status": 3}
SHA = "a" * 40
PULL_REQUEST = {
    "number": 5,
    "state": "open",
    "head": {"sha": SHA, "repo": {"full_name": "acme/shop"}},
    "base": {"repo": {"full_name": "acme/shop"}},
}
ON_PULL_REQUEST = ("pull_request", {"pull_request": PULL_REQUEST})


def beside(
    folder: Path, theirs: dict[str, Any], *, job: dict[str, Any] | None = None, event: Any = None, **inputs: str
) -> tuple[PlayedStep, ToldCloud, int]:
    """A step on a job that has an active run of others; with the server, and the id of their run."""

    async def played() -> tuple[PlayedStep, ToldCloud, int]:
        async with ToldCloud([ACTIVE, GREEN], job) as server:
            there = server.add_run(**theirs)
            step = await job_at(server, folder, **inputs).play(event=event)
            return step, server, there["id"]

    return asyncio.run(played())


def triggers(server: ToldCloud) -> int:
    return server.count("POST", "/run/$")


def test_queue_triggers_and_waits(tmp_path: Path) -> None:
    step, server, _ = beside(tmp_path, {})
    assert (step.status, step.outputs["status"], triggers(server)) == (0, "success", 1)


def test_fail_starts_nothing_and_names_the_run(tmp_path: Path) -> None:
    step, server, other = beside(tmp_path, {}, when_busy="fail")
    assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (1, "error", "config")
    assert triggers(server) == 0
    (error,) = [found.data for found in read_stream(step.log).named("error")]
    assert f"Job {JOB} is busy: run {other} (running) builds into the same schema." in error
    assert f"run {other}" in step.summary
    assert server.count("GET", "/runs/$") == 1, "no request more than without the input"


def test_skip_ends_green_and_says_why(tmp_path: Path) -> None:
    step, server, other = beside(tmp_path, {}, when_busy="skip")
    assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (0, "skipped", "")
    assert (step.outputs["run-id"], step.outputs["run-ids"], step.outputs["attempts"]) == ("", "[]", "0")
    assert (step.outputs["job-id"], step.outputs["job-name"]) == (str(JOB), "Nightly")
    assert triggers(server) == 0
    (notice,) = [found.data for found in read_stream(step.log).named("notice")]
    assert notice == f"Job {JOB} is busy: run {other} (running) builds into the same schema."
    assert f"run {other}" in step.summary
    assert step.summary.startswith("### ⏭️ Skipped")
    assert step.state["ended"]
    assert not (step.workspace / "dbt-cloud").exists()


@pytest.mark.parametrize("when_busy", ["fail", "skip"])
def test_a_run_into_another_schema_is_in_nobodys_way(when_busy: str, tmp_path: Path) -> None:
    step, server, _ = beside(tmp_path, {"schema_override": "theirs"}, when_busy=when_busy)
    assert (step.status, step.outputs["status"], triggers(server)) == (0, "success", 1)


@pytest.mark.parametrize(("number", "status"), [(5, "error"), (6, "success")])
def test_a_ci_job_is_busy_with_its_pull_request(number: int, status: str, tmp_path: Path) -> None:
    theirs = {"github_pull_request_id": number, "git_sha": "b" * 40}
    step, server, _ = beside(tmp_path, theirs, job={"job_type": "ci"}, event=ON_PULL_REQUEST, when_busy="fail")
    assert (step.outputs["status"], triggers(server)) == (status, int(status == "success")), step.log


def test_skip_is_an_input_error_on_a_pull_request_whatever_the_job_does(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="when-busy: cannot be skip on the event pull_request"):
        beside(tmp_path, {}, event=ON_PULL_REQUEST, when_busy="skip")


# -- what wins


def test_a_refusal_of_the_event_comes_first(tmp_path: Path) -> None:
    step, server, _ = beside(tmp_path, {}, event=ON_PULL_REQUEST, when_busy="fail")
    assert (step.status, triggers(server)) == (1, 0)
    assert "not ci" in step.log
    assert "busy" not in step.log


def test_a_run_that_is_attached_to_comes_before_it(tmp_path: Path) -> None:
    """`run-id` names the very run that keeps the job busy, `reuse` finds it by its commit."""
    for name, inputs in (
        ("by id", {"job_id": "", "wait": "false"}),
        ("by commit", {"reuse": "same-commit", "git_sha": SHA, "wait": "false"}),
    ):
        (tmp_path / name).mkdir()

        async def played(folder: Path = tmp_path / name, given: dict[str, str] = inputs) -> tuple[PlayedStep, int, int]:
            async with ToldCloud([ACTIVE]) as server:
                there = server.add_run(git_sha=SHA)
                by_id = {"run_id": str(there["id"])} if "job_id" in given else {}
                step = await job_at(server, folder, when_busy="fail", **given, **by_id).play()
                return step, there["id"], triggers(server)

        step, there, started = asyncio.run(played())
        assert (step.status, step.outputs["run-id"], started) == (0, str(there), 0), name


def test_a_rerun_that_continues_its_own_run_comes_before_it(tmp_path: Path) -> None:
    async def played() -> tuple[PlayedStep, PlayedStep, ToldCloud]:
        async with ToldCloud([ACTIVE]) as server:
            workflow = job_at(server, tmp_path, wait="false")
            first = await workflow.play()
            server.add_run()
            again = await workflow.play({"when-busy": "fail"}, attempt=2)
            return first, again, server

    first, again, server = asyncio.run(played())
    assert (again.status, again.outputs["run-id"]) == (0, first.outputs["run-id"]), again.log
    assert triggers(server) == 1


# -- the list, and a race


def test_without_the_list_nothing_is_started(tmp_path: Path) -> None:
    async def played() -> tuple[PlayedStep, int]:
        async with ToldCloud([GREEN]) as server:
            server.fault("GET", "/runs/$", Fault(403, times=100))
            step = await job_at(server, tmp_path, when_busy="skip").play()
            return step, triggers(server)

    step, started = asyncio.run(played())
    assert (step.status, step.outputs["status"], started) == (1, "error", 0)
    assert "`when-busy` needs the list of the job's runs." in step.log


def test_of_two_steps_that_race_both_wait_for_the_run_that_they_have_started(tmp_path: Path) -> None:
    """Neither sees the other's run in the list; each is then asked for by its own step until it has ended."""

    async def played() -> tuple[list[PlayedStep], ToldCloud]:
        async with ToldCloud([ACTIVE]) as server:
            steps = []
            for name in ("one", "two"):
                (tmp_path / name).mkdir()
                workflow = job_at(server, tmp_path / name, when_busy="skip")
                steps.append(workflow.play(variables={"GITHUB_JOB": name}))
            server.hidden = dict.fromkeys(range(70_471_823_000_001, 70_471_823_000_010), 1)
            both = asyncio.gather(*steps)
            await until(lambda: triggers(server) == 2)
            for run in server.runs:
                run["status"] = 10
            return await both, server

    steps, server = asyncio.run(played())
    assert [(step.status, step.outputs["status"]) for step in steps] == [(0, "success")] * 2
    assert {step.outputs["run-id"] for step in steps} == {str(run["id"]) for run in server.runs}
