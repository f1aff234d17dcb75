"""What a trigger takes from the event: what is filled in, what is refused, and what is warned of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.github.events import MergeGroup, PullRequest, Subject, Unreadable
from dbt_cloud_run.model import TriggerOverrides

Mode = Literal["auto", "on", "off"]
CI: Final = "ci"
"""The `job_type` of a continuous integration job."""
_GROUP_SUFFIX: Final = "_merge_group"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """The overrides to trigger with, and sentences to warn with."""

    overrides: TriggerOverrides
    warnings: tuple[str, ...] = ()


def pull_request_of(given: TriggerOverrides) -> tuple[str, int] | None:
    """The platform and the number of the pull request that the run is for; None where it is for none."""
    numbers = {
        "github": given.github_pull_request_id,
        "azure": given.azure_pull_request_id,
        "gitlab": given.gitlab_merge_request_id,
        "other": given.non_native_pull_request_id,
    }
    return next(((name, number) for name, number in numbers.items() if number is not None), None)


def needs_head(subject: Subject, job_type: str | None, mode: Mode) -> bool:
    """Whether the head has to be looked up at GitHub before `fill` can decide."""
    is_about_one = isinstance(subject, PullRequest) and subject.is_open and subject.head is None
    return is_about_one and (mode == "on" or (mode == "auto" and job_type == CI))


def fill(
    subject: Subject,
    job_type: str | None,
    mode: Mode,
    given: TriggerOverrides,
    job_id: int,
) -> Filled:
    """The overrides, with what is not given filled in from an open pull request or a merge group.

    `subject` has its head where `needs_head` asked for it, or says why it has none all the same. A branch that is given
    says what to check out, so no sha is put beside it.

    Raises:
        ConfigError: the step would build something else under the name of a pull request, or the head is in a fork.
    """
    filled = given if mode == "off" else _filled(subject, job_type, mode, given, job_id)
    warnings = (*_built_beside(subject, job_type, mode, given, job_id), *_without_commit(job_type, filled, job_id))
    return Filled(overrides=filled, warnings=warnings)


def _filled(
    subject: Subject, job_type: str | None, mode: Mode, given: TriggerOverrides, job_id: int
) -> TriggerOverrides:
    if isinstance(subject, Unreadable) and subject.is_check:
        raise ConfigError(
            f"The payload of the event {subject.event_name} cannot be used: it {subject.missing}. So it is not known "
            "what this step has to build.",
            "Re-run the job, or set pull-request to `off`, so that the event is not looked at.",
        )
    if not isinstance(subject, PullRequest | MergeGroup) or not subject.is_open:
        return given
    has_commit = bool(given.git_sha or given.git_branch)
    if mode == "auto" and job_type != CI:
        if has_commit or not _is_check(subject):
            return given
        raise _of_another_type(subject, job_type, job_id)
    if isinstance(subject, MergeGroup):
        filled = given if has_commit else replace(given, git_sha=subject.head_sha)
        return _numbered(filled, subject.number, _GROUP_SUFFIX, job_id)
    if not has_commit:
        given = replace(given, git_sha=_head_sha(subject))
    return _numbered(given, subject.number, "", job_id)


def _numbered(given: TriggerOverrides, number: int | None, suffix: str, job_id: int) -> TriggerOverrides:
    if number is None:
        return given
    number = given.github_pull_request_id or number
    schema = given.schema_override or f"dbt_cloud_pr_{job_id}_{number}{suffix}"
    return replace(given, github_pull_request_id=number, schema_override=schema)


def _head_sha(subject: PullRequest) -> str:
    if subject.head is None:
        why = f": {subject.why_no_head.rstrip('.')}" if subject.why_no_head else ""
        raise ConfigError(
            f"The event names pull request {subject.number} without its head, and the head could not be looked "
            f"up{why}.",
            "Set github-token (the job needs `pull-requests: read`), or git-sha, or set pull-request to `off` (build "
            "the job's own branch on purpose).",
        )
    if subject.head.is_fork:
        raise ConfigError(
            f"The pull request's head is in {subject.head.place}, and dbt Cloud cannot check out a fork.",
            "Skip this step for forks, or push the branch to the repository itself.",
        )
    return subject.head.sha


def _is_check(subject: PullRequest | MergeGroup) -> bool:
    return isinstance(subject, MergeGroup) or subject.is_check


def _of_another_type(subject: PullRequest | MergeGroup, job_type: str | None, job_id: int) -> ConfigError:
    what = "the merge group" if isinstance(subject, MergeGroup) else "the pull request"
    return ConfigError(
        f"Job {job_id} is of the type {job_type or 'unknown'}, not ci: it would build its own branch into its own "
        f"schema, not {what}.",
        "Use a continuous integration job, or set git-sha or git-branch, or set pull-request to `on` (fill them "
        "for this job, too) or `off` (build the job's own branch on purpose).",
    )


# -- what is warned of


def _built_beside(
    subject: Subject, job_type: str | None, mode: Mode, given: TriggerOverrides, job_id: int
) -> Iterator[str]:
    """Sentences for a job that builds as it does without a pull request, although the event has one."""
    if mode == "off":
        return
    if isinstance(subject, Unreadable):
        # Where it is a check it is refused; here nothing is filled in, as on any other event.
        yield f"The payload of the event {subject.event_name} {subject.missing}: nothing is filled in from it."
    if not isinstance(subject, PullRequest) or not subject.is_open or subject.is_check:
        return
    if mode == "auto" and job_type != CI and not (given.git_sha or given.git_branch):
        yield (
            f"The event is about pull request {subject.number}, but job {job_id} is of the type "
            f"{job_type or 'unknown'}: it builds its own branch, not the pull request, and nothing is reported there. "
            "Set pull-request to `on` to build the head of the pull request, or to `off` to leave out this warning."
        )


def _without_commit(job_type: str | None, filled: TriggerOverrides, job_id: int) -> Iterator[str]:
    """A sentence for a continuous integration job that no input and no event says what to build."""
    if job_type != CI or filled.git_sha or filled.git_branch:
        return
    pull_request = pull_request_of(filled)
    where = filled.schema_override or (
        f"the schema of pull request {pull_request[1]}" if pull_request else "the schema of its environment"
    )
    yield (
        f"Job {job_id} is a continuous integration job and starts without a commit: dbt Cloud builds the newest commit "
        f"of the branch of its environment, into {where}. Set git-sha or git-branch to choose what to build."
    )
