"""Retries on real dbt, where more than one thing happens: several, in new places, beside other runs, beside a merge."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from standins.emulator import RunningEmulator, running_emulator
from standins.results_service import ResultsService
from tests.support.action import ActionJob, inputs_for
from tests.support.action_project import action_world, commit, job, variables, write_action_project

pytestmark = pytest.mark.slow

SCHEMA = Path(__file__).parents[1] / "schemas" / "run-results-v6.schema.json"
TWICE, ELSEWHERE, COMPANY, NATIVE, MERGED, STEPS, TIMED_OUT = range(11, 18)
BUILD = "dbt build --select numbers first flaky after_flaky"
JOBS = [
    job(TWICE, f"{BUILD} {variables(key='twice', times=2)}"),
    job(ELSEWHERE, f"{BUILD} flaky_later {variables(key='elsewhere')}"),
    job(COMPANY, f"{BUILD} {variables(key='company')}"),
    job(NATIVE, f"{BUILD} {variables(key='native')}", "dbt run --select last"),
    job(MERGED, f"{BUILD} {variables(key='merged')}"),
    job(STEPS, "dbt seed", f"dbt run --select first flaky {variables(key='steps')}", "dbt run --select last"),
    job(TIMED_OUT, "dbt run --select checked", "dbt run --select slow", execution={"timeout_seconds": 20}),
]

World = tuple[RunningEmulator, ActionJob]
NO_RESULTS = ("deps", "source freshness", "docs generate")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository, so that a branch can move on."""
    folder = write_action_project(tmp_path_factory.mktemp("repository"))
    commit(folder, "first")
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Iterator[World]:
    with action_world(tmp_path_factory.mktemp("retries"), JOBS, project=project) as made:
        yield made


def runs_of(world: World, job_id: int) -> list[dict[str, Any]]:
    return [run for run in world[0].runs() if run["job_definition_id"] == job_id]


def executed(emulator: RunningEmulator, run_id: int) -> list[str]:
    """The names of the nodes that a run executed, over its steps."""
    found = []
    for step in emulator.run(run_id)["run_steps"]:
        has_run = step["status"] in (10, 20) and step["name"].startswith("Invoke")
        if has_run and not any(
            f"`dbt {verb}`" in step["name"] for verb in ("deps", "source freshness", "docs generate")
        ):
            rows = emulator.artifact(run_id, "run_results.json", step=step["index"])["results"]
            found += [row["unique_id"].split(".")[2] for row in rows]
    return found


def test_a_retry_of_a_retry_runs_what_is_left(world: World) -> None:
    step = world[1].run({"job-id": str(TWICE)}, seconds=240)
    assert (step.status, step.outputs["status"], step.outputs["attempts"]) == (0, "success", "3"), step.log
    first, second, third = runs_of(world, TWICE)
    left = ["flaky", "after_flaky", "unique_after_flaky_doubled"]
    assert [sorted(executed(world[0], run["id"])) for run in (second, third)] == [sorted(left)] * 2
    assert step.value("recovered-nodes") == ["model.tiny.flaky"]
    assert set(step.merged.values()) == {"success", "pass"}
    assert f" r{first['id']}]" in third["trigger"]["cause"]


def test_a_retry_that_fails_in_a_new_place_is_retried_there(world: World) -> None:
    step = world[1].run({"job-id": str(ELSEWHERE)}, seconds=240)
    assert (step.status, step.outputs["attempts"]) == (0, "3"), step.log
    runs = runs_of(world, ELSEWHERE)
    assert "flaky_later" in executed(world[0], runs[1]["id"])
    assert executed(world[0], runs[2]["id"]) == ["flaky_later"]
    assert step.value("recovered-nodes") == ["model.tiny.flaky", "model.tiny.flaky_later"]


def test_a_retry_waits_for_another_run_of_the_job_and_keeps_to_its_own(world: World) -> None:
    emulator, workflow = world
    step = workflow.start({"job-id": str(COMPANY), "retry-delay": "1"})
    step.wait_for("Attempt 1")
    own = runs_of(world, COMPANY)[0]["id"]
    other = emulator.trigger(COMPANY)["id"]
    done = step.finish(240)
    assert (done.status, done.outputs["status"]) == (0, "success"), done.log
    assert done.value("run-ids")[0] == own
    assert other not in done.value("run-ids")
    assert done.outputs["attempts"] == "2"
    retry = done.value("run-ids")[1]
    assert sorted(executed(emulator, retry)) == sorted(["flaky", "after_flaky", "unique_after_flaky_doubled"])
    assert emulator.run(retry)["started_at"] >= emulator.run(other)["finished_at"]


