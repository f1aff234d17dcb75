"""What a re-run does with what the step did before, and to which run of the same commit it attaches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.start.resume import ResumeAction, decide_resume, find_reusable
from dbt_cloud_run.start.tag import RunKey, Tag, cause_text

KEY = RunKey("0123456789", "aaaaaa")
SUCCESS, ERROR, CANCELLED, RUNNING = 10, 20, 30, 3
SAME_ACTOR = {"trigger": {"actor": {"type": "t", "id": "1"}}, "cancellation": {"actor": {"type": "t", "id": "1"}}}
A_PERSON = {
    "trigger": {"actor": {"type": "t", "id": "1"}},
    "cancellation": {"actor": {"type": "user", "id": "2", "name": "alice"}},
}


def run(number: int, status: int, tag: Tag | None = None, **fields: Any) -> Run:
    trigger = {"cause": cause_text(tag, "nightly") if tag else "Scheduled", **fields.pop("trigger", {})}
    return Run.model_validate({"id": number, "status": status, "trigger": trigger, **fields})


def ours(number: int, status: int, attempt: int = 1, root: int | None = None, **fields: Any) -> Run:
    return run(number, status, replace(Tag.new(KEY, attempt), root=root), **fields)


def decide(*runs: Run, attempt: int = 2, mode: Any = "unfinished") -> tuple[ResumeAction, list[int]]:
    decision = decide_resume(sorted(runs, key=lambda run: -run.id), KEY, mode=mode, run_attempt=attempt)
    assert decision.reason
    assert (decision.action is ResumeAction.TRIGGER) == (decision.chain is None)
    return decision.action, [run.id for run in decision.chain.runs] if decision.chain else []


FRESH = (ResumeAction.TRIGGER, [])


@pytest.mark.parametrize("status", [1, 2, 3, 99])
def test_an_active_run_is_waited_for(status: int) -> None:
    assert decide(ours(5, status)) == (ResumeAction.WAIT, [5])


def test_a_failed_run_is_retried_and_a_successful_one_only_published_with_all() -> None:
    assert decide(ours(5, ERROR)) == (ResumeAction.RETRY, [5])
    assert decide(ours(5, SUCCESS)) == FRESH
    assert decide(ours(5, SUCCESS), mode="all") == (ResumeAction.PUBLISH, [5])
    assert decide(ours(5, ERROR), mode="all") == (ResumeAction.RETRY, [5])


def part(number: int, status: int, root: int) -> Run:
    return run(number, status, Tag.new(KEY).for_retry(root, is_partial=True))


def test_a_green_retry_of_a_part_is_no_success() -> None:
    first, green = ours(5, ERROR), part(8, SUCCESS, 5)
    assert decide(first, green) == (ResumeAction.RETRY, [5, 8])
    assert decide(first, green, mode="all") == (ResumeAction.RETRY, [5, 8])
    assert decide(first, part(8, ERROR, 5), run(11, SUCCESS, retrying_run_id=8)) == (ResumeAction.RETRY, [5, 8, 11])
    assert decide(first, green, ours(11, SUCCESS, attempt=2, root=5), attempt=3) == FRESH
    assert decide(first, part(8, RUNNING, 5)) == (ResumeAction.WAIT, [5, 8])


def test_the_first_attempt_and_resume_off_start_afresh() -> None:
    assert decide(ours(5, ERROR), attempt=1) == FRESH
    assert decide(ours(5, RUNNING), mode="off") == FRESH
    assert decide() == FRESH


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({}, ResumeAction.RETRY),  # no other actor is named
        ({"audit": SAME_ACTOR}, ResumeAction.RETRY),
        ({"audit": A_PERSON}, ResumeAction.TRIGGER),
        ({"status_message": "This run timed out after running for 1 day"}, ResumeAction.RETRY),
        ({"status_message": "Superseded by a newer commit"}, ResumeAction.TRIGGER),
    ],
)
def test_a_cancelled_run_counts_as_failed_if_we_had_cancelled_it(fields: Any, action: ResumeAction) -> None:
    assert decide(ours(5, CANCELLED, **fields))[0] is action


NAME = "run 5 of an earlier attempt of this step"


@pytest.mark.parametrize(
    ("runs", "options", "reason"),
    [
        ([ours(5, ERROR)], {"attempt": 1}, "this is the first attempt of the workflow run"),
        ([ours(5, ERROR)], {"mode": "off"}, "resume is off"),
        ([], {}, "no run of an earlier attempt of this step was found"),
        ([run(5, ERROR)], {}, "no run of an earlier attempt of this step was found"),
        (
            [run(5, ERROR, Tag.new(RunKey("9999999999", "aaaaaa")))],
            {},
            "no run of an earlier attempt of this step was found",
        ),
        (
            [run(5, ERROR, Tag.new(RunKey(KEY.step, "bbbbbb")))],
            {},
            "the earlier attempt of this step was triggered with other overrides",
        ),
        (
            [ours(5, ERROR), ours(8, ERROR)],
            {},
            "more than one earlier run could be this step's own, and they cannot be distinguished",
        ),
        ([ours(5, RUNNING)], {}, f"{NAME} is still active"),
        ([ours(5, SUCCESS)], {"mode": "all"}, f"{NAME} succeeded"),
        ([ours(5, SUCCESS)], {}, f"{NAME} succeeded, and only unfinished runs are resumed"),
        ([ours(5, ERROR)], {}, f"{NAME} failed"),
        ([part(5, SUCCESS, 3)], {}, f"{NAME} succeeded, but had left out some of what failed before it"),
        ([ours(5, ERROR), run(9, SUCCESS)], {}, f"run 9 of the job has succeeded since {NAME} ended"),
        (
            [ours(5, CANCELLED, status_message="Superseded by a newer commit")],
            {},
            f"{NAME} was superseded by a newer run",
        ),
        (
            [ours(5, CANCELLED, status_message="This run timed out after running for 1 day")],
            {},
            f"{NAME} reached dbt Cloud's time limit",
        ),
        ([ours(5, CANCELLED, audit=A_PERSON)], {}, f"{NAME} was cancelled in dbt Cloud by alice"),
        ([ours(5, CANCELLED, audit=SAME_ACTOR)], {}, f"{NAME} was cancelled by this step itself"),
        (
            [ours(5, CANCELLED)],
            {},
            f"{NAME} was cancelled, and dbt Cloud does not name another user who did it",
        ),
    ],
)
def test_why_is_said_of_each_decision(runs: list[Run], options: dict[str, Any], reason: str) -> None:
    asked: dict[str, Any] = {"mode": "unfinished", "attempt": 2, **options}
    assert decide_resume(runs, KEY, mode=asked["mode"], run_attempt=asked["attempt"]).reason == reason


def test_two_candidates_that_cannot_be_told_apart_start_afresh() -> None:
    assert decide(ours(5, ERROR), ours(8, ERROR)) == FRESH
    # A sibling with the same key has attached to the chain in this very attempt, or started a run of its own.
    assert decide(ours(5, ERROR), ours(8, RUNNING, attempt=2, root=5)) == FRESH
    assert decide(ours(5, ERROR), ours(8, RUNNING, attempt=2)) == FRESH


def test_a_late_duplicate_of_one_request_is_no_second_candidate() -> None:
    first = ours(5, ERROR)
    twin = Run.model_validate({**first.model_dump(), "id": 6, "status": CANCELLED})
    assert decide(first, twin) == (ResumeAction.RETRY, [5])


def test_other_steps_and_other_overrides_are_left_alone() -> None:
    other_step = run(5, ERROR, Tag.new(RunKey("9999999999", "aaaaaa")))
    other_overrides = run(6, ERROR, Tag.new(RunKey(KEY.step, "bbbbbb")))
    assert decide(other_step, other_overrides) == FRESH
    decision = decide_resume([other_overrides], KEY, mode="unfinished", run_attempt=2)
    assert "other overrides" in decision.reason


def test_a_job_that_another_run_has_rebuilt_since_starts_afresh() -> None:
    at = "2026-01-01 0{}:00:00+00:00".format
    failed = ours(5, ERROR, finished_at=at(3))
    assert decide(failed, run(7, SUCCESS, finished_at=at(4))) == FRESH
    assert decide(failed, run(4, SUCCESS, finished_at=at(4))) == FRESH
    assert decide(failed, run(7, SUCCESS)) == FRESH
    assert decide(failed, run(7, SUCCESS, finished_at=at(3)))[0] is ResumeAction.RETRY, "not since"
    assert decide(failed, run(4, SUCCESS, finished_at=at(2)))[0] is ResumeAction.RETRY
    assert decide(failed, run(7, ERROR, finished_at=at(4)))[0] is ResumeAction.RETRY
    elsewhere = run(7, SUCCESS, finished_at=at(4), trigger={"schema_override": "dbt_cloud_pr_7_1"})
    assert decide(failed, elsewhere)[0] is ResumeAction.RETRY
    assert decide(ours(5, RUNNING), run(7, SUCCESS))[0] is ResumeAction.WAIT


def reusable(*runs: Run, sha: str | None = "ABC123", **overrides: Any) -> int | None:
    found = find_reusable(runs, job_id=7, git_sha=sha, overrides=TriggerOverrides(**overrides))
    return found.id if found else None


def test_a_run_of_the_same_commit_is_attached_to_if_it_is_active_or_succeeded() -> None:
    done, active = run(5, SUCCESS, git_sha="abc123"), run(8, 1, trigger={"git_sha": "abc123"})
    assert reusable(done, active) == 8
    assert reusable(done) == 5
    assert reusable(done, run(9, ERROR, git_sha="abc123"), run(10, CANCELLED, git_sha="abc123")) == 5
    assert reusable(done, sha=None) is None
    assert reusable(run(5, SUCCESS, git_sha="abd")) is None
    assert reusable(run(5, SUCCESS)) is None


@pytest.mark.parametrize(
    ("trigger", "overrides", "taken"),
    [
        ({"github_pull_request_id": 9}, {"github_pull_request_id": 9}, True),
        ({"github_pull_request_id": 9}, {"github_pull_request_id": 9, "schema_override": "dbt_cloud_pr_7_9"}, True),
        ({"github_pull_request_id": 9}, {"github_pull_request_id": 9, "schema_override": "other"}, False),
        ({"github_pull_request_id": 9}, {}, False),
        ({"azure_pull_request_id": 9}, {"azure_pull_request_id": 9}, True),
        ({"azure_pull_request_id": 9}, {"gitlab_merge_request_id": 9}, False),
        ({"non_native_pull_request_id": 9}, {}, False),
        ({}, {"github_pull_request_id": 9}, False),
        ({"gitlab_merge_request_id": 9}, {"gitlab_merge_request_id": 9, "schema_override": "dbt_cloud_pr_7_9"}, True),
        ({"gitlab_merge_request_id": 9}, {"azure_pull_request_id": 9}, False),
        ({"schema_override": "a"}, {}, False),
        ({"steps_override": ["dbt test"]}, {}, False),
        ({"steps_override": ["dbt test"]}, {"steps_override": ("dbt test",)}, True),
        ({"target_name_override": "prod"}, {}, False),
        ({"threads_override": 8, "git_branch": "b"}, {}, True),
    ],
)
def test_only_a_run_that_does_the_same_is_attached_to(trigger: Any, overrides: Any, taken: bool) -> None:
    assert (reusable(run(5, SUCCESS, git_sha="abc123", trigger=trigger), **overrides) == 5) is taken


def test_a_retry_is_never_attached_to() -> None:
    assert reusable(run(5, SUCCESS, git_sha="abc123", retrying_run_id=4)) is None
    assert reusable(ours(5, SUCCESS, root=4, git_sha="abc123")) is None
    assert reusable(ours(5, SUCCESS, git_sha="abc123")) == 5
