"""What is filled in from an event, what is refused, and what is warned of. Every event: `test_events_table`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.github.events import Commit, Head, MergeGroup, Nothing, PullRequest, Subject, Unreadable
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.start.overrides import Filled, fill, needs_head, pull_request_of

NONE = TriggerOverrides()
OURS = Head(sha="f00d", repository="acme/shop", is_fork=False)
THEIRS = Head(sha="f00d", repository="mallory/shop", is_fork=True)
PULL = PullRequest(number=42, head=OURS)
COMMENTED = PullRequest(number=42, head=None, is_check=False)
GROUP = MergeGroup(head_sha="cafe", number=42)
FILLED = TriggerOverrides(git_sha="f00d", github_pull_request_id=42, schema_override="dbt_cloud_pr_7_42")


def filled(
    subject: Subject = PULL,
    given: TriggerOverrides = NONE,
    *,
    job_type: str | None = "ci",
    mode: Any = "auto",
) -> Filled:
    return fill(subject, job_type, mode, given, 7)


@pytest.mark.parametrize(("mode", "job_type"), [("auto", "ci"), ("on", "ci"), ("on", "scheduled"), ("on", None)])
@pytest.mark.parametrize("is_check", [True, False])
def test_an_open_pull_request_is_filled_in(mode: str, job_type: str | None, is_check: bool) -> None:
    pull = PullRequest(number=42, head=OURS, is_check=is_check)
    assert filled(pull, mode=mode, job_type=job_type) == Filled(overrides=FILLED)


def test_a_merge_group_has_a_schema_of_its_own() -> None:
    assert filled(GROUP).overrides == TriggerOverrides(
        git_sha="cafe", github_pull_request_id=42, schema_override="dbt_cloud_pr_7_42_merge_group"
    )
    assert filled(MergeGroup(head_sha="cafe", number=None)).overrides == TriggerOverrides(git_sha="cafe")
    branch = filled(GROUP, TriggerOverrides(git_branch="feature")).overrides
    assert (branch.git_branch, branch.git_sha, branch.github_pull_request_id) == ("feature", None, 42)


def test_what_is_given_stays() -> None:
    mine = TriggerOverrides(git_sha="mine", github_pull_request_id=1, schema_override="s", threads_override=4)
    assert filled(given=mine).overrides == mine
    branch = filled(given=TriggerOverrides(git_branch="feature")).overrides
    assert (branch.git_branch, branch.git_sha, branch.github_pull_request_id) == ("feature", None, 42)
    assert filled(given=TriggerOverrides(github_pull_request_id=3)).overrides.schema_override == "dbt_cloud_pr_7_3"


@pytest.mark.parametrize("job_type", ["scheduled", "other", "merge", None])
@pytest.mark.parametrize(("subject", "what"), [(PULL, "the pull request"), (GROUP, "the merge group")])
def test_a_job_of_another_type_fails_unless_the_commit_is_given(
    job_type: str | None, subject: Subject, what: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        filled(subject, job_type=job_type)
    assert caught.value.message == (
        f"Job 7 is of the type {job_type or 'unknown'}, not ci: it would build its own branch into its own schema, "
        f"not {what}."
    )
    assert "set git-sha or git-branch, or set pull-request to `on`" in caught.value.advice
    for mine in (TriggerOverrides(git_sha="x"), TriggerOverrides(git_branch="x")):
        assert filled(subject, mine, job_type=job_type) == Filled(overrides=mine)


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("is_check", [True, False])
def test_a_head_in_a_fork_is_refused_unless_a_commit_is_given(mode: str, is_check: bool) -> None:
    fork = PullRequest(number=42, head=THEIRS, is_check=is_check)
    with pytest.raises(ConfigError, match="mallory/shop") as caught:
        filled(fork, mode=mode)
    assert caught.value.advice.startswith("Skip this step for forks")
    assert filled(fork, TriggerOverrides(git_sha="given"), mode=mode).overrides.git_sha == "given"
    assert filled(fork, mode="off", job_type="scheduled") == Filled(overrides=NONE)


def test_a_head_that_could_not_be_looked_up_is_refused_with_the_reason() -> None:
    with pytest.raises(
        ConfigError, match=r"could not be looked up: github-token is empty\. \[does-not-fit\] Set"
    ) as caught:
        filled(replace(COMMENTED, why_no_head="github-token is empty"))
    assert "pull-requests: read" in caught.value.advice
    for why, end in (
        ("", "up."),
        ("GitHub answered 5XX.", "up: GitHub answered 5XX."),
        ("... said it", "up: ... said it."),
    ):
        with pytest.raises(ConfigError) as caught:
            filled(replace(COMMENTED, why_no_head=why))
        assert caught.value.message.endswith(f"the head could not be looked {end}")
    given = filled(replace(COMMENTED, why_no_head="no"), TriggerOverrides(git_sha="given"))
    assert given.overrides.github_pull_request_id == 42
    assert given.overrides.git_sha == "given"


@pytest.mark.parametrize(
    ("subject", "job_type", "mode", "needed"),
    [
        (COMMENTED, "ci", "auto", True),
        (COMMENTED, "scheduled", "on", True),
        (COMMENTED, "scheduled", "auto", False),
        (COMMENTED, "ci", "off", False),
        (PULL, "ci", "auto", False),
        (PullRequest(number=42, head=None, is_open=False), "ci", "auto", False),
        (Nothing(), "ci", "on", False),
    ],
)
def test_when_the_head_is_looked_up(subject: Subject, job_type: str, mode: Any, needed: bool) -> None:
    assert needs_head(subject, job_type, mode) is needed


def test_another_job_builds_beside_a_comment_as_it_always_did_with_a_warning() -> None:
    found = filled(COMMENTED, job_type="scheduled")
    assert found.overrides == NONE
    (warning,) = found.warnings
    assert "pull request 42, but job 7 is of the type scheduled" in warning
    assert "nothing is reported there" in warning
    assert filled(COMMENTED, TriggerOverrides(git_sha="x"), job_type="scheduled").warnings == ()
    assert filled(COMMENTED, job_type="scheduled", mode="off").warnings == ()


@pytest.mark.parametrize(
    "subject",
    [
        PullRequest(number=42, head=None, is_open=False),
        PullRequest(number=42, head=None, is_open=False, is_check=False),
        Nothing(),
        Commit(sha="beef"),
    ],
)
@pytest.mark.parametrize("mode", ["auto", "on", "off"])
def test_what_is_closed_or_none_fills_and_refuses_nothing(subject: Subject, mode: Any) -> None:
    assert filled(subject, mode=mode, job_type="scheduled") == Filled(overrides=NONE)


def test_a_payload_that_cannot_be_read_is_refused_where_the_run_is_a_check() -> None:
    check = Unreadable(event_name="pull_request", missing="has no number of a pull request")
    for job_type in ("ci", "scheduled"):
        with pytest.raises(ConfigError, match="has no number") as caught:
            filled(check, TriggerOverrides(git_sha="given"), job_type=job_type)
        assert "`off`" in caught.value.advice
    beside = Unreadable(event_name="issue_comment", missing="has no issue", is_check=False)
    found = filled(beside, job_type="scheduled")
    assert (found.overrides, len(found.warnings)) == (NONE, 1)
    assert filled(check, mode="off", job_type="scheduled") == Filled(overrides=NONE)


@pytest.mark.parametrize(
    ("given", "where"),
    [
        (NONE, "the schema of its environment"),
        (TriggerOverrides(github_pull_request_id=5), "the schema of pull request 5"),
        (TriggerOverrides(gitlab_merge_request_id=6), "the schema of pull request 6"),
        (TriggerOverrides(schema_override="mine"), "into mine"),
    ],
)
@pytest.mark.parametrize("mode", ["auto", "off"])
def test_a_ci_job_without_a_commit_is_warned_of(given: TriggerOverrides, where: str, mode: Any) -> None:
    (warning,) = filled(Nothing(), given, mode=mode).warnings
    assert warning.startswith("Job 7 is a continuous integration job and starts without a commit")
    assert where in warning
    assert filled(Nothing(), TriggerOverrides(git_branch="main")).warnings == ()
    assert filled(Nothing(), given, job_type="scheduled").warnings == ()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, None),
        ({"git_sha": "beef"}, None),
        ({"github_pull_request_id": 5}, ("github", 5)),
        ({"azure_pull_request_id": 5}, ("azure", 5)),
        ({"gitlab_merge_request_id": 5}, ("gitlab", 5)),
        ({"non_native_pull_request_id": 5}, ("other", 5)),
        ({"non_native_pull_request_id": 6, "github_pull_request_id": 5}, ("github", 5)),
    ],
)
def test_a_run_is_for_the_pull_request_of_one_platform(given: Any, found: tuple[str, int] | None) -> None:
    assert pull_request_of(TriggerOverrides(**given)) == found
