"""What the event of a workflow is about: a pull request, a merge group, a commit, or nothing of the kind.

One function decides it for every event, and both the trigger and the report ask it. The shapes are those of GitHub's
webhook payloads and of "Events that trigger workflows" in its documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from dbt_cloud_run.commits import is_same_commit

PULL_REQUEST_EVENTS: Final = (
    "pull_request",
    "pull_request_target",
    "pull_request_review",
    "pull_request_review_comment",
)
"""The events whose payload holds the whole pull request, and whose workflow run is one of its checks."""
COMMIT_EVENTS: Final = ("push", "release", "deployment", "deployment_status")
_QUEUE_REF = re.compile(r"gh-readonly-queue/.+/pr-([1-9]\d{0,17})-[0-9a-f]+$")
_MERGE_REF = re.compile(r"refs/pull/([1-9]\d{0,17})/merge")
_SHA = re.compile(r"[0-9a-fA-F]{4,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of a pull request. `repository` is `owner/name`; None where the fork has been deleted."""

    sha: str
    repository: str | None
    is_fork: bool

    @property
    def place(self) -> str:
        """Where the head lies, as the end of a sentence."""
        if not self.is_fork:
            return "this repository"
        return f"the fork {self.repository}" if self.repository else "a fork that has been deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """A pull request. `head` is None where the event does not name it, so that it has to be looked up."""

    number: int
    head: Head | None
    # The commit that GitHub made of head and base for this event; dbt Cloud may have been asked to build it.
    merge_sha: str | None = None
    is_open: bool = True
    # Whether the workflow run is a check of the pull request, so that its green is the pull request's.
    is_check: bool = True
    # Why the head could not be looked up, where that was tried: the end of a sentence.
    why_no_head: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeGroup:
    """A group of a merge queue. `number` is that of its last pull request; None where its branch does not say."""

    head_sha: str
    number: int | None
    is_open: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit that was pushed, released or deployed."""

    sha: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """Neither of them, such as a schedule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """An event that should name a pull request or a merge group, whose payload does not say which.

    `missing` completes the sentence "its payload …".
    """

    event_name: str
    missing: str
    is_check: bool = True


Subject = PullRequest | MergeGroup | Commit | Nothing | Unreadable


class Built(StrEnum):
    """Which of an event's commits a run has built."""

    HEAD = "head"
    MERGE_COMMIT = "merge commit"
    ANOTHER = "another commit"
    UNKNOWN = "unknown"


def subject_of(
    event_name: str, event: Mapping[str, Any], *, repository: str = "", sha: str = "", ref: str = ""
) -> Subject:
    """What an event is about.

    `event` is the payload, empty where it could not be read; the others are GITHUB_REPOSITORY, GITHUB_SHA and
    GITHUB_REF. Never raises, whatever the payload holds.
    """
    if event_name in PULL_REQUEST_EVENTS:
        return _pull_request(event_name, event, repository, sha, ref)
    if event_name == "merge_group":
        return _merge_group(event)
    if event_name == "issue_comment":
        return _commented(event)
    if event_name == "workflow_run":
        return _followed(event, repository)
    if event_name in COMMIT_EVENTS:
        return _commit(event_name, event, sha)
    return Nothing()


def pull_request_head(request: Mapping[str, Any], repository: str) -> Head | str:
    """The head of a pull request as payloads and GitHub's API show it, or what is missing."""
    head = _mapping(request.get("head"))
    if (head_sha := _sha(head.get("sha"))) is None:
        return "has no commit of its head"
    ours = _mapping(_mapping(request.get("base")).get("repo")).get("full_name") or repository
    theirs = _mapping(head.get("repo")).get("full_name")
    if not isinstance(theirs, str) or not theirs:
        return Head(sha=head_sha, repository=None, is_fork=True)
    if not isinstance(ours, str) or not ours:
        return "does not name the repository of the pull request"
    return Head(sha=head_sha, repository=theirs, is_fork=ours.lower() != theirs.lower())


def built_of(subject: Subject, sha: str | None) -> Built:
    """Which of the event's commits it is that a run reports as its own."""
    if sha is None or not _sha(sha):
        return Built.UNKNOWN
    if isinstance(subject, PullRequest):
        if subject.head is None:
            return Built.UNKNOWN
        if is_same_commit(sha, subject.head.sha):
            return Built.HEAD
        return Built.MERGE_COMMIT if is_same_commit(sha, subject.merge_sha) else Built.ANOTHER
    wanted = subject.head_sha if isinstance(subject, MergeGroup) else None
    wanted = subject.sha if isinstance(subject, Commit) else wanted
    if wanted is None:
        return Built.UNKNOWN
    return Built.HEAD if is_same_commit(sha, wanted) else Built.ANOTHER


def commits_of(subject: Subject) -> tuple[str, ...]:
    """The commits of the event, any of which a run may have built; empty where the event names none."""
    if isinstance(subject, PullRequest):
        merged = (subject.merge_sha,) if subject.merge_sha else ()
        return (subject.head.sha, *merged) if subject.head is not None and subject.is_open else ()
    if isinstance(subject, MergeGroup):
        return (subject.head_sha,) if subject.is_open else ()
    return (subject.sha,) if isinstance(subject, Commit) else ()


