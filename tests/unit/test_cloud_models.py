"""dbt Cloud's objects, as they come: with gaps, nulls, surprises and the platform's own formats."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dbt_cloud_run.cancellation import CancelledBy
from dbt_cloud_run.cloud.models import Job, Run, RunStep, Trigger, parse_duration, parse_time
from dbt_cloud_run.model import RunState, TriggerOverrides

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-27 10:42:16.179903+00:00", datetime(2024, 5, 27, 10, 42, 16, 179903, UTC)),
        ("2024-05-27T10:42:16Z", datetime(2024, 5, 27, 10, 42, 16, tzinfo=UTC)),
        ("2024-05-27T12:42:16+02:00", datetime(2024, 5, 27, 10, 42, 16, tzinfo=UTC)),
        ("2024-05-27 10:42:16", datetime(2024, 5, 27, 10, 42, 16, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        # What stands for no time elsewhere, and what no second can be added to.
        ("0001-01-01T00:00:00Z", None),
        ("1969-12-31T23:59:59Z", None),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", None),
        ("9998-12-31T23:59:59Z", datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        (None, None),
        (1716806536, None),
    ],
)
def test_times(text: object, expected: datetime | None) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:00:07", 7.0),
        ("24:00:36", 86436.0),
        ("1 day, 0:00:36", 86436.0),
        ("00:01:02.500", 62.5),
        ("7", None),
        ("-1:00:00", None),
        ("00:99:00", None),
        (None, None),
        (12, None),
    ],
)
def test_durations(text: object, expected: float | None) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"status": 1}, RunState.QUEUED),
        ({"status": 2}, RunState.STARTING),
        ({"status": 3, "is_running": None}, RunState.RUNNING),
        ({"status": 10, "is_error": True}, RunState.SUCCESS),  # the number wins
        ({"status": 20}, RunState.ERROR),
        ({"status": 30}, RunState.CANCELLED),
        ({"status": 31, "is_complete": True, "is_success": True}, RunState.SUCCESS),
        ({"status": None, "is_complete": True, "is_cancelled": True}, RunState.CANCELLED),
        ({"status": 40, "status_humanized": "Cancelled"}, RunState.CANCELLED),
        ({"status": 40, "is_complete": True}, RunState.ERROR),  # ended, and nothing says that it succeeded
        ({"status": 40, "in_progress": True}, RunState.RUNNING),
        ({"status": 40, "status_humanized": "Pondering"}, RunState.UNKNOWN),
        ({}, RunState.UNKNOWN),
    ],
)
def test_the_state_of_a_run(fields: dict[str, Any], state: RunState) -> None:
    assert Run(id=1, **fields).state is state


@given(st.dictionaries(st.sampled_from(sorted(Run.model_fields)), JSON))
def test_no_field_of_a_run_but_its_id_can_be_wrong(fields: dict[str, Any]) -> None:
    run = Run.model_validate(fields | {"id": 70_471_823_456_789, "invented": 1})
    assert run.id == 70_471_823_456_789
    assert isinstance(run.state, RunState)
    assert run.overrides.body() is not None
    assert isinstance(run.asked, tuple)
    assert run.timed_out in (True, False)
    assert run.superseded in (True, False)
    assert (run.cancellation is None) is (run.state is not RunState.CANCELLED)
    assert all(step.index is not None for step in run.steps)


@pytest.mark.parametrize("data", [None, [], "x", {}, {"id": None}, {"id": "x"}, {"id": 0}, {"id": -3}])
def test_a_run_without_an_id_is_none(data: object) -> None:
    with pytest.raises(ValidationError):
        Run.model_validate(data)


@pytest.mark.parametrize(
    ("message", "timed_out", "superseded"),
    [
        (
            "This run timed out after running for 1 day, which exceeded the configured timeout of 86400 seconds.",
            True,
            False,
        ),
        ("This run was cancelled because a newer commit was pushed to the pull request.", False, True),
        ("Cancelled: superseded by run 77", False, True),
        ("Run cancelled due to a new commit", False, True),
        ("Stale run was cancelled automatically", False, True),
        ("A more recent run for this pull request has started", False, True),
        ("This run was cancelled after 10 minutes of inactivity: it timed out", False, False),
        ("Cancelled by user alice@example.com", False, False),
        ("", False, False),
        (None, False, False),
    ],
)
def test_why_a_run_was_cancelled(message: str | None, timed_out: bool, superseded: bool) -> None:
    run = Run(id=1, status=30, status_message=message)
    assert (run.timed_out, run.superseded) == (timed_out, superseded)
    failed = Run(id=1, status=20, status_message=message)
    assert (failed.timed_out, failed.superseded) == (False, False)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("Invoke dbt with `dbt build --select tag:x`", "dbt build --select tag:x"),
        ('Invoke dbt with `dbt run --vars \'{"a": "`b`"}\'`', 'dbt run --vars \'{"a": "`b`"}\''),
        ("Clone git repository", None),
        ("Create profile from connection ``", None),
        ("half `open", None),
        (None, None),
    ],
)
def test_the_command_of_a_step(name: str | None, command: str | None) -> None:
    assert RunStep(index=4, name=name).command == command


def test_steps_come_in_order_and_broken_ones_are_left_out() -> None:
    steps = [{"index": 4, "status": 10}, {"index": None}, None, "x", {"index": 1, "status": 99}, {"name": "no index"}]
    run = Run.model_validate({"id": 1, "run_steps": steps})
    assert [(step.index, step.state) for step in run.steps] == [(1, RunState.UNKNOWN), (4, RunState.SUCCESS)]
    assert RunStep(index=5, status=30, status_humanized="Skipped").state is RunState.SKIPPED
    assert RunStep(index=5, status=20, status_humanized="Error").state is RunState.ERROR


def test_overrides_come_back_as_they_were_sent() -> None:
    sent = TriggerOverrides(
        git_sha="abc", threads_override=4, generate_docs_override=False, steps_override=("dbt build", "dbt test")
    )
    assert (
        Trigger.model_validate(sent.body() | {"cause": "x", "git_branch": "", "schema_override": None}).overrides
        == sent
    )


def test_what_a_run_was_asked_for() -> None:
    job = {"id": 1, "execute_steps": ["dbt build"]}
    assert Run.model_validate({"id": 1, "job": job}).asked == ("dbt build",)
    assert Run.model_validate({"id": 1, "job": job, "trigger": {"steps_override": ["dbt test"]}}).asked == ("dbt test",)
    assert Run(id=1).asked == ()


@pytest.mark.parametrize(
    ("trigger", "cancellation", "expected"),
    [
        ({"type": "service_token", "id": "5"}, {"type": "service_token", "id": 5}, CancelledBy.STARTER),
        ({"type": "service_token", "id": "5"}, {"type": "user", "id": "5"}, CancelledBy.ACTOR),
        ({"type": "user", "id": "5"}, {"type": "user", "id": "6", "name": "alice"}, CancelledBy.ACTOR),
        ({"type": "user", "id": "5"}, None, CancelledBy.UNKNOWN),
        (None, {"type": "user", "id": "5"}, CancelledBy.ACTOR),
        ({"type": "user"}, {"type": "user"}, CancelledBy.UNKNOWN),
    ],
)
def test_who_cancelled(trigger: object, cancellation: object, expected: CancelledBy) -> None:
    audit = {"trigger": {"actor": trigger}, "cancellation": {"actor": cancellation}}
    found = Run.model_validate({"id": 1, "status": 30, "audit": audit}).cancellation
    assert found is not None
    assert found.by is expected


@pytest.mark.parametrize(
    ("message", "by"),
    [
        (
            "This run was cancelled after waiting 10 minutes to start, due to capacity constraints.",
            CancelledBy.CAPACITY,
        ),
        ("No available workers to run this job", CancelledBy.CAPACITY),
        ("This run timed out after waiting 30 minutes in the queue: no capacity was available", CancelledBy.CAPACITY),
        ("Failed to generate profile due to incorrect credentials", CancelledBy.SET_UP),
        ("This run was cancelled after 10 minutes of inactivity: its heartbeat was lost.", CancelledBy.HEARTBEAT),
        ("This run was cancelled because a more recent run of this job, run 77, was queued.", CancelledBy.NEWER_RUN),
        ("This run timed out after 5 minutes", CancelledBy.TIME_LIMIT),
        ("Cancelled", CancelledBy.UNKNOWN),
        ("None", CancelledBy.UNKNOWN),
        (None, CancelledBy.UNKNOWN),
    ],
)
def test_dbt_cloud_cancelled_only_where_its_own_wording_says_so(message: str | None, by: CancelledBy) -> None:
    found = Run(id=1, status=30, status_message=message).cancellation
    assert found is not None
    assert found.by is by
    assert found.newer_run_id == (77 if by is CancelledBy.NEWER_RUN else None)
    assert not found.is_for_commit
    assert Run(id=1, status=20, status_message=message).cancellation is None


def test_a_job_tells_what_the_platform_adds() -> None:
    job = Job.model_validate(
        {"id": 5, "run_generate_sources": True, "triggers": {"git_provider_webhook": True, "github_webhook": "often"}}
    )
    assert job.checks_freshness
    assert job.has_git_webhook
    assert not Job(id=5).checks_freshness
    assert not Job(id=5).has_git_webhook
