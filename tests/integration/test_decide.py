"""Which run a step is about: what is read for it, and what is decided. Real requests, and nothing is ever started."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import JOB, CloudServer, Fault
from tests.support.deciding import SHA, decide_at
from tests.support.notes import kept_notes
from tests.support.told_cloud import ToldCloud, told

from dbt_cloud_run.errors import ConfigError, InvalidInputsError
from dbt_cloud_run.start.tag import Tag, cause_text

SUCCESS, ERROR, RUNNING = 10, 20, 3
PULL_REQUEST = {
    "pull_request": {
        "number": 5,
        "state": "open",
        "head": {"sha": SHA, "repo": {"full_name": "acme/shop"}},
        "base": {"repo": {"full_name": "acme/shop"}},
    }
}


def of_this_step(server: CloudServer, status: int, **fields: Any) -> dict[str, Any]:
    """A run that this step has started in the first attempt of the workflow run."""
    decision = decide_at(server)
    server.requests.clear()
    return server.add_run(status=status, cause=cause_text(decision.tag, "nightly"), **fields)


def test_the_baseline_and_the_usual_durations_come_from_one_list() -> None:
    server = CloudServer()
    for seconds in (300, 320, 310):
        server.add_run(status=SUCCESS, run_duration=f"00:05:{seconds - 300:02}")
    newest = server.add_run(status=ERROR)
    decision = decide_at(server)
    assert decision.is_new
    assert decision.baseline_id == decision.new_run().baseline_id == newest["id"]
    assert decision.history == (310, 320, 300), "newest first"
    assert server.count("GET", "/runs/$") == 1


def test_a_list_that_is_not_needed_is_not_waited_for_to_its_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbt_cloud_run.start.decide.OPTIONAL_LIST_BUDGET", 2.0)
    server = ToldCloud([told(SUCCESS)])
    server.add_run(status=SUCCESS)
    # Bytes come for as long as one request may take, and a second request would be answered.
    server.fault("GET", r"/runs/$", Fault("dribble"))
    assert decide_at(server).baseline_id is None
    assert server.count("GET", r"/runs/$") == 1
    assert f"The runs of job {JOB} could not be listed" in caplog.text
    assert "dbt Cloud did not answer within 2 s." in caplog.text


def test_a_job_that_has_never_run_has_no_baseline() -> None:
    decision = decide_at(CloudServer(), schema_override="here", cause="because")
    assert (decision.is_new, decision.baseline_id, decision.history) == (True, 0, ())
    request = decision.new_run()
    assert request.body == {"cause": f"{decision.tag} because", "schema_override": "here"}


# -- attaching by id


def test_a_run_is_attached_to_by_its_id_with_its_own_overrides_and_job() -> None:
    server = CloudServer()
    theirs = server.add_run(status=RUNNING, schema_override="theirs")
    decision = decide_at(server, run_id=str(theirs["id"]), job_id="")
    assert (decision.is_ours, decision.is_continued, decision.job_id) == (False, False, JOB)
    assert decision.run is not None
    assert decision.run.id == decision.baseline_id == theirs["id"]
    assert decision.overrides.schema_override == "theirs", "a retry sends them again"
    assert decision.notes == (f"Attached to run {theirs['id']} instead of starting one (running).",)
    (request,) = server.requests
    assert request.path == f"/api/v2/accounts/1/runs/{theirs['id']}/"
    assert request.query["include_related"] == "run_steps,trigger,job,environment,audit"


def test_the_job_of_a_run_that_is_attached_to_is_known_from_the_run() -> None:
    server = CloudServer()
    theirs = server.add_run(status=RUNNING, job={"id": JOB, "name": "Nightly", "job_type": "ci"})
    decision = decide_at(server, run_id=str(theirs["id"]))
    assert decision.job is not None
    assert (decision.job.name, decision.is_ci) == ("Nightly", True)


def test_overrides_that_contradict_the_run_are_refused() -> None:
    server = CloudServer()
    theirs = server.add_run(status=RUNNING, schema_override="theirs")
    with pytest.raises(InvalidInputsError, match="schema-override: is 'mine'"):
        decide_at(server, run_id=str(theirs["id"]), schema_override="mine")


def test_runs_of_two_jobs_have_two_keys_of_the_step() -> None:
    server = CloudServer()
    runs = [server.add_run(status=RUNNING, job_definition_id=job) for job in (8, 9)]
    one, other = (decide_at(server, run_id=str(run["id"]), job_id="").tag.key.step for run in runs)
    assert one != other


def test_a_run_of_another_job_than_the_one_that_is_named_is_refused() -> None:
    server = CloudServer()
    theirs = server.add_run(status=RUNNING, job_definition_id=8)
    with pytest.raises(ConfigError, match=f"belongs to job 8, and job-id is {JOB}") as caught:
        decide_at(server, run_id=str(theirs["id"]))
    assert caught.value.advice == "Leave job-id out, or correct one of the two."


def test_a_run_that_names_no_job_needs_the_input() -> None:
    server = CloudServer()
    theirs = server.add_run(status=RUNNING, job_definition_id=None)
    with pytest.raises(ConfigError, match="does not say to which job") as caught:
        decide_at(server, run_id=str(theirs["id"]), job_id="")
    assert caught.value.advice == "Set `job-id`, too."
    assert decide_at(server, run_id=str(theirs["id"])).job_id == JOB


def test_the_retry_that_an_earlier_attempt_made_of_an_attached_run_is_continued() -> None:
    server = CloudServer()
    theirs = server.add_run(status=ERROR)
    first = decide_at(server, run_id=str(theirs["id"]))
    tag = first.tag.for_retry(theirs["id"])
    retry = server.add_run(status=RUNNING, cause=str(tag))
    again = decide_at(server, run_id=str(theirs["id"]), attempt=2)
    assert (again.is_continued, again.is_ours) == (True, True)
    assert again.run is not None
    assert again.run.id == retry["id"]
    assert [run.id for run in again.before] == [theirs["id"]]
    retry["status"] = ERROR
    failed = decide_at(server, run_id=str(theirs["id"]), attempt=2)
    assert (failed.is_new, failed.run) == (False, None)
    assert [run.id for run in failed.before] == [theirs["id"], retry["id"]]
    # With no retry left, its result is what there is.
    published = decide_at(server, run_id=str(theirs["id"]), attempt=2, targeted_retries="0")
    assert published.run is not None
    assert (published.run.id, published.is_ours) == (retry["id"], True)
    assert decide_at(server, run_id=str(theirs["id"]), attempt=2, targeted_retries="1").run is None
    off = decide_at(server, run_id=str(theirs["id"]), attempt=2, resume="off")
    assert off.run is not None
    assert (off.run.id, off.tag.attempt) == (theirs["id"], 2)


def test_what_continues_the_retry_of_an_attached_run_says_so_and_knows_the_newest_run() -> None:
    server = CloudServer()
    theirs = server.add_run(status=ERROR)
    tag = decide_at(server, run_id=str(theirs["id"])).tag.for_retry(theirs["id"])
    retry = server.add_run(status=RUNNING, cause=str(tag))
    newest = server.add_run(status=SUCCESS)
    again = decide_at(server, run_id=str(theirs["id"]), attempt=2)
    assert again.baseline_id == newest["id"]
    assert again.notes[1:] == (
        f"Resumed: run {retry['id']} is the retry of it that an earlier attempt of this step started.",
    )
    (request,) = (request for request in server.requests if request.path.endswith("/runs/"))
    assert request.query["include_related"] == "trigger,audit"


# -- reuse and resume


def test_a_run_of_the_same_commit_is_reused_only_where_it_is_asked_for() -> None:
    server = CloudServer()
    theirs = server.add_run(status=SUCCESS, git_sha=SHA, schema_override="s")
    asked = {"git_sha": SHA, "schema_override": "s"}
    decision = decide_at(server, reuse="same-commit", **asked)
    assert (decision.is_continued, decision.is_ours) == (False, False)
    assert decision.run is not None
    assert decision.run.id == theirs["id"]
    assert any(f"run {theirs['id']}" in note for note in decision.notes)
    assert decide_at(server, **asked).is_new
    assert {request.query.get("include_related") for request in server.requests} == {"trigger"}
    assert decide_at(server, reuse="same-commit", **asked | {"git_sha": "b" * 40}).is_new


def test_a_rerun_retries_the_run_that_failed_and_asks_who_cancelled_it() -> None:
    server = CloudServer()
    failed = of_this_step(server, ERROR)
    decision = decide_at(server, attempt=2)
    assert (decision.is_new, decision.run, decision.tag.root) == (False, None, failed["id"])
    assert [run.id for run in decision.before] == [failed["id"]]
    (request,) = (request for request in server.requests if request.path.endswith("/runs/"))
    assert request.query["include_related"] == "trigger,audit"
    assert decision.baseline_id == failed["id"]
    assert decision.notes == (f"Resumed: run {failed['id']} of an earlier attempt of this step failed.",)


def test_only_a_rerun_says_what_it_does_with_the_runs_before() -> None:
    server = CloudServer()
    of_this_step(server, RUNNING)
    said = {}
    for attempt in (1, 2):
        with kept_notes() as notes:
            decide_at(server, attempt=attempt)
        said[attempt] = [note for note in notes if note.startswith("Re-run of the workflow: ")]
    assert (len(said[1]), len(said[2])) == (0, 1)
    assert said[2][0].startswith("Re-run of the workflow: wait for the run, because run ")


def test_a_reused_run_of_the_pull_request_keeps_its_own_overrides(tmp_path: Path) -> None:
    payload = tmp_path / "event.json"
    payload.write_text(json.dumps(PULL_REQUEST), encoding="utf-8")
    server = ToldCloud([told(RUNNING)], {"job_type": "ci"})
    # As dbt Cloud's own integration starts it: into the schema of the pull request without an override.
    theirs = server.add_run(trigger={"github_pull_request_id": 5, "git_sha": SHA, "threads_override": 8})
    decision = decide_at(server, event=("pull_request", payload), reuse="same-commit")
    assert decision.run is not None
    assert decision.run.id == theirs["id"]
    assert decision.overrides.threads_override == 8
    assert decision.overrides.schema_override is None


# -- when-busy


def test_a_run_that_this_step_started_itself_is_not_in_its_own_way() -> None:
    server = CloudServer()
    of_this_step(server, RUNNING)
    assert decide_at(server, when_busy="fail").busy == ""
    assert decide_at(server, when_busy="fail", variables={"GITHUB_JOB": "another"}).busy


def test_what_is_said_of_a_busy_job_depends_on_its_type(tmp_path: Path) -> None:
    payload = tmp_path / "event.json"
    payload.write_text(json.dumps(PULL_REQUEST), encoding="utf-8")
    for job_type, words in (("ci", "is for pull request 5, too"), ("scheduled", "builds into the schema dbt_cloud_pr")):
        server = ToldCloud([told(RUNNING)], {"job_type": job_type})
        server.add_run(trigger={"github_pull_request_id": 5, "schema_override": f"dbt_cloud_pr_{JOB}_5"})
        asked = {"when_busy": "fail", "pull_request": "on"}
        assert words in decide_at(server, event=("pull_request", payload), **asked).busy


def test_a_rerun_waits_for_the_run_that_is_active() -> None:
    server = CloudServer()
    active = of_this_step(server, RUNNING)
    decision = decide_at(server, attempt=2)
    assert (decision.is_continued, decision.is_ours, decision.before) == (True, True, ())
    assert decision.run is not None
    assert decision.run.id == active["id"]


@pytest.mark.parametrize(
    ("status", "inputs"),
    [(ERROR, {"targeted_retries": "0"}), (ERROR, {"resume": "off"}), (SUCCESS, {}), (ERROR, {"threads_override": "3"})],
)
def test_a_rerun_triggers_the_job_where_nothing_is_to_be_continued(status: int, inputs: dict[str, str]) -> None:
    server = CloudServer()
    of_this_step(server, status)
    decision = decide_at(server, attempt=2, **inputs)
    assert (decision.is_new, decision.tag.root, decision.before) == (True, None, ())


def test_a_rerun_that_continues_wins_over_a_reuse() -> None:
    server = CloudServer()
    failed = of_this_step(server, ERROR)
    server.add_run(status=RUNNING, git_sha=SHA)
    decision = decide_at(server, attempt=2, reuse="same-commit")
    assert (decision.run, [run.id for run in decision.before]) == (None, [failed["id"]])


# -- dbt Cloud's own Git webhook


@pytest.mark.parametrize(
    ("triggers", "reuse", "warned"),
    [
        ({"github_webhook": True}, "never", True),
        ({"git_provider_webhook": True}, "never", True),
        ({"github_webhook": True}, "same-commit", False),
        ({"github_webhook": False}, "never", False),
    ],
)
def test_a_job_that_the_git_webhook_triggers_too_is_warned_of(
    triggers: dict[str, bool], reuse: str, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    payload = tmp_path / "event.json"
    payload.write_text(json.dumps(PULL_REQUEST), encoding="utf-8")
    server = ToldCloud([told(RUNNING)], {"job_type": "ci", "triggers": triggers})
    with caplog.at_level(logging.WARNING, logger="dbt_cloud_run"):
        decision = decide_at(server, event=("pull_request", payload), reuse=reuse)
    assert any("Git webhook" in record.message for record in caplog.records) is warned
    assert decision.overrides.github_pull_request_id == 5
    assert decision.overrides.git_sha == SHA
    assert decision.overrides.schema_override == f"dbt_cloud_pr_{JOB}_5"


def test_the_tag_has_the_attempt_of_the_workflow_run_and_a_nonce_of_its_own() -> None:
    server = CloudServer()
    first, second = decide_at(server), decide_at(server, attempt=2)
    assert (first.tag.attempt, second.tag.attempt) == (1, 2)
    assert first.tag.key == second.tag.key
    assert first.tag.nonce != second.tag.nonce
    assert isinstance(first.new_run().tag, Tag)


@pytest.mark.parametrize(
    "changed",
    [
        {"variables": {"GITHUB_SERVER_URL": "https://ghe.example"}},
        {"variables": {"GITHUB_REPOSITORY": "acme/other"}},
        {"variables": {"GITHUB_RUN_ID": "43"}},
        {"variables": {"GITHUB_JOB": "other"}},
        {"variables": {"GITHUB_ACTION": "__self_2"}},
        {"strategy_job_index": "1"},
        {"job_id": "8"},
    ],
)
def test_the_key_of_a_step_is_of_its_place_in_the_workflow_run_and_of_its_job(changed: dict[str, Any]) -> None:
    server = CloudServer()
    here, there = decide_at(server).tag.key, decide_at(server, **changed).tag.key
    assert here.step != there.step
    assert here.overrides == there.overrides
