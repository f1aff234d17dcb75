"""What the loop owes: how long it tries, when it stops at once, and to whose runs a re-run of the workflow attaches."""

from __future__ import annotations

from datetime import datetime

import pytest
from tests.support.workflow_steps import Steps

pytestmark = pytest.mark.slow

RUN, LIST, TRIGGER = r"/runs/\d+/$", r"/runs/$", r"/run/$"


# -- how long it tries


def test_reads_before_the_trigger_are_given_three_minutes(steps: Steps) -> None:
    steps.emulator.add_fault(path=LIST, status=503, times=None)
    step = steps.play(reuse="same-commit")
    assert step.status == 1
    assert 140 < step.seconds < 190
    assert steps.runs == []
    assert "503" in step.log


def test_the_wait_for_the_run_outlasts_hours_of_silence(steps: Steps) -> None:
    steps.emulator.add_fault(method="GET", path=RUN, status=503, times=150)
    step = steps.play()
    assert (step.status, step.outputs["status"]) == (0, "success")
    assert step.seconds > 3600
    assert len(steps.runs) == 1
    waits = [round(slept, 3) for slept in step.clock.slept if 20 < slept < 40]
    assert len(set(waits)) > 50  # with jitter


@pytest.mark.parametrize(("headers", "wait"), [({}, 300.0), ({"Retry-After": "42"}, 42.0)])
def test_a_rate_limit_is_kept(headers: dict[str, str], wait: float, steps: Steps) -> None:
    steps.emulator.add_fault(method="GET", path=RUN, status=429, headers=headers)
    step = steps.play()
    assert step.outputs["status"] == "success"
    assert any(slept == pytest.approx(wait, abs=1) for slept in step.clock.slept)


def test_a_look_that_may_not_ask_for_the_steps_is_repeated_without_them(steps: Steps) -> None:
    steps.emulator.add_fault(method="GET", path=RUN, query="run_steps", status=403, times=None)
    step = steps.play(poll_interval="30")
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    assert "could not be read" in step.summary


@pytest.mark.parametrize("effect", ["html", "reset"])
def test_steps_that_cannot_be_read_do_not_hide_the_end(effect: str, steps: Steps) -> None:
    steps.emulator.behave(replay_speed=50)
    steps.emulator.add_fault(method="GET", path=RUN, query="run_steps", effect=effect, times=None)
    step = steps.play(poll_interval="5")
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    assert step.seconds < 1800


def test_once_a_run_has_ended_its_steps_are_read_once(steps: Steps) -> None:
    steps.emulator.behave(replay_speed=100)  # so that the end is seen by a look that asks for the steps, too
    step = steps.play(poll_interval="30")
    assert step.outputs["nodes-total"] == "28"
    (run,) = steps.runs
    ended = datetime.fromisoformat(run["finished_at"]).timestamp()
    looks = [request for request in steps.emulator.requests("GET") if "run_steps" in request["query"]]
    assert len([look for look in looks if look["time"] > ended]) == 1


def test_a_new_run_may_be_unknown_for_a_minute(steps: Steps) -> None:
    steps.emulator.behave(hidden_requests=4)
    step = steps.play()
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    assert len(steps.runs) == 1


@pytest.mark.parametrize("status", [302, 400, 409, 418, 423])
def test_one_odd_answer_ends_nothing(status: int, steps: Steps) -> None:
    steps.emulator.add_fault(method="GET", path=RUN, status=status, times=2)
    step = steps.play()
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log


@pytest.mark.parametrize("status", [429, 503])
def test_no_time_to_wait_is_no_invitation_to_ask_without_a_pause(status: int, steps: Steps) -> None:
    steps.emulator.add_fault(method="GET", path=RUN, status=status, headers={"Retry-After": "0"}, times=8)
    step = steps.play()
    assert step.outputs["status"] == "success"
    assert step.seconds > 60


def test_the_limit_holds_for_the_start_too(steps: Steps) -> None:
    steps.emulator.add_fault(method="POST", path=TRIGGER, status=429, times=None)
    step = steps.play(timeout_minutes="2")
    assert step.status == 1
    assert step.seconds < 130
    assert steps.runs == []


def test_a_cancellation_that_is_refused_is_left_to_the_post_step(steps: Steps) -> None:
    steps.emulator.add_fault(method="POST", path="/cancel/$", status=403, times=None)
    step = steps.play("stuck", timeout_minutes="1")
    assert (step.status, step.outputs["status"]) == (1, "timed-out")
    assert step.state["run_id"] == str(steps.runs[0]["id"])
    assert not step.state.get("ended")


def test_a_retry_that_was_lost_at_the_limit_is_left_to_the_post_step(steps: Steps) -> None:
    steps.emulator.add_fault(method="POST", path=TRIGGER, after=1, status=504, took_effect=True)
    empty = {"status": {"code": 200, "is_success": True}, "data": []}
    steps.emulator.add_fault(method="GET", path=LIST, query="id__gt", status=200, body=empty, times=None)
    step = steps.play("bad", timeout_minutes="0.5", retry_delay="0")
    assert step.status == 1
    assert len(steps.runs) == 2
    assert step.state["pending"]
    assert not step.state.get("ended")


@pytest.mark.parametrize("path", ["run_results", "manifest"])
def test_a_rate_limit_on_an_artifact_does_not_make_the_retry_a_whole_rebuild(path: str, steps: Steps) -> None:
    steps.emulator.add_fault(method="GET", path=rf"/artifacts/{path}\.json$", status=429)
    step = steps.play("bad")
    assert step.outputs["status"] == "success", step.log
    assert "--select" in steps.runs[1]["trigger"]["steps_override"][0]
    assert step.seconds < 400


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_does_not_pass_stops_the_wait_and_cancels_nothing(status: int, steps: Steps) -> None:
    steps.emulator.add_fault(method="GET", path=RUN, after=1, status=status, times=None)
    step = steps.play("stuck", poll_interval="5")
    assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (1, "error", "api")
    assert (40 < step.seconds < 100) if status == 404 else (step.seconds < 30)
    (run,) = steps.runs
    assert run["status"] == 1  # it goes on
    assert step.outputs["run-id"] == str(run["id"])
    assert not steps.emulator.requests("POST", "/cancel/")
    advice = {401: "access URL", 403: "IP addresses", 404: "permission"}[status]
    assert advice in step.log
    assert str(run["id"]) in step.summary


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_a_refused_trigger_is_sent_once(status: int, steps: Steps) -> None:
    steps.emulator.add_fault(method="POST", path=TRIGGER, status=status, times=None)
    step = steps.play()
    assert step.status == 1
    assert step.seconds < 30
    assert len(steps.emulator.requests("POST", "/run/")) == 1
    assert steps.runs == []


def test_a_run_that_stays_in_the_queue_is_cancelled_confirmed_and_published(steps: Steps) -> None:
    step = steps.play("stuck", queue_timeout_minutes="2")
    (run,) = steps.runs
    assert (step.status, step.outputs["status"], run["status"]) == (1, "timed-out", 30)
    assert 118 < step.seconds < 200
    assert str(run["id"]) in step.summary
