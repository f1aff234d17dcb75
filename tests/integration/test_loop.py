"""The loop over attempts, against runs that end as a test tells them, on a clock on which waiting is cheap.

What decides there is looked at by `make mutants` with these tests alone: each rule of the loop has one here.
"""

from __future__ import annotations

import asyncio
import copy
import json
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import Fault
from tests.support.loop import PlayedStep, until
from tests.support.scaled_clock import ScaledClock
from tests.support.told_cloud import ToldCloud, build, command, job_at, node, row, told

A, B, C = "model.shop.a", "model.shop.b", "model.shop.c"
NODES = tuple(
    node(uid, *parents, fqn=uid.split(".")[1:], path=f"{uid[-1]}.sql") for uid, *parents in ((A,), (B, A), (C,))
)
RESET = "Connection reset by peer"
TRIGGER, CANCEL, RETRY = r"/run/$", r"/cancel/$", r"/retry/$"
Server = Callable[[ToldCloud], None]


@dataclass
class Played:
    """A step, and what it asked of dbt Cloud."""

    step: PlayedStep
    server: ToldCloud

    @property
    def status(self) -> tuple[int, str]:
        return self.step.status, self.step.outputs["status"]

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The bodies of the requests that start a run."""
        return [json.loads(request.body) for request in self.server.requests if request.path.endswith("/run/")]

    @property
    def steps(self) -> list[list[str]]:
        return [body.get("steps_override", []) for body in self.sent]

    def count(self, path: str) -> int:
        return self.server.count("POST", path)

    @property
    def output_ids(self) -> list[int]:
        found: list[int] = json.loads(self.step.outputs["run-ids"])
        return found


def played(
    folder: Path,
    runs: Sequence[Mapping[str, Any]],
    *,
    prepare: Server = lambda _: None,
    signal_at: Callable[[ScaledClock, ToldCloud], None] | None = None,
    attempt: int = 1,
    **inputs: str,
) -> Played:
    async def play() -> Played:
        async with ToldCloud([undated(run) for run in runs]) as server:
            prepare(server)
            job = job_at(server, folder, **inputs)
            step = await job.play(attempt=attempt, signal_at=lambda clock: signal_at and signal_at(clock, server))
            return Played(step, server)

    return asyncio.run(play())


def undated(run: Mapping[str, Any]) -> dict[str, Any]:
    """The run with results that do not say when they were made: they were told before it was triggered."""
    made = copy.deepcopy(dict(run))
    for step in made["steps"]:
        for content in step.get("files", {}).values():
            content["metadata"].pop("generated_at", None)
    return made


def failing(message: str = RESET, **fields: Any) -> dict[str, Any]:
    """A run in which `a` is built, `b` fails for a reason that may pass, and `c` is built."""
    return told(20, build([row(A), row(B, "error", message), row(C)], NODES, status=20), **fields)


GOOD = told(10, build([row(A), row(B), row(C)], NODES))
FIXED = told(10, build([row(B)], NODES))
STUCK = told(3, command("dbt build", 3))
QUEUED = told(1)


# -- what is retried, how often, and when


def test_a_run_that_succeeds_is_the_end(tmp_path: Path) -> None:
    found = played(tmp_path, [GOOD])
    assert found.status == (0, "success")
    assert found.step.outputs["attempts"] == "1"
    assert len(found.sent) == 1


def test_exactly_what_failed_is_retried_with_the_commit_of_the_first_run(tmp_path: Path) -> None:
    found = played(tmp_path, [failing(), FIXED], schema_override="mine")
    assert found.status == (0, "success"), found.step.log
    assert found.steps[0] == []
    assert found.steps[1] == ["dbt build --select fqn:shop.b --indirect-selection empty"]
    assert [body.get("git_sha") for body in found.sent] == [None, "a" * 40]
    assert [body.get("schema_override") for body in found.sent] == ["mine", "mine"]
    assert json.loads(found.step.outputs["recovered-nodes"]) == [B]
    assert len(found.output_ids) == 2


def test_the_delay_before_a_retry_doubles_each_time(tmp_path: Path) -> None:
    found = played(tmp_path, [failing()], retry_delay="32", targeted_retries="3")
    assert found.status == (1, "error")
    assert found.step.outputs["attempts"] == "4"
    delays = [slept for slept in found.step.clock.slept if slept >= 30]
    assert delays == [32.0, 64.0, 128.0]


def test_without_a_delay_there_is_no_wait(tmp_path: Path) -> None:
    found = played(tmp_path, [failing(), FIXED], retry_delay="0")
    assert found.status == (0, "success")
    assert "before the retry" not in found.step.log
    assert 0.0 not in found.step.clock.slept


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_no_more_retries_than_were_asked_for(tmp_path: Path, retries: int) -> None:
    found = played(tmp_path, [failing()], targeted_retries=str(retries), retry_delay="0")
    assert len(found.sent) == 1 + retries


def test_what_does_not_pass_is_not_retried(tmp_path: Path) -> None:
    found = played(tmp_path, [failing('Database Error: relation "x" does not exist')])
    assert found.status == (1, "error")
    assert len(found.sent) == 1


def test_a_retry_is_not_begun_when_the_time_would_be_over_before_it(tmp_path: Path) -> None:
    found = played(tmp_path, [failing(), FIXED], timeout_minutes="1", retry_delay="70")
    assert found.status == (1, "error")
    assert len(found.sent) == 1
    assert "timeout-minutes leaves no time for a retry" in found.step.summary
    assert 70.0 not in found.step.clock.slept
    assert found.count(CANCEL) == 0


def test_a_retry_for_which_there_is_time_is_begun(tmp_path: Path) -> None:
    found = played(tmp_path, [failing(), FIXED], timeout_minutes="2", retry_delay="70")
    assert found.status == (0, "success")
    assert len(found.sent) == 2


def test_the_commit_of_a_run_that_does_not_report_it_is_that_of_the_input(tmp_path: Path) -> None:
    found = played(tmp_path, [failing(git_sha=None), FIXED], git_sha="b" * 40, retry_delay="0")
    assert [body["git_sha"] for body in found.sent] == ["b" * 40, "b" * 40]


def test_the_second_retry_is_of_what_the_first_left(tmp_path: Path) -> None:
    first = told(20, build([row(A), row(B, "error", RESET), row(C, "error", RESET)], NODES, status=20))
    second = told(20, build([row(B, "error", RESET), row(C)], NODES, status=20))
    found = played(tmp_path, [first, second, FIXED], retry_delay="0")
    assert found.status == (0, "success")
    assert "c" in found.steps[1][0].split("select")[1]
    assert "shop.c" not in found.steps[2][0]
    assert json.loads(found.step.outputs["recovered-nodes"]) == [B, C]


# -- limits


def test_timeout_minutes_are_minutes(tmp_path: Path) -> None:
    found = played(tmp_path, [STUCK], timeout_minutes="30")
    assert found.status == (1, "timed-out")
    assert 30 * 60 <= found.step.seconds < 30 * 60 + 60
    assert found.count(CANCEL) == 1
    assert len(found.sent) == 1


def test_a_fraction_of_a_minute_counts(tmp_path: Path) -> None:
    found = played(tmp_path, [STUCK], timeout_minutes="0.5")
    assert 30 <= found.step.seconds < 45


def test_queue_timeout_minutes_are_minutes_in_the_queue(tmp_path: Path) -> None:
    found = played(tmp_path, [QUEUED], queue_timeout_minutes="20")
    assert found.status == (1, "timed-out")
    assert 20 * 60 <= found.step.seconds < 20 * 60 + 60
    assert found.count(CANCEL) == 1
    assert "queue-timeout-minutes" in found.step.log


def test_a_run_that_has_left_the_queue_has_no_limit_of_the_queue(tmp_path: Path) -> None:
    found = played(tmp_path, [STUCK], queue_timeout_minutes="1", timeout_minutes="10")
    assert 10 * 60 <= found.step.seconds < 10 * 60 + 60


def test_at_the_limit_a_run_is_left_alone_where_that_is_asked_for(tmp_path: Path) -> None:
    found = played(tmp_path, [STUCK], timeout_minutes="1", cancel_run="false")
    assert found.status == (1, "timed-out")
    assert found.count(CANCEL) == 0
    assert found.step.state["run_id"] == ""


def test_at_the_limit_a_run_of_another_s_is_left_alone(tmp_path: Path) -> None:
    def prepare(server: ToldCloud) -> None:
        server.add_run(id=500)

    found = played(tmp_path, [STUCK], prepare=prepare, timeout_minutes="1", run_id="500")
    assert found.status == (1, "timed-out")
    assert found.count(CANCEL) == found.count(TRIGGER) == 0
    assert found.step.state["run_id"] == ""


def test_a_run_that_ended_at_the_limit_counts_as_it_ended(tmp_path: Path) -> None:
    def prepare(server: ToldCloud) -> None:
        server.fault("POST", CANCEL, Fault(400, took_effect=False))
        original = server._handle

        def handle(request: Any) -> Any:
            if request.path.endswith("/cancel/"):
                server.runs[0]["status"] = 10
            return original(request)

        server._handle = handle  # type: ignore[method-assign]

    found = played(tmp_path, [STUCK], prepare=prepare, timeout_minutes="1")
    assert found.count(CANCEL) >= 1
    assert found.step.outputs["attempts"] == "1"


# -- attached runs, and what the step is told to leave


def test_without_waiting_the_step_ends_with_the_run_in_the_queue(tmp_path: Path) -> None:
    found = played(tmp_path, [STUCK], wait="false")
    assert found.status == (0, "queued")
    assert found.count(CANCEL) == 0
    assert found.step.state["run_id"] == ""
    assert found.step.state["ended"]


def test_an_attached_run_that_failed_is_retried(tmp_path: Path) -> None:
    def prepare(server: ToldCloud) -> None:
        server.add_run(id=500)

    found = played(tmp_path, [failing(), FIXED], prepare=prepare, run_id="500", retry_delay="0")
    assert found.status == (0, "success"), found.step.log
    assert len(found.sent) == 1
    assert found.output_ids[0] == 500


# -- native retries


def test_a_native_retry_is_one_request_and_waits_as_long(tmp_path: Path) -> None:
    found = played(tmp_path, [failing(can_retry=True), FIXED], retry_strategy="native", retry_delay="40")
    assert found.status == (0, "success"), found.step.log
    assert found.count(RETRY) == 1
    assert len(found.sent) == 1
    assert 40.0 in found.step.clock.slept


def test_where_the_native_retry_is_refused_a_new_run_retries_the_nodes(tmp_path: Path) -> None:
    def prepare(server: ToldCloud) -> None:
        server.fault("POST", RETRY, Fault(400))

    first = failing(can_retry=True)
    found = played(tmp_path, [first, FIXED], prepare=prepare, retry_strategy="native", retry_delay="0")
    assert found.status == (0, "success"), found.step.log
    assert found.count(RETRY) == 1
    assert len(found.sent) == 2
    assert "dbt Cloud's own retry is not used" in found.step.summary


def test_where_dbt_cloud_cannot_retry_it_is_not_asked_to(tmp_path: Path) -> None:
    reason = "It was cancelled before it began"
    first = failing(can_retry=False, retry_not_supported_reason=reason)
    found = played(tmp_path, [first, FIXED], retry_strategy="native", retry_delay="0")
    assert found.status == (0, "success"), found.step.log
    assert found.count(RETRY) == 0
    assert len(found.sent) == 2


# -- what cannot be read


def test_results_that_could_not_be_read_are_read_once_more_before_a_retry(tmp_path: Path) -> None:
    def prepare(server: ToldCloud) -> None:
        server.fault("GET", r"/artifacts/run_results.json", Fault(503, times=12))

    found = played(tmp_path, [failing(), FIXED], prepare=prepare, retry_delay="0")
    assert found.status == (0, "success"), found.step.log
    assert "is read once more" in found.step.log
    assert found.steps[1] == ["dbt build --select fqn:shop.b --indirect-selection empty"]


@pytest.mark.parametrize(("minutes", "is_read"), [("0", True), ("10", True), ("4", False)])
def test_what_was_left_is_read_once_more_only_while_there_is_time(tmp_path: Path, minutes: str, is_read: bool) -> None:
    """A limit of requests holds for five minutes."""

    def prepare(server: ToldCloud) -> None:
        server.fault("GET", r"/artifacts/run_results.json", Fault(429))

    found = played(tmp_path, [failing(), FIXED], prepare=prepare, retry_delay="0", timeout_minutes=minutes)
    assert ("is read once more in 300 s" in found.step.log) is is_read
    assert (found.status == (0, "success")) is is_read


def test_results_that_are_of_no_use_any_more_are_not_read_twice(tmp_path: Path) -> None:
    def prepare(server: ToldCloud) -> None:
        server.fault("GET", r"/artifacts/run_results.json", Fault(503, times=float("inf")))

    found = played(tmp_path, [failing()], prepare=prepare, targeted_retries="0")
    assert found.status == (1, "error")
    assert "is read once more" not in found.step.log


def test_steps_that_could_not_be_read_are_said(tmp_path: Path) -> None:
    def prepare(server: ToldCloud) -> None:
        original = server._handle

        def handle(request: Any) -> Any:
            if "run_steps" in request.query.get("include_related", ""):
                return 504, b""
            return original(request)

        server._handle = handle  # type: ignore[method-assign]

    found = played(tmp_path, [failing()], prepare=prepare, targeted_retries="1", retry_delay="0")
    assert "could not be read" in found.step.log
    assert "could not be read" in found.step.summary


def test_an_end_stays_an_end(tmp_path: Path) -> None:
    """A replica that lags answers with the run as it was before."""
    stale = iter([True, True])

    def prepare(server: ToldCloud) -> None:
        original = server._handle

        def handle(request: Any) -> Any:
            status, body = original(request)
            if "run_steps" in request.query.get("include_related", "") and next(stale, False):
                body = body.replace(b'"status": 10, "trigger"', b'"status": 3, "trigger"')
            return status, body

        server._handle = handle  # type: ignore[method-assign]

    found = played(tmp_path, [GOOD], prepare=prepare)
    assert found.status == (0, "success"), found.step.log
    assert "and now calls it running" in found.step.log


# -- a signal


def interrupt_when(condition: Callable[[ToldCloud], bool]) -> Callable[[ScaledClock, ToldCloud], None]:
    tasks: set[asyncio.Task[None]] = set()

    def signal_at(clock: ScaledClock, server: ToldCloud) -> None:
        async def wait() -> None:
            await until(lambda: condition(server))
            clock.interrupt(signal.SIGTERM)

        tasks.add(asyncio.get_running_loop().create_task(wait()))

    return signal_at


def has_triggered(server: ToldCloud) -> bool:
    return bool(server.runs)


@pytest.mark.parametrize("inputs", [{}, {"cancel_run": "false"}, {"wait": "false"}], ids=str)
def test_of_a_request_in_flight_only_the_run_that_is_waited_for_is_cancelled(
    tmp_path: Path, inputs: dict[str, str]
) -> None:
    def prepare(server: ToldCloud) -> None:
        server.fault("POST", TRIGGER, Fault("silence", took_effect=True))

    found = played(tmp_path, [STUCK], prepare=prepare, signal_at=interrupt_when(has_triggered), **inputs)
    assert found.step.status == 128 + signal.SIGTERM
    assert found.count(CANCEL) == (0 if inputs else 1)
    assert len(found.server.runs) == 1


@pytest.mark.parametrize("inputs", [{}, {"cancel_run": "false"}], ids=str)
def test_a_run_that_is_waited_for_is_cancelled_unless_it_is_to_be_left(tmp_path: Path, inputs: dict[str, str]) -> None:
    def is_seen(server: ToldCloud) -> bool:
        return server.count("GET", r"/runs/\d+/$") >= 2

    found = played(tmp_path, [STUCK], signal_at=interrupt_when(is_seen), **inputs)
    assert found.step.status == 128 + signal.SIGTERM
    assert found.count(CANCEL) == (0 if inputs else 1)
    assert bool(found.step.state["run_id"]) is not bool(inputs)
