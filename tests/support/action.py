"""GitHub's runner for tests: a workspace, INPUT_* and GITHUB_* variables, and the entry points as real processes.

    job = ActionJob(tmp_path, inputs={"api-token": …, "account-id": "1", "host": …}, results=service)
    step = job.run({"job-id": "1001"})
    assert step.status == 0, step.log
    assert step.outputs["status"] == "success"

`job.start(…)` gives a step that is still running, for tests that send it signals.
"""

from __future__ import annotations

import io
import itertools
import json
import signal
import subprocess
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from standins.emulator import RunningEmulator
from standins.results_service import ResultsService
from standins.runner import FILES, POST, STEP, Places, command, environment, input_variables, state_variables
from standins.runner_log import ParsedCommand, Reading, read_environment_file, read_stream

SECONDS = 120.0


@dataclass(frozen=True)
class FinishedStep:
    """What the runner has of a step that has ended."""

    status: int
    log: str
    files: Path
    workspace: Path
    results: ResultsService | None

    @cached_property
    def reading(self) -> Reading:
        return read_stream(self.log)

    @cached_property
    def outputs(self) -> dict[str, str]:
        return read_environment_file(self.files / "output")

    @cached_property
    def state(self) -> dict[str, str]:
        return read_environment_file(self.files / "state")

    @cached_property
    def summary(self) -> str:
        return (self.files / "step_summary").read_text(encoding="utf-8")

    def value(self, name: str) -> Any:
        """An output that is JSON, decoded."""
        return json.loads(self.outputs[name])

    @property
    def text(self) -> str:
        """The lines that are no commands."""
        return "\n".join(self.reading.log)

    def annotations(self, kind: str) -> list[ParsedCommand]:
        """`error`, `warning` or `notice`."""
        return self.reading.named(kind)

    @property
    def errors(self) -> list[str]:
        return [command.data for command in self.annotations("error")]

    @property
    def warnings(self) -> list[str]:
        return [command.data for command in self.annotations("warning")]

    @property
    def folder(self) -> Path:
        """The artifacts' folder."""
        return self.workspace / self.outputs["artifacts-path"]

    def json(self, name: str) -> Any:
        """A file of the artifacts' folder, decoded."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    @property
    def merged(self) -> dict[str, str]:
        """Status by unique id, from the merged `run_results.json`."""
        return {row["unique_id"]: row["status"] for row in self.json("run_results.json")["results"]}

    @property
    def asset_names(self) -> set[str]:
        return {asset["name"] for asset in self.json("assets.json")["assets"]}

    def uploaded(self) -> dict[str, bytes]:
        """The files in the workflow artifact that this step uploaded."""
        assert self.results is not None
        stored = self.results.artifacts[self.outputs["artifact-name"]]
        assert stored.is_final
        assert str(stored.id) == self.outputs["artifact-id"]
        with zipfile.ZipFile(io.BytesIO(stored.blob)) as archive:
            assert archive.testzip() is None
            return {name: archive.read(name) for name in archive.namelist()}


@dataclass
class RunningStep:
    """A step that has been started. The log goes to a file, so that nothing waits for a reader."""

    process: subprocess.Popen[bytes]
    files: Path
    workspace: Path
    results: ResultsService | None

    @property
    def log(self) -> str:
        return (self.files / "log").read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str, seconds: float = SECONDS) -> None:
        """Until the log holds this text."""
        deadline = time.monotonic() + seconds
        while text not in self.log:
            assert self.process.poll() is None, f"ended with {self.process.returncode} before {text!r}:\n{self.log}"
            assert time.monotonic() < deadline, f"no {text!r} in {seconds} s:\n{self.log}"
            time.sleep(0.02)

    def send(self, signum: int = signal.SIGINT) -> None:
        self.process.send_signal(signum)

    def finish(self, seconds: float = SECONDS) -> FinishedStep:
        """Until it has ended; it is killed, and the test fails, when that takes too long."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the step did not end in {seconds} s:\n{self.log}") from None
        return FinishedStep(status, self.log, self.files, self.workspace, self.results)


@dataclass
class ActionJob:
    """A job of a workflow: a workspace in which steps run one after the other. `inputs` are those of every step."""

    folder: Path
    inputs: Mapping[str, str] = field(default_factory=dict)
    results: ResultsService | None = None
    variables: Mapping[str, str] = field(default_factory=dict)  # of every step's environment
    before: ClassVar[tuple[str, ...]] = ()  # the words of the command before Python's own
    interpreter: tuple[str, ...] = ()  # the words that start the script, if not Python's own
    made: ClassVar[type[RunningStep]] = RunningStep
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _started: list[RunningStep] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("workspace", "home", "temp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def run(
        self,
        inputs: Mapping[str, str] | None = None,
        *,
        event: tuple[str, Mapping[str, Any]] | None = None,
        attempt: int = 1,
        variables: Mapping[str, str] | None = None,
        seconds: float = SECONDS,
    ) -> FinishedStep:
        """Run a step to its end."""
        return self.start(inputs, event=event, attempt=attempt, variables=variables).finish(seconds)

    def post(
        self,
        step: FinishedStep | RunningStep,
        inputs: Mapping[str, str] | None = None,
        *,
        variables: Mapping[str, str] | None = None,
        seconds: float = SECONDS,
    ) -> FinishedStep:
        """Run the post step of a step, with the state that it has left."""
        state = state_variables(read_environment_file(step.files / "state"))
        return self.start(inputs, script=POST, variables=state | dict(variables or {})).finish(seconds)

    def start(
        self,
        inputs: Mapping[str, str] | None = None,
        *,
        script: str = STEP,
        event: tuple[str, Mapping[str, Any]] | None = None,
        attempt: int = 1,
        variables: Mapping[str, str] | None = None,
    ) -> RunningStep:
        """Start a step. An input of None is not handed over at all; an `event` is its name and its payload."""
        files = self.folder / f"files-{next(self._numbers)}"
        files.mkdir()
        for name in FILES:
            (files / name).touch()
        event_name, payload = event or ("workflow_dispatch", {})
        (files / "event.json").write_text(json.dumps(payload), encoding="utf-8")
        given = input_variables({**self.inputs, **(inputs or {})})
        with (files / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own script
                [*self.before, *(self.interpreter or command(script))],
                cwd=self.workspace,
                env=self.environment(files, event_name, attempt) | dict(variables or {}) | given,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._started.append(self.made(process, files, self.workspace, self.results))
        return self._started[-1]

    def close(self) -> None:
        """End the steps that no test has waited for."""
        for step in self._started:
            if step.process.poll() is None:
                step.process.kill()
                step.process.wait()

    def environment(self, files: Path, event_name: str, attempt: int) -> dict[str, str]:
        """What a container action gets, without its inputs."""
        services = {} if self.results is None else self.results.variables
        context = {"EVENT_NAME": event_name, "RUN_ATTEMPT": str(attempt)}
        return environment(Places.below(self.folder, files), services, context) | dict(self.variables)


def inputs_for(emulator: RunningEmulator, **more: str) -> dict[str, str]:
    """The inputs that make a step speak to the emulator and lose no time; underscores in `more` stand for dashes."""
    return {
        "api-token": emulator.token,
        "account-id": str(emulator.account_id),
        "host": emulator.base_url,
        "poll-interval": "1",
        "retry-delay": "0",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
