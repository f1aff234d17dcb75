"""Files of the workspace's owner from the moment they are made: real processes, as root and as user 1001."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="NO OWNERSHIP IS PROVEN HERE: only root can give files away")
OWNER, OTHER = 1001, 1002
ROOT = Path(__file__).resolve().parents[2]
START = """
import os, threading
from pathlib import Path
from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.github.ownership import *
from dbt_cloud_run.github.runner_files import require_runner_files
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Pytest's own folders are closed to other users."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def workspace(folder: Path) -> Path:
    made = folder / "workspace"
    made.mkdir()
    os.chown(made, OWNER, OWNER)
    return made


def python(script: str, workspace: Path, user: int = 0, environ: Mapping[str, str] | None = None) -> str:
    """Run a script. It becomes another user when all is imported, which may be closed to that user."""
    variables = {"PATH": os.defpath, "PYTHONPATH": str(ROOT / "src"), **(environ or {})}
    become = f"os.setgroups([]); os.setgid({user}); os.setuid({user})\n" if user else ""
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", START + become + script],
        cwd=workspace,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def owners(workspace: Path) -> set[tuple[int, int]]:
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in workspace.rglob("*")}


MAKE = """
def make(name):
    folder = Path(name); folder.mkdir(); (folder / "file").write_text("x"); (folder / "link").symlink_to("file")
"""


def test_everything_is_the_owners_also_from_other_threads(workspace: Path) -> None:
    script = f"""{MAKE}
print(act_as_owner(Path.cwd()))
make("a")
thread = threading.Thread(target=make, args=["b"]); thread.start(); thread.join()
print(os.geteuid(), os.getuid())
"""
    assert python(script, workspace) == "True\n0 0"
    assert owners(workspace) == {(OWNER, OWNER)}
    assert len(list(workspace.rglob("*"))) == 6


def test_a_process_that_is_killed_leaves_nothing_of_roots(workspace: Path) -> None:
    script = f"""{START}
act_as_owner(Path.cwd())
for number in range(10**9):
    Path(str(number)).mkdir(); (Path(str(number)) / "file").write_text("x")
"""
    variables = {"PATH": os.defpath, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen([sys.executable, "-c", script], cwd=workspace, env=variables)  # noqa: S603
    while len(list(workspace.iterdir())) < 50:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert owners(workspace) == {(OWNER, OWNER)}


def test_oneself_again(workspace: Path) -> None:
    python(f"{MAKE}\nact_as_owner(Path.cwd()); act_as_oneself(); make('a')", workspace)
    assert owners(workspace) == {(0, 0)}


def test_as_another_user_nothing_changes(workspace: Path) -> None:
    assert (
        python(
            f"{MAKE}\nprint(act_as_owner(Path.cwd())); make('a'); print(mend(Path('a'), Path.cwd()))",
            workspace,
            user=OWNER,
        )
        == "False\n0"
    )
    assert owners(workspace) == {(OWNER, OWNER)}


def test_in_a_workspace_of_roots_nothing_changes(workspace: Path) -> None:
    os.chown(workspace, 0, 0)
    assert python("print(act_as_owner(Path.cwd()), act_as_owner(Path('/missing')))", workspace) == "False False"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_where_the_owner_could_not_write_root_goes_on(workspace: Path, folder: Path, kind: str) -> None:
    """Runner files, or a folder, that belong to someone else: what worked before still does."""
    other = folder / "other"
    other.mkdir() if kind == "folder" else other.touch()
    other.chmod(0o755 if kind == "folder" else 0o644)
    os.chown(other, OTHER, OTHER)
    script = f"""{MAKE}
print(act_as_owner(Path.cwd(), must_write=[Path({str(other)!r})])); make("a")
print(act_as_owner(Path.cwd(), must_write=[Path.cwd(), Path("missing")]))
"""
    assert python(script, workspace) == "False\nTrue"
    assert owners(workspace) == {(0, 0)}
    assert list(workspace.iterdir()) == [workspace / "a"]


def test_what_an_older_version_left_is_mended(workspace: Path, folder: Path) -> None:
    left = workspace / "dbt-cloud" / "7" / "runs"
    left.mkdir(parents=True)
    (left / "file").touch()
    (left / "link").symlink_to(folder)
    outside, kept = folder / "outside", workspace / "kept"
    outside.mkdir()
    kept.mkdir()
    (left / "others").touch()
    os.chown(left / "others", OTHER, OTHER)
    (workspace / "out").symlink_to(outside)
    script = """
print(mend(Path("dbt-cloud"), Path.cwd()), mend(Path("out"), Path.cwd()), mend(Path("."), Path.cwd()))
print(act_as_owner(Path.cwd()))
Path("dbt-cloud/7/runs/new").write_text("x"); Path("dbt-cloud/7/runs/file").write_text("x")
"""
    assert python(script, workspace) == "5 0 0\nTrue"
    assert {path.name: path.lstat().st_uid for path in (workspace / "dbt-cloud").rglob("*")} == {
        "7": OWNER,
        "runs": OWNER,
        "file": OWNER,
        "link": OWNER,
        "new": OWNER,
        "others": OTHER,
    }
    assert (outside.stat().st_uid, kept.stat().st_uid, folder.stat().st_uid) == (0, 0, 0)


CHECK = """
try:
    print(require_runner_files(os.environ))
except ConfigError as error:
    print(error)
"""


def test_runner_files_that_cannot_be_written(workspace: Path, folder: Path) -> None:
    files = {}
    for name in ("GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"):
        files[name] = str(folder / name)
        Path(files[name]).write_text("as it was")
        os.chown(files[name], OWNER, OWNER)
        Path(files[name]).chmod(0o644)
    assert python(CHECK, workspace, environ=files) == "None"
    assert python(CHECK, workspace, user=OWNER, environ=files) == "None"
    said = python(CHECK, workspace, user=OTHER, environ=files)
    assert said.startswith("GITHUB_OUTPUT, GITHUB_STATE, GITHUB_STEP_SUMMARY cannot be written (Permission denied)")
    assert f"user {OTHER}" in said
    assert "`--user`" in said
    assert {Path(file).read_text() for file in files.values()} == {"as it was"}
    Path(files["GITHUB_STATE"]).chmod(0o666)
    assert python(CHECK, workspace, user=OTHER, environ=files).startswith("GITHUB_OUTPUT, GITHUB_STEP_SUMMARY cannot")
    absent = {name: str(folder / "missing") for name in files}
    assert python(CHECK, workspace, user=OTHER, environ=absent) == "None"
    assert python(CHECK, workspace, user=OTHER) == "None"
