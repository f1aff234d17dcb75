"""The command `dbt-cloud-run` as a process, for tests that hold for it and for the action alike.

    job = CommandJob(tmp_path, inputs={"api-token": …, "account-id": "1", "host": …})
    step = job.run({"job-id": "1001"})
    assert step.outputs["status"] == "success"

Inputs are handed over as options, the token as a variable.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from tests.support.action import FinishedStep, RunningStep

NAME = "dbt-cloud-run"
# Nothing of these is to reach the command, whatever starts the tests.
HIDDEN = ("INPUT_", "GITHUB_", "ACTIONS_", "RUNNER_", "DBT_", "CI_")


@dataclass(frozen=True)
class FinishedCommand(FinishedStep):
    """What a command that has ended left: what the action has as outputs is in `result.json`, if there was a run."""

    @cached_property
    def outputs(self) -> dict[str, str]:
        found = list(self.workspace.rglob("result.json"))
        values = json.loads(found[0].read_text(encoding="utf-8")) if found else {}
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}

    @property
    def text(self) -> str:
        return self.log

    @property
    def state(self) -> dict[str, str]:
        """The command saves none."""
        return {}

    @property
    def errors(self) -> list[str]:
        return re.findall(r"^Error: (.*(?:\n  .*)*)", self.log, re.MULTILINE)

    @property
    def warnings(self) -> list[str]:
        return re.findall(r"^Warning: (.*)", self.log, re.MULTILINE)

    @cached_property
    def summary(self) -> str:
        return (self.files / "summary.md").read_text(encoding="utf-8")


@dataclass
class RunningCommand(RunningStep):
    """A command that has been started."""

    def finish(self, seconds: float = 120.0) -> FinishedCommand:
        done = super().finish(seconds)
        return FinishedCommand(done.status, done.log, done.files, done.workspace, done.results)


@dataclass
class CommandJob:
    """Calls of the command. Each has a working directory of its own; `inputs` are those of every call."""

    folder: Path
    inputs: Mapping[str, str] = field(default_factory=dict)
    program: ClassVar[tuple[str, ...]] = (sys.executable, "-m", "dbt_cloud_run")
    before: ClassVar[tuple[str, ...]] = ()
    made: ClassVar[type[RunningCommand]] = RunningCommand
    _started: list[RunningCommand] = field(default_factory=list)

    def run(self, inputs: Mapping[str, str] | None = None, *, seconds: float = 120.0, **more: Any) -> FinishedCommand:
        """Run the command to its end."""
        return self.start(inputs, **more).finish(seconds)

    def start(
        self, inputs: Mapping[str, str] | None = None, *, variables: Mapping[str, str] | None = None
    ) -> RunningCommand:
        number = len(self._started) + 1
        workspace, files = self.folder / f"work-{number}", self.folder / f"files-{number}"
        workspace.mkdir(parents=True)
        files.mkdir(parents=True)
        texts = {**self.inputs, **(inputs or {})}
        environment = self.environment() | dict(variables or {})
        if token := texts.pop("api-token", ""):
            environment["DBT_CLOUD_API_TOKEN"] = token
        options = [word for name, text in texts.items() for word in (f"--{name}", text)]
        options += ["--summary-file", self.path_inside(files / "summary.md")]
        with (files / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [*self.before, *self.words(workspace, files, environment), *options],
                cwd=workspace,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # What started the tests may ignore it, and a child inherits that.
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            )
        self._started.append(self.made(process, files, workspace, None))
        return self._started[-1]

    def words(self, workspace: Path, files: Path, environment: Mapping[str, str]) -> tuple[str, ...]:
        """The command line up to the options."""
        return self.program

    def path_inside(self, path: Path) -> str:
        """A path of this machine as the command sees it."""
        return str(path)

    def environment(self) -> dict[str, str]:
        return {name: text for name, text in os.environ.items() if not name.startswith(HIDDEN)}

    def close(self) -> None:
        """End the calls that no test has waited for."""
        for step in self._started:
            if step.process.poll() is None:
                step.process.kill()
                step.process.wait()


@dataclass
class ImageJob(CommandJob):
    """The same in the image, as `docker run IMAGE dbt-cloud-run …`."""

    image: str = ""

    def words(self, workspace: Path, files: Path, environment: Mapping[str, str]) -> tuple[str, ...]:
        docker = shutil.which("docker") or "docker"
        mounts = ("-v", f"{workspace}:/work", "-v", f"{files}:/files", "-w", "/work")
        names = [part for name in environment if name.startswith("DBT_") for part in ("-e", name)]
        return (docker, "run", "--rm", "--network", "host", *mounts, *names, self.image, NAME)

    def path_inside(self, path: Path) -> str:
        return f"/files/{path.name}"
