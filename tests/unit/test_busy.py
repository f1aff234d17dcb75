"""`when-busy`: which active run of the job stands in the way of a new one, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.start.busy import busy_with, busy_words, job_is_busy
from dbt_cloud_run.start.tag import RunKey, Tag, cause_text

KEY, OTHER_KEY = RunKey("0123456789", "aaaaaa"), RunKey("9876543210", "aaaaaa")
QUEUED, STARTING, RUNNING, SUCCESS, ERROR, CANCELLED = 1, 2, 3, 10, 20, 30


def run(number: int, status: int, key: RunKey | None = None, **fields: Any) -> Run:
    cause = cause_text(Tag.new(key), "nightly") if key else "Scheduled"
    trigger = fields.pop("trigger", {})
    trigger = {"cause": cause, **trigger} if trigger is not None else None
    return Run.model_validate({"id": number, "status": status, "trigger": trigger, **fields})


def found(*runs: Run, is_ci: bool = False, **overrides: Any) -> int | None:
    busy = busy_with(runs, TriggerOverrides(**overrides), is_ci=is_ci, step_key=KEY.step)
    return busy.id if busy is not None else None


@pytest.mark.parametrize(
    ("status", "is_busy"),
    [
        (QUEUED, True),
        (STARTING, True),
        (RUNNING, True),
        (99, True),
        (SUCCESS, False),
        (ERROR, False),
        (CANCELLED, False),
    ],
)
def test_a_run_that_has_not_ended_makes_the_job_busy(status: int, is_busy: bool) -> None:
    assert found(run(5, status)) == (5 if is_busy else None)


def test_a_run_of_an_unknown_state_that_has_an_end_is_not_active() -> None:
    assert found(run(5, 99, finished_at="2026-11-20 06:00:00+00:00")) is None


def test_the_oldest_run_is_named() -> None:
    assert found(run(9, QUEUED), run(5, RUNNING), run(4, SUCCESS)) == 5


def test_a_run_that_this_step_has_started_is_none_of_others() -> None:
    assert found(run(5, RUNNING, KEY)) is None
    assert found(run(5, RUNNING, OTHER_KEY)) == 5


@pytest.mark.parametrize(
    ("theirs", "ours", "is_busy"),
    [
        ({}, {}, True),
        ({"schema_override": "a"}, {"schema_override": "a"}, True),
        ({"schema_override": "a"}, {"schema_override": "b"}, False),
        ({"schema_override": "a"}, {}, False),
        ({}, {"schema_override": "a"}, False),
        ({"git_sha": "abc", "steps_override": ["dbt test"]}, {}, True),
    ],
)
def test_a_run_into_another_schema_is_in_nobodys_way(theirs: Any, ours: Any, is_busy: bool) -> None:
    assert found(run(5, RUNNING, trigger=theirs), **ours) == (5 if is_busy else None)


@pytest.mark.parametrize(
    ("theirs", "ours", "is_busy"),
    [
        ({"github_pull_request_id": 7}, {"github_pull_request_id": 7, "schema_override": "dbt_cloud_pr_1_7"}, True),
        ({"github_pull_request_id": 8}, {"github_pull_request_id": 7}, False),
        ({"azure_pull_request_id": 7}, {"github_pull_request_id": 7}, False),
        ({"gitlab_merge_request_id": 7}, {"gitlab_merge_request_id": 7}, True),
        ({}, {"github_pull_request_id": 7}, False),
        # Without a pull request of its own, it builds into a schema like any other job.
        ({"schema_override": "a"}, {"schema_override": "a"}, True),
        ({"github_pull_request_id": 7}, {"schema_override": "a"}, False),
    ],
)
def test_a_continuous_integration_job_is_busy_with_the_same_pull_request(theirs: Any, ours: Any, is_busy: bool) -> None:
    assert found(run(5, RUNNING, trigger=theirs), is_ci=True, **ours) == (5 if is_busy else None)


def test_a_job_of_another_type_is_busy_by_schema_whatever_pull_request_it_is_for() -> None:
    theirs = {"schema_override": "a"}
    assert found(run(5, RUNNING, trigger=theirs), github_pull_request_id=7, schema_override="a") == 5
    of_another = {"github_pull_request_id": 8, "schema_override": "a"}
    assert found(run(5, RUNNING, trigger=of_another), github_pull_request_id=7, schema_override="a") == 5


def test_a_run_whose_trigger_is_not_shown_may_build_anywhere() -> None:
    hidden = run(5, RUNNING, trigger=None)
    assert found(hidden, schema_override="a") == 5
    assert "which dbt Cloud does not say" in busy_words(1, hidden, TriggerOverrides(), is_ci=False)


def test_the_words_name_job_run_and_place() -> None:
    other = run(5, RUNNING)
    plain, in_schema = TriggerOverrides(), TriggerOverrides(schema_override="a")
    of_request = TriggerOverrides(github_pull_request_id=7, schema_override="a")
    assert busy_words(1, other, plain, is_ci=False) == ("Job 1 is busy: run 5 (running) builds into the same schema.")
    assert busy_words(1, other, in_schema, is_ci=True).endswith("builds into the schema a, too.")
    assert busy_words(1, other, of_request, is_ci=True).endswith("is for pull request 7, too.")
    assert busy_words(1, other, of_request, is_ci=False).endswith("builds into the schema a, too.")
    error = job_is_busy("Job 1 is busy.")
    assert error.message == "Job 1 is busy. Nothing was started, because when-busy is `fail`."
    assert "when-busy" in error.advice
