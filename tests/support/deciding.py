"""One decision about the run of a step: real reads, and nothing is ever started."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from standins.cloud_server import JOB, TOKEN, CloudServer, FakeClock

from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.decide import Decision, decide

SHA = "a" * 40


def settings_of(
    port: int = 1,
    *,
    attempt: int = 1,
    event: tuple[str, Path] | None = None,
    variables: Mapping[str, str] | None = None,
    **inputs: str,
) -> Settings:
    """The settings of a step; underscores in the inputs' names stand for dashes, and an empty input is not given."""
    given = {"api-token": TOKEN, "account-id": "1", "host": f"http://127.0.0.1:{port}", "job-id": str(JOB)}
    given |= {name.replace("_", "-"): value for name, value in inputs.items()}
    environ = {f"INPUT_{name.upper()}": value for name, value in given.items() if value}
    environ |= {"GITHUB_RUN_ID": "42", "GITHUB_RUN_ATTEMPT": str(attempt), "GITHUB_REPOSITORY": "acme/shop"}
    environ |= {"GITHUB_JOB": "dbt", "GITHUB_ACTION": "__self", "GITHUB_SHA": SHA}
    if event is not None:
        environ |= {"GITHUB_EVENT_NAME": event[0], "GITHUB_EVENT_PATH": str(event[1])}
    return Settings.from_environ(environ | dict(variables or {}))


def decide_at(
    server: CloudServer,
    *,
    clock: FakeClock | None = None,
    deadline: float | None = None,
    attempt: int = 1,
    event: tuple[str, Path] | None = None,
    variables: Mapping[str, str] | None = None,
    **inputs: str,
) -> Decision:
    """What is decided against this server. `deadline` is of the clock, which begins at 1000."""

    async def deciding() -> Decision:
        now = clock or FakeClock()
        async with server:
            settings = settings_of(server.port, attempt=attempt, event=event, variables=variables, **inputs)
            async with server.client(now, read_timeout=20.0) as client:
                return await decide(settings, client, Reader(now), deadline=deadline)

    decision = asyncio.run(deciding())
    assert server.count("POST", ".*") == 0
    return decision
