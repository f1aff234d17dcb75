"""What a trigger takes from the event of a pull request or a merge queue: the payload in, overrides out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.model import TriggerOverrides

PULL_REQUEST_EVENTS = ("pull_request", "pull_request_target", "pull_request_review")
_QUEUE_REF = re.compile(r"gh-readonly-queue/.+/pr-(\d+)-[0-9a-f]+$")


@dataclass(frozen=True, slots=True)
class _Head:
    """The commit that an event is about. `fork` names its repository where that is another one."""

    number: int | None
    sha: str
    suffix: str = ""
    fork: str | None = None


def pull_request_overrides(
    event_name: str,
    event: Mapping[str, Any],
    job_type: str | None,
    mode: Literal["auto", "on", "off"],
    given: TriggerOverrides,
    job_id: int,
) -> TriggerOverrides:
    """The overrides with what is not given filled from the event of an open pull request or a merge group.

    A branch that is given says what to check out, so no sha is put beside it. Raises `ConfigError` for a head in a
    fork, and for a job that is not for pull requests when it would build its own branch under the name of one.
    """
    head = None if mode == "off" else _head(event_name, event)
    if head is None:
        return given
    has_commit = bool(given.git_sha or given.git_branch)
    if mode == "auto" and job_type != "ci":
        if has_commit:
            return given
        raise ConfigError(
            f"Job {job_id} is of the type {job_type or 'unknown'}, not ci: on the event {event_name} it would build "
            "its own branch into its own schema, not the pull request.",
            "Use a continuous integration job, or give git-sha or git-branch, or set pull-request to `on` (fill them "
            "for this job, too) or `off` (build the job's own branch on purpose).",
        )
    if head.fork is not None and not has_commit:
        raise ConfigError(
            f"The pull request's head is in {head.fork}, and dbt Cloud cannot check out a fork.",
            "Skip this step for forks, or push the branch to the repository itself.",
        )
    filled = given if has_commit else replace(given, git_sha=head.sha)
    if head.number is None:
        return filled
    number = given.github_pull_request_id or head.number
    schema = given.schema_override or f"dbt_cloud_pr_{job_id}_{number}{head.suffix}"
    return replace(filled, github_pull_request_id=number, schema_override=schema)


def pull_request_number(event_name: str, event: Mapping[str, Any]) -> int | None:
    """The number of the pull request that an event is about, open or not, of a fork or not; None if there is none."""
    request = _mapping(event.get("pull_request"))
    number = request.get("number", event.get("number")) if request else None
    if number is None and event_name == "issue_comment" and _mapping(event.get("issue")).get("pull_request"):
        number = _mapping(event.get("issue")).get("number")
    return number if type(number) is int and number > 0 else None


def _head(event_name: str, event: Mapping[str, Any]) -> _Head | None:
    """What the event is about; None where it is no open pull request and no merge group that asks for checks."""
    if event_name == "merge_group":
        group = _mapping(event.get("merge_group"))
        sha, ref = group.get("head_sha"), group.get("head_ref")
        if not isinstance(sha, str) or not sha or event.get("action") == "destroyed":
            return None
        match = _QUEUE_REF.search(ref) if isinstance(ref, str) else None
        return _Head(int(match[1]) if match else None, sha, "_merge_group")
    if event_name not in PULL_REQUEST_EVENTS:
        return None
    request = _mapping(event.get("pull_request"))
    head, base = _mapping(request.get("head")), _mapping(request.get("base"))
    number, sha = request.get("number", event.get("number")), head.get("sha")
    if request.get("state") != "open" or type(number) is not int or not isinstance(sha, str) or not sha:
        return None
    ours = _mapping(base.get("repo")).get("full_name")
    theirs = _mapping(head.get("repo")).get("full_name")
    if theirs is None:  # the repository of the head is gone
        return _Head(number, sha, fork="a fork that has been deleted")
    same = isinstance(ours, str) and isinstance(theirs, str) and ours.lower() == theirs.lower()
    return _Head(number, sha, fork=None if same else f"the fork {theirs}")


def head_sha(event: Mapping[str, Any]) -> object:
    """The head's commit of the pull request that an event is about, as the payload has it; None without one."""
    return _mapping(_mapping(event.get("pull_request")).get("head")).get("sha")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
