"""The list of beliefs covers what the action reads, and what is written of an answer holds no name and no secret."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_emulator.conformance import fields
from dbt_cloud_emulator.conformance.__main__ import base_url_of, main
from dbt_cloud_emulator.conformance.beliefs import BELIEFS
from dbt_cloud_emulator.conformance.checks.answers import said
from dbt_cloud_emulator.conformance.masking import Mask
from dbt_cloud_emulator.conformance.outcome import CHECKS, Seen, Verdict, _judged, run_check
from dbt_cloud_emulator.conformance.reading import _differs
from dbt_cloud_emulator.conformance.session import Exchange
from dbt_cloud_run.cloud.models import Job, JobTriggers, Run, RunStep, Trigger

SECRET = "Zq7Kx"  # in no word that is kept
NAMES = st.sampled_from(
    ["name", "description", "logs", "status_message", "user_message", "href", "git_branch", "compiled_code", "email"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.just(f"select {SECRET}"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.just(SECRET), inner, max_size=4),
    max_leaves=12,
)


def test_every_field_that_the_action_reads_is_believed_in() -> None:
    assert set(Run.model_fields) <= set(fields.RUN)
    assert set(RunStep.model_fields) <= set(fields.STEP) | set(fields.MORE_OF_A_STEP)
    assert set(Trigger.model_fields) <= set(fields.TRIGGER)
    assert set(Job.model_fields) <= set(fields.JOB)
    assert set(JobTriggers.model_fields) <= set(fields.WITHIN_A_JOB["triggers"])


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"a": 1, "b": "x", "c": None}, []),
        ({"a": True, "b": "x", "c": "2026-01-01 00:00:00+00:00"}, ["a is no integer"]),
        ({"a": 1, "c": "soon"}, ["b is missing", "c is no time"]),
        ([], ["a thing is no object"]),
        (None, ["a thing is no object"]),
    ],
)
def test_what_is_not_as_described(value: object, found: list[str]) -> None:
    assert fields.problems("a thing", value, {"a": "integer", "b": "text", "c": "time"}) == found


def test_null_is_a_problem_only_where_it_is_never_seen() -> None:
    assert fields.problems("a run", {"id": None, "git_sha": None}, {"id": "id", "git_sha": "text"}) == ["id is null"]


@given(VALUES)
def test_nothing_of_an_answer_is_written_but_its_form(value: Any) -> None:
    shown = json.dumps(Mask({SECRET: "<name>"}).value(value))
    assert SECRET not in shown
    assert "select" not in shown


@given(st.dictionaries(NAMES, st.just(f"The {SECRET} of Ann"), max_size=6))
def test_unknown_names_are_hidden_too(value: dict[str, str]) -> None:
    shown = Mask({}).value(value)
    assert all(SECRET not in text and "Ann" not in text for text in shown.values())


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("This run was cancelled by Ann Example.", "This run was cancelled by …"),
        (
            "This run timed out after running for 1 day, which exceeded the configured timeout of 86400 seconds.",
            "This run timed out after running for 1 day, which exceeded the configured timeout of 86400 seconds.",
        ),
        ("Cancelled for run 70471823000001: select n from t", "Cancelled for run … from …"),
    ],
)
def test_how_a_run_ended_is_kept_without_who(message: str, shown: str) -> None:
    assert Mask({}).value({"status_message": message}) == {"status_message": shown}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Invoke dbt with `dbt build --select secret_model`", "Invoke dbt with `dbt build …`"),
        ("Create profile from connection Secret (override schema to 'pr_5')", "Create profile from connection"),
        ("Clone git repository", "Clone git repository"),
        ("Nightly of Ann", "<text of 14 characters>"),
    ],
)
def test_names_of_steps_keep_their_form(name: str, shown: str) -> None:
    assert Mask({}).value({"name": name}) == {"name": shown}


def test_an_artifact_is_written_by_its_size() -> None:
    exchange = Exchange(
        "GET", "/api/v2/accounts/1/runs/5/artifacts/manifest.json", "", None, 200, {}, b'{"nodes": {}}', 0.1
    )
    assert Mask({}).exchange(exchange)["body"] == "<13 bytes>"


def test_no_address_and_no_name_of_a_request_is_written() -> None:
    headers = {"location": "https://bucket.s3.amazonaws.example/a?signature=s3cret", "x-account": "acme", "date": "now"}
    exchange = Exchange("GET", "/x/", "name__icontains=nIGHTLY+of+acme&limit=5", None, 302, headers, b"", 0.1)
    shown = Mask({}).exchange(exchange)
    assert shown["query"] == "name__icontains=<text of 15 characters>&limit=5"
    assert shown["headers"] == {"location": "…amazonaws.example", "date": "now"}


def test_a_refusal_names_nobody_where_a_check_says_what_it_saw() -> None:
    refused = {"status": {"user_message": "Ann Example (ann@acme.example) has no permission for Finance."}}
    exchange = Exchange(
        "GET", "/jobs/", "name__icontains=nIGHTLY&limit=5", None, 403, {}, json.dumps(refused).encode(), 0
    )
    for shown in (said(exchange), str(exchange)):
        assert not re.search("ann|example|acme|finance|nightly", shown, re.IGNORECASE), shown
    assert said(exchange).startswith("403: ")
    assert "has no permission for" in said(exchange)
    assert str(exchange) == "GET /jobs/?name__icontains&limit: 403"


@pytest.mark.parametrize(
    ("error", "shown"),
    [(KeyError("git_sha"), "KeyError: 'git_sha'"), (ValueError("Invalid isoformat string: 'Ann'"), "ValueError")],
)
def test_an_answer_of_another_form_is_not_quoted(error: Exception, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(_: object) -> Seen:
        raise error

    monkeypatch.setitem(CHECKS, "job.id", raises)
    scene: Any = None
    assert run_check(BELIEFS["job.id"], scene).seen == f"of another form: {shown}"


def test_an_unsure_belief_is_observed_and_never_fails() -> None:
    unsure = next(belief for belief in BELIEFS.values() if belief.sureness == "unsure")
    sure = next(belief for belief in BELIEFS.values() if belief.sureness == "sure")
    assert _judged(unsure, Seen(is_as_believed=False, what="other")).verdict is Verdict.SEEN
    assert _judged(sure, Seen(is_as_believed=False, what="other")).verdict is Verdict.NOT_HELD
    assert _judged(sure, Seen(is_as_believed=True, what="so")).verdict is Verdict.HELD


@pytest.mark.parametrize(
    ("data", "difference"),
    [
        ({"id": 5, "status": 20}, ""),
        ({"id": 6, "status": 20}, "another id"),
        ({"id": 5, "status": 10}, "state error for status 10"),
        ({"id": 5, "status": 20, "run_steps": [{"index": 1}]}, "another number of steps"),
    ],
)
def test_what_the_client_takes_is_compared(data: dict[str, Any], difference: str) -> None:
    assert _differs(Run(id=5, status=20), data) == difference


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("ab123.us1.dbt.com", "https://ab123.us1.dbt.com"),
        ("https://ab123.us1.dbt.com/api/", "https://ab123.us1.dbt.com"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_a_host_or_its_url_may_be_given(host: str, url: str) -> None:
    assert base_url_of(host) == url


def test_the_list_is_printed_without_asking(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"], {}) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(BELIEFS)
