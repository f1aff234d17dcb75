"""What an answer leaves out of a run is not taken for what the run did: checks of freshness, triggers, results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import Fault
from tests.end_to_end.test_not_known import (
    CHARGE,
    FOREVER,
    NODES,
    ONLY_B,
    TRANSIENT,
    A,
    B,
    OddCloud,
    asked,
    failing_build,
    green,
)
from tests.support.loop import PlayedStep
from tests.support.told_cloud import Told, build, command, job_at, row, told

Answer = Callable[[Mapping[str, Any]], dict[str, Any]]
CHECK = command("dbt source freshness", status=20, logs="1 of 1 ERROR STALE freshness of raw.orders")


def play(
    folder: Path, runs: Sequence[Told], odd: Answer, times: int, *, job: Mapping[str, Any], **inputs: str
) -> tuple[PlayedStep, OddCloud]:
    async def played() -> tuple[PlayedStep, OddCloud]:
        async with OddCloud(runs, odd, times, **job) as server:
            return await job_at(server, folder, retry_delay="0", **inputs).play(), server

    return asyncio.run(played())


# -- dbt Cloud's own check of the sources, which stops nothing


def first_steps(count: int) -> Answer:
    return lambda run: {**run, "run_steps": run["run_steps"][:count]}


def checked(*steps: Told) -> Told:
    return told(20, CHECK, *steps)


CHECKED_JOB = {"execute_steps": [CHARGE, "dbt build"], "run_generate_sources": True}


@pytest.mark.parametrize("listed", [3, 4], ids=["up to the check", "up to the operation"])
@pytest.mark.parametrize("times", [2, FOREVER], ids=["late", "for ever"])
def test_a_failed_check_of_the_sources_does_not_show_that_nothing_after_it_ran(
    listed: int, times: int, tmp_path: Path
) -> None:
    run = checked(command(CHARGE, logs="charged"), failing_build())
    step, server = play(tmp_path, [run, green()], first_steps(listed), times, job=CHECKED_JOB)
    assert asked(server) == [[ONLY_B]], step.log
    assert "never started" not in step.log


def test_where_the_check_is_all_that_is_listed_the_failed_command_is_not_known(tmp_path: Path) -> None:
    charge = command(CHARGE, status=20, logs="charged, then: Connection timed out")
    job = {**CHECKED_JOB, "execute_steps": ["dbt compile", CHARGE]}
    run = checked(command("dbt compile"), charge)
    step, server = play(tmp_path, [run, green()], first_steps(3), FOREVER, job=job)
    assert asked(server) == [], step.log
    said = "its steps could not be read, so it is not known which command failed"
    assert f"No retry: {said}" in step.log
    assert said in step.summary
    assert (step.status, step.outputs["failure-kind"]) == (1, "api")


# -- a step in the middle

ONE_EACH = ("dbt run --select a", "dbt build --select b")


def without_the_third(run: Mapping[str, Any]) -> dict[str, Any]:
    return {**run, "run_steps": [step for step in run["run_steps"] if step["index"] != 3]}


def with_a_third_of_no_number(run: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **run,
        "run_steps": [{**one, "index": None if one["index"] == 3 else one["index"]} for one in run["run_steps"]],
    }


def one_each(status: int, commands: Sequence[str] = ONE_EACH) -> Told:
    rows = [row(B)] if status == 10 else [row(B, "error", TRANSIENT)]
    second = build(rows, NODES, status=status, words=commands[1])
    return told(status, build([row(A)], NODES, words=commands[0]), second)


@pytest.mark.parametrize("odd", [without_the_third, with_a_third_of_no_number])
@pytest.mark.parametrize("commands", [ONE_EACH, ("dbt build --select a", "dbt build --select b")])
def test_the_nodes_of_a_step_that_is_not_listed_before_another_are_not_counted_as_none(
    odd: Answer, commands: Sequence[str], tmp_path: Path
) -> None:
    run = one_each(10, commands)
    step, _ = play(tmp_path / "late", [run], odd, 2, job={"execute_steps": commands})
    assert (step.outputs["status"], step.outputs["nodes-total"], step.outputs["assets-count"]) == ("success", "2", "2")
    step, _ = play(tmp_path / "ever", [run], odd, FOREVER, job={"execute_steps": commands})
    assert (step.outputs["status"], step.outputs["nodes-total"], step.outputs["assets-count"]) == ("success", "", "")
    assert "could not be read" in step.summary


def test_a_green_retry_is_no_success_where_a_step_before_it_is_not_known(tmp_path: Path) -> None:
    only_b = told(10, build([row(B)], NODES))
    step, server = play(
        tmp_path, [one_each(20), only_b], without_the_third, 5, job={"execute_steps": ONE_EACH}, targeted_retries="1"
    )
    assert asked(server) == [[ONLY_B]], step.log
    assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (1, "error", "api")


# -- what this step has sent


def without_trigger(run: Mapping[str, Any]) -> dict[str, Any]:
    return {**run, "trigger": None}


def test_a_retry_of_given_steps_never_runs_the_job_s_own_instead(tmp_path: Path) -> None:
    job = {"execute_steps": ["dbt build", CHARGE]}
    first = told(20, failing_build())
    step, server = play(tmp_path, [first, green()], without_trigger, FOREVER, job=job, steps_override="dbt build")
    assert asked(server) == [[ONLY_B]], step.log


def without_job(run: Mapping[str, Any]) -> dict[str, Any]:
    return {**run, "job": None}


def test_the_job_that_was_read_before_the_trigger_says_what_a_run_was_asked_for(tmp_path: Path) -> None:
    job = {"execute_steps": ["dbt build", "dbt test"]}
    first = told(20, failing_build(), job=None)
    step, server = play(tmp_path, [first, green()], without_job, FOREVER, job=job)
    assert asked(server) == [[ONLY_B, "dbt test"]], step.log


def test_where_the_commands_of_a_run_are_not_known_nothing_is_retried(tmp_path: Path) -> None:
    job = {"execute_steps": ["dbt build", "dbt test"]}
    first = told(20, failing_build(), job=None)
    # With a commit, the job itself is not read.
    step, server = play(tmp_path, [first, green()], without_job, FOREVER, job=job, git_sha="a" * 40)
    assert asked(server) == [], step.log
    assert (step.status, step.outputs["status"]) == (1, "error")
    assert "No retry: the commands of the run are not known" in step.log
    assert "the commands of the run are not known" in step.summary


# -- results that could not be downloaded


def test_a_failed_step_whose_results_were_not_served_is_not_said_to_have_none(tmp_path: Path) -> None:
    async def played() -> tuple[PlayedStep, OddCloud]:
        failing = {**failing_build(), "logs": "Running 2 of 2"}
        async with OddCloud([told(20, failing), green()], dict, 0, execute_steps=["dbt build"]) as server:
            server.fault("GET", "/run_results.json$", Fault(503, times=FOREVER))
            return await job_at(server, tmp_path, targeted_retries="0").play(), server

    step, _ = asyncio.run(played())
    assert (step.outputs["status"], step.outputs["failure-kind"]) == ("error", "api"), step.log
    assert (step.outputs["nodes-total"], step.outputs["assets-count"]) == ("", "")
    assert "could not be read" in step.summary


# -- one odd refusal, of a token that may not list runs


@pytest.mark.parametrize("status", [401, 403])
def test_the_trigger_shows_that_a_token_is_good_where_the_list_did_not(status: int, tmp_path: Path) -> None:
    async def played() -> PlayedStep:
        async with OddCloud([green()], dict, 0) as server:
            server.fault("GET", "/runs/$", Fault(403, times=FOREVER))
            server.fault("GET", r"/runs/\d+/$", Fault(status))
            return await job_at(server, tmp_path).play()

    step = asyncio.run(played())
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
