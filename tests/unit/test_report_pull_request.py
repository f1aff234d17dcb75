"""Where a report may be written: only on the pull request whose commit was built."""

from __future__ import annotations

import pytest
from tests.support.attempts import attempt, step

from dbt_cloud_run.github.events import Built, Commit, Head, MergeGroup, Nothing, PullRequest, Subject, Unreadable
from dbt_cloud_run.model import Attempt, RunState
from dbt_cloud_run.report.pull_request import built_commit, comment_place, other_commit

HEAD, MERGE, OTHER = "f00d" * 10, "cafe" * 10, "beef" * 10
PULL = PullRequest(number=42, head=Head(sha=HEAD, repository="a/b", is_fork=False), merge_sha=MERGE)


def test_the_head_is_reported() -> None:
    place = comment_place(PULL, HEAD)
    assert (place.number, place.built, place.warning, place.note) == (42, Built.HEAD, "", "")
    assert place.commit == "commit f00df00df0"


def test_the_merge_commit_is_reported_and_named_as_such() -> None:
    place = comment_place(PULL, MERGE)
    assert (place.number, place.built) == (42, Built.MERGE_COMMIT)
    assert place.commit == "merge commit cafecafeca of f00df00df0 and the base branch"


@pytest.mark.parametrize(
    ("sha", "built", "words"), [(OTHER, Built.ANOTHER, "beefbeefbe"), (None, Built.UNKNOWN, "does not report which")]
)
def test_anything_else_is_not_reported_and_said_once(sha: str | None, built: Built, words: str) -> None:
    place = comment_place(PULL, sha)
    assert (place.number, place.built, place.note) == (None, built, "")
    assert words in place.warning


def built(number: int, sha: str | None, *, has_results: bool) -> Attempt:
    ended = (
        step(1, "dbt build", {"model.shop.a": "success"}) if has_results else step(1, "dbt build", state=RunState.ERROR)
    )
    return attempt(number, ended, git_sha=sha)


@pytest.mark.parametrize(
    ("attempts", "commit"),
    [
        ([], None),
        ([(HEAD, True)], HEAD),
        ([(HEAD, True), (HEAD, True)], HEAD),
        ([(None, True), (HEAD, True)], None),
        # It failed before it had built anything.
        ([(None, False), (HEAD, True)], HEAD),
        ([(HEAD, True), (None, False)], None),
        ([(OTHER, True), (HEAD, True)], HEAD),  # which is no success: `verdict` holds that
    ],
)
def test_the_commit_is_that_of_every_attempt_with_results(
    attempts: list[tuple[str | None, bool]], commit: str | None
) -> None:
    made = [built(number, sha, has_results=has) for number, (sha, has) in enumerate(attempts, start=1)]
    assert built_commit(made) == commit


@pytest.mark.parametrize(
    ("subject", "note"),
    [
        (MergeGroup(head_sha=HEAD, number=42), "a merge group"),
        (PullRequest(number=42, head=None, is_open=False), "is closed"),
        (Nothing(), "no pull request"),
        (Commit(sha=HEAD), "no pull request"),
        (PullRequest(number=42, head=None, is_check=False), "does not name its head"),
    ],
)
def test_without_a_place_a_line_of_the_log_says_why(subject: Subject, note: str) -> None:
    place = comment_place(subject, HEAD)
    assert (place.number, place.warning) == (None, "")
    assert note in place.note


def test_a_head_that_could_not_be_looked_up_is_warned_of() -> None:
    place = comment_place(PullRequest(number=42, head=None, why_no_head="GitHub answered HTTP 500."), HEAD)
    assert place.number is None
    assert place.warning.endswith("could not be looked up: GitHub answered HTTP 500.")
    unreadable = comment_place(Unreadable(event_name="pull_request", missing="has no number"), HEAD)
    assert (unreadable.number, "has no number" in unreadable.warning) == (None, True)


def test_another_commit_than_the_one_that_was_pushed() -> None:
    assert "beefbeefbe, not the event's, f00df00df0" in other_commit(Commit(sha=HEAD), OTHER)
    assert other_commit(Commit(sha=HEAD), HEAD) == ""
    assert other_commit(Commit(sha=HEAD), None) == ""
    assert other_commit(PULL, OTHER) == ""
