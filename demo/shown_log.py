"""A step whose log is shown while it runs, about as GitHub shows it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping

from standins.runner import Runner, command, state_variables
from standins.runner_log import LogReader


def run(runner: Runner, script: str, state: Mapping[str, str] | None = None) -> int:
    """Run an entry point in the runner's workspace, show its log, and return its exit status."""
    shown = ShownLog()
    with subprocess.Popen(  # noqa: S603 - our own script
        command(script),
        cwd=runner.workspace,
        env=runner.environment() | state_variables(state or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        # Ctrl-C reaches the action by itself, and it is the action that has to end.
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for line in process.stdout or ():
            shown.show(line.rstrip("\n"))
        status = process.wait()
        signal.signal(signal.SIGINT, previous)
    return status


class ShownLog:
    """Prints a log: masks applied, groups and annotations as people see them, all other commands left out."""

    def __init__(self) -> None:
        self._reader = LogReader()
        self._masks: set[str] = set()

    def show(self, line: str) -> None:
        """Print what there is to see of a line."""
        was_stopped, found = self._reader.is_stopped, self._reader.read(line)
        if found is None:
            self._print(f"  {line}")
        elif was_stopped:
            return
        elif found.name == "add-mask":
            self._masks |= {found.data} - {""}
        elif found.name == "group":
            self._print(f"▼ {found.data}")
        elif found.name in ("notice", "warning", "error"):
            place = ",".join(f"{name}={value}" for name, value in found.properties.items())
            self._print(f"{found.name.capitalize()}: {found.data}" + (f" [{place}]" if place else ""))

    def _print(self, text: str) -> None:
        for mask in self._masks:
            text = text.replace(mask, "***")
        print(text, flush=True)
