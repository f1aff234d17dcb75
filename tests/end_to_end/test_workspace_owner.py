"""On a runner that is not root, nothing in the workspace is root's, whenever the step ends. Real files, real owners."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
from standins.emulator import RunningEmulator
from standins.runner import POST, STEP
from tests.support.action import ActionJob, inputs_for
from tests.support.replayed import job_id

OWNER = 1001
ROOT = Path(__file__).resolve().parents[2]
LIBRARY = next(path for path in sys.path if path.endswith("site-packages"))
# Its library can be read by every user, which that of a user's own Python may not be.
PYTHON = Path(f"/usr/bin/python3.{sys.version_info.minor}")
IS_READABLE = all(folder.stat().st_mode & 0o005 == 0o005 for folder in (ROOT, *ROOT.parents))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not PYTHON.exists() or not IS_READABLE,
        reason="NO OWNERSHIP IS PROVEN HERE: it takes root, and a Python and a checkout that all users can read",
    ),
]


@pytest.fixture
def job(replaying: RunningEmulator) -> Iterator[ActionJob]:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        made = ActionJob(
            Path(name) / "job",
            inputs_for(replaying, job_id=str(job_id(1, "good")), upload_artifact="false"),
            variables={"PYTHONPATH": f"{ROOT / 'src'}:{LIBRARY}", "RUNNER_DEBUG": "1"},
            interpreter=(str(PYTHON), "-u", str(ROOT / STEP)),
            owner=OWNER,
        )
        for path in Path(name).rglob("*"):
            os.chown(path, OWNER, OWNER)
        yield made
        made.close()
        replaying.clear_faults()


def owners(workspace: Path) -> dict[str, int]:
    return {path.relative_to(workspace).as_posix(): path.lstat().st_uid for path in workspace.rglob("*")}


def test_a_whole_step(job: ActionJob) -> None:
    step = job.run()
    assert step.status == 0, step.log
    assert "Files are written as the owner of the workspace" in step.log
    found = owners(job.workspace)
    assert {"dbt-cloud/.gitignore", "dbt-cloud/11/assets.json"} <= set(found)
    assert set(found.values()) == {OWNER}
    assert (job.workspace / "dbt-cloud" / ".gitignore").read_text().endswith("*\n")


def test_a_whole_step_and_its_post_step_as_another_user_than_root(job: ActionJob, replaying: RunningEmulator) -> None:
    as_owner = ("setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups")
    job.interpreter = (*as_owner, *job.interpreter)
    step = job.run({"job-id": str(job_id(1, "bad"))})
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    assert step.outputs["attempts"] == "2"
    assert "Files are written as the user of the container" in step.log
    assert set(owners(job.workspace).values()) == {OWNER}
    assert "Retries" in step.summary
    assert [text for text in step.warnings if "could not" in text] == []
    job.interpreter = (*as_owner, str(PYTHON), "-u", str(ROOT / POST))
    post = job.post(step)
    assert (post.status, post.warnings) == (0, [])


def test_a_step_that_is_killed_while_it_publishes(job: ActionJob, replaying: RunningEmulator) -> None:
    replaying.add_fault(path=r"/artifacts/manifest\.json$", effect="pass", delay=60.0)
    step = job.start()
    step.wait_for("is success")
    while not any((job.workspace / "dbt-cloud").rglob("run_results.json")):
        assert step.process.poll() is None
    step.send(signal.SIGKILL)
    step.process.wait()
    assert set(owners(job.workspace).values()) == {OWNER}


def test_an_authority_that_root_alone_can_read_is_read_to_the_end(job: ActionJob, tmp_path: Path) -> None:
    """Of the session that uploads and of the comment, too: the owner of the workspace could not read it."""
    authority = tmp_path / "company.pem"
    authority.write_bytes(Path(certifi.where()).read_bytes())
    authority.chmod(0o600)
    step = job.run(variables={"SSL_CERT_FILE": str(authority)})
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    assert "Files are written as the user of the container" in step.log
    assert set(owners(job.workspace).values()) == {OWNER}


def test_what_an_older_version_left_is_mended_by_the_next_run(job: ActionJob) -> None:
    left = job.workspace / "dbt-cloud" / "11" / "runs" / "5"
    left.mkdir(parents=True)
    (left / "run_results.json").write_text("{}")
    step = job.run()
    assert step.status == 0, step.log
    assert set(owners(job.workspace).values()) == {OWNER}


def test_what_was_left_by_other_workflow_runs_is_removed(job: ActionJob) -> None:
    assert job.run(variables={"GITHUB_RUN_ID": "1"}).status == 0
    first = set(owners(job.workspace))
    (job.workspace / "dbt-cloud" / "11" / "mine.txt").write_text("of a user")
    assert job.run(variables={"GITHUB_RUN_ID": "2"}).status == 0
    second = set(owners(job.workspace))
    runs = [name for name in second if "/runs/" in name and name.count("/") == 3]
    assert len(runs) == 1, "the folder of the first run's run is gone"
    assert "dbt-cloud/11/mine.txt" in second
    assert len(second) == len(first) + 1


def test_runner_files_that_cannot_be_written_end_it_before_it_starts_anything(
    job: ActionJob, replaying: RunningEmulator
) -> None:
    before = len(replaying.runs())
    step = job.start(variables={"GITHUB_OUTPUT": "/proc", "GITHUB_STATE": "/proc"}).finish()
    assert step.status == 1
    (error,) = step.errors
    assert error.startswith("GITHUB_OUTPUT, GITHUB_STATE cannot be written")
    assert step.warnings == []
    assert len(replaying.runs()) == before


def test_the_post_step_needs_the_state_and_the_token_alone(job: ActionJob, replaying: RunningEmulator) -> None:
    """Inputs of nested composite actions can be empty there."""
    job.inputs = {**job.inputs, "job-id": str(job_id(1, "stuck"))}
    step = job.start()
    step.wait_for("is queued")
    step.send(signal.SIGKILL)
    step.process.wait()
    job.interpreter = (str(PYTHON), "-u", str(ROOT / POST))
    empty = dict.fromkeys(job.inputs, "") | {"api-token": ""}
    post = job.post(step, empty)
    assert post.status == 0
    (warning,) = post.warnings
    assert "api-token is missing in the post step" in warning
    run_id = step_state(step.files)["run_id"]
    assert f"/runs/{run_id}" in warning
    post = job.post(step, empty | {"api-token": job.inputs["api-token"]})
    assert f"Run {run_id} is cancelled" in post.log
    assert replaying.wait(int(run_id))["status"] == 30


def step_state(files: Path) -> dict[str, str]:
    from standins.runner_log import read_environment_file

    return read_environment_file(files / "state")
