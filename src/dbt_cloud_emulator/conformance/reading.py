"""The action's own client reads the answers that the checks have recorded, and must take the same from them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx

from dbt_cloud_emulator.conformance.outcome import Seen, check
from dbt_cloud_emulator.conformance.scene import CANCELLED, ERROR, SUCCESS, NotCheckedError, Scene
from dbt_cloud_emulator.conformance.session import Exchange
from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import CloudError
from dbt_cloud_run.redaction import Secret

Call = Callable[[CloudClient, "re.Match[str]"], Awaitable[Any]]

STATES = {1: "queued", 2: "starting", 3: "running", SUCCESS: "success", ERROR: "error", CANCELLED: "cancelled"}
CALLS: tuple[tuple[str, str, Call], ...] = (
    ("GET", r"/runs/(\d+)/", lambda client, found: client.get_run(int(found[1]))),
    ("GET", r"/runs/", lambda client, _: client.list_runs(1)),
    ("GET", r"/jobs/(\d+)/", lambda client, found: client.get_job(int(found[1]))),
    ("GET", r"/jobs/", lambda client, _: client.list_jobs()),
    ("GET", r"/projects/", lambda client, _: client.list_projects()),
    ("GET", r"/environments/", lambda client, _: client.list_environments()),
    ("GET", r"/runs/(\d+)/artifacts/", lambda client, found: client.list_artifacts(int(found[1]))),
    ("POST", r"/jobs/(\d+)/run/?", lambda client, found: client.trigger(int(found[1]), {})),
    ("POST", r"/runs/(\d+)/retry/", lambda client, found: client.retry_run(int(found[1]))),
    ("POST", r"/runs/(\d+)/cancel/", lambda client, found: client.cancel_run(int(found[1]))),
)
_ACCOUNT = re.compile(r"/api/v[23]/accounts/\d+")


@check("client.reads")
def reads(scene: Scene) -> Seen:
    """Whatever was recorded before this check."""
    found = [(exchange, call) for exchange in scene.session.exchanges if (call := _call_for(exchange)) is not None]
    answers = [(exchange, call) for exchange, call in found if exchange.is_success]
    if not answers:
        raise NotCheckedError("there was no answer that the client reads")
    problems = asyncio.run(_problems(answers))
    return Seen(not problems, "; ".join(dict.fromkeys(problems)) or f"{len(answers)} answers")


async def _problems(answers: Sequence[tuple[Exchange, tuple[Call, re.Match[str]]]]) -> list[str]:
    """What the client took from some answer otherwise than it is. One client for all: making one takes a while."""
    answering: list[Exchange] = []

    def answer(_: httpx.Request) -> httpx.Response:
        exchange = answering[-1]
        return httpx.Response(exchange.status, content=exchange.content, headers={"content-type": "application/json"})

    found = []
    transport = httpx.MockTransport(answer)
    async with CloudClient(
        "https://recorded.invalid", 1, Secret("recorded"), SystemClock(), transport=transport
    ) as client:
        for exchange, (call, match) in answers:
            answering.append(exchange)
            if problem := await _compared(client, exchange, call, match):
                found.append(f"{exchange.method} {_ACCOUNT.sub('', exchange.path)}: {problem}")
    return found


def _call_for(exchange: Exchange) -> tuple[Call, re.Match[str]] | None:
    path = _ACCOUNT.sub("", exchange.path, count=1)
    for method, pattern, call in CALLS:
        match = re.fullmatch(pattern, path)
        if method == exchange.method and match is not None:
            return call, match
    return None


async def _compared(client: CloudClient, exchange: Exchange, call: Call, match: re.Match[str]) -> str:
    """What the client took from an answer otherwise than it is; empty where nothing."""
    try:
        taken = await call(client, match)
    except CloudError as error:
        return str(error)
    data = exchange.data
    if isinstance(data, list):
        differs = len(taken) != len(data)
        return f"{len(taken)} of {len(data)} items" if differs else "".join(map(_differs, taken, data))
    return _differs(taken, data)


def _differs(taken: Any, data: Any) -> str:
    if not isinstance(data, dict) or getattr(taken, "id", data.get("id")) != data.get("id"):
        return "" if not isinstance(data, dict) else "another id"
    if hasattr(taken, "state") and hasattr(taken, "run_steps"):
        expected = STATES.get(data.get("status") or 0)
        if expected is not None and taken.state.value != expected:
            return f"state {taken.state.value} for status {data['status']}"
        if len(taken.run_steps or ()) != len(data.get("run_steps") or ()):
            return "another number of steps"
    return ""
