"""Signals to the command: without a post step, it looks itself after the run that it has started."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from standins.emulator import RunningEmulator
from standins.runner import ROOT
from tests.support.action import inputs_for
from tests.support.command import CommandJob, RunningCommand
from tests.support.pid_one import _ENTER, PidOne, why_impossible
from tests.support.replayed import job_id

CANCELLED = 30
NEVER = 3600.0
STUCK = {"job-id": str(job_id(1, "stuck"))}


class PidOneCommand(RunningCommand):
    """A command that is PID 1 where it lives."""

    pid = PidOne.pid
    wait_until_held = PidOne.wait_until_held

    def send(self, signum: int = signal.SIGINT) -> None:
        os.kill(self.pid, signum)


@dataclass
class ContainedCommand(CommandJob):
    """The command as the image starts it: by the entry point of the action, as PID 1."""

    program = ("env", "--block-signal=INT,TERM", sys.executable, "-Iu", str(ROOT / "entrypoint.py"), "dbt-cloud-run")
    before = _ENTER
    made = PidOneCommand


@pytest.fixture
def emulator(replaying: RunningEmulator) -> Iterator[RunningEmulator]:
    replaying.clear_requests()
    yield replaying
    replaying.clear_faults()
    replaying.cancel_all()


@pytest.fixture
def job(emulator: RunningEmulator, tmp_path: Path) -> Iterator[CommandJob]:
    made = CommandJob(tmp_path, inputs_for(emulator))
    yield made
    made.close()


def await_requests(emulator: RunningEmulator, method: str, ending: str, count: int = 1) -> None:
    deadline = time.monotonic() + 60
    while sum(one["path"].endswith(ending) for one in emulator.requests(method)) < count:
        assert time.monotonic() < deadline, f"no {method} {ending}: {emulator.requests()}"
        time.sleep(0.05)


def started(emulator: RunningEmulator) -> int:
    """The id of the run that the command waits for."""
    await_requests(emulator, "POST", "/run/")
    run_id: int = emulator.runs()[-1]["id"]
    await_requests(emulator, "GET", f"/runs/{run_id}/")
    return run_id


def test_a_terminal_that_is_closed_cancels_the_run(job: CommandJob, emulator: RunningEmulator) -> None:
    running = job.start(STUCK)
    run_id = started(emulator)
    running.send(signal.SIGHUP)
    step = running.finish()
    assert (step.status, emulator.run(run_id)["status"]) == (129, CANCELLED), step.log


def test_the_command_ends_when_the_run_has(job: CommandJob, emulator: RunningEmulator) -> None:
    running = job.start(STUCK)
    run_id = started(emulator)
    running.send()
    step = running.finish()
    assert f"Run {run_id} is being cancelled in dbt Cloud; this command waits until it has ended." in step.log
    assert f"Run {run_id} has ended: cancelled." in step.log or f"Run {run_id} is cancelled" in step.log
    assert "post step" not in step.log


def test_a_cancellation_that_is_not_answered_is_sent_again(job: CommandJob, emulator: RunningEmulator) -> None:
    emulator.add_fault(method="POST", path="/cancel/$", times=1, effect="status", status=503)
    running = job.start(STUCK)
    run_id = started(emulator)
    running.send(signal.SIGTERM)
    step = running.finish()
    assert (step.status, emulator.run(run_id)["status"]) == (143, CANCELLED), step.log
    assert len(emulator.requests("POST", "/cancel/")) == 2


def test_a_run_whose_start_was_never_answered_is_found_and_cancelled(
    job: CommandJob, emulator: RunningEmulator
) -> None:
    lost: dict[str, Any] = {"effect": "status", "status": 504, "took_effect": True, "delay": NEVER}
    emulator.add_fault(method="POST", path="/run/$", **lost)
    # The first look for it, which has two seconds after the signal, is of no use.
    emulator.add_fault(method="GET", path="/runs/$", query="id__gt", status=503, effect="status", times=1)
    running = job.start(STUCK)
    await_requests(emulator, "POST", "/run/")
    running.send()
    step = running.finish()
    assert step.status == 130
    assert emulator.runs()[-1]["status"] == CANCELLED, step.log
    assert len(emulator.requests("POST", "/run/")) == 1


def test_a_second_signal_ends_at_once(job: CommandJob, emulator: RunningEmulator) -> None:
    emulator.add_fault(method="POST", path="/cancel/$", times=None, effect="pass", delay=NEVER)
    running = job.start(STUCK)
    started(emulator)
    running.send()
    await_requests(emulator, "POST", "/cancel/")
    running.send(signal.SIGTERM)
    assert running.finish(10).status == 143


def test_a_run_of_somebody_else_is_left_alone(job: CommandJob, emulator: RunningEmulator) -> None:
    theirs = emulator.trigger(job_id(1, "stuck"))["id"]
    emulator.clear_requests()
    running = job.start({"run-id": str(theirs)})
    await_requests(emulator, "GET", f"/runs/{theirs}/", 2)
    running.send()
    assert running.finish().status == 130
    assert emulator.requests("POST", "/cancel/") == []


def test_two_calls_do_not_take_each_others_runs_for_their_own(job: CommandJob, emulator: RunningEmulator) -> None:
    for _ in range(2):
        job.run({**STUCK, "wait": "false"})
    causes = [request["body"]["cause"].split()[1] for request in emulator.requests("POST", "/run/")]
    assert len(set(causes)) == 2


@pytest.mark.skipif(bool(why_impossible()), reason=f"NO SIGNAL IS PROVEN HERE: {why_impossible()}")
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_process_of_a_container_cancels_its_run(
    emulator: RunningEmulator, tmp_path: Path, signum: int, status: int
) -> None:
    job = ContainedCommand(tmp_path, inputs_for(emulator))
    running = job.start(STUCK)
    run_id = started(emulator)
    running.send(signum)
    step = running.finish()
    assert (step.status, emulator.run(run_id)["status"]) == (status, CANCELLED), step.log


@pytest.mark.skipif(bool(why_impossible()), reason=f"NO SIGNAL IS PROVEN HERE: {why_impossible()}")
@pytest.mark.parametrize("after", [0.0, 0.1, 0.3, 0.6])
@pytest.mark.slow
def test_a_signal_while_the_first_process_starts_is_not_lost(
    emulator: RunningEmulator, tmp_path: Path, after: float
) -> None:
    job = ContainedCommand(tmp_path, inputs_for(emulator))
    running = job.start(STUCK)
    assert isinstance(running, PidOneCommand)
    running.wait_until_held()
    time.sleep(after)
    running.send(signal.SIGTERM)
    step = running.finish(30)
    assert step.status == 143, step.log
    assert "Traceback" not in step.log
    assert all(run["status"] >= 10 for run in emulator.runs())


def test_a_terminal_shows_colours_and_gets_its_cursor_back(emulator: RunningEmulator, tmp_path: Path) -> None:
    inputs = inputs_for(emulator)
    ours, theirs = pty.openpty()
    environment = {**CommandJob(tmp_path).environment(), "TERM": "xterm-256color", "COLUMNS": "100"}
    command = [sys.executable, "-m", "dbt_cloud_run", "--account-id", "1", "--host", emulator.base_url]
    with subprocess.Popen(  # noqa: S603 - our own
        [*command, "--poll-interval", "1", "--job-id", STUCK["job-id"]],
        cwd=tmp_path,
        env=environment | {"DBT_CLOUD_API_TOKEN": inputs["api-token"]},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        run_id = started(emulator)
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        shown = _read_all(ours)
        assert process.wait(60) == 130
    assert f"run {run_id} is queued" in shown
    assert "\x1b[?25l" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert "::" not in shown.replace("://", "")
    assert emulator.run(run_id)["status"] == CANCELLED


def _read_all(descriptor: int) -> str:
    pieces = []
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:
            # The other end is closed.
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(descriptor)
    return b"".join(pieces).decode(errors="replace")
