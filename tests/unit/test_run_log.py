"""The log of a run that goes on: what is new, and now and then a sign of life."""

from __future__ import annotations

import io
from typing import Any

from tests.support.cloud_server import FakeClock

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.github.commands import Console
from dbt_cloud_run.run_log import SIGN_OF_LIFE, RunLog


def running(log: str) -> Run:
    step: dict[str, Any] = {"index": 4, "name": "Invoke dbt with `dbt build`", "status": 3, "logs": log}
    return Run.model_validate({"id": 7, "status": 3, "run_steps": [step]})


def test_progress_is_told_when_there_is_some_and_once_a_minute() -> None:
    stream = io.StringIO()
    log = RunLog(Console(stream, {}), FakeClock())
    log.started(running(""), 1)
    first = "06:00:00  1 of 9 START sql view model dev.a ... [RUN]\n"
    for second in range(200):
        log.seen(running(first if second < 100 else first + "06:00:01  1 of 9 OK created a ... [OK]\n"), float(second))
    lines = [line for line in stream.getvalue().split("\n") if "step 4" in line]
    assert [line.split()[0] for line in lines] == ["00:00", "01:00", "01:40", "02:40"]
    assert "0 of 9 nodes done, running a" in lines[0]
    assert "1 of 9 nodes done" in lines[2]
    assert SIGN_OF_LIFE == 60


def test_the_next_attempt_is_told_anew() -> None:
    stream = io.StringIO()
    log = RunLog(Console(stream, {}), FakeClock())
    for number in (1, 2):
        log.started(running(""), number)
        log.seen(running("no progress in it"), 0.0)
    assert stream.getvalue().count("step 4") == 2