def test_dbt_clouds_own_retry_gives_the_same_results(world: World) -> None:
    step = world[1].run({"job-id": str(NATIVE), "retry-strategy": "native"}, seconds=240)
    assert (step.status, step.outputs["status"], step.outputs["attempts"]) == (0, "success", "2"), step.log
    first, second = runs_of(world, NATIVE)
    assert second["retrying_run_id"] == first["id"]
    assert step.value("recovered-nodes") == ["model.tiny.flaky"]
    assert step.merged.keys() >= {"seed.tiny.numbers", "model.tiny.last", "model.tiny.flaky"}
    assert set(step.merged.values()) == {"success", "pass"}


def test_a_merge_in_between_changes_nothing(world: World, project: Path) -> None:
    step = world[1].start({"job-id": str(MERGED), "retry-delay": "6"})
    step.wait_for("Waiting 6 s", 180)
    [first] = runs_of(world, MERGED)
    (project / "models" / "after_flaky.sql").write_text("select no_such_column from {{ ref('flaky') }}\n")
    newer = commit(project, "a merge that breaks it")
    done = step.finish(240)
    assert (done.status, done.outputs["status"]) == (0, "success"), done.log
    _, second = runs_of(world, MERGED)
    assert second["git_sha"] == first["git_sha"] == done.outputs["git-sha"] != newer
    write_action_project(project)
    commit(project, "as it was")


def test_steps_that_succeeded_are_skipped_and_those_never_reached_are_run(world: World) -> None:
    step = world[1].run({"job-id": str(STEPS)}, seconds=240)
    assert (step.status, step.outputs["attempts"]) == (0, "2"), step.log
    _, second = runs_of(world, STEPS)
    node_command, whole_command = second["trigger"]["steps_override"]
    assert "flaky" in node_command
    assert whole_command == "dbt run --select last"
    assert executed(world[0], second["id"]) == ["flaky", "last"]
    assert step.merged.keys() == {f"model.tiny.{name}" for name in ("first", "flaky", "last")} | {"seed.tiny.numbers"}


def test_a_run_that_ran_out_of_dbt_clouds_time_keeps_what_it_has(world: World) -> None:
    step = world[1].run({"job-id": str(TIMED_OUT), "targeted-retries": "1"}, seconds=280)
    assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (1, "timed-out", "timeout")
    _, second = runs_of(world, TIMED_OUT)
    assert not any("checked" in command for command in second["trigger"]["steps_override"])
    assert step.merged["model.tiny.checked"] == "success"
    assert step.asset_names == {"checked"}


def test_the_nightly_job_of_the_shop(tmp_path: Path) -> None:
    """Freshness, every kind of node, a flaky model, docs: the demo, with a look at everything it leaves."""
    with running_emulator() as emulator, ResultsService() as results:
        workflow = ActionJob(tmp_path, inputs_for(emulator), results)
        began = time.time()
        step = workflow.run({"job-id": "1002", "project-directory": "warehouse"}, seconds=280)
        seconds = time.time() - began
        assert (step.status, step.errors, step.outputs["status"]) == (0, [], "success"), step.log
        first, second = emulator.runs()
        assert len(executed(emulator, second["id"])) < len(executed(emulator, first["id"]))
    outputs = step.outputs
    assert step.value("recovered-nodes") == ["model.shop.orders"]
    assert 0 < int(outputs["duration-seconds"]) <= seconds
    assert (outputs["nodes-failed"], outputs["nodes-skipped"], outputs["nodes-warned"]) == ("0", "0", "1")
    jsonschema.validate(step.json("run_results.json"), json.loads(SCHEMA.read_text(encoding="utf-8")))
    assets = {asset["unique_id"]: asset for asset in step.json("assets.json")["assets"]}
    assert len(assets) == int(outputs["assets-count"]) == len(step.value("assets"))
    manifest = step.json("manifest.json")
    buildable = {
        unique_id
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] in ("model", "seed", "snapshot") and node["config"]["materialized"] != "ephemeral"
    }
    assert assets.keys() == buildable
    orders = assets["model.shop.orders"]
    assert (orders["attempt"], orders["run_id"]) == (2, second["id"])
    assert assets["snapshot.shop.customers_history"]["attempt"] == 1
    assert {"manifest.json", "catalog.json", "sources.json", "run_results.json"} <= step.uploaded().keys()
    assert step.json("catalog.json")["nodes"]
    assert all(row["status"] in ("pass", "warn") for row in step.json("sources.json")["results"])
