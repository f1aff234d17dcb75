"""Real workflows, run by a real engine: nektos/act builds and starts `uses: ./`, and keeps what the steps hand on."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import socket
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from standins.emulator import TOKEN, RunningEmulator

pytestmark = pytest.mark.container
ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = "tests/container/workflows"


@dataclass
class Played:
    status: int
    log: str
    artifacts: Path

    def artifact(self) -> zipfile.ZipFile:
        """The only artifact in act's artifact server."""
        (found,) = [path for path in self.artifacts.rglob("*") if path.is_file()]
        return zipfile.ZipFile(io.BytesIO(found.read_bytes()))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with a commit, and in it the files as they are now."""
    folder = tmp_path_factory.mktemp("checkout") / "repository"
    git = shutil.which("git") or "git"
    subprocess.run([git, "clone", "--quiet", "--no-hardlinks", ROOT, folder], check=True)  # noqa: S603 - git
    # act takes the repository's name from the remote.
    subprocess.run([git, "remote", "set-url", "origin", "https://github.com/example/shop"], cwd=folder, check=True)  # noqa: S603
    command = [git, "ls-files", "-z", "--modified", "--others", "--exclude-standard"]
    changed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S603
    for name in filter(None, changed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, folder / name)
    return folder


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def play(act: Path, job_image: str, checkout: Path, workflow: str, emulator: RunningEmulator, folder: Path) -> Played:
    artifacts = folder / "artifacts"
    command = [str(act), "push", "--workflows", f"{WORKFLOWS}/{workflow}", "--platform", f"ubuntu-latest={job_image}"]
    command += ["--pull=false", "--no-cache-server", "--container-daemon-socket", "-", "--rm"]
    command += ["--artifact-server-path", str(artifacts), "--artifact-server-addr", "127.0.0.1"]
    command += ["--artifact-server-port", str(free_port()), "--secret", f"DBT_CLOUD_API_TOKEN={TOKEN}"]
    variables = {"HOST": emulator.base_url, "ACCOUNT_ID": "1", "JOB_ID": "1001"}
    for name, value in variables.items():
        command += ["--var", f"DBT_CLOUD_{name}={value}"]
    environment = os.environ | {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    if engine := os.environ.get("E2E_ACT_DOCKER_HOST"):
        environment["DOCKER_HOST"] = engine
    done = subprocess.run(  # noqa: S603 - act, with our own arguments
        command, cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    log = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    print(log)
    return Played(done.returncode, log, artifacts)


def test_a_recovered_run(act: Path, job_image: str, checkout: Path, emulator: RunningEmulator, tmp_path: Path) -> None:
    played = play(act, job_image, checkout, "recovered.yml", emulator, tmp_path)
    assert played.status == 0
    runs = [run["id"] for run in emulator.runs()]
    assert len(runs) == 2
    name = f"dbt-cloud-run-1001-{runs[0]}"
    assert f"LATER STEP: success after runs {runs[0]} {runs[1]}, artifact {name}" in played.log
    assert "FAILURE STEP" not in played.log
    assert re.search(r"Success - Post .*\./", played.log)
    assert TOKEN not in played.log
    with played.artifact() as archive:
        result = json.loads(archive.read("result.json"))
        assert result["status"] == "success"
        assert result["run-ids"] == runs
        statuses = {row["unique_id"]: row["status"] for row in json.loads(archive.read("run_results.json"))["results"]}
        assert statuses["model.shop.orders"] == "success"
        assert "error" not in statuses.values()
        assert f"runs/{runs[1]}/" in "".join(archive.namelist())


def test_a_run_that_stays_failed(
    act: Path, job_image: str, checkout: Path, emulator: RunningEmulator, tmp_path: Path
) -> None:
    played = play(act, job_image, checkout, "failing.yml", emulator, tmp_path)
    assert played.status != 0
    (run,) = emulator.runs()
    assert f"FAILURE STEP: error nodes model.shop.customers {run['href']}" in played.log
    assert "SUCCESS STEP" not in played.log
    model = "src/dbt_cloud_emulator/projects/shop/models/marts/customers.sql"
    assert re.search(rf"::error (title=[^:]*,)?file={re.escape(model)}[,:]", played.log)
    with played.artifact() as archive:
        assert json.loads(archive.read("result.json"))["failure-kind"] == "nodes"
