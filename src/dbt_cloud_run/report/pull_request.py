"""Where a report may be written: what is reported on a pull request is what was built of it.

Judged by the commit that the run itself reports, whatever was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbt_cloud_run.github.events import Built, Commit, MergeGroup, PullRequest, Subject, Unreadable, built_of
from dbt_cloud_run.model import Attempt

_SHOWN = 10  # characters of a commit


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentPlace:
    """Where the comment goes. `number` is None where there is none; then `note` or `warning` says why."""

    number: int | None
    built: Built
    note: str = ""  # a line of the log
    warning: str = ""  # one annotation
    commit: str = ""  # what the comment says was built, in words


def built_commit(attempts: Sequence[Attempt]) -> str | None:
    """The commit that is reported on: the last attempt's. None where it is not known of every attempt with results.

    A retry runs only what is left, so the results of the attempts before it are reported with its own.
    """
    with_results = [attempt for attempt in attempts if any(step.results is not None for step in attempt.steps)]
    if not attempts or any(not attempt.git_sha for attempt in with_results):
        return None
    return attempts[-1].git_sha


def comment_place(subject: Subject, built_sha: str | None) -> CommentPlace:
    """Whether a comment may be written, and on which pull request.

    `built_sha` is the commit that the run reports; None where dbt Cloud does not say.
    """
    built = built_of(subject, built_sha)
    if isinstance(subject, Unreadable):
        return CommentPlace(
            number=None,
            built=built,
            warning=f"No comment is written: the payload of the event {subject.event_name} {subject.missing}.",
        )
    if isinstance(subject, MergeGroup):
        note = "No comment is written: a merge group is built, and its commit belongs to no single pull request."
        return CommentPlace(number=None, built=built, note=note)
    if not isinstance(subject, PullRequest):
        return CommentPlace(number=None, built=built, note="There is no pull request to comment on.")
    if not subject.is_open:
        note = f"No comment is written: pull request {subject.number} is closed."
        return CommentPlace(number=None, built=built, note=note)
    on_it = f"No comment is written on pull request {subject.number}: "
    if subject.head is None:
        why = subject.why_no_head.rstrip(".")
        warning = f"{on_it}its head could not be looked up: {why}." if why else ""
        note = "" if warning else f"{on_it}the event does not name its head, and the job builds its own branch."
        return CommentPlace(number=None, built=built, note=note, warning=warning)
    return _judged(subject.number, subject.head.sha, built, built_sha, on_it)


def _judged(number: int, head_sha: str, built: Built, built_sha: str | None, on_it: str) -> CommentPlace:
    head = head_sha[:_SHOWN]
    if built is Built.HEAD:
        return CommentPlace(number=number, built=built, commit=f"commit {head}")
    if built is Built.MERGE_COMMIT:
        commit = f"merge commit {(built_sha or '')[:_SHOWN]} of {head} and the base branch"
        return CommentPlace(number=number, built=built, commit=commit)
    if built is Built.UNKNOWN:
        return CommentPlace(
            number=None, built=built, warning=f"{on_it}dbt Cloud does not report which commit the run built."
        )
    return CommentPlace(
        number=None,
        built=built,
        warning=f"{on_it}the run built commit {(built_sha or '')[:_SHOWN]}, and its head is {head}.",
    )


def other_commit(subject: Subject, built_sha: str | None) -> str:
    """A sentence where another commit was built than the one that was pushed, released or deployed; else empty.

    Only for a run of the workflow's own repository, which the caller checks.
    """
    if not isinstance(subject, Commit) or built_of(subject, built_sha) is not Built.ANOTHER:
        return ""
    return (
        f"The run built commit {(built_sha or '')[:_SHOWN]}, not the event's, {subject.sha[:_SHOWN]}. "
        "Set git-sha to build the commit of the event."
    )
