"""Paths cannot leave the workspace, files belong to its owner, sizes are bounded, and the interpreter is isolated."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from standins.emulator import RunningEmulator, running_emulator
from standins.runner import ROOT, STEP
from tests.support.action import ActionJob
from tests.support.loop import LoopJob, PlayedStep, until
from tests.support.replayed import configuration, job_id

from dbt_cloud_run.collect import collect

RUNNER_UID = 1001
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away, as in the container")


@pytest.fixture
def emulator(replaying: RunningEmulator) -> Iterator[RunningEmulator]:
    yield replaying
    replaying.clear_faults()


def inputs(emulator: RunningEmulator, job: str = "good", **more: str) -> dict[str, str]:
    return {
        "api-token": emulator.token,
        "account-id": "1",
        "host": emulator.base_url,
        "job-id": str(job_id(1, job)),
        "upload-artifact": "false",
        "retry-on": "any",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }


def play(emulator: RunningEmulator, folder: Path, job: str = "good", factor: float = 1000.0, **more: str) -> PlayedStep:
    return asyncio.run(LoopJob(folder, inputs=inputs(emulator, job, **more), factor=factor).play())


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file below, with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


# -- paths

WICKED = ["../x", "../../x", "/etc/x", "a/../../../x", "logs/../../x", "..", ".", "", "a\\..\\..\\x", "a\x00b", "~/x"]


def test_names_from_the_api_cannot_leave_the_workspace(emulator: RunningEmulator, tmp_path: Path) -> None:
    listed = {"data": [*WICKED, "manifest.json"], "status": {"code": 200}}
    emulator.add_fault(path="/artifacts/$", status=200, body=listed, times=None)
    # Whatever is asked for is there, so that it is our own refusal which keeps it out.
    emulator.add_fault(path=r"/artifacts/.*x$", status=200, body="planted", times=None)
    step = play(emulator, tmp_path / "job", artifacts="**", step_artifacts="all")
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"planted"]
    assert all(path.is_relative_to(step.workspace) for path in written), written
    assert "is left out" in step.summary
    assert not Path("/etc/x").exists()
    assert not any("\\" in path.name or path.name == "x" for path in tmp_path.rglob("*") if "~" not in str(path))


@pytest.mark.parametrize("where", ["dbt-cloud", "dbt-cloud/11", "dbt-cloud/11/runs"])
def test_a_link_in_the_checkout_leads_nowhere(where: str, emulator: RunningEmulator, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("kept")
    job = LoopJob(tmp_path / "job", inputs=inputs(emulator, artifacts="**"))
    link = job.workspace / where
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    step = asyncio.run(job.play())
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    assert tree(outside) == {"precious": b"kept"}
    assert "symbolic link" in step.log


@pytest.mark.parametrize(
    "name", ["manifest.json", "run_results.json", "assets.json", "junit.xml", "result.json", "summary.md"]
)
def test_a_link_in_the_place_of_a_file_is_replaced(name: str, emulator: RunningEmulator, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    job = LoopJob(tmp_path / "job", inputs=inputs(emulator))
    folder = job.workspace / "dbt-cloud" / "11"
    folder.mkdir(parents=True)
    (folder / name).symlink_to(precious)
    step = asyncio.run(job.play())
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    assert precious.read_text() == "kept"
    assert (folder / name).is_file()
    assert not (folder / name).is_symlink()


def test_a_folder_in_the_place_of_a_file_changes_no_verdict(emulator: RunningEmulator, tmp_path: Path) -> None:
    job = LoopJob(tmp_path / "job", inputs=inputs(emulator))
    for name in (
        "manifest.json",
        "run_results.json",
        "assets.json",
        "junit.xml",
        "result.json",
        "summary.md",
        "sources.json",
    ):
        (job.workspace / "dbt-cloud" / "11" / name / "inner").mkdir(parents=True)
    step = asyncio.run(job.play())
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    assert step.outputs["nodes-total"] == "28"
    assert "manifest.json" in step.log


@pytest.mark.parametrize("where", ["dbt-cloud", "dbt-cloud/12", "dbt-cloud/12/runs"])
def test_a_link_that_is_planted_during_the_run_leads_nowhere(
    where: str, emulator: RunningEmulator, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    job = LoopJob(tmp_path / "job", inputs=inputs(emulator, "bad", retry_delay="30"), factor=30)

    async def plant() -> PlayedStep:
        step = asyncio.create_task(job.play())
        await until((job.workspace / "dbt-cloud" / "12" / "runs").is_dir)
        await asyncio.sleep(0.4)  # in the delay before the retry
        planted = job.workspace / where
        planted.rename(tmp_path / "moved")
        planted.symlink_to(outside)
        return await step

    step = asyncio.run(plant())
    assert step.outputs["attempts"] == "2"
    assert step.outputs["status"] in ("success", "error")
    assert tree(outside) == {}, step.log


# -- owners


@NEEDS_ROOT
@pytest.mark.parametrize("job", ["good", "bad"])
def test_what_is_written_belongs_to_the_owner_of_the_workspace(
    job: str, emulator: RunningEmulator, tmp_path: Path
) -> None:
    played = LoopJob(tmp_path / "job", inputs=inputs(emulator, job, artifacts_path="some/where/deep"))
    os.chown(played.workspace, RUNNER_UID, RUNNER_UID)
    (played.workspace / "some").mkdir()
    os.chown(played.workspace / "some", RUNNER_UID, RUNNER_UID)
    step = asyncio.run(played.play())
    assert step.status == 0, step.log
    found = list(played.workspace.rglob("*"))
    assert len(found) > 6
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in found} == {(RUNNER_UID, RUNNER_UID)}


@NEEDS_ROOT
def test_in_the_workspace_itself_what_is_written_is_the_owners_and_the_rest_is_not_touched(
    emulator: RunningEmulator, tmp_path: Path
) -> None:
    played = LoopJob(tmp_path / "job", inputs=inputs(emulator, artifacts_path="."))
    os.chown(played.workspace, RUNNER_UID, RUNNER_UID)
    others = [played.workspace / "others", played.workspace / "others" / "file", played.workspace / "runs.txt"]
    others[0].mkdir()
    for path in others[1:]:
        path.touch()
    step = asyncio.run(played.play())
    assert step.status == 0, step.log
    written = {path for path in played.workspace.rglob("*") if path not in others}
    assert len(written) > 6
    assert {path.lstat().st_uid for path in written} == {RUNNER_UID}
    assert {path.lstat().st_uid for path in others} == {0}


@NEEDS_ROOT
def test_a_folder_that_was_there_keeps_its_owner(emulator: RunningEmulator, tmp_path: Path) -> None:
    played = LoopJob(tmp_path / "job", inputs=inputs(emulator, artifacts_path="there/new"))
    os.chown(played.workspace, RUNNER_UID, RUNNER_UID)
    (played.workspace / "there").mkdir()
    step = asyncio.run(played.play())
    assert step.status == 0, step.log
    assert (played.workspace / "there").lstat().st_uid == 0
    assert {path.lstat().st_uid for path in (played.workspace / "there").rglob("*")} == {RUNNER_UID}


@NEEDS_ROOT
def test_a_signal_leaves_nothing_of_root_s(emulator: RunningEmulator, tmp_path: Path) -> None:
    played = LoopJob(tmp_path / "job", inputs=inputs(emulator, "bad", retry_delay="600"))
    os.chown(played.workspace, RUNNER_UID, RUNNER_UID)

    def interrupt(clock: Any) -> None:
        async def later() -> None:
            await until(lambda: max(clock.slept, default=0.0) > 500)
            clock.interrupt(15)

        clock.watch = asyncio.ensure_future(later())

    step = asyncio.run(played.play(signal_at=interrupt))
    assert step.status == 143, step.log
    assert {path.lstat().st_uid for path in played.workspace.rglob("*")} == {RUNNER_UID}


# -- sizes


@pytest.mark.parametrize("cap", [2_000, 100_000])
def test_a_file_above_the_cap_is_kept_but_not_decoded(
    cap: int, emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "LARGEST_DECODED", cap)
    step = play(emulator, tmp_path / "job")
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    assert "too large" in step.log
    folder = step.workspace / step.outputs["artifacts-path"]
    assert (folder / "manifest.json").stat().st_size > cap
    assert list(folder.glob("runs/*/*/run_results.json"))
    assert step.outputs["nodes-total"] == ("" if cap == 2_000 else "28")


def rss() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class MostMemory:
    """The most memory that was taken meanwhile, above what there was."""

    def __enter__(self) -> Self:
        self._before, self.most, self._is_over = rss(), 0, threading.Event()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._is_over.wait(0.005):
            self.most = max(self.most, rss() - self._before)


def test_a_huge_artifact_is_streamed_and_a_huge_log_is_cut(recordings: list[Path], tmp_path: Path) -> None:
    size, log_size = 400 * 2**20, 8 * 2**20
    huge = tmp_path / "recordings"
    for recording in recordings:
        shutil.copytree(recording, huge / recording.name)
    step_folder = next(huge.glob("*/steps/*/artifacts")).parent
    for folder in huge.glob("*/steps/*/artifacts"):
        (folder / "metadata").mkdir()
        with (folder / "metadata" / "huge.parquet").open("wb") as file:
            file.truncate(size)
    log = step_folder.parents[1].parent / "1" / "steps" / step_folder.name / "console.log"
    log.write_text(log.read_text() + "noise, line after line of it\n" * (log_size // 29) + "THE END\n")
    with running_emulator(config=configuration([huge / "1", huge / "2"])) as emulator:
        play(emulator, tmp_path / "warm")
        with MostMemory() as memory:
            step = play(emulator, tmp_path / "job", artifacts="**/*.parquet")
        assert step.status == 0, step.log
        (kept,) = step.workspace.glob("dbt-cloud/*/metadata/huge.parquet")
        assert kept.stat().st_size == size
        assert memory.most < 60 * 2**20
        failed = play(emulator, tmp_path / "log", "bad", targeted_retries="0")
        assert failed.outputs["status"] == "error"
        assert "THE END" in failed.log
        assert len(failed.log) < 300_000
        assert len(failed.summary) < 1_000_000


def test_a_temporary_folder_of_the_runner_that_is_not_there_is_replaced(
    emulator: RunningEmulator, tmp_path: Path
) -> None:
    nowhere = dict.fromkeys(("RUNNER_TEMP", "TMPDIR"), str(tmp_path / "no" / "where"))
    step = ActionJob(tmp_path / "job", inputs=inputs(emulator)).run(variables=nowhere)
    assert step.status == 0, step.log
    assert step.outputs["status"] == "success"


# -- isolation

PLANTED = ("json", "httpx", "asyncio", "pydantic", "dbt_cloud_run", "sitecustomize", "usercustomize", "github")


@pytest.mark.parametrize("is_isolated", [True, False], ids=["as in the image", "without -I"])
def test_nothing_of_the_checkout_is_loaded(is_isolated: bool, emulator: RunningEmulator, tmp_path: Path) -> None:
    job = ActionJob(tmp_path / "job", inputs=inputs(emulator))
    marks = tmp_path / "marks"
    marks.mkdir()
    for name in PLANTED:
        code = f"open({str(marks)!r} + '/{name}', 'w').close()\nraise SystemExit(77)\n"
        (job.workspace / f"{name}.py").write_text(code)
    # The words that follow the interpreter, which `env` starts.
    *_, first, flag = shlex.split((ROOT / STEP).read_text().splitlines()[0].removeprefix("#!"))
    assert first.startswith("/")
    flags = [flag]
    files = tmp_path / "files"
    files.mkdir()
    for name in ("output", "state", "step_summary"):
        (files / name).touch()
    environment = job.environment(files, "workflow_dispatch", 1) | {
        f"INPUT_{name.upper()}": value for name, value in job.inputs.items()
    }
    environment |= {"PYTHONPATH": str(job.workspace), "PYTHONSTARTUP": str(job.workspace / "json.py")}
    environment |= {"PYTHONUSERBASE": str(job.workspace), "PYTHONINSPECT": "1"} if is_isolated else {}
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, *(flags if is_isolated else ["-u"]), str(ROOT / STEP)],
        cwd=job.workspace,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    loaded = sorted(path.name for path in marks.iterdir())
    if is_isolated:
        assert (done.returncode, loaded) == (0, []), done.stdout + done.stderr
        assert json.loads((next(job.workspace.glob("dbt-cloud/*/result.json"))).read_text())["status"] == "success"
    else:
        assert loaded  # so this test would see it
