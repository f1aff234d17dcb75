"""What a step makes of a run, from dbt Cloud's answers to what a reader gets."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from standins.results_service import ResultsService
from standins.runner_log import read_stream
from tests.support.loop import PlayedStep
from tests.support.scaled_clock import ScaledClock
from tests.support.told_cloud import ToldCloud, build, command, job_at, node, play, row, told

from dbt_cloud_run.dbt.statuses import Kind
from dbt_cloud_run.ledger.judgement import judged
from dbt_cloud_run.model import RunState

A, B = "model.shop.a", "model.shop.b"
GREEN = told(10, build([row(A)], [node(A)]))


# -- the artifact


def test_a_step_that_does_not_wait_leaves_the_name_to_the_one_that_takes_the_run_up(tmp_path: Path) -> None:
    async def both(results: ResultsService) -> None:
        async with ToldCloud([{**GREEN, "status": 3}]) as server:
            job = job_at(server, tmp_path, results)
            first = await job.play({"wait": "false"})
            assert (first.outputs["status"], first.outputs["artifact-name"]) == ("queued", "")
            assert "dbt's files" not in first.summary
            run = server.runs[0]
            run["status"] = 10
            second = await job.play({"run-id": first.outputs["run-id"], "job-id": ""})
            assert second.outputs["artifact-name"] == f"dbt-cloud-run-7-{run['id']}"
            assert "dbt's files are in the artifact" in second.summary

    with ResultsService() as results:
        asyncio.run(both(results))


def test_a_default_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    async def twice(results: ResultsService) -> None:
        async with ToldCloud([GREEN]) as server:
            job = job_at(server, tmp_path, results)
            first = await job.play()
            again = {"run-id": first.outputs["run-id"], "job-id": ""}
            second = await job.play(again)
            name = first.outputs["artifact-name"]
            assert second.outputs["artifact-name"] == f"{name}-2"
            assert results.artifacts[f"{name}-2"].is_final
            assert f"already has an artifact '{name}': this one is named '{name}-2'" in second.log
            assert (await job.play(again)).outputs["artifact-name"] == f"{name}-3"
            given = again | {"artifact-name": name}
            refused = await job.play(given)
            assert refused.outputs["artifact-name"] == ""
            assert "Give every step" in refused.log

    with ResultsService() as results:
        asyncio.run(twice(results))


@pytest.mark.parametrize(
    ("run", "has_files"),
    [
        (GREEN, True),
        ({"status": 20, "steps": [{"name": "Clone git repository", "status": 20, "logs": "fatal: no"}]}, False),
        (told(30, command("dbt build", 30), status_message="a newer commit was pushed"), False),
    ],
    ids=["green", "clone failed", "superseded"],
)
def test_where_the_rest_is_is_true(run: dict[str, object], has_files: bool, tmp_path: Path) -> None:
    with ResultsService() as results:
        step = play(tmp_path, [run], results=results, targeted_retries="0")
        assert ("dbt's files are in the artifact" in step.summary) is has_files
        assert ("The whole report (`summary.md`) is in the artifact" in step.summary) is not has_files
        names = {name for path in results.artifacts for name in [path]}
        assert names == {step.outputs["artifact-name"]}


# -- what became of the run


def messages(step: PlayedStep, kind: str) -> list[str]:
    return [command.data for command in read_stream(step.log).named(kind)]


@pytest.mark.parametrize("cancels", ["true", "false"])
def test_after_a_limit_everybody_learns_what_became_of_the_run(cancels: str, tmp_path: Path) -> None:
    rows = [row(A), row(B, "error", "boom")]
    running = told(3, build(rows, [node(A), node(B)], status=3))
    step = play(tmp_path, [running], timeout_minutes="0.05", cancel_run=cancels)
    left_alone = "continues in dbt Cloud: cancel-run is false"
    fate = "was cancelled, and dbt Cloud reports" if cancels == "true" else left_alone
    assert step.outputs["status"] == "timed-out"
    assert step.summary.count(fate) == 1
    assert step.summary.count("timeout-minutes is reached") == 1
    assert step.log.count(fate) == 1
    (error,) = [message for message in messages(step, "error") if fate in message]
    assert error.startswith("timeout-minutes is reached. Run ")


@pytest.mark.parametrize("cancels", ["true", "false"])
def test_after_a_signal_the_summary_says_what_becomes_of_the_run(cancels: str, tmp_path: Path) -> None:
    def soon(clock: ScaledClock) -> None:
        asyncio.get_running_loop().call_later(1, clock.interrupt, 2)

    step = play(tmp_path, [told(3)], signal_at=soon, cancel_run=cancels)
    fate = "is being cancelled in dbt Cloud" if cancels == "true" else "continues in dbt Cloud: cancel-run is false"
    assert step.status == 130
    assert fate in step.summary
    assert fate in step.log


# -- a green run is no red report


def test_a_docs_step_that_fails_in_a_green_run_is_a_warning(tmp_path: Path) -> None:
    docs = command("dbt docs generate", 20, "12:00:02  Encountered an error:\nDatabase Error\n  permission denied\n")
    run = told(10, build([row(A)], [node(A)]), docs)
    step = play(tmp_path, [run], job={"generate_docs": True})
    assert (step.status, step.outputs["status"], messages(step, "error")) == (0, "success", [])
    assert any("permission denied" in message for message in messages(step, "warning"))
    assert "Failures" not in step.summary
    assert "dbt Cloud reports the run as a success, but this failed:" in step.summary
    assert "permission denied" in step.summary


def test_a_stale_source_in_a_green_run_is_a_warning(tmp_path: Path) -> None:
    stale = {"unique_id": "source.shop.raw.orders", "status": "error", "max_loaded_at_time_ago_in_s": 172800.0}
    sources = {"metadata": build([])["files"]["run_results.json"]["metadata"], "results": [stale]}
    freshness = command("dbt source freshness", 20, files={"sources.json": sources})
    run = told(10, freshness, build([row(A)], [node(A)]))
    step = play(tmp_path, [run], job={"run_generate_sources": True})
    assert (step.status, step.outputs["status"], messages(step, "error")) == (0, "success", [])
    assert any("last loaded 48h 0m ago" in message for message in messages(step, "warning"))
    assert "Failures" not in step.summary
    assert "1 source, 1 not fresh" in step.summary


def test_an_unknown_word_is_no_failure_in_a_step_that_succeeded(tmp_path: Path) -> None:
    rows = [row(A, "quantum"), row(B)]
    step = play(tmp_path / "green", [told(10, build(rows, [node(A), node(B)]))])
    assert (step.status, step.outputs["failed-nodes"], step.outputs["nodes-succeeded"]) == (0, "[]", "2")
    assert json.loads(step.outputs["counts"]) == {"model": {"quantum": 1, "success": 1}}
    assert messages(step, "error") == []
    red = play(tmp_path / "red", [told(20, build(rows, [node(A), node(B)], status=20))], targeted_retries="0")
    assert json.loads(red.outputs["failed-nodes"]) == [A]


@pytest.mark.parametrize(
    ("status", "state", "kind"),
    [
        ("quantum", RunState.SUCCESS, Kind.SUCCEEDED),
        ("quantum", RunState.ERROR, Kind.FAILED),
        ("error", RunState.SUCCESS, Kind.FAILED),
        ("strange error", RunState.SUCCESS, Kind.FAILED),
        ("skipped", RunState.SUCCESS, Kind.SKIPPED),
        ("warn", RunState.SUCCESS, Kind.WARNED),
    ],
)
def test_a_status_is_judged_with_its_step(status: str, state: RunState, kind: Kind) -> None:
    assert judged(status, state) is kind


# -- steps that see different projects


def test_each_step_s_own_manifest_names_the_assets_of_its_results(tmp_path: Path) -> None:
    """Two builds with other variables enable other models: all of them are in the warehouse."""
    models = {mode: [f"model.shop.{mode}_{n}" for n in (1, 2)] for mode in ("a", "b")}
    steps = [
        build(
            [row(model) for model in of_mode],
            [node(model) for model in of_mode],
            words=f"dbt build --vars 'mode: {mode}'",
        )
        for mode, of_mode in models.items()
    ]
    job = {"execute_steps": [f"dbt build --vars 'mode: {mode}'" for mode in models]}
    step = play(tmp_path, [told(10, *steps)], job=job)
    assert step.outputs["status"] == "success", step.log
    assert step.outputs["assets-count"] == "4"
    assert {name for mode in models for name in (f"{mode}_1", f"{mode}_2")} == {
        key.rpartition("/")[2] for key in json.loads(step.outputs["assets"])
    }
