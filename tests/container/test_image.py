"""What is in the image, and what is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from standins.emulator import TOKEN, RunningEmulator
from tests.support.container_step import MAIN, POST

pytestmark = pytest.mark.container
ROOT = Path(__file__).resolve().parents[2]
INTERPRETER = "/opt/dbt-cloud-run/venv/bin/python"


def docker(*arguments: str, script: str = "") -> subprocess.CompletedProcess[str]:
    command = [shutil.which("docker") or "docker", *arguments]
    return subprocess.run(  # noqa: S603 - docker, with our own arguments
        command, cwd=ROOT, input=script, capture_output=True, text=True, errors="replace", check=False
    )


def layers(image: str) -> list[str]:
    found: list[str] = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image).stdout)
    return found


def test_what_kubernetes_runners_need_is_in_the_image_and_nothing_is_left_of_the_build(image: str) -> None:
    script = (ROOT / "tools/e2e/contents").read_text()
    done = docker("run", "--rm", "--network", "none", "-i", "--entrypoint", "sh", image, "-s", script=script)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_a_build_must_not_leave_is_noticed(image: str) -> None:
    left = (
        "mkdir -p ~/.cache/pip /var/lib/apt/lists /tmp/pip-1; touch ~/.cache/pip/a /var/lib/apt/lists/b /tmp/pip-1/c\n"
    )
    left += "rm /usr/bin/tail /usr/bin/env\n"
    script = left + (ROOT / "tools/e2e/contents").read_text()
    given = ("--network", "none", "--env", "HOME=/github/home")  # as the runner sets it
    done = docker("run", "--rm", *given, "-i", "--entrypoint", "sh", image, "-s", script=script)
    assert done.returncode == 1
    files = ("/github/home/.cache/pip/a", "/var/lib/apt/lists/b", "/tmp/pip-1/c")
    for expected in ("tail is missing", "env is missing", *files):
        assert expected in done.stdout


def read_from(log: str) -> tuple[set[str], set[str]]:
    """Of a log of `python -v`: the modules that were read from byte code, and those that were compiled."""
    names = set(
        re.findall(r"code object from '?(/[^'\n#]+?\.pyc?)(?=['\n#])", log)
    )  # threads run into each other's lines
    compiled = {name for name in names if name.endswith(".py")}
    return names - compiled, compiled


def test_no_import_has_to_be_compiled_at_the_start(image: str, emulator: RunningEmulator) -> None:
    inputs = {"api-token": TOKEN, "account-id": "1", "job-id": "1001", "retry-delay": "1"}
    inputs["host"] = emulator.base_url.replace("127.0.0.1", "localhost")  # a name has to be looked up, and encoded
    given = [part for name, value in inputs.items() for part in ("--env", f"INPUT_{name.upper()}={value}")]
    given += ["--env", "GITHUB_WORKSPACE=/tmp", "--network", "host"]
    for script in (MAIN, POST):
        done = docker("run", "--rm", *given, "--entrypoint", INTERPRETER, image, "-Iuv", script)
        assert done.returncode == 0, done.stdout
        ready, compiled = read_from(done.stderr)
        assert any("/json/" in name for name in ready)
        assert compiled <= {script}
    # The base itself has none: what the image adds is what is tested.
    bare = docker(
        "run", "--rm", "--entrypoint", "python3", os.environ.get("BASE", "python:3.13-slim"), "-Ivc", "import json"
    )
    assert any("/json/" in name for name in read_from(bare.stderr)[1])


def test_the_same_files_make_the_same_layers(image: str) -> None:
    base = [f"BASE={os.environ['BASE']}"] if os.environ.get("BASE") else []
    options = [
        "--no-cache",
        "--quiet",
        "--network",
        "host",
        *(part for value in base for part in ("--build-arg", value)),
    ]
    again = f"{image}-again"
    done = docker("build", *options, "--build-arg", "VERSION=9.9.9", "--tag", again, ".")
    assert done.returncode == 0, done.stdout + done.stderr
    assert layers(again) == layers(image)
    docker("rmi", again)
