"""Publishing: a sequence of places, each guarded, whose failures are warnings."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from standins.results_service import ResultsService
from tests.support.told_cloud import ToldCloud, job_at, play, told
from tests.support.told_scene import A, ToldScene, built, in_told_scene

from dbt_cloud_run.publish import sinks
from dbt_cloud_run.publish.publish import Publication
from dbt_cloud_run.publish.upload import Uploading
from dbt_cloud_run.report.report import Report

GREEN = built(10, {A: "success"})
RED = built(20, {A: "error"})


def test_without_an_upload_the_outputs_name_the_assets_as_the_result_file_does(tmp_path: Path) -> None:
    step = play(tmp_path, [GREEN])
    path = step.outputs["assets-path"]
    assert path == "dbt-cloud/7/assets.json"
    assert (step.workspace / path).is_file()
    result = json.loads((step.workspace / "dbt-cloud/7/result.json").read_text())
    assert result["assets-path"] == path
    assert step.outputs["artifact-id"] == ""


def test_a_signal_in_the_second_attempt_leaves_the_path_of_the_assets_too(tmp_path: Path) -> None:
    async def interrupted(scene: ToldScene) -> None:
        def waits_for_the_second() -> bool:
            runs = scene.server.runs
            return len(runs) == 2 and scene.server.count("GET", f"/runs/{runs[1]['id']}/$") > 0

        step = await scene.play(retry_delay="0", interrupt=waits_for_the_second)
        assert (step.status, step.outputs["status"], step.outputs["attempts"]) == (143, "cancelled", "2")
        path = step.outputs["assets-path"]
        assert (step.workspace / path).is_file()
        assert json.loads((step.workspace / "dbt-cloud/7/result.json").read_text())["assets-path"] == path

    in_told_scene(tmp_path, [RED, told(3)], interrupted)


SMALL_FILES = ("assets.json", "junit.xml", "result.json", "summary.md")


@pytest.mark.parametrize(
    "sink",
    [
        "write_merged",
        "write_assets_file",
        "write_result_file",
        "write_summary_file",
        "write_junit_file",
        "write_annotations",
        "write_summary",
    ],
)
def test_a_signal_at_any_sink_leaves_the_verdict_and_has_the_rest_published_once(
    sink: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, summarize, told = getattr(sinks, sink), sinks.write_summary, threading.Event()
    came: list[bool] = []

    def is_beside_the_loop() -> bool:
        return threading.current_thread() is not threading.main_thread()

    def once_told(*given: Any) -> object:
        assert not is_beside_the_loop() or told.wait(20)
        return summarize(*given)

    async def interrupted(scene: ToldScene) -> None:
        loop = asyncio.get_running_loop()

        def received() -> None:
            scene.clock.interrupt(signal.SIGTERM)
            # Only when the loop has done all that follows from it, which may be to wait for this very sink.
            threading.Timer(0.1, told.set).start()

        def with_signal(report: Report, *others: object) -> object:
            published = publish(report, *others)
            if not came:
                came.append(True)
                # As the handler of a signal does it, while the sink has not returned.
                loop.call_soon_threadsafe(received)
                # A sink in the loop's own thread is through before the loop looks at the signal.
                assert not is_beside_the_loop() or told.wait(20)
            return published

        if sink == "write_annotations":
            # The next sink, in a thread, is not through before the loop has looked at the signal.
            monkeypatch.setattr(sinks, "write_summary", once_told)
        monkeypatch.setattr(sinks, sink, with_signal)
        step = await scene.play(targeted_retries="0")
        assert (step.status, step.outputs["status"], step.state["ended"]) == (143, "error", "verdict"), step.log
        folder = step.workspace / "dbt-cloud/7"
        assert all((folder / name).is_file() for name in SMALL_FILES)
        assert step.outputs["assets-path"] == "dbt-cloud/7/assets.json"
        result = json.loads((folder / "result.json").read_text())
        assert (result["status"], result["assets-path"]) == ("error", "dbt-cloud/7/assets.json")
        assert step.summary.count(step.summary.splitlines()[0]) == 1
        assert step.log.count("::error") == 1
        assert scene.cancelled == []

    in_told_scene(tmp_path, [RED], interrupted)


@pytest.mark.parametrize(
    ("sink", "missing"),
    [
        ("write_merged", "run_results.json"),
        ("write_assets_file", "assets.json"),
        ("write_junit_file", "junit.xml"),
        ("write_summary_file", "summary.md"),
    ],
)
def test_a_place_that_fails_is_a_warning_and_the_others_are_served(
    sink: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(sinks, sink, fails)
    step = play(tmp_path, [GREEN])
    folder = step.workspace / "dbt-cloud/7"
    made = {"run_results.json", "assets.json", "junit.xml", "summary.md", "result.json"}
    assert {name for name in made if (folder / name).is_file()} == made - {missing}
    assert (step.status, step.outputs["status"]) == (0, "success")
    assert step.log.count("the disk is full") == 1
    assert step.summary
    assert bool(step.outputs["assets-path"]) is (sink != "write_assets_file"), "no output names what is not there"


def test_a_step_that_does_not_wait_leaves_no_test_report_of_an_earlier_one(tmp_path: Path) -> None:
    async def both() -> None:
        async with ToldCloud([GREEN, told(3)]) as server:
            job = job_at(server, tmp_path)
            report = job.workspace / "dbt-cloud/7/junit.xml"
            await job.play()
            assert report.is_file()
            waiting = await job.play({"wait": "false"})
            assert waiting.outputs["status"] == "queued"
            assert not report.exists()

    asyncio.run(both())


def test_what_is_uploaded_is_what_lies_in_the_folder_and_the_result_file_names_it(tmp_path: Path) -> None:
    with ResultsService() as results:
        step = play(tmp_path, [GREEN], results=results)
        (artifact,) = results.artifacts.values()
        assert artifact.is_final
    assert step.outputs["artifact-id"]
    result = json.loads((step.workspace / "dbt-cloud/7/result.json").read_text())
    assert result["artifact-id"] == step.outputs["artifact-id"]
    assert step.outputs["artifact-name"].endswith(step.outputs["run-id"])


def test_a_file_that_cannot_be_looked_at_costs_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a stale handle of a network's file system, or a folder whose permissions have changed since, does."""
    begin = Publication._begin_upload

    def with_a_name_that_no_file_system_takes(publication: Publication) -> Uploading | None:
        assert publication.folder is not None
        publication.files[publication.folder.path / ("x" * 300)] = None
        return begin(publication)

    monkeypatch.setattr(Publication, "_begin_upload", with_a_name_that_no_file_system_takes)
    with ResultsService() as results:
        step = play(tmp_path, [GREEN], results=results)
        (artifact,) = results.artifacts.values()
        assert artifact.is_final
    assert (step.status, step.outputs["status"]) == (0, "success")
    assert "xxx is not in the artifact" in step.log


def test_files_that_cannot_be_given_to_the_upload_cost_the_artifact_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that zips does not wait for files for ever, nor the process for the thread."""

    def fails(*_: object) -> None:
        raise OSError("the folder is gone")

    monkeypatch.setattr(Uploading, "give", fails)
    with ResultsService() as results:
        step = play(tmp_path, [GREEN], results=results)
        assert not results.artifacts
    assert (step.status, step.outputs["status"], step.outputs["artifact-id"]) == (0, "success", "")
    assert "The artifact was not uploaded: OSError: the folder is gone" in step.log


def test_a_step_that_does_not_wait_leaves_the_name_of_the_artifact_free(tmp_path: Path) -> None:
    with ResultsService() as results:
        step = play(tmp_path, [told(3)], results=results, wait="false")
        assert not results.artifacts
    assert step.outputs["artifact-id"] == ""


@pytest.mark.parametrize("inputs", [{"summary": "false"}, {}])
def test_the_summary_is_written_once_where_it_is_wanted(inputs: dict[str, str], tmp_path: Path) -> None:
    step = play(tmp_path, [GREEN], **inputs)
    assert bool(step.summary) is not bool(inputs)
    assert step.summary.count(step.outputs["run-id"]) < 10
