"""A step as PID 1 of a PID namespace of its own, as in a container, stopped as GitHub's runner does it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from standins.runner_log import read_environment_file
from tests.support.action import POST, ActionJob, FinishedStep, RunningStep

SIGTERM_AFTER, SIGKILL_AFTER = 7.5, 2.5  # seconds, as the runner has it
_ENTER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@cache
def why_impossible() -> str:
    """Why there can be no PID namespace here; empty if there can."""
    if shutil.which("unshare") is None:
        return "there is no `unshare` here"
    done = subprocess.run([*_ENTER, "true"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - util-linux
    return "" if done.returncode == 0 else f"`unshare` cannot make a PID namespace: {done.stderr.strip()}"


@dataclass
class PidOne(RunningStep):
    """A step that is PID 1 where it lives."""

    @property
    def pid(self) -> int:
        """Its PID out here."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        deadline = time.monotonic() + 20
        while not (found := children.read_text().split()):
            assert time.monotonic() < deadline, "unshare has started nothing"
            time.sleep(0.01)
        return int(found[0])

    def send(self, signum: int = signal.SIGINT) -> None:
        os.kill(self.pid, signum)

    def wait_until_held(self) -> None:
        """Until it holds the signals back, or has a handler.

        What comes before that is lost whatever the program is: it is what Linux does to the first process of a
        container.
        """
        wait_until_held(self.pid)

    def stop(self, first: int = signal.SIGINT) -> tuple[FinishedStep, float]:
        """Tell it to stop as the runner does; gives what it left, and the seconds that it took.

        A step that ignores the first signal receives SIGTERM, and SIGKILL in the end.
        """
        began = time.monotonic()
        pid = self.pid
        os.kill(pid, first)
        for signum, patience in ((signal.SIGTERM, SIGTERM_AFTER), (signal.SIGKILL, SIGKILL_AFTER)):
            try:
                self.process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                os.kill(pid, signum)
        status = self.process.wait(10)
        return FinishedStep(status, self.log, self.files, self.workspace, self.results), time.monotonic() - began


def wait_until_held(pid: int) -> None:
    """Until the first process of a container holds SIGINT and SIGTERM back, or has a handler for them."""
    wanted = 1 << (signal.SIGTERM - 1) | 1 << (signal.SIGINT - 1)
    process = Path("/proc") / str(pid)
    deadline = time.monotonic() + 20
    # `unshare` blocks both for a moment in its child, and lets them through again before it starts the program.
    while (process / "exe").resolve().name == "unshare" or _held(process / "status") & wanted != wanted:
        assert time.monotonic() < deadline, "the signals are not held back"


def _held(status: Path) -> int:
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields["SigBlk"], 16) | int(fields["SigCgt"], 16)


@dataclass
class ContainedJob(ActionJob):
    """A job whose steps are each PID 1 of a namespace."""

    before = _ENTER
    made = PidOne

    def start(self, inputs: Mapping[str, str] | None = None, **options: Any) -> PidOne:
        step = super().start(inputs, **options)
        assert isinstance(step, PidOne)
        return step

    def post_with(self, state: Mapping[str, str], inputs: Mapping[str, str] | None = None) -> FinishedStep:
        """A post step with any state."""
        variables = {f"STATE_{name}": value for name, value in state.items()}
        return self.start(inputs, script=POST, variables=variables).finish()


def saved_state(step: RunningStep | FinishedStep) -> dict[str, str]:
    """The state that it has left."""
    return read_environment_file(step.files / "state")


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes every connection and never says a word; gives its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=32) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
