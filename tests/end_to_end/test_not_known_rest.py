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
    ONLY_B,
    OddCloud,
    asked,
    failing_build,
    green,
)
from tests.support.loop import PlayedStep
from tests.support.told_cloud import Told, command, job_at, told

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
