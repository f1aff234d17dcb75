"""What the step publishes, as a process: of a run full of hostile text, and into a folder that is not empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from standins.emulator import RunningEmulator, running_emulator
from standins.results_service import ResultsService
from tests.support.action import ActionJob, FinishedStep, inputs_for
from tests.support.hostile_run import EVIL, NODES, record_hostile_run
from tests.support.rendering import render

JOB = 11
OURS = {"error", "warning", "notice", "group", "endgroup", "add-mask", "stop-commands"}


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    recorded = record_hostile_run(tmp_path_factory.mktemp("hostile") / "recorded")
    config = {
        "projects": [{"id": 10, "name": EVIL}],
        "environments": [{"id": 20, "project_id": 10, "name": EVIL}],
        "jobs": [{"id": JOB, "environment_id": 20, "name": EVIL, "execute_steps": ["dbt build"], "replay": [recorded]}],
        "behaviour": {"replay_speed": 0},
    }
    with running_emulator(config=config) as running:
        yield running


@pytest.fixture(scope="module")
def workflow(emulator: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ActionJob]:
    with ResultsService() as results:
        inputs = inputs_for(emulator, job_id=str(JOB), targeted_retries="0")
        made = ActionJob(tmp_path_factory.mktemp("runner"), inputs, results)
        (made.workspace / "models").mkdir()
        for number in range(NODES):
            (made.workspace / "models" / f"m{number}.sql").touch()
        yield made
        made.close()


@pytest.fixture(scope="module")
def step(workflow: ActionJob) -> FinishedStep:
    """The step, in a folder where an earlier one has left files, and another program one of its own."""
    folder = workflow.workspace / "dbt-cloud" / str(JOB)
    folder.mkdir(parents=True)
    for name in ("sources.json", "catalog.json", "run_results.json", "result.json", "notes.txt"):
        (folder / name).write_text("{}")
    return workflow.run()


def test_the_run_is_published_as_it_was(step: FinishedStep) -> None:
    assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (1, "error", "nodes")
    assert int(step.outputs["nodes-total"]) == NODES + 1
    assert int(step.outputs["nodes-failed"]) == len(step.value("failed-nodes")) == (NODES + 2) // 3
    assert int(step.outputs["assets-count"]) > 0


def test_the_log_gives_no_command_but_ours(step: FinishedStep) -> None:
    token = {command.data for command in step.reading.named("stop-commands")}
    assert {command.name for command in step.reading.commands} <= OURS | token
    assert all("666" not in command.data or command.name in OURS for command in step.reading.commands)


def test_the_summary_makes_nothing_of_it(step: FinishedStep) -> None:
    page = render(step.summary)
    assert not page.misnested
    assert not page.open
    assert not page.filtered()
    assert not {"img", "h1", "script"} & set(page.tags)
    assert not [link for link in page.links() if "evil.example" in link]
    assert "#### Lineage" in step.summary
    assert "#### Assets materialized" in step.summary


def test_annotations_are_within_the_limit_and_on_the_files(step: FinishedStep) -> None:
    for kind in ("error", "warning"):
        found = step.annotations(kind)
        assert len(found) == 10
        assert [one.properties["file"] for one in found[:2]] == [
            f"models/m{number}.sql" for number in ((0, 3) if kind == "error" else (1, 4))
        ]
        assert found[-1].data.startswith("and ")


def test_what_ends_the_step_early_is_an_error_beside_those_of_ten_nodes(
    emulator: RunningEmulator, workflow: ActionJob
) -> None:
    emulator.add_fault(method="POST", path=rf"/jobs/{JOB}/run/", after=1, status=403, body={"data": None})
    step = workflow.run({"upload-artifact": "false", "targeted-retries": "1", "retry-on": "any"})
    emulator.clear_faults()
    assert step.outputs["failure-kind"] == "api"
    assert len(step.errors) == 10
    assert step.errors[-2].startswith("and ")
    assert "403" in step.errors[-1]
    assert "403" in step.summary


def test_what_an_earlier_step_left_is_neither_uploaded_nor_taken_for_ours(step: FinishedStep) -> None:
    files = {path.name for path in step.folder.iterdir() if path.is_file()}
    assert files == {
        *("assets.json", "junit.xml", "manifest.json", "result.json", "run_results.json", "summary.md", "notes.txt")
    }
    assert len(step.merged) == NODES + 1
    assert not {"sources.json", "catalog.json", "notes.txt"} & step.uploaded().keys()
    assert {name for name in step.uploaded() if "/" not in name} == files - {"notes.txt"}


def test_the_users_own_files_stay_where_no_step_of_ours_has_written(workflow: ActionJob) -> None:
    folder = workflow.workspace / "target"
    folder.mkdir()
    (folder / "catalog.json").write_text("{}")
    step = workflow.run({"artifacts-path": "target", "upload-artifact": "false"})
    assert step.outputs["artifacts-path"] == "target"
    assert (folder / "catalog.json").read_text() == "{}"


def test_a_second_step_of_the_job_uploads_its_own_files_alone(workflow: ActionJob, step: FinishedStep) -> None:
    second = workflow.run({"artifacts": "*.json", "step-artifacts": "all"})
    run = second.outputs["run-id"]
    assert run != step.outputs["run-id"]
    assert {name.split("/")[1] for name in second.uploaded() if name.startswith("runs/")} == {run}
    assert {"manifest.json", "run_results.json", f"runs/{run}/step-1/manifest.json"} <= second.uploaded().keys()


def test_what_is_in_the_summary_already_is_not_run_into(workflow: ActionJob, tmp_path: Path) -> None:
    earlier = tmp_path / "step_summary"
    earlier.write_text("| a table |\n| --- |\n| without an end |")
    workflow.run({"upload-artifact": "false"}, variables={"GITHUB_STEP_SUMMARY": str(earlier)})
    assert "\n\n### ❌ Failed" in earlier.read_text(encoding="utf-8")


def test_a_commit_of_a_repository_that_is_not_this_one_is_not_linked(workflow: ActionJob, step: FinishedStep) -> None:
    commit = f"https://github.com/acme/shop/commit/{step.outputs['git-sha']}"
    assert commit in step.summary
    elsewhere = ActionJob(workflow.folder / "elsewhere", workflow.inputs, workflow.results)
    other = elsewhere.run({"upload-artifact": "false"}, variables={"GITHUB_SHA": "2" * 40})
    assert other.outputs["git-sha"] == step.outputs["git-sha"]
    assert "/commit/" not in other.summary
    request = {"number": 7, "state": "open", "head": {"sha": other.outputs["git-sha"]}}
    head = ("pull_request", {"pull_request": request})
    inputs = {"upload-artifact": "false", "pull-request": "off"}
    assert commit in elsewhere.run(inputs, event=head, variables={"GITHUB_SHA": "2" * 40}).summary
