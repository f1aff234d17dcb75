"""The step as a process, against real dbt: what it publishes of runs that end in the usual ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from standins.emulator import RunningEmulator
from tests.support.action import ActionJob, FinishedStep
from tests.support.action_project import FLAKY_BUILD, action_world, job, variables

pytestmark = pytest.mark.slow

SCHEMA = Path(__file__).parents[1] / "schemas" / "run-results-v6.schema.json"
GREEN, FLAKY, BROKEN, BROKEN_AGAIN, TWO_STEPS, UNPARSABLE, DOCS, CHECKBOX = range(11, 19)
STAGING = {"environment_id": 21}  # another database, whose dbt commands need not wait for the others
JOBS = [
    job(GREEN, "dbt build --select numbers first calm", name="Green"),
    job(FLAKY, f"{FLAKY_BUILD} {variables(key='recovered')}"),
    job(BROKEN, "dbt build --select numbers first broken after_broken", **STAGING),
    job(BROKEN_AGAIN, "dbt run --select checked broken after_broken", **STAGING),
    job(TWO_STEPS, "dbt build --select checked always_fails stubborn", "dbt run --select last"),
    job(UNPARSABLE, f"dbt build --select unparsable {variables(unparsable=True)}", **STAGING),
    job(DOCS, "dbt run --select checked", "dbt docs generate --select checked", **STAGING),
    job(CHECKBOX, "dbt run --select checked stubborn", generate_docs=True),
]
# Each is a step of its own; those of the default suite run side by side.
STEPS: dict[int, dict[str, str]] = {
    GREEN: {},
    BROKEN: {},
    FLAKY: {"cause": "a cause", "threads-override": "2"},
    BROKEN_AGAIN: {"retry-on": "any", "targeted-retries": "1", "fail-on-error": "false"},
    TWO_STEPS: {"targeted-retries": "1"},
    UNPARSABLE: {},
    DOCS: {},
}

World = tuple[RunningEmulator, ActionJob]
Ended = Callable[[int], FinishedStep]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with action_world(tmp_path_factory.mktemp("results"), JOBS) as made:
        yield made


@pytest.fixture(scope="module")
def ended(world: World) -> Ended:
    """The step of a job, when it has ended."""
    started = {job_id: world[1].start({"job-id": str(job_id), **inputs}) for job_id, inputs in STEPS.items()}
    return cache(lambda job_id: started[job_id].finish(240))


def runs_of(emulator: RunningEmulator, job_id: int) -> list[dict[str, Any]]:
    return [run for run in emulator.runs() if run["job_definition_id"] == job_id]


def assert_consistent(step: FinishedStep) -> None:
    """What holds for every published run: the files agree with the outputs, and the artifact with the files."""
    outputs = step.outputs
    merged = step.json("run_results.json")
    jsonschema.validate(merged, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert len(merged["results"]) == int(outputs["nodes-total"]) == len(step.merged)
    counted = sum(int(outputs[f"nodes-{what}"]) for what in ("succeeded", "warned", "failed", "skipped"))
    assert counted == int(outputs["nodes-total"])
    assets = step.json("assets.json")["assets"]
    assert [asset["key"] for asset in assets] == step.value("assets")
    assert len(assets) == int(outputs["assets-count"])
    result = step.json("result.json")
    assert {
        name: str(value) for name, value in result.items() if name in outputs and isinstance(value, str | int)
    }.items() <= outputs.items()
    assert outputs.keys() <= result.keys()
    uploaded = step.uploaded()
    on_disk = {
        path.relative_to(step.folder).as_posix(): path.read_bytes() for path in step.folder.rglob("*") if path.is_file()
    }
    assert uploaded.keys() == on_disk.keys()
    changed = {"result.json", "summary.md"}  # they name the artifact, so they are written again after the upload
    assert {n: c for n, c in uploaded.items() if n not in changed} == {
        n: c for n, c in on_disk.items() if n not in changed
    }
    job_id = outputs["artifacts-path"].removeprefix("dbt-cloud/")
    assert outputs["artifact-name"] == f"dbt-cloud-run-{job_id}-{step.value('run-ids')[0]}"


# -- all green


@pytest.fixture(scope="module")
def green(ended: Ended) -> FinishedStep:
    return ended(GREEN)


def test_a_green_job_is_a_success(green: FinishedStep, world: World) -> None:
    assert (green.status, green.errors, green.warnings) == (0, [], []), green.log
    [run] = runs_of(world[0], GREEN)
    expected = {
        "status": "success",
        "failure-kind": "",
        "attempts": "1",
        "run-id": str(run["id"]),
        "run-ids": f"[{run['id']}]",
        "run-url": run["href"],
        "git-sha": run["git_sha"],
        "nodes-total": "3",
        "nodes-succeeded": "3",
        "nodes-failed": "0",
        "failed-nodes": "[]",
        "recovered-nodes": "[]",
        "failed-owners": "[]",
        "artifacts-path": f"dbt-cloud/{GREEN}",
        "assets-path": f"dbt-cloud/{GREEN}/assets.json",
        "assets-count": "2",
    }
    assert {name: green.outputs[name] for name in expected} == expected
    assert json.loads(green.outputs["counts"]) == {"model": {"success": 1}, "seed": {"success": 1}, "test": {"pass": 1}}
    assert int(green.outputs["duration-seconds"]) >= 1


def test_its_files_artifact_and_outputs_agree(green: FinishedStep) -> None:
    assert_consistent(green)
    names = green.uploaded().keys()
    run_id = green.outputs["run-id"]
    own = {"manifest.json", "run_results.json", "assets.json", "junit.xml", "result.json", "summary.md"}
    assert names == own | {f"runs/{run_id}/step-4/run_results.json"}


def test_its_assets_tell_who_where_and_what(green: FinishedStep) -> None:
    seed, model = green.json("assets.json")["assets"]
    assert (seed["key"], seed["resource_type"]) == ("duckdb://tiny/analytics/numbers", "seed")
    expected = {
        "key": "duckdb://tiny/analytics/first",
        "name": "first",
        "unique_id": "model.tiny.first",
        "materialization": "table",
        "status": "success",
        "description": "The numbers, as they came.",
        "owners": ["Finance team"],
        "group": "finance",
        "tags": ["daily"],
        "upstream": [seed["key"]],
        "run_id": int(green.outputs["run-id"]),
        "step": 4,
        "attempt": 1,
        "tests": {"pass": 1},
        "file": "models/first.sql",
        "url": f"https://github.com/acme/shop/blob/{green.outputs['git-sha']}/models/first.sql",
    }
    assert {name: model[name] for name in expected} == expected
    assert model["started_at"] <= model["completed_at"]


def test_its_summary_shows_the_assets(green: FinishedStep) -> None:
    assert "Green" in green.summary
    assert "first" in green.summary
    assert "Finance team" in green.summary
    assert green.outputs["run-url"] in green.summary
    assert green.outputs["run-url"] in (green.folder / "summary.md").read_text(encoding="utf-8")


def test_its_cause_says_where_it_comes_from(green: FinishedStep, world: World) -> None:
    [run] = runs_of(world[0], GREEN)
    assert run["trigger"]["cause"].startswith("[dcr ")
    assert run["trigger"]["cause"].endswith("acme/shop nightly #12 by octocat")


def test_no_token_is_anywhere(green: FinishedStep) -> None:
    """Not in the files, and in the log only where the runner is told to hide it."""
    texts = [path.read_text(encoding="utf-8") for path in green.folder.rglob("*") if path.is_file()]
    texts += [green.summary, *green.outputs.values(), *green.state.values(), *green.reading.log]
    assert not any("demo-token" in text for text in texts)
    assert "demo-token" in [command.data for command in green.reading.named("add-mask")]


def test_the_post_step_of_a_run_that_ended_does_nothing(green: FinishedStep, world: World) -> None:
    emulator, workflow = world
    path = f"/runs/{green.outputs['run-id']}/"
    before = len(emulator.requests(path=path))
    post = workflow.post(green, {"job-id": str(GREEN)})
    assert (post.status, post.text) == (0, "")
    assert len(emulator.requests(path=path)) == before > 0


# -- recovered by the retry


@pytest.fixture(scope="module")
def recovered(ended: Ended) -> FinishedStep:
    return ended(FLAKY)


def test_a_node_recovers_by_the_retry(recovered: FinishedStep, world: World) -> None:
    assert (recovered.status, recovered.errors, recovered.warnings) == (0, [], []), recovered.log
    expected = {
        "status": "success",
        "attempts": "2",
        "recovered-nodes": '["model.tiny.flaky"]',
        "failed-nodes": "[]",
        "nodes-total": "6",
        "nodes-succeeded": "6",
        "assets-count": "4",
    }
    assert {name: recovered.outputs[name] for name in expected} == expected
    assert_consistent(recovered)


def test_the_retry_runs_what_did_not_succeed_and_nothing_else(recovered: FinishedStep, world: World) -> None:
    emulator = world[0]
    first, second = runs_of(emulator, FLAKY)
    assert recovered.value("run-ids") == [first["id"], second["id"]]
    steps = emulator.run(second["id"])["run_steps"]
    executed = emulator.artifact(second["id"], "run_results.json", step=steps[-1]["index"])["results"]
    assert [row["unique_id"].split(".")[2] for row in executed] == [
        "flaky",
        "after_flaky",
        "unique_after_flaky_doubled",
    ]


def test_the_retry_carries_every_override_and_the_commit(recovered: FinishedStep, world: World) -> None:
    first, second = (dict(request["body"]) for request in world[0].requests("POST", f"/jobs/{FLAKY}/run/"))
    [command] = second.pop("steps_override")
    assert command.startswith("dbt build ")
    assert "--select" in command
    assert "steps_override" not in first
    assert "git_sha" not in first
    assert second.pop("git_sha") == recovered.outputs["git-sha"]
    causes = first.pop("cause"), second.pop("cause")
    assert all(cause.endswith("] a cause") for cause in causes)
    assert f" r{recovered.value('run-ids')[0]}]" in causes[1]
    assert first == second == {"threads_override": 2}


def test_the_merged_results_and_assets_are_of_both_attempts(recovered: FinishedStep) -> None:
    assert set(recovered.merged.values()) == {"success", "pass"}
    attempts = {asset["name"]: asset["attempt"] for asset in recovered.json("assets.json")["assets"]}
    assert attempts == {"numbers": 1, "first": 1, "flaky": 2, "after_flaky": 2}
    flaky = next(asset for asset in recovered.json("assets.json")["assets"] if asset["name"] == "flaky")
    assert flaky["upstream"] == ["duckdb://tiny/analytics/first"], "traced through the ephemeral model"
    names = recovered.uploaded().keys()
    assert {f"runs/{run_id}/step-4/run_results.json" for run_id in recovered.value("run-ids")} <= names


def test_the_summary_tells_of_both_attempts(recovered: FinishedStep) -> None:
    for run_id in recovered.value("run-ids"):
        assert str(run_id) in recovered.summary
    assert "recovered" in recovered.summary.lower()


# -- failures that stay


@pytest.fixture(scope="module")
def broken(ended: Ended) -> FinishedStep:
    return ended(BROKEN)


def test_a_deterministic_failure_is_not_retried(broken: FinishedStep, world: World) -> None:
    assert broken.status == 1
    assert len(runs_of(world[0], BROKEN)) == 1
    expected = {
        "status": "error",
        "failure-kind": "nodes",
        "attempts": "1",
        "failed-nodes": '["model.tiny.broken"]',
        "failed-owners": '["Finance team"]',
        "nodes-failed": "1",
        "nodes-skipped": "1",
        "nodes-succeeded": "3",
        "assets-count": "2",
    }
    assert {name: broken.outputs[name] for name in expected} == expected
    assert broken.merged["model.tiny.broken"] == "error"
    assert broken.merged["model.tiny.after_broken"] == "skipped"
    assert_consistent(broken)


def test_its_file_is_annotated(broken: FinishedStep) -> None:
    [annotation] = broken.annotations("error")
    assert annotation.properties["file"] == "models/broken.sql"
    assert "no_such_column" in annotation.data


def test_its_summary_says_what_broke(broken: FinishedStep) -> None:
    assert "broken" in broken.summary
    assert "no_such_column" in broken.summary


def test_with_any_it_is_retried_and_with_fail_on_error_false_the_step_is_green(ended: Ended) -> None:
    step = ended(BROKEN_AGAIN)
    assert step.status == 0
    assert (step.outputs["status"], step.outputs["attempts"]) == ("error", "2")
    assert step.value("failed-nodes") == ["model.tiny.broken"]
    assert step.outputs["nodes-total"] == "3"
    assert_consistent(step)


def test_a_failed_test_and_a_network_error_never_reach_the_second_step(ended: Ended, world: World) -> None:
    emulator, step = world[0], ended(TWO_STEPS)
    assert step.status == 1
    runs = runs_of(emulator, TWO_STEPS)
    assert len(runs) == 2
    [command] = runs[1]["trigger"]["steps_override"]
    assert "stubborn" in command
    assert "always_fails" not in command
    executed = [row["name"] for run in runs for row in emulator.run(run["id"])["run_steps"] if row["status"] == 10]
    assert not any("last" in name for name in executed)
    assert set(step.value("failed-nodes")) == {"test.tiny.always_fails", "model.tiny.stubborn"}
    assert "model.tiny.last" not in step.merged


def test_what_does_not_compile_is_not_run_three_times(ended: Ended, world: World) -> None:
    step = ended(UNPARSABLE)
    assert step.status == 1
    assert len(runs_of(world[0], UNPARSABLE)) == 1
    assert (step.outputs["status"], step.outputs["failure-kind"]) == ("error", "compile")
    assert step.outputs["nodes-total"] == "0"
    assert any("no such thing" in error for error in step.errors)
    assert "no such thing" in step.summary


# -- docs as the last step


def test_docs_as_a_command_change_no_result(ended: Ended) -> None:
    step = ended(DOCS)
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    assert step.merged == {"model.tiny.checked": "success"}
    assert "model.tiny.checked" in step.json("catalog.json")["nodes"]
    assert "catalog.json" in step.uploaded()
    assert_consistent(step)


@pytest.mark.slow
def test_docs_by_the_checkbox_change_no_result_and_are_no_command_of_the_retry(world: World) -> None:
    emulator, workflow = world
    step = workflow.run({"job-id": str(CHECKBOX), "targeted-retries": "1"})
    assert step.status == 1
    _, second = runs_of(emulator, CHECKBOX)
    [command] = second["trigger"]["steps_override"]
    assert "docs" not in command
    assert step.merged == {"model.tiny.checked": "success", "model.tiny.stubborn": "error"}
