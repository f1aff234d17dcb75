"""Real signals, sent as the runner sends them, to a step that is PID 1 of its namespace, at every point of the loop."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from standins.emulator import RunningEmulator
from standins.results_service import ResultsService
from tests.support.action import FinishedStep
from tests.support.pid_one import ContainedJob, PidOne, saved_state, silent_server, why_impossible
from tests.support.replayed import job_id

pytestmark = pytest.mark.skipif(bool(why_impossible()), reason=f"NO SIGNAL IS PROVEN HERE: {why_impossible()}")

WITHIN = 7.0  # seconds from the signal to the end
NEVER = 3600.0
RUN, LIST, TRIGGER, CANCEL = r"/runs/\d+/$", r"/runs/$", r"/run/$", r"/cancel/$"
SLOWLY: dict[str, Any] = {"effect": "pass", "delay": NEVER}
LOST: dict[str, Any] = {"effect": "status", "status": 504, "took_effect": True, "delay": NEVER}


@pytest.fixture
def results() -> Iterator[ResultsService]:
    with ResultsService() as service:
        yield service


@pytest.fixture
def scene(replaying: RunningEmulator, results: ResultsService, tmp_path: Path) -> Iterator[Scene]:
    yield Scene(replaying, results, tmp_path)
    replaying.clear_faults()
    replaying.cancel_all()


@dataclass(frozen=True)
class Point:
    """A point of the loop: what leads there, how it is known, and what is left then.

    `request`: it is there when this many such requests have come in. `active`: runs that are not cancelled when the
    step is gone; the post step may leave none.
    """

    job: str
    faults: tuple[Mapping[str, Any], ...] = ()
    request: tuple[str, str, int] = ("GET", LIST, 1)
    log: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    runs: int = 1
    active: int = 0
    status: str = "cancelled"


POINTS = {
    "before the trigger": Point("stuck", ({"method": "GET", "path": LIST, **SLOWLY},), runs=0),
    "trigger in flight, carried out": Point(
        "stuck", ({"method": "POST", "path": TRIGGER, **LOST},), ("POST", TRIGGER, 1)
    ),
    "trigger in flight, answered soon": Point(
        "stuck", ({"method": "POST", "path": TRIGGER, **LOST, "effect": "pass", "delay": 1.0},), ("POST", TRIGGER, 1)
    ),
    "trigger in flight, never carried out": Point(
        "stuck", ({"method": "POST", "path": TRIGGER, **SLOWLY},), ("POST", TRIGGER, 1), runs=0
    ),
    "looking for a lost trigger": Point(
        "stuck",
        (
            {"method": "POST", "path": TRIGGER, "effect": "reset", "took_effect": True},
            {"method": "GET", "path": LIST, "query": "id__gt", "status": 503, "times": 1},
        ),
        log="looking for",
    ),
    "looking in vain for a lost trigger": Point(
        "stuck",
        (
            {"method": "POST", "path": TRIGGER, "effect": "reset", "took_effect": True},
            {"method": "GET", "path": LIST, "query": "id__gt", "status": 503, "times": None},
        ),
        log="looking for",
        active=1,
    ),
    "cooldown before the trigger": Point(
        "stuck", ({"method": "POST", "path": TRIGGER, "status": 429},), log="Waiting for 300 s", runs=0
    ),
    "waiting": Point("stuck", request=("GET", RUN, 1)),
    "waiting, a poll in flight": Point("stuck", ({"method": "GET", "path": RUN, **SLOWLY},), ("GET", RUN, 1)),
    "waiting, a cancel unanswered": Point(
        "stuck", ({"method": "POST", "path": CANCEL, "times": None, **SLOWLY},), ("GET", RUN, 1), active=1
    ),
    "waiting, a cancel of a run not yet known": Point(
        "stuck", ({"method": "POST", "path": CANCEL, "status": 404, "times": 1},), ("GET", RUN, 1), active=1
    ),
    "out of time, cancelling": Point(
        "stuck",
        ({"method": "POST", "path": CANCEL, "times": None, **SLOWLY},),
        ("POST", CANCEL, 1),
        inputs={"timeout-minutes": "0.01"},
        active=1,
    ),
    "in the delay before a retry": Point("bad", log="before the retry", inputs={"retry-delay": "600"}),
    "retry in flight": Point(
        "bad",
        ({"method": "POST", "path": TRIGGER, "after": 1, **LOST},),
        ("POST", TRIGGER, 2),
        runs=2,
        # It ends before it can be cancelled, but its results are not read, and those that were are of failures.
    ),
    "native retry in flight": Point(
        "bad",
        ({"method": "POST", "path": "/retry/$", **LOST},),
        ("POST", "/retry/$", 1),
        inputs={"retry-strategy": "native"},
        runs=2,
    ),
    "downloading": Point(
        "good", ({"method": "GET", "path": "manifest.json", **SLOWLY},), ("GET", "manifest.json", 1), status="success"
    ),
}
QUICK = ("before the trigger", "trigger in flight, carried out", "waiting", "downloading")


class Scene:
    """One job of a workflow, and the emulator as it was before it."""

    def __init__(self, emulator: RunningEmulator, results: ResultsService, folder: Path) -> None:
        self.emulator = emulator
        self.results = results
        self._before = {run["id"] for run in emulator.runs()}
        emulator.clear_requests()
        self.job = ContainedJob(
            folder,
            inputs={
                "api-token": emulator.token,
                "account-id": "1",
                "host": emulator.base_url,
                "poll-interval": "1",
                "retry-delay": "0",
                "retry-on": "any",
            },
            results=results,
        )

    def start(self, job: str, inputs: Mapping[str, str] | None = None, **more: Any) -> PidOne:
        return self.job.start({"job-id": str(job_id(1, job)), **(inputs or {})}, **more)

    def post(self, step: FinishedStep, job: str, inputs: Mapping[str, str] | None = None) -> FinishedStep:
        return self.job.post(step, {"job-id": str(job_id(1, job)), **(inputs or {})})

    def await_request(self, method: str, path: str, count: int = 1, seconds: float = 30) -> None:
        """Until the emulator has got so many such requests."""
        deadline = time.monotonic() + seconds
        while sum(1 for one in self.emulator.requests(method) if re.search(path, one["path"])) < count:
            assert time.monotonic() < deadline, f"no {method} {path}: {self.emulator.requests()}"
            time.sleep(0.05)

    @property
    def runs(self) -> list[dict[str, Any]]:
        return [run for run in self.emulator.runs() if run["id"] not in self._before]

    @property
    def active(self) -> int:
        return sum(1 for run in self.runs if run["status"] < 10)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in POINTS]
)
def test_a_cancelled_step_leaves_no_run_behind(name: str, scene: Scene) -> None:
    point = POINTS[name]
    for fault in point.faults:
        scene.emulator.add_fault(**fault)
    running = scene.start(point.job, point.inputs)
    if point.log:
        running.wait_for(point.log)
    else:
        scene.await_request(*point.request)
        time.sleep(0.1)
    step, seconds = running.stop()

    assert step.status == 130, step.log
    assert seconds < WITHIN
    assert len(scene.runs) == point.runs
    assert scene.active == point.active
    assert step.outputs["status"] == point.status
    known = [run["id"] for run in scene.runs]
    if name != "looking in vain for a lost trigger":
        assert step.value("run-ids") == known
    assert step.summary.strip()
    state = saved_state(step)
    assert "ended" not in state
    if point.active:
        assert state.get("run_id") == str(known[-1]) or state["pending"]

    scene.emulator.clear_faults()
    post = scene.post(step, point.job, point.inputs)
    assert post.status == 0, post.log
    assert scene.active == 0, post.log
    assert len(scene.runs) == point.runs  # it has triggered nothing
    if "files" in state:
        (artifact,) = scene.results.artifacts.values()
        assert artifact.is_final


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_the_exit_status_names_the_signal(first: signal.Signals, scene: Scene) -> None:
    running = scene.start("stuck")
    scene.await_request("GET", RUN)
    step, seconds = running.stop(first)
    assert (step.status, scene.active) == (128 + first, 0)
    assert seconds < 3


def test_a_second_signal_ends_at_once(scene: Scene) -> None:
    scene.emulator.add_fault(method="POST", path=CANCEL, times=None, **SLOWLY)
    running = scene.start("stuck")
    scene.await_request("GET", RUN)
    running.send(signal.SIGINT)
    scene.await_request("POST", CANCEL)
    began = time.monotonic()
    running.send(signal.SIGTERM)
    step = running.finish(5)
    assert step.status == 143
    assert time.monotonic() - began < 1
    scene.emulator.clear_faults()
    post = scene.post(step, "stuck")
    assert scene.active == 0, post.log


@pytest.mark.parametrize("after", [0.0, 0.03, 0.1, 0.2, 0.3, 0.4])
@pytest.mark.slow
def test_a_signal_while_the_interpreter_starts_ends_it_without_a_run(after: float, scene: Scene) -> None:
    running = scene.start("stuck")
    assert running.pid
    time.sleep(after)
    step, seconds = running.stop()
    assert step.status in (130, 143, 1)  # 1: the interpreter itself was not ready to be interrupted
    if scene.active:
        scene.post(step, "stuck")
    assert scene.active == 0
    assert seconds < WITHIN + 1.5  # a signal before there is a handler is lost; the second one is not


def test_publishing_is_cut_short_and_the_verdict_stands(scene: Scene) -> None:
    with silent_server() as url:
        running = scene.start("good", variables={"ACTIONS_RESULTS_URL": url})
        running.wait_for("ended: success")
        time.sleep(1)
        step, seconds = running.stop()
    assert step.status == 130, step.log
    assert seconds < WITHIN
    assert step.outputs["status"] == "success"
    assert saved_state(step)["ended"] == "verdict"
    assert step.summary.count("<h2") + step.summary.count("\n## ") <= 2
    post = scene.post(step, "good")
    (artifact,) = scene.results.artifacts.values()
    assert artifact.is_final, post.log
    assert not scene.emulator.requests("POST", "/cancel/")


@pytest.mark.slow
def test_a_comment_that_hangs_holds_up_no_signal(scene: Scene) -> None:
    event = ("pull_request", {"pull_request": {"number": 5, "state": "open", "head": {"sha": "a" * 40}}})
    inputs = {"pr-comment": "true", "github-token": "ghs_0123456789", "git-sha": "a" * 40}
    with silent_server() as url:
        running = scene.start("good", inputs, event=event, variables={"GITHUB_API_URL": url})
        running.wait_for("ended: success")
        deadline = time.monotonic() + 20
        while not running.files.joinpath("step_summary").read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        step, seconds = running.stop()
    assert step.status == 130, step.log
    assert seconds < WITHIN
    assert step.outputs["status"] == "success"
    assert step.summary.count("run-ids") <= 1
    # The comment comes before the upload, which is left to the post step.
    assert step.outputs["artifact-id"] == ""
    assert saved_state(step)["files"]


# -- what is left alone


def test_a_run_that_another_started_is_never_cancelled(scene: Scene) -> None:
    theirs = scene.emulator.trigger(job_id(1, "stuck"))["id"]
    running = scene.start("stuck", {"run-id": str(theirs), "job-id": ""})
    scene.await_request("GET", RUN, 2)
    step, _ = running.stop()
    assert step.status == 130
    post = scene.post(step, "stuck", {"run-id": str(theirs), "job-id": ""})
    assert post.status == 0
    assert scene.active == 1
    assert not scene.emulator.requests("POST", "/cancel/")


@pytest.mark.parametrize("inputs", [{"cancel-run": "false"}, {"wait": "false"}], ids=["cancel-run", "wait"])
def test_what_the_inputs_leave_alone_goes_on(inputs: dict[str, str], scene: Scene) -> None:
    running = scene.start("stuck", inputs)
    if "wait" in inputs:
        step = running.finish()
        assert step.status == 0, step.log
        assert saved_state(step)["ended"]
    else:
        scene.await_request("GET", RUN)
        step, _ = running.stop()
        assert step.status == 130
    scene.post(step, "stuck", inputs)
    assert scene.active == 1
    assert not scene.emulator.requests("POST", "/cancel/")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_run_that_cannot_be_seen_is_left_alone(status: int, scene: Scene) -> None:
    # A 404 is tolerated in a run's first minute: here it comes from an attached run.
    scene.emulator.add_fault(method="GET", path=RUN, after=1, times=None, status=status)
    running = scene.start("stuck", {"poll-interval": "1"})
    if status == 404:
        scene.await_request("GET", RUN, 3)
        assert running.process.poll() is None  # it may still be new
        running.process.kill()
        running.process.wait()
        return
    step = running.finish()
    assert step.status == 1
    assert step.outputs["status"] == "error"
    assert any("not cancelled" in error for error in step.errors), step.errors
    assert saved_state(step)["ended"] == "error"
    scene.emulator.clear_faults()
    scene.post(step, "stuck")
    assert scene.active == 1
    assert not scene.emulator.requests("POST", "/cancel/")


@pytest.mark.slow
def test_forged_state_is_harmless(scene: Scene) -> None:
    theirs = scene.emulator.trigger(job_id(1, "stuck"), cause="another's")["id"]
    running = scene.start("stuck")
    scene.await_request("GET", RUN)
    running.process.kill()
    running.finish()
    ours = saved_state(running)
    posted = scene.emulator.requests("POST", "")
    stuck, target = job_id(1, "stuck"), ours["target"]
    odd = ["x", "-1", "0", "9" * 30, "1e3", "٣", '{"a": 1}', "[1, 2]", '"', "[[], {}, 1, 1]"]
    for forged in [
        {**ours, "run_id": str(theirs)},
        {**ours, "run_id": str(theirs), "proof": ""},
        {**ours, "run_id": str(theirs), "proof": "retry of None"},
        {**ours, "target": "http://127.0.0.1:9 1"},
        {**ours, "run_id": "", "pending": f"[{stuck}, 0, null, null]"},
        {**ours, "files": '{"name": "x", "folder": "/etc", "files": ["/etc/passwd"]}', "ended": "verdict"},
        *({"run_id": word, "pending": word, "files": word, "target": target} for word in odd),
    ]:
        post = scene.job.post_with(forged, {"job-id": str(stuck)})
        assert post.status == 0, (forged, post.log)
        assert "Traceback" not in post.log, (forged, post.log)
    assert scene.emulator.requests("POST", "") == posted
    assert not scene.results.artifacts
    post = scene.job.post_with(ours, {"job-id": str(job_id(1, "stuck"))})
    assert [run["id"] for run in scene.runs if run["status"] < 10] == [theirs], post.log
