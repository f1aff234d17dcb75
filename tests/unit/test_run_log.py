"""The log of a run that goes on: what is new, and now and then a sign of life."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from datetime import timedelta
from typing import Any

import httpx
import pytest
from standins.cloud_server import FakeClock
from tests.support.attempts import attempt, step

from dbt_cloud_run.cloud.errors import CloudError
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.transport import Transport
from dbt_cloud_run.collect.attempts import LONGEST_LOG
from dbt_cloud_run.github.console import Console
from dbt_cloud_run.github.log import log_to
from dbt_cloud_run.model import RunState
from dbt_cloud_run.planned import PlannedNode, PlannedStep, Retryability, RetryPlan, StepAction
from dbt_cloud_run.redaction import Secret
from dbt_cloud_run.run_log import SIGN_OF_LIFE, RunLog


def running(log: str) -> Run:
    step: dict[str, Any] = {"index": 4, "name": "Invoke dbt with `dbt build`", "status": 3, "logs": log}
    return Run.model_validate({"id": 7, "status": 3, "run_steps": [step]})


def test_progress_is_told_when_there_is_some_and_once_a_minute() -> None:
    stream = io.StringIO()
    clock = FakeClock()
    log = RunLog(Console(stream, {}), clock)
    log.started(running(""), 1)
    began = clock.now
    first = "06:00:00  1 of 9 START sql view model dev.a ... [RUN]\n"
    for second in range(200):
        clock.now = began + second
        log.seen(running(first if second < 100 else first + "06:00:01  1 of 9 OK created a ... [OK]\n"))
    lines = [line for line in stream.getvalue().split("\n") if "step 4 “" in line]
    assert [line.split()[0] for line in lines] == ["00:00", "01:00", "01:40", "02:40"]
    assert "0 of 9 nodes done, running a" in lines[0]
    assert "1 of 9 nodes done" in lines[2]
    assert SIGN_OF_LIFE == 60


@pytest.mark.parametrize("hours", [-24, -1, 0, 1, 24])
def test_how_long_a_step_has_run_is_by_dbt_clouds_own_clock(hours: int) -> None:
    stream, clock = io.StringIO(), FakeClock()
    here, there = clock.utcnow(), clock.utcnow() + timedelta(hours=hours)
    log = RunLog(Console(stream, {}), clock, lambda: there)
    log.started(running(""), 1)
    begun = {"index": 4, "name": "a", "status": 3, "started_at": str(there - timedelta(seconds=80))}
    log.seen(Run.model_validate({"id": 7, "status": 3, "run_steps": [begun]}))
    assert "running (1m 20s)" in stream.getvalue()
    assert clock.utcnow() == here


def test_the_next_attempt_is_told_anew() -> None:
    stream = io.StringIO()
    log = RunLog(Console(stream, {}), FakeClock())
    for number in (1, 2):
        log.started(running(""), number)
        log.seen(running("no progress in it"))
    assert stream.getvalue().count("step 4 “") == 2


def test_each_step_at_work_has_a_group_of_its_own() -> None:
    stream = io.StringIO()
    log = RunLog(Console(stream, {}), FakeClock())

    def look(*states: int, run: int = 3) -> None:
        steps = [{"index": n, "name": f"Invoke dbt with `dbt {n}`", "status": s} for n, s in enumerate(states, start=1)]
        log.seen(Run.model_validate({"id": 7, "status": run, "run_steps": steps}))

    log.started(running(""), 1)
    look(run=1)
    look(10, 3)
    look(10, 10, 3)
    look(10, 10, 20, run=20)
    log.ended(attempt(1, step(1, "dbt 1", state=RunState.SUCCESS)))
    lines = [line.partition("  ")[2] or line for line in stream.getvalue().splitlines()]
    assert lines == [
        "Attempt 1: run 7",
        "run 7 is queued",
        "run 7 is running",
        "step 1 “dbt 1”: success",
        "::group::Attempt 1, step 2: dbt 2",
        "step 2 “dbt 2”: running (0.0 s)",
        "::endgroup::",
        "step 2 “dbt 2”: success",
        "::group::Attempt 1, step 3: dbt 3",
        "step 3 “dbt 3”: running (0.0 s)",
        "::endgroup::",
        "run 7 is error",
        "step 3 “dbt 3”: error",
        "Attempt 1: run 101 ended: success",
    ]


def test_a_log_that_is_cut_says_so_before_anything_else() -> None:
    whole = "a line\n" * 40_000
    for seen, words in (
        (whole, "The first 80,000 characters or more are left out."),
        ("", "The beginning is left out."),
    ):
        stream = io.StringIO()
        log = RunLog(Console(stream, {}), FakeClock())
        log.started(running(""), 1)
        log.seen(running(seen))
        cut = step(4, "dbt build", log=whole[-LONGEST_LOG:], state=RunState.ERROR)
        log.ended(attempt(1, cut, run_url="https://cloud.getdbt.com/runs/7"))
        lines = stream.getvalue().splitlines()
        first = next(n for n, line in enumerate(lines) if "log of the failed step" in line) + 1
        assert lines[first] == f"{words} Its end follows; the whole log is in https://cloud.getdbt.com/runs/7"
    stream = io.StringIO()
    RunLog(Console(stream, {}), FakeClock()).ended(attempt(1, step(4, "dbt build", log="short", state=RunState.ERROR)))
    assert "left out" not in stream.getvalue()


@pytest.mark.parametrize("asked", [True, False])
def test_debug_lines_are_there_when_the_runner_asks_for_them(asked: bool) -> None:
    stream = io.StringIO()
    console = Console(stream, {"RUNNER_DEBUG": "1"} if asked else {})

    async def ask() -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200 if request.method == "GET" else 503, json={"data": {}})

        transport = Transport(
            "https://x.example",
            Secret("s3cret-token"),
            FakeClock().utcnow,
            connect_timeout=1,
            read_timeout=1,
            transport=httpx.MockTransport(answer),
        )
        await transport.call("GET", "/runs/7/", params={"include_related": "trigger"})
        with contextlib.suppress(CloudError):
            await transport.call("POST", "/jobs/7/run/")
        await transport.aclose()

    clock = FakeClock()
    log = RunLog(console, clock)
    log.started(running(""), 1)
    clock.now += 3
    with log_to(console):
        asyncio.run(ask())
        log.seen(running(""))
        planned = PlannedNode(unique_id="model.s.a", status="error", reason="x", retryability=Retryability.TRANSIENT)
        step_ = PlannedStep(index=4, command="dbt build", action=StepAction.NODES, reason="r", nodes=(planned,))
        log.plan(RetryPlan(steps=(step_,), commands=("dbt build",)))
    debug = [line for line in stream.getvalue().splitlines() if line.startswith("::debug::")]
    assert bool(debug) is asked
    if asked:
        text = "\n".join(debug)
        assert re.search(r"GET /runs/7/ include_related=trigger: HTTP 200 after \d", text)
        assert re.search(r"POST /jobs/7/run/ : HTTP 503 after \d", text)
        assert "look at run 7 after 3.0 s: running" in text
        assert "model.s.a error, transient: x" in text
        assert "s3cret" not in text
