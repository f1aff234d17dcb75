"""What an event is about, and which of its commits a run has built."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.github.events import (
    PULL_REQUEST_EVENTS,
    Built,
    Commit,
    Head,
    MergeGroup,
    Nothing,
    PullRequest,
    Subject,
    Unreadable,
    built_of,
    named_commits,
    subject_of,
)

HEAD, MERGE, OTHER = "f00d" * 10, "cafe" * 10, "beef" * 10
PULL: dict[str, Any] = {
    "action": "synchronize",
    "number": 42,
    "pull_request": {
        "number": 42,
        "state": "open",
        "merge_commit_sha": OTHER,
        "head": {"sha": HEAD, "ref": "feature", "repo": {"full_name": "acme/shop"}},
        "base": {"sha": OTHER, "ref": "main", "repo": {"full_name": "Acme/Shop"}},
    },
}
OURS = Head(sha=HEAD, repository="acme/shop", is_fork=False)


def changed(path: str, value: Any) -> dict[str, Any]:
    event = copy.deepcopy(PULL)
    *folders, name = path.split(".")
    inner: Any = event
    for folder in folders:
        inner = inner[folder]
    inner[name] = value
    return event


def read(event: dict[str, Any], name: str = "pull_request", ref: str = "refs/pull/42/merge") -> Subject:
    return subject_of(name, event, repository="acme/shop", sha=MERGE, ref=ref)


@pytest.mark.parametrize("name", PULL_REQUEST_EVENTS)
def test_an_open_pull_request(name: str) -> None:
    assert read(PULL, name) == PullRequest(number=42, head=OURS, merge_sha=MERGE)


@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/pull/41/merge", "refs/pull/42/head", ""])
def test_the_merge_commit_is_the_one_that_the_event_checks_out(ref: str) -> None:
    """`merge_commit_sha` of the payload may be that of an earlier push."""
    assert read(PULL, ref=ref) == PullRequest(number=42, head=OURS, merge_sha=None)


@pytest.mark.parametrize(
    ("repo", "repository"), [({"full_name": "mallory/shop"}, "mallory/shop"), (None, None), ({}, None), ([], None)]
)
def test_a_head_in_a_fork(repo: Any, repository: str | None) -> None:
    subject = read(changed("pull_request.head.repo", repo))
    assert subject == PullRequest(number=42, head=Head(sha=HEAD, repository=repository, is_fork=True), merge_sha=MERGE)
    assert isinstance(subject, PullRequest)
    assert subject.head is not None
    assert (repository or "deleted") in subject.head.place


@pytest.mark.parametrize("event", [changed("action", "closed"), changed("pull_request.state", "closed")])
def test_a_closed_pull_request_needs_nothing_but_its_number(event: dict[str, Any]) -> None:
    assert read(event) == PullRequest(number=42, head=None, is_open=False)
    assert read({"action": "closed", "number": 42}) == PullRequest(number=42, head=None, is_open=False)
    assert read({"action": "closed"}) == Nothing()


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"number": 42},
        {"pull_request": []},
        changed("pull_request.number", -42),
        changed("pull_request.number", 0),
        changed("pull_request.number", True),
        changed("pull_request.number", "42"),
        changed("pull_request.number", 4.2),
        changed("pull_request.state", None),
        changed("pull_request.state", "merged"),
        changed("pull_request.head", None),
        changed("pull_request.head.sha", None),
        changed("pull_request.head.sha", ""),
        changed("pull_request.head.sha", "main"),
        changed("pull_request.head.sha", HEAD[:3]),
    ],
)
@pytest.mark.parametrize("name", PULL_REQUEST_EVENTS)
def test_a_payload_that_does_not_say_it_is_not_taken_for_nothing(name: str, event: dict[str, Any]) -> None:
    subject = read(event, name)
    assert isinstance(subject, Unreadable)
    assert (subject.event_name, subject.is_check) == (name, True)


def test_a_base_without_a_repository_is_the_workflows_own() -> None:
    event = changed("pull_request.base", None)
    assert read(event) == PullRequest(number=42, head=OURS, merge_sha=MERGE)
    assert isinstance(subject_of("pull_request", event), Unreadable)


def test_merge_groups() -> None:
    ref = "refs/heads/gh-readonly-queue/release/1.0/pr-42-beef01"
    group = {"action": "checks_requested", "merge_group": {"head_sha": HEAD, "head_ref": ref}}
    assert read(group, "merge_group") == MergeGroup(head_sha=HEAD, number=42)
    nameless = {"merge_group": {"head_sha": HEAD, "head_ref": "refs/heads/else"}}
    assert read(nameless, "merge_group") == MergeGroup(head_sha=HEAD, number=None)
    assert read({"merge_group": {"head_sha": HEAD}}, "merge_group") == MergeGroup(head_sha=HEAD, number=None)
    assert read(group | {"action": "destroyed"}, "merge_group") == MergeGroup(head_sha=HEAD, number=None, is_open=False)
    assert read({"action": "destroyed"}, "merge_group") == Nothing()
    for odd in ({}, {"merge_group": None}, {"merge_group": {"head_sha": 5}}):
        assert isinstance(read(odd, "merge_group"), Unreadable)


def test_a_comment_names_a_pull_request_without_its_head() -> None:
    issue = {"number": 42, "state": "open", "pull_request": {"url": "…"}}
    found = PullRequest(number=42, head=None, is_check=False)
    assert read({"issue": issue}, "issue_comment") == found
    closed = read({"issue": issue | {"state": "closed"}}, "issue_comment")
    assert isinstance(closed, PullRequest)
    assert not closed.is_open
    assert read({"issue": {"number": 42}}, "issue_comment") == Nothing()
    for odd in ({}, {"issue": issue | {"number": -1}}):
        subject = read(odd, "issue_comment")
        assert isinstance(subject, Unreadable)
        assert not subject.is_check


def followed(**changes: Any) -> dict[str, Any]:
    run = {
        "event": "pull_request",
        "head_sha": HEAD,
        "head_repository": {"full_name": "acme/shop"},
        "pull_requests": [{"number": 42, "head": {"sha": HEAD}}, {"number": 43, "head": {"sha": OTHER}}],
    }
    return {"workflow_run": run | changes, "repository": {"full_name": "acme/shop"}}


def test_a_workflow_that_follows_one_of_a_pull_request() -> None:
    found = PullRequest(number=42, head=OURS, is_check=False)
    assert read(followed(), "workflow_run") == found
    assert read(followed(event="pull_request_review"), "workflow_run") == found
    fork = read(followed(head_repository={"full_name": "mallory/shop"}), "workflow_run")
    assert isinstance(fork, PullRequest)
    assert fork.head == Head(sha=HEAD, repository="mallory/shop", is_fork=True)


def test_a_pull_request_of_another_repository_is_none_of_ours() -> None:
    """They are listed by their head: in a fork, its branch can be that of a pull request upstream."""
    here, upstream = ({"repo": {"id": number}} for number in (1, 2))
    listed = [
        {"number": 99, "head": {"sha": HEAD}, "base": upstream},
        {"number": 42, "head": {"sha": HEAD}, "base": here},
    ]
    event = followed(pull_requests=listed)
    event["repository"]["id"] = 1
    assert read(event, "workflow_run") == PullRequest(number=42, head=OURS, is_check=False)
    event["workflow_run"]["pull_requests"] = listed[:1]
    assert read(event, "workflow_run") == Nothing()


@pytest.mark.parametrize(
    "changes",
    [
        {"event": "push"},
        {"event": None},
        {"head_sha": OTHER[:-1] + "0"},
        {"head_sha": None},
        {"pull_requests": []},
        {"pull_requests": None},
        {"pull_requests": [{"number": 42, "head": {"sha": HEAD}}, {"number": 43, "head": {"sha": HEAD}}]},
        {"pull_requests": [{"number": -42, "head": {"sha": HEAD}}]},
        {"pull_requests": [None, 5]},
    ],
)
def test_a_workflow_that_follows_anything_else_is_about_nothing(changes: dict[str, Any]) -> None:
    assert read(followed(**changes), "workflow_run") == Nothing()


def test_commits_that_are_pushed_released_or_deployed() -> None:
    assert read({}, "push") == Commit(sha=MERGE)
    assert read({}, "release") == Commit(sha=MERGE)
    assert read({"deployment": {"sha": OTHER}}, "deployment") == Commit(sha=OTHER)
    assert read({"deployment": {"sha": OTHER}}, "deployment_status") == Commit(sha=OTHER)
    assert subject_of("push", {"after": HEAD}) == Commit(sha=HEAD)
    assert subject_of("push", {"after": "0" * 40}) == Nothing()
    for name in ("schedule", "workflow_dispatch", "repository_dispatch", "check_run", ""):
        assert read(PULL, name) == Nothing()


@pytest.mark.parametrize(
    ("sha", "built"),
    [
        (HEAD, Built.HEAD),
        (HEAD.upper(), Built.HEAD),
        (HEAD[:7], Built.HEAD),
        (HEAD[:6], Built.ANOTHER),
        (MERGE, Built.MERGE_COMMIT),
        (OTHER, Built.ANOTHER),
        (None, Built.UNKNOWN),
        ("", Built.UNKNOWN),
        ("None", Built.UNKNOWN),
    ],
)
def test_which_commit_was_built(sha: str | None, built: Built) -> None:
    assert built_of(read(PULL), sha) is built


def test_the_commits_that_the_next_push_changes() -> None:
    request = {"head": {"sha": HEAD}, "base": {"sha": OTHER}}
    assert named_commits({"before": OTHER, "after": "no", "pull_request": request}, MERGE) == (
        MERGE,
        OTHER,
        HEAD,
        OTHER,
    )
    assert named_commits({}, "") == ()


def test_what_was_built_of_other_events() -> None:
    assert built_of(PullRequest(number=1, head=None), HEAD) is Built.UNKNOWN
    assert built_of(MergeGroup(head_sha=HEAD, number=1), HEAD) is Built.HEAD
    assert built_of(Commit(sha=HEAD), OTHER) is Built.ANOTHER
    assert built_of(Nothing(), HEAD) is Built.UNKNOWN


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(HEAD),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["head", "sha", "repo", "number", "state", "event", "head_sha"]), inner)
    ),
    max_leaves=6,
)
NAMES = [*PULL_REQUEST_EVENTS, "merge_group", "issue_comment", "workflow_run", "push", "deployment"]


@given(
    st.sampled_from(NAMES), st.dictionaries(st.sampled_from(["pull_request", "merge_group", "issue", "number"]), JSON)
)
def test_a_payload_of_any_shape_is_read_without_a_crash(name: str, event: dict[str, Any]) -> None:
    event["workflow_run"] = event.get("issue")
    event["deployment"] = event.get("number")
    subject = read(event, name)
    built_of(subject, HEAD)
    assert HEAD in named_commits(event, HEAD)
    if name in (*PULL_REQUEST_EVENTS, "merge_group"):
        assert not isinstance(subject, Commit)
