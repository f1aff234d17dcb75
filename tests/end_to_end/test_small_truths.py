"""dbt Cloud's odd answers about a run, and what the step says of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from standins.runner_log import read_stream
from tests.support.loop import PlayedStep
from tests.support.told_cloud import ToldCloud, build, command, job_at, node, play, row, told

A, B = "model.shop.a", "model.shop.b"
GREEN = told(10, build([row(A)], [node(A)]))
RED = told(20, build([row(A), row(B, "error", "boom")], [node(A), node(B)], status=20))


def messages(step: PlayedStep, kind: str) -> list[str]:
    return [found.data for found in read_stream(step.log).named(kind)]


def attached(folder: Path, run: dict[str, Any], trigger: dict[str, Any] | None = None, **inputs: str) -> PlayedStep:
    """A step that attaches to this run, which is there already."""

    async def played() -> PlayedStep:
        async with ToldCloud([run]) as server:
            there = server.add_run(**(trigger or {}))
            step = await job_at(server, folder, job_id="", run_id=str(there["id"]), **inputs).play()
            assert server.count("POST", "/run/$") == 0
            return step

    return asyncio.run(played())


# -- run-id


@pytest.mark.parametrize(("run", "status", "exit_status"), [(GREEN, "success", 0), (RED, "error", 1)])
def test_a_run_that_has_ended_ends_the_step_as_it_ended_without_waiting(
    run: dict[str, Any], status: str, exit_status: int, tmp_path: Path
) -> None:
    step = attached(tmp_path, run, wait="false")
    assert (step.outputs["status"], step.status) == (status, exit_status)
    assert step.outputs["nodes-succeeded"] == "1"
    assert "continues in dbt Cloud" not in step.log


def test_a_run_that_goes_on_is_left_to_go_on_without_waiting(tmp_path: Path) -> None:
    step = attached(tmp_path, {**GREEN, "status": 3}, wait="false")
    assert (step.outputs["status"], step.status) == ("queued", 0)
    assert "wait is false: the run continues in dbt Cloud." in step.log


def test_another_override_than_the_run_states_is_an_input_error_with_both_values(tmp_path: Path) -> None:
    stated = {"schema_override": "dbt_prod", "steps_override": ["dbt build"]}
    step = attached(tmp_path, GREEN, stated, schema_override="dbt_test", steps_override="dbt run", git_sha="b" * 40)
    assert (step.status, step.outputs["failure-kind"]) == (1, "config")
    (error,) = messages(step, "error")
    assert "schema-override: is 'dbt_test', and run-id " in error
    assert "has 'dbt_prod'" in error
    assert "steps-override: is 'dbt run'" in error
    assert f"git-sha: is '{'b' * 40}'" in error


def test_an_override_that_the_run_does_not_state_is_a_warning(tmp_path: Path) -> None:
    step = attached(
        tmp_path, GREEN, {"schema_override": "x"}, schema_override="x", git_sha="aaaaaaa", threads_override="4"
    )
    assert (step.status, step.outputs["status"]) == (0, "success")
    (warning,) = messages(step, "warning")
    assert "was started with threads-override: " in warning


# -- what dbt Cloud leaves out


@pytest.mark.parametrize("started", [{}, {"queued_duration": "00:00:00"}])
def test_a_run_that_never_left_the_queue_was_queued_to_its_end(started: dict[str, Any], tmp_path: Path) -> None:
    run = {"status": 30, "steps": [], "started_at": None, "finished_at": None, **started}
    times = {"created_at": "2026-11-20 06:00:00+00:00", "finished_at": "2026-11-20 06:10:00+00:00"}
    step = play(tmp_path, [{**run, **times}])
    assert step.outputs["queued-seconds"] == "600"


def test_no_message_is_none(tmp_path: Path) -> None:
    for number, words in enumerate(("None", " ")):
        (tmp_path / str(number)).mkdir()
        step = play(tmp_path / str(number), [{**RED, "status_message": words}], targeted_retries="0")
        assert "dbt Cloud's message" not in step.summary + step.log


@pytest.mark.parametrize("href", [None, ""])
def test_the_address_of_a_run_is_built_where_dbt_cloud_does_not_name_it(href: str | None, tmp_path: Path) -> None:
    step = play(tmp_path, [{**GREEN, "href": href, "project_id": 2}])
    run_url, run_id = step.outputs["run-url"], step.outputs["run-id"]
    assert run_url.startswith("http://127.0.0.1:")
    assert run_url.endswith(f"/deploy/1/projects/2/runs/{run_id}/")


def test_a_set_up_step_with_additions_is_no_command(tmp_path: Path) -> None:
    name = "Create profile from connection `BigQuery` (override schema to `dbt_cloud_pr_7`)  "
    run = {"status": 20, "steps": [{"name": name, "status": 20, "logs": "Failed to generate profile"}]}
    step = play(tmp_path, [run], targeted_retries="0")
    assert step.outputs["failure-kind"] == "setup"
    (error,) = read_stream(step.log).named("error")
    assert error.properties["title"] == f"step 1: {name.strip()}"


# -- what was built


EMPTY = "were built with --empty, which reads no rows of their inputs, so they are empty"


@pytest.mark.parametrize("words", ["dbt build --empty", "dbt run --empty -s a", "dbt --no-use-colors build --empty"])
def test_assets_that_are_empty_are_said_to_be(words: str, tmp_path: Path) -> None:
    step = play(tmp_path, [told(10, build([row(A)], [node(A)], words=words))], job={"execute_steps": [words]})
    head, _, assets = step.summary.partition("#### Assets")
    assert EMPTY.replace("--", "") in head.replace("\\", "").replace("--", "")
    assert EMPTY.replace("--", "") in assets.replace("\\", "").replace("--", "")
    assert EMPTY in step.log


def test_assets_that_a_later_step_filled_are_not(tmp_path: Path) -> None:
    steps = build([row(A)], [node(A)], words="dbt build --empty"), build([row(A)], [node(A)])
    commands = {"execute_steps": ["dbt build --empty", "dbt build"]}
    step = play(tmp_path, [told(10, *steps)], job=commands)
    assert "are empty" not in step.summary + step.log


def test_a_command_that_is_not_understood_shows_it_in_its_results(tmp_path: Path) -> None:
    made = build([row(A)], [node(A)], words="dbt build --unheard-of")
    made["files"]["run_results.json"]["args"]["empty"] = True
    assert EMPTY in play(tmp_path, [told(10, made)], job={"execute_steps": ["dbt build --unheard-of"]}).log


# -- results


def test_results_that_could_not_be_read_are_not_called_none(tmp_path: Path) -> None:
    log = "Done. PASS=1 WARN=0 ERROR=1 SKIP=0 TOTAL=2"
    unread = told(20, command("dbt build", 20, log, {"run_results.json": b"{oops"}))
    missing = told(20, command("dbt build", 20, log))
    none = told(20, command("dbt build", 20, "connection reset by peer"))
    said = {}
    for name, run in (("unread", unread), ("missing", missing), ("none", none)):
        (tmp_path / name).mkdir()
        said[name] = play(tmp_path / name, [run, GREEN]).log
    assert "It has no results" in said["none"]
    assert "ts results could not be read: run_results.json is missing" in said["missing"]
    assert "It has no results" not in said["unread"] + said["missing"]
