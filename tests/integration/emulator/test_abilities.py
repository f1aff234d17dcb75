"""What the emulator does when it is told to: late and heavy answers, cancellations of every kind, odd answers."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from standins.emulator import RunningEmulator
from tests.support.emulated_jobs import CI_JOB, JOB, SLOW_JOB

ALWAYS = 1e9  # seconds


def steps_of(emulator: RunningEmulator, run_id: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = emulator.run(run_id, include="run_steps")["run_steps"]
    return found


def test_steps_are_late_for_some_seconds(emulator: RunningEmulator) -> None:
    emulator.behave(steps_delay=0.6)
    run = emulator.wait(emulator.trigger(JOB)["id"])
    assert (run["status"], run["run_steps"]) == (20, [])
    deadline = time.monotonic() + 20
    while not steps_of(emulator, run["id"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert emulator.artifact(run["id"], "run_results.json", step=4)["results"]


def test_steps_never_come_while_artifacts_are_served(emulator: RunningEmulator) -> None:
    emulator.behave(steps_delay=ALWAYS)
    run = emulator.wait(emulator.trigger(JOB)["id"])
    assert steps_of(emulator, run["id"]) == []
    assert emulator.artifact(run["id"], "manifest.json")["nodes"]


def test_steps_are_late_for_some_requests_only(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    emulator.add_fault(path=r"/runs/\d+/$", query="run_steps", effect="patch", patch={"run_steps": []}, times=2)
    assert [bool(steps_of(emulator, run["id"])) for _ in range(4)] == [False, False, True, True]


def test_the_last_step_still_runs_when_the_run_has_ended(emulator: RunningEmulator) -> None:
    emulator.behave(step_end_delay=ALWAYS)
    run = emulator.wait(emulator.trigger(JOB)["id"])
    begun = [step for step in run["run_steps"] if step["started_at"]]
    assert [step["status"] for step in begun] == [10, 10, 10, 3]
    assert (begun[-1]["finished_at"], begun[-1]["logs"]) == (None, "")
    emulator.behave(step_end_delay=0)
    last = [step for step in steps_of(emulator, run["id"]) if step["started_at"]][-1]
    assert (last["status"], last["logs"] != "") == (20, True)


def test_logs_come_late(emulator: RunningEmulator) -> None:
    emulator.behave(logs_delay=ALWAYS)
    run = emulator.wait(emulator.trigger(JOB)["id"])
    assert [step["status"] for step in run["run_steps"]][:4] == [10, 10, 10, 20]
    assert {step["logs"] for step in run["run_steps"]} == {""}
    emulator.behave(logs_delay=0)
    assert "ERROR" in steps_of(emulator, run["id"])[3]["logs"]


def test_an_answer_is_heavier_than_any_cap(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    size = 70_000_000
    emulator.behave(heavy_log_bytes=size)
    light = emulator.api("GET", f"runs/{run['id']}/")
    heavy = emulator.api("GET", f"runs/{run['id']}/", params={"include_related": "run_steps"})
    assert len(light.content) < 10_000
    assert len(heavy.content) > size
    logs = [step["logs"] for step in heavy.json()["data"]["run_steps"]]
    assert [len(log) > size for log in logs][:4] == [False, False, False, True]
    assert "ERROR" in logs[3][size:]


@pytest.mark.parametrize("times", [2, None])
def test_every_heavy_answer_is_a_504(emulator: RunningEmulator, run: dict[str, Any], times: int | None) -> None:
    emulator.add_fault(path=r"/runs/\d+/$", query="run_steps|debug_logs", status=504, effect="html", times=times)
    heavy = [emulator.api("GET", f"runs/{run['id']}/", params={"include_related": "run_steps"}) for _ in range(3)]
    assert [answer.status_code for answer in heavy] == [504, 504, 504 if times is None else 200]
    assert emulator.api("GET", f"runs/{run['id']}/").status_code == 200
    assert emulator.api("GET", f"runs/{run['id']}/artifacts/manifest.json").status_code == 200


@pytest.mark.parametrize(
    ("kind", "word", "actor"),
    [
        ("person", "cancelled by Ann Example", "user"),
        ("api", "another service token", "service_token"),
        ("capacity", "capacity", None),
        ("heartbeat", "10 minutes of inactivity", None),
        ("newer_run", "more recent run", None),
        ("newer_commit", "newer commit", None),
        ("credentials", "incorrect credentials", None),
        ("unknown", None, None),
    ],
)
@pytest.mark.parametrize("step", [None, 2, 4])
def test_a_run_is_cancelled_for_every_reason(
    emulator: RunningEmulator, kind: str, word: str | None, actor: str | None, step: int | None
) -> None:
    emulator.plan_cancellation(kind, job_id=JOB, step=step)
    before = len(emulator.runs())
    run = emulator.wait(emulator.trigger(JOB)["id"])
    assert (run["status"], run["is_cancelled"], run["retry_not_supported_reason"]) == (30, True, "RETRY_NOT_FAILED_RUN")
    assert run["status_message"] is None if word is None else word in run["status_message"]
    cancellation = run["audit"]["cancellation"]
    assert (cancellation and cancellation["actor"]["type"]) == actor
    assert (run["started_at"] is None) == (step is None)
    assert [each["status"] for each in run["run_steps"]] == ([] if step is None else [10] * (step - 1) + [30])
    newer = [other["id"] for other in emulator.runs()[before:] if other["id"] != run["id"]]
    assert len(newer) == (1 if kind.startswith("newer") else 0)
    assert all(str(run_id) in run["status_message"] for run_id in newer)
    # The plan is used up: the next run ends by itself.
    assert emulator.wait(emulator.trigger(JOB)["id"])["status"] == 20


def test_a_cancellation_has_other_words_and_is_for_later_runs_of_one_job(emulator: RunningEmulator) -> None:
    emulator.plan_cancellation("capacity", job_id=JOB, after=1, times=2, message="No worker was free.")
    other = {"github_pull_request_id": 5, "git_sha": "a" * 40}
    assert emulator.wait(emulator.trigger(CI_JOB, **other)["id"])["status"] == 20
    runs = [emulator.wait(emulator.trigger(JOB)["id"]) for _ in range(4)]
    assert [run["status"] for run in runs] == [20, 30, 30, 20]
    assert runs[1]["status_message"] == "No worker was free."


def test_a_cancelled_run_that_left_nothing_saves_nothing(emulator: RunningEmulator) -> None:
    emulator.behave(saved_without_artifacts=False)
    emulator.plan_cancellation("capacity")
    assert not emulator.wait(emulator.trigger(JOB)["id"])["artifacts_saved"]
    assert emulator.wait(emulator.trigger(JOB)["id"])["artifacts_saved"]


def test_a_plan_does_not_outlive_a_cancel_by_hand(emulator: RunningEmulator) -> None:
    emulator.plan_cancellation("capacity", queued_seconds=ALWAYS)
    run_id = emulator.trigger(JOB)["id"]
    emulator.data("POST", f"runs/{run_id}/cancel/")
    run = emulator.wait(run_id)
    assert run["audit"]["cancellation"]["actor"]["name"] == "service token"
    assert "capacity" not in run["status_message"]


def test_a_newer_commit_supersedes_without_an_actor(emulator: RunningEmulator) -> None:
    emulator.behave(queued_seconds=ALWAYS)
    first = emulator.trigger(CI_JOB, github_pull_request_id=5, git_sha="a" * 40)["id"]
    second = emulator.trigger(CI_JOB, github_pull_request_id=5, git_sha="b" * 40)["id"]
    run = emulator.wait(first)
    assert run["status"] == 30
    assert str(second) in run["status_message"]
    assert run["audit"]["cancellation"] is None


def test_there_is_no_audit_on_some_plans(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    emulator.behave(audit=False)
    assert emulator.run(run["id"], include="audit")["audit"] is None


@pytest.mark.parametrize(
    "patch",
    [
        {"href": None, "status_message": "None"},
        {"artifacts_saved": False},
        {"status": 41, "status_humanized": "Pondering", "is_complete": True},
        {"run_steps": None, "job": None},
    ],
)
def test_single_fields_are_odd(emulator: RunningEmulator, run: dict[str, Any], patch: dict[str, Any]) -> None:
    emulator.add_fault(method="GET", path="/runs/", effect="patch", patch=patch, times=None)
    found = emulator.run(run["id"])
    assert {name: found[name] for name in patch} == patch
    assert found["id"] == run["id"]
    listed = emulator.data("GET", "runs/", params={"job_definition_id": JOB})
    assert all({name: item[name] for name in patch} == patch for item in listed)
    assert emulator.artifact(run["id"], "manifest.json", step=4)["nodes"]


def test_names_of_steps_have_additions(emulator: RunningEmulator) -> None:
    emulator.behave(step_names="decorated")
    run = emulator.wait(emulator.trigger(JOB, schema_override="pr_5")["id"])
    names = [step["name"] for step in run["run_steps"]]
    assert "Create profile from connection DuckDB (override schema to 'pr_5')  " in names
    assert all(name.endswith("  ") for name in names)


def test_an_odd_refusal_in_the_middle_passes(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    emulator.add_fault(path=r"/runs/\d+/$", status=403, after=1, times=2, body={"status": {"code": 403}})
    answers = [emulator.api("GET", f"runs/{run['id']}/").status_code for _ in range(5)]
    assert answers == [200, 403, 403, 200, 200]


def test_a_fault_lasts_for_a_time(emulator: RunningEmulator) -> None:
    emulator.add_fault(path="/jobs/$", status=503, times=None, seconds=0.5)
    assert emulator.api("GET", "jobs/").status_code == 503
    deadline = time.monotonic() + 20
    while emulator.api("GET", "jobs/").status_code == 503:
        assert time.monotonic() < deadline
    assert emulator.faults()[0]["hits"] >= 1


def test_a_list_never_answers_and_the_rest_does(emulator: RunningEmulator) -> None:
    emulator.add_fault(method="GET", path="/runs/$", effect="pass", delay=ALWAYS, times=None)
    with pytest.raises(httpx.ReadTimeout):
        emulator.api("GET", "runs/", params={"job_definition_id": JOB}, timeout=0.3)
    assert emulator.wait(emulator.trigger(JOB)["id"])["status"] == 20


@pytest.mark.parametrize("status", [403, 503])
def test_a_list_is_refused_for_ever(emulator: RunningEmulator, status: int) -> None:
    emulator.add_fault(method="GET", path="/runs/$", status=status, times=None)
    assert {emulator.api("GET", "runs/").status_code for _ in range(3)} == {status}


def test_a_run_never_leaves_the_queue(emulator: RunningEmulator) -> None:
    run_id = emulator.trigger(SLOW_JOB)["id"]
    emulator.data("POST", f"runs/{run_id}/cancel/")
    run = emulator.run(run_id)
    assert (run["status"], run["dequeued_at"], run["started_at"], run["run_steps"]) == (30, None, None, [])