def named_commits(event: Mapping[str, Any], sha: str) -> tuple[str, ...]:
    """Every commit that a push to a pull request changes: GITHUB_SHA, and those of the payload. Never raises."""
    request = _mapping(event.get("pull_request"))
    ends = (_mapping(request.get(name)).get("sha") for name in ("head", "base"))
    return tuple(found for text in (sha, event.get("before"), event.get("after"), *ends) if (found := _sha(text)))


# -- one kind of event each


def _pull_request(event_name: str, event: Mapping[str, Any], repository: str, sha: str, ref: str) -> Subject:
    request = _mapping(event.get("pull_request"))
    number = _number(request.get("number", event.get("number")))
    is_closed = event.get("action") == "closed" or request.get("state") == "closed"
    if is_closed:
        # Workflows clean up on this event: it asks for no check, so nothing about it has to be readable.
        return PullRequest(number=number, head=None, is_open=False) if number else Nothing()
    if number is None:
        return Unreadable(event_name=event_name, missing="has no number of a pull request")
    if request.get("state") != "open":
        return Unreadable(event_name=event_name, missing="does not say whether the pull request is open")
    head = pull_request_head(request, repository)
    if isinstance(head, str):
        return Unreadable(event_name=event_name, missing=head)
    # `merge_commit_sha` of the payload may be of an earlier push; GITHUB_SHA is of this event, where the ref says so.
    match = _MERGE_REF.fullmatch(ref)
    merge_sha = _sha(sha) if match and int(match[1]) == number else None
    return PullRequest(number=number, head=head, merge_sha=merge_sha)


def _merge_group(event: Mapping[str, Any]) -> Subject:
    group = _mapping(event.get("merge_group"))
    head_sha, ref = _sha(group.get("head_sha")), group.get("head_ref")
    if event.get("action") == "destroyed":
        return MergeGroup(head_sha=head_sha, number=None, is_open=False) if head_sha else Nothing()
    if head_sha is None:
        return Unreadable(event_name="merge_group", missing="has no commit of the merge group")
    match = _QUEUE_REF.search(ref) if isinstance(ref, str) else None
    return MergeGroup(head_sha=head_sha, number=int(match[1]) if match else None)


def _commented(event: Mapping[str, Any]) -> Subject:
    issue = event.get("issue")
    if not isinstance(issue, dict):
        return Unreadable(event_name="issue_comment", missing="has no issue", is_check=False)
    if not issue.get("pull_request"):
        return Nothing()
    number = _number(issue.get("number"))
    if number is None:
        return Unreadable(event_name="issue_comment", missing="has no number of a pull request", is_check=False)
    return PullRequest(number=number, head=None, is_open=issue.get("state") != "closed", is_check=False)


def _followed(event: Mapping[str, Any], repository: str) -> Subject:
    """What a workflow is about that follows another one; its own run is never a check of the pull request."""
    run = _mapping(event.get("workflow_run"))
    head_sha, listed = _sha(run.get("head_sha")), run.get("pull_requests")
    if run.get("event") not in PULL_REQUEST_EVENTS or head_sha is None or not isinstance(listed, Sequence):
        return Nothing()
    here = _mapping(event.get("repository"))
    ours = here.get("full_name") or repository
    theirs = _mapping(run.get("head_repository")).get("full_name")
    numbers = [
        _number(request.get("number"))
        for request in map(_mapping, listed)
        if is_same_commit(_sha(_mapping(request.get("head")).get("sha")), head_sha)
        and _is_into(request, here.get("id"))
    ]
    if len(numbers) != 1 or numbers[0] is None:
        return Nothing()
    if not isinstance(ours, str) or not isinstance(theirs, str):
        return PullRequest(number=numbers[0], head=Head(sha=head_sha, repository=None, is_fork=True), is_check=False)
    head = Head(sha=head_sha, repository=theirs, is_fork=ours.lower() != theirs.lower())
    return PullRequest(number=numbers[0], head=head, is_check=False)


def _is_into(request: Mapping[str, Any], repository_id: object) -> bool:
    """Whether a listed pull request is one of this repository.

    They are listed by their head alone: in a fork, that of a pull request upstream, whose number means another here.
    """
    base = _mapping(_mapping(request.get("base")).get("repo")).get("id")
    return base is None or repository_id is None or base == repository_id


def _commit(event_name: str, event: Mapping[str, Any], sha: str) -> Subject:
    named = _mapping(event.get("deployment")).get("sha") if event_name.startswith("deployment") else None
    commit = _sha(named) or _sha(sha) or _sha(event.get("after"))
    # A branch or tag that is deleted is pushed as a commit of zeros.
    return Commit(sha=commit) if commit and commit.strip("0") else Nothing()


# -- values of a payload


def _number(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


def _sha(value: object) -> str | None:
    return value if isinstance(value, str) and _SHA.fullmatch(value) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
