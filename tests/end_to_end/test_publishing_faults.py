"""Publishing never changes the verdict: what cannot be had or published is a warning that says what is missing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standins.emulator import RunningEmulator
from standins.results_service import Fault, ResultsService
from tests.support.comments_service import CommentsService
from tests.support.loop import LoopJob, PlayedStep
from tests.support.replayed import job_id

pytestmark = pytest.mark.slow

FOREVER: dict[str, Any] = {"times": None}
RESULTS, MANIFEST = r"/artifacts/run_results\.json$", r"/artifacts/manifest\.json$"


@pytest.fixture
def emulator(replaying: RunningEmulator) -> Iterator[RunningEmulator]:
    yield replaying
    replaying.clear_faults()
    replaying.behave(artifacts_delay=0, missing_artifact_status=404, logs_delay=0)


def job_for(emulator: RunningEmulator, folder: Path, results: ResultsService | None = None, **more: str) -> LoopJob:
    given = {name.replace("_", "-"): value for name, value in more.items()}
    inputs = {
        "api-token": emulator.token,
        "account-id": "1",
        "host": emulator.base_url,
        "job-id": str(job_id(1, "good")),
        "upload-artifact": str(results is not None).lower(),
    }
    return LoopJob(folder, inputs=inputs | given, results=results)


def publish(job: LoopJob, **more: Any) -> PlayedStep:
    """Play it: the run succeeded, and so does the step."""
    step = asyncio.run(job.play(**more))
    assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (0, "success", ""), step.log
    assert "Traceback" not in step.log
    return step


# -- what a run left

MISSING: dict[str, dict[str, Any]] = {
    "missing": {"status": 404},
    "null": {"status": 200, "body": "null"},
    "not JSON": {"effect": "html", "status": 200},
    "empty": {"effect": "empty", "status": 200},
    "half transferred": {"effect": "truncated"},
    "half of the JSON": {"status": 200, "body": '{"metadata": {}, "results": [{"unique_id": "model.a.b", "sta'},
    "another kind of JSON": {"status": 200, "body": "[1, 2, 3]"},
    "JSON of other types": {"status": 200, "body": '{"metadata": 5, "results": {"a": 1}, "nodes": [], "args": 1}'},
    "nested without end": {"status": 200, "body": "[" * 100_000},
    "not for us": {"status": 403},
    "a redirect": {"effect": "redirect", "status": 302, "headers": {"Location": "http://127.0.0.1:9/"}},
}


@pytest.mark.parametrize("path", [RESULTS, MANIFEST], ids=["run results", "manifest"])
@pytest.mark.parametrize("kind", MISSING)
def test_an_artifact_that_cannot_be_had_is_a_warning(
    kind: str, path: str, emulator: RunningEmulator, tmp_path: Path
) -> None:
    emulator.add_fault(path=path, **MISSING[kind], **FOREVER)
    step = publish(job_for(emulator, tmp_path))
    name = "run_results.json" if path == RESULTS else "manifest.json"
    warnings = [line for line in step.log.splitlines() if line.startswith("::warning")]
    said = " ".join(warnings)
    assert name in said or "results of step" in said, step.log
    assert name in step.summary or "results of step" in step.summary
    assert step.outputs["nodes-total"] == ("" if path == RESULTS else "28")


@pytest.mark.parametrize("kind", ["missing", "null", "not JSON", "empty", "half transferred", "half of the JSON"])
@pytest.mark.parametrize("path", [RESULTS, MANIFEST], ids=["run results", "manifest"])
def test_an_artifact_that_comes_right_in_the_end_is_used(
    path: str, kind: str, emulator: RunningEmulator, tmp_path: Path
) -> None:
    emulator.add_fault(path=path, **MISSING[kind], times=2)
    step = publish(job_for(emulator, tmp_path, job_id=str(job_id(1, "bad"))))
    assert step.outputs["attempts"] == "2"
    steps = emulator.run(int(step.outputs["run-id"]))["trigger"]["steps_override"]
    assert "--select" in steps[0]  # so the plan has seen the results and the manifest
    assert "incomplete" not in step.log


@pytest.mark.parametrize("kind", ["a file in its place", "a link that leads out"])
def test_a_folder_that_cannot_be_written_costs_no_results(kind: str, emulator: RunningEmulator, tmp_path: Path) -> None:
    job = job_for(emulator, tmp_path / "job", job_id=str(job_id(1, "bad")))
    folder = job.workspace / "dbt-cloud" / str(job_id(1, "bad"))
    folder.parent.mkdir(parents=True)
    if kind == "a file in its place":
        folder.touch()
    else:
        folder.mkdir()
        (folder / "runs").symlink_to(tmp_path)
    step = publish(job)
    steps = emulator.run(int(step.outputs["run-id"]))["trigger"]["steps_override"]
    assert "--select" in steps[0], step.log
    assert step.outputs["nodes-total"] == "59"
    assert step.outputs["recovered-nodes"] == '["model.shop.orders"]'


def test_late_artifacts_are_waited_for(emulator: RunningEmulator, tmp_path: Path) -> None:
    emulator.behave(artifacts_delay=0.05)  # 50 s on the clock of the step
    step = publish(job_for(emulator, tmp_path))
    assert step.outputs["nodes-total"] == "28"
    assert "incomplete" not in step.log


def test_artifacts_that_never_come_are_given_up_after_90_seconds(emulator: RunningEmulator, tmp_path: Path) -> None:
    emulator.behave(artifacts_delay=3600)
    step = publish(job_for(emulator, tmp_path))
    assert 85 < step.seconds < 130
    assert "run_results.json" in step.log
    assert "run_results.json" in step.summary


def test_an_empty_answer_for_what_is_not_there_is_no_artifact(emulator: RunningEmulator, tmp_path: Path) -> None:
    emulator.behave(missing_artifact_status=200)
    step = publish(job_for(emulator, tmp_path, artifacts="manifest.json\ncatalog.json\nsources.json\nsuch/a.json"))
    assert "such/a.json" in step.log
    assert not [path for path in step.workspace.rglob("*.json") if path.stat().st_size == 0]


@pytest.mark.parametrize("data", [None, {}, "x", [1, None, "logs/dbt.log"]], ids=str)
def test_an_odd_list_of_artifacts_is_no_list(data: Any, emulator: RunningEmulator, tmp_path: Path) -> None:
    emulator.add_fault(path="/artifacts/$", status=200, body={"data": data, "status": {"code": 200}}, **FOREVER)
    publish(job_for(emulator, tmp_path, artifacts="logs/*"))


# -- where it is published


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("CreateArtifact", Fault(403, b'{"msg": "not allowed"}')),
        ("CreateArtifact", Fault(409, b'{"msg": "exists"}')),
        ("CreateArtifact", Fault(500, b'{"msg": "insufficient usage"}')),
        ("CreateArtifact", Fault(200, b"<html>")),
        ("CreateArtifact", Fault(0)),
        ("put", Fault(403, b"AuthenticationFailed")),
        ("put", Fault(500)),
        ("FinalizeArtifact", Fault(400, b'{"msg": "no"}')),
        ("FinalizeArtifact", Fault(503)),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.status),
)
def test_a_refused_upload_is_a_warning(kind: str, fault: Fault, emulator: RunningEmulator, tmp_path: Path) -> None:
    with ResultsService() as results:
        for one in (kind, "block", "blocklist") if kind == "put" else (kind,):
            results.faults[one].extend([fault] * 10)
        step = publish(job_for(emulator, tmp_path, results))
    assert step.outputs["artifact-id"] == ""
    assert "The artifact was not uploaded" in step.log
    assert "The artifact was not uploaded" in step.summary
    assert list(step.workspace.rglob("result.json"))


def test_a_summary_that_is_full_is_left_alone(emulator: RunningEmulator, tmp_path: Path) -> None:
    job = job_for(emulator, tmp_path)
    full = tmp_path / "full"
    before = b"x" * (1024 * 1024 - 100)
    full.write_bytes(before)
    step = publish(job, variables={"GITHUB_STEP_SUMMARY": str(full)})
    assert full.stat().st_size <= 1024 * 1024
    assert full.read_bytes().startswith(before)
    assert "summary" in "".join(line for line in step.log.splitlines() if line.startswith("::warning"))
    assert "28" in (step.workspace / step.outputs["artifacts-path"] / "summary.md").read_text()


@pytest.mark.parametrize("status", [401, 403, 404, 422, 500])
def test_a_refused_comment_is_a_warning(status: int, emulator: RunningEmulator, tmp_path: Path) -> None:
    event = ("pull_request", {"pull_request": {"number": 5, "state": "open", "head": {"sha": "a" * 40}}})
    with CommentsService() as comments:
        for method in ("GET", "POST"):
            comments.statuses[method] = [status] * 10
        job = job_for(emulator, tmp_path, pr_comment="true", github_token="ghs_0123456789", git_sha="a" * 40)
        variables = {"GITHUB_API_URL": comments.url, "GITHUB_REPOSITORY": "org/repo"}
        step = publish(job, event=event, variables=variables)
    assert "comment on pull request" in step.log


@pytest.mark.parametrize("name", ["GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY", "RUNNER_TEMP"])
def test_a_file_of_the_runner_that_is_not_there_stops_nothing(
    name: str, emulator: RunningEmulator, tmp_path: Path
) -> None:
    step = asyncio.run(job_for(emulator, tmp_path).play(variables={name: str(tmp_path / "no" / "where")}))
    assert step.status == 0, step.log
    assert "Succeeded" in step.log


# -- a disk that is full


@contextlib.contextmanager
def tiny_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - our own folder
    if done.returncode != 0:
        pytest.skip(f"NO FULL DISK IS TRIED HERE: {done.stderr.strip() or 'mount is not allowed'}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], timeout=30, check=True)  # noqa: S603, S607 - ours


@pytest.mark.skipif(os.geteuid() != 0, reason="NO FULL DISK IS TRIED HERE: only root can mount one")
@pytest.mark.parametrize("kilobytes", [4, 32, 100])
def test_a_full_workspace_is_a_warning(kilobytes: int, emulator: RunningEmulator, tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "workspace", kilobytes), ResultsService() as results:
        step = publish(job_for(emulator, tmp_path, results))
        assert "space" in step.log
        assert step.summary
        assert not [path for path in step.workspace.rglob("*") if path.name.endswith((".part", ".new"))]


@pytest.mark.skipif(os.geteuid() != 0, reason="NO FULL DISK IS TRIED HERE: only root can mount one")
def test_full_files_of_the_runner_are_a_warning(emulator: RunningEmulator, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with tiny_disk(disk, 4):
        for name in ("output", "state", "summary"):
            (disk / name).touch()

        variables = {f"GITHUB_{name}": str(disk / name.split("_")[-1].lower()) for name in ("OUTPUT", "STEP_SUMMARY")}
        step = asyncio.run(job_for(emulator, tmp_path / "job").play(variables=variables))
        assert step.status == 0, step.log
        assert "could not be written" in step.log
