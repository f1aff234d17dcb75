"""What a run does: artifacts, steps, retries, lateness, cancels."""

from __future__ import annotations

import time
from typing import Any

import pytest
from standins.emulator import RunningEmulator
from tests.support.emulated_jobs import CI_JOB, JOB, SEQUENCE_JOB, SLOW_JOB


def test_artifacts_by_step_and_of_the_last_step_without(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    paths = emulator.data("GET", f"runs/{run['id']}/artifacts/")
    assert {"manifest.json", "run_results.json"} <= set(paths)
    assert emulator.data("GET", f"runs/{run['id']}/artifacts/", params={"step": 1}) == paths
    of_last = emulator.artifact(run["id"], "run_results.json")
    assert of_last == emulator.artifact(run["id"], "run_results.json", step=4)
    assert of_last["metadata"]["env"]["DBT_CLOUD_RUN_ID"] == str(run["id"])
    assert of_last["metadata"]["env"]["DBT_CLOUD_JOB_ID"] == str(JOB)
    assert of_last["metadata"]["generated_at"] >= run["run_steps"][3]["started_at"].replace(" ", "T").removesuffix(
        "+00:00"
    )
    for path, step in (("run_results.json", 1), ("run_results.json", 9), ("nothing.json", 4), ("../console.log", 4)):
        assert emulator.api("GET", f"runs/{run['id']}/artifacts/{path}", params={"step": step}).status_code == 404
    newest = emulator.api("GET", f"jobs/{JOB}/artifacts/run_results.json").json()
    assert newest["metadata"]["env"]["DBT_CLOUD_RUN_ID"] == str(run["id"])


def test_two_runs_of_one_recording_have_different_invocations(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    other = emulator.wait(emulator.trigger(JOB)["id"])
    first, second = (emulator.artifact(r["id"], "manifest.json")["metadata"]["invocation_id"] for r in (run, other))
    assert first != second


def test_a_step_is_read_by_its_id(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    step = emulator.data("GET", f"steps/{run['run_steps'][3]['id']}/", params={"include_related": "debug_logs"})
    assert step["run_step_command"]["dbt_command"] == "dbt build"
    assert "[debug]" in step["debug_logs"]
    assert emulator.api("GET", "steps/1/").status_code == 404


def test_native_retry_plays_the_next_recording_and_names_the_retried_run(
    emulator: RunningEmulator, run: dict[str, Any]
) -> None:
    details = emulator.data("GET", f"runs/{run['id']}/retry/")
    assert details["failed_step"] == "Invoke dbt with `dbt build`"
    assert details["skipped_steps"] == ["Invoke dbt with `dbt docs generate`"]
    retry = emulator.wait(emulator.data("POST", f"runs/{run['id']}/retry/")["id"])
    assert retry["retrying_run_id"] == run["id"]
    assert retry["trigger"]["cause_category"] == "rerun"
    assert retry["git_sha"] == run["git_sha"]
    assert retry["run_steps"][3]["name"] == "Invoke dbt with `dbt retry`"
    assert emulator.run(run["id"], include="run_retries")["run_retries"] == [retry["id"]]
    refused = emulator.api("POST", f"runs/{run['id']}/retry/")
    assert (refused.status_code, refused.json()["data"]) == (400, "RETRY_NOT_LATEST_RUN")


def test_recordings_by_turns_or_by_attempt(emulator: RunningEmulator) -> None:
    def fourth_step(run: dict[str, Any]) -> str:
        name: str = emulator.wait(run["id"])["run_steps"][3]["name"]
        return name.removeprefix("Invoke dbt with ")

    by_turns = [fourth_step(emulator.trigger(SEQUENCE_JOB)) for _ in range(3)]
    assert by_turns == ["`dbt build`", "`dbt retry`", "`dbt build`"]
    own = emulator.trigger(JOB, steps_override=["dbt build --select fqn:tiny.first"])
    assert fourth_step(own) == "`dbt build --select fqn:tiny.first`"
    assert emulator.artifact(own["id"], "run_results.json")["args"]["invocation_command"] == "dbt retry"


def test_a_rerun_of_the_job_retries_what_failed_and_starts_anew_otherwise(
    emulator: RunningEmulator, run: dict[str, Any]
) -> None:
    retried = emulator.wait(emulator.data("POST", f"jobs/{JOB}/rerun/")["id"])
    assert retried["retrying_run_id"] == run["id"]
    emulator.behave(can_retry_delay=60)
    emulator.wait(emulator.trigger(JOB, schema_override="x")["id"])
    new_run = emulator.data("POST", f"jobs/{JOB}/rerun/")
    assert new_run["retrying_run_id"] is None
    assert new_run["trigger"]["schema_override"] is None


def test_a_run_that_has_just_failed_may_not_be_retried_yet(emulator: RunningEmulator) -> None:
    emulator.behave(can_retry_delay=0.5)
    run = emulator.wait(emulator.trigger(JOB)["id"])
    assert (run["can_retry"], run["retry_not_supported_reason"]) == (False, "RETRY_NO_RUN_RESULTS")
    time.sleep(0.6)
    assert emulator.run(run["id"])["can_retry"] is True


def test_artifacts_that_come_late(emulator: RunningEmulator) -> None:
    emulator.behave(artifacts_delay=0.5)
    run = emulator.wait(emulator.trigger(JOB)["id"])
    assert run["artifacts_saved"] is False
    assert emulator.data("GET", f"runs/{run['id']}/artifacts/") is None
    assert emulator.api("GET", f"runs/{run['id']}/artifacts/manifest.json").status_code == 404
    time.sleep(0.6)
    assert emulator.run(run["id"])["artifacts_saved"] is True
    assert emulator.artifact(run["id"], "manifest.json")


def test_a_new_run_may_be_hidden_at_first(emulator: RunningEmulator) -> None:
    emulator.behave(hidden_requests=2)
    run_id = emulator.trigger(JOB)["id"]
    assert [emulator.api("GET", f"runs/{run_id}/").status_code for _ in range(3)] == [404, 404, 200]


def test_a_run_of_a_deactivated_job_stays_in_the_queue_until_it_is_cancelled(emulator: RunningEmulator) -> None:
    first, second = emulator.trigger(SLOW_JOB), emulator.trigger(SLOW_JOB)
    waiting = emulator.run(second["id"])
    assert (waiting["status"], waiting["blocked_by"], waiting["in_progress"]) == (1, [first["id"]], True)
    cancelled = emulator.data("POST", f"runs/{second['id']}/cancel/")
    assert cancelled["status"] == 30
    assert cancelled["audit"]["cancellation"]["actor"]["name"] == "service token"
    assert emulator.run(second["id"])["retry_not_supported_reason"] == "RETRY_NOT_FAILED_RUN"


def test_a_cancel_of_a_complete_run_changes_nothing(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    assert emulator.data("POST", f"runs/{run['id']}/cancel/")["status"] == 20


@pytest.mark.parametrize("body", [{"git_sha": "a"}, {"github_pull_request_id": 1}])
def test_a_ci_job_that_lacks_its_pull_request_or_commit_is_started_unless_told_otherwise(
    emulator: RunningEmulator, body: dict[str, Any]
) -> None:
    def triggered() -> int:
        return emulator.api("POST", f"jobs/{CI_JOB}/run/", json={"cause": "c", **body}).status_code

    assert triggered() == 200
    emulator.client.patch("/__emulator__/behaviour", json={"ci_needs_pull_request": True})
    try:
        assert triggered() == 400
    finally:
        emulator.client.patch("/__emulator__/behaviour", json={"ci_needs_pull_request": False})


def test_many_replayed_runs_are_quick(emulator: RunningEmulator) -> None:
    started = time.monotonic()
    ids = [emulator.trigger(JOB)["id"] for _ in range(300)]
    emulator.wait(ids[-1])
    assert time.monotonic() - started < 30
    assert all(run["status"] == 20 for run in emulator.runs() if run["id"] in set(ids))
