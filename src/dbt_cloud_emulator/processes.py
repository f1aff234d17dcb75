"""dbt commands as processes of their own, each with its process group."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
from pathlib import Path

from dbt_cloud_emulator import forkserver

GRACE_SECONDS = 5.0


class DbtProcess:
    """A started command."""

    def __init__(self, pid: int, done: asyncio.Future[int]) -> None:
        self.pid = pid
        self._done = done

    async def wait(self) -> int:
        """The exit code; negative for a signal."""
        return await asyncio.shield(self._done)

    async def stop(self, signum: int) -> None:
        """Send a signal to the whole group, and SIGKILL when that was not enough."""
        for number, patience in ((signum, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._done), patience)
                return


class Launcher:
    """Starts dbt: by the fork server of this environment, or as another executable."""

    def __init__(self) -> None:
        self._server: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._ids = itertools.count(1)
        self._pids: dict[int, asyncio.Future[int]] = {}
        self._exits: dict[int, asyncio.Future[int]] = {}
        self._waiters: set[asyncio.Task[None]] = set()

    async def start(
        self, argv: list[str], *, cwd: Path, env: dict[str, str], output: Path, executable: str | None = None
    ) -> DbtProcess:
        """Start `dbt *argv`; what it prints is appended to `output`. Raises OSError."""
        if executable is not None:
            return await self._spawn([executable, *argv], cwd, env, output)
        server = await self._serving()
        number, loop = next(self._ids), asyncio.get_running_loop()
        # Held here: a command that ends at once may be forgotten before this is told its process id.
        pid, done = loop.create_future(), loop.create_future()
        self._pids[number], self._exits[number] = pid, done
        order = {"id": number, "argv": argv, "cwd": str(cwd), "env": env, "output": str(output)}
        assert server.stdin is not None  # noqa: S101
        server.stdin.write(json.dumps(order).encode() + b"\n")
        return DbtProcess(await asyncio.shield(pid), done)

    async def _spawn(self, command: list[str], cwd: Path, env: dict[str, str], output: Path) -> DbtProcess:
        with output.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=cwd,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def watch() -> None:
            done.set_result(await process.wait())

        waiter = asyncio.create_task(watch())
        self._waiters.add(waiter)
        waiter.add_done_callback(self._waiters.discard)
        return DbtProcess(process.pid, done)

    async def _serving(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._server is None or self._server.returncode is not None:
                self._server = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    forkserver.__name__,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    start_new_session=True,
                )
                self._reader = asyncio.create_task(self._read(self._server))
            return self._server

    async def _read(self, server: asyncio.subprocess.Process) -> None:
        assert server.stdout is not None  # noqa: S101
        while line := await server.stdout.readline():
            answer = json.loads(line)
            if "pid" in answer:
                self._pids.pop(answer["id"]).set_result(answer["pid"])
            else:
                self._exits.pop(answer["id"]).set_result(answer["exit"])
        await server.wait()
        for pid in self._pids.values():
            pid.set_exception(OSError("the fork server has ended"))
        for done in self._exits.values():
            done.set_result(-signal.SIGKILL)
        self._pids, self._exits = {}, {}

    async def close(self) -> None:
        """End the fork server, and with it every command that it started."""
        if self._server is not None and self._server.stdin is not None:
            self._server.stdin.close()
            await self._server.wait()
        if self._reader is not None:
            await self._reader
