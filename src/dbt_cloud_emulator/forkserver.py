"""A process that has dbt imported and forks a child for each command, since most of a command's time is the import.

Reads one JSON object a line from stdin: `{"id", "argv", "cwd", "env", "output"}`; answers `{"id", "pid"}` and then
`{"id", "exit"}` on stdout. Each child leads a process group of its own. At the end of stdin all groups are killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import sys
from typing import Any, TextIO


class ForkServer:
    """The parent's side: orders in, answers out, children reaped."""

    def __init__(self, answers: TextIO) -> None:
        self._answers = answers
        self._children: dict[int, int] = {}
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        signal.set_wakeup_fd(self._waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def serve(self) -> dict[str, Any] | None:
        """Serve until stdin ends, and return None; in a child, return its order at once."""
        pending = b""
        with selectors.DefaultSelector() as selector:
            selector.register(0, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self._woken in ready:
                    os.read(self._woken, 4096)
                    self._reap()
                if 0 not in ready:
                    continue
                chunk = os.read(0, 1 << 20)
                if not chunk:
                    self._kill()
                    return None
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    order: dict[str, Any] = json.loads(line)
                    if self._fork(order["id"]):
                        return order

    def _fork(self, number: int) -> bool:
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            os.close(self._woken)
            os.close(self._waker)
            self._answers.close()
            return True
        self._children[pid] = number
        self._answer(id=number, pid=pid)
        return False

    def _answer(self, **fields: Any) -> None:
        self._answers.write(json.dumps(fields) + "\n")
        self._answers.flush()

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while self._children:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid in self._children:
                    self._answer(id=self._children.pop(pid), exit=os.waitstatus_to_exitcode(status))

    def _kill(self) -> None:
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


def _become(order: dict[str, Any]) -> None:
    """Take on the directory, environment, output and process group of a command."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(output)
    os.close(null)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    sys.argv = ["dbt", *order["argv"]]


def main() -> None:
    """Serve; in a child, be the dbt command, and exit as it does."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what an import may print must not get between the answers
    import dbt.adapters.duckdb  # noqa: F401 -- imported for the children
    from dbt.cli.main import cli

    order = ForkServer(answers).serve()
    if order is not None:
        _become(order)
        cli(order["argv"], prog_name="dbt")


if __name__ == "__main__":
    main()
