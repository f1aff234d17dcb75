"""The whole loop of a step within the test's process: real sockets, real files, a clock that makes waiting cheap."""

from __future__ import annotations

import asyncio
import inspect
import io
import itertools
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from standins.runner_log import read_environment_file
from tests.support.action import FILES, ActionJob
from tests.support.scaled_clock import ScaledClock

from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.github.console import Console
from dbt_cloud_run.github.log import log_to
from dbt_cloud_run.process import mask_secrets
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.step import run_step

CLOSED_PORT = 9  # `discard`, at which nothing listens here


class Refusing(httpx.AsyncBaseTransport):
    """Sends the requests that `is_refused` says to a port on which no server listens: the kernel refuses them."""

    def __init__(self, is_refused: Callable[[httpx.Request], bool]) -> None:
        self._is_refused = is_refused
        self._inner = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=16))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._is_refused(request):
            request.url = request.url.copy_with(port=CLOSED_PORT)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class WorkingClient(CloudClient):
    """Whose requests are work for the clock: while one of them goes on, no sleep beside it is cut short."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._clock = next(argument for argument in arguments if isinstance(argument, ScaledClock))

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name.startswith("_") or not inspect.iscoroutinefunction(value):
            return value

        async def call(*arguments: Any, **options: Any) -> Any:
            with self._clock.working():
                return await value(*arguments, **options)

        return call


@dataclass
class PlayedStep:
    """What a step that was played in this process has left."""

    status: int
    log: str
    files: Path
    workspace: Path
    clock: ScaledClock
    seconds: float  # on the step's own clock

    @cached_property
    def outputs(self) -> dict[str, str]:
        return read_environment_file(self.files / "output")

    @cached_property
    def state(self) -> dict[str, str]:
        return read_environment_file(self.files / "state")

    @property
    def summary(self) -> str:
        return (self.files / "step_summary").read_text(encoding="utf-8")


@dataclass
class LoopJob(ActionJob):
    """A job whose steps are played in this process. The timeouts are those of one request, in real seconds."""

    factor: float = 1000.0
    read_timeout: float = 20.0
    connect_timeout: float = 5.0
    is_refused: Callable[[httpx.Request], bool] | None = None
    _plays: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def play(
        self,
        inputs: Mapping[str, str] | None = None,
        *,
        event: tuple[str, Mapping[str, Any]] | None = None,
        attempt: int = 1,
        variables: Mapping[str, str] | None = None,
        signal_at: Callable[[ScaledClock], None] | None = None,
    ) -> PlayedStep:
        """Play a step. `signal_at` gets its clock before it begins, to interrupt it when it likes."""
        files = self.folder / f"played-{next(self._plays)}"
        environment = self._prepared(files, inputs or {}, event, attempt) | dict(variables or {})
        log = io.StringIO()
        console = Console(stream=log, environ=environment)
        mask_secrets(console, environment)
        settings = Settings.from_environ(environment)
        clock = ScaledClock(self.factor)
        if signal_at is not None:
            signal_at(clock)
        began = clock.monotonic()
        with tempfile.TemporaryDirectory(dir=self.folder / "temp") as scratch:
            try:
                with log_to(console):
                    status = await run_step(settings, console, clock, Path(scratch), self._client)
            finally:
                clock.close()
        seconds = clock.monotonic() - began
        return PlayedStep(status, log.getvalue(), files, self.workspace, clock, seconds)

    def _prepared(
        self, files: Path, inputs: Mapping[str, str], event: tuple[str, Mapping[str, Any]] | None, attempt: int
    ) -> dict[str, str]:
        files.mkdir()
        for name in FILES:
            (files / name).touch()
        event_name, payload = event or ("workflow_dispatch", {})
        (files / "event.json").write_text(json.dumps(payload), encoding="utf-8")
        given = {**self.inputs, **inputs}
        return self.environment(files, event_name, attempt) | {
            f"INPUT_{name.upper()}": value for name, value in given.items()
        }

    def _client(self, *arguments: Any) -> CloudClient:
        """As impatient as the job says, and refused by the kernel where it says so."""
        transport = Refusing(self.is_refused) if self.is_refused is not None else None
        return WorkingClient(
            *arguments, connect_timeout=self.connect_timeout, read_timeout=self.read_timeout, transport=transport
        )


def interrupt_when(condition: Callable[[], bool], signum: int = 15) -> Callable[[ScaledClock], None]:
    """For `signal_at`: the step receives the signal as soon as it is so."""

    def begin(clock: ScaledClock) -> None:
        async def watch() -> None:
            await until(condition)
            clock.interrupt(signum)

        clock.watch = asyncio.ensure_future(watch())  # type: ignore[attr-defined]

    return begin


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Look every 10 ms whether it is so."""
    for _ in range(int(seconds * 100)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not so in {seconds} s")
