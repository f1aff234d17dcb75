"""The comment on the pull request: whether, where, and with which text."""

from __future__ import annotations

import logging
import re
from typing import Final

from dbt_cloud_run.commits import is_same_commit
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.github.comments import CommentError, CommentTarget, mark_stale, upsert_comment
from dbt_cloud_run.github.events import Built, PullRequest, Subject, named_commits
from dbt_cloud_run.github.marker import CommentKey, Marker
from dbt_cloud_run.report.pull_request import CommentPlace, built_commit, comment_place
from dbt_cloud_run.report.report import Report
from dbt_cloud_run.report.summary import render_comment
from dbt_cloud_run.settings.settings import Settings

_logger = logging.getLogger(__name__)

_KEY_IS_SHARED = (
    "No comment is written on pull request {number}: another step of this workflow run, with the same inputs, has "
    "reported a failure there, which stays. Set comment-key to another text in each of the two: {url}"
)
_HEX: Final = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{7,64}(?![0-9A-Za-z])")


def comment(report: Report, settings: Settings, *, is_update: bool = False) -> list[str]:
    """Create or update the step's comment; returns warnings, such as why there is none. Blocks.

    `is_update`: it was written before, and there is more to say.
    """
    commit = built_commit(report.outcome.attempts)
    place = comment_place(report.subject, commit)
    # The settings have warned of the missing token.
    if settings.github_token is None or (is_update and place.number is None):
        return []
    if place.number is None:
        return _not_written(place, report, settings)
    target = _target(settings, place.number)
    if target is None:
        return []
    is_good = report.outcome.ending.is_good
    # Whether its merge commit was built, or an abbreviated one is reported: the report is of this head.
    about = _about(settings, _head_of(report.subject), is_good=is_good)
    try:
        posted = upsert_comment(
            target,
            _key(settings, report.job_id),
            _body(report, place),
            about=about,
            create=not is_update and (settings.pr_comment == "true" or not is_good),
        )
    except CommentError as error:
        return [f"The comment on pull request {place.number} was not written: {error}"]
    if posted is not None and posted.is_anothers:
        return [_KEY_IS_SHARED.format(number=place.number, url=posted.url)]
    if posted is not None and posted.kept:
        _logger.info(
            "The comment on pull request %d is of a later workflow run, and stays: %s", place.number, posted.url
        )
    elif posted is not None and not is_update:
        _logger.info("Comment on pull request %d: %s", place.number, posted.url)
    return []


def mark_stale_comment(settings: Settings, subject: Subject, job_id: int | None, why: str) -> list[str]:
    """Say in the step's comment that it is of an earlier commit, where it is green; returns a warning if that fails.

    For a step that ends without knowing what was built. `why` completes "there is no report of it, since …". Blocks.
    """
    if not isinstance(subject, PullRequest) or not subject.is_open:
        return []
    target = _target(settings, subject.number)
    if target is None:
        return []
    about = _about(settings, _head_of(subject), is_good=False)
    try:
        marked = mark_stale(target, _key(settings, job_id), about=about, why=why)
    except CommentError as error:
        return [
            f"The comment on pull request {subject.number} could not be marked as that of an earlier commit: {error}"
        ]
    if marked is not None:
        _logger.info("Comment on pull request %d marked as that of an earlier commit: %s", subject.number, marked.url)
    return []


def _not_written(place: CommentPlace, report: Report, settings: Settings) -> list[str]:
    """Why there is no comment: a warning where a run was built that it could have been of, else a line."""
    if place.note:
        _logger.info("%s", place.note)
    has_run = bool(report.outcome.attempts)
    if place.warning and not has_run:
        _logger.info("%s", place.warning)
    warnings = [place.warning] if place.warning and has_run else []
    if (why := _why_no_report(place, report)) is not None:
        warnings += mark_stale_comment(settings, report.subject, report.job_id, why)
    return warnings


def _why_no_report(place: CommentPlace, report: Report) -> str | None:
    """Why a green comment of an earlier commit has no successor; None where it may stay as it is."""
    if place.built is Built.UNKNOWN and not report.outcome.ending.is_good:
        why = "the step was cancelled" if report.outcome.ending is Ending.CANCELLED else "the step failed"
        return f"{why} before it was known what was built"
    if not report.outcome.attempts or not _head_of(report.subject):
        return None
    return {
        Built.ANOTHER: "the run built another commit",
        Built.UNKNOWN: "dbt Cloud does not report which commit the run built",
    }.get(place.built)


def _head_of(subject: Subject) -> str:
    """The commit of a pull request's head; empty where it is not known."""
    return subject.head.sha if isinstance(subject, PullRequest) and subject.head is not None else ""


def _body(report: Report, place: CommentPlace) -> str:
    body = render_comment(report)
    return f"{body.rstrip()}\n\n🔀 Built: {place.commit}.\n" if place.built is Built.MERGE_COMMIT else body


def _target(settings: Settings, number: int) -> CommentTarget | None:
    github, token = settings.github, settings.github_token
    if token is None:
        return None
    return CommentTarget(token=token.reveal(), api_url=github.api_url, repository=github.repository, number=number)


def _about(settings: Settings, commit: str, *, is_good: bool) -> Marker:
    run_id = settings.github.run_id
    is_number = run_id.isascii() and run_id.isdecimal() and len(run_id) < 19
    return Marker(
        workflow_run=int(run_id) if is_number else 0,
        commit=commit,
        is_good=is_good,
        attempt=settings.github.run_attempt,
    )


def _key(settings: Settings, job_id: int | None) -> CommentKey:
    """One comment for each step of a workflow, by what is the same in every push and every re-run of it."""
    github, overrides = settings.github, settings.overrides
    index = settings.strategy_job_index
    by_name = (settings.job_name or "", settings.project_name or "", settings.environment_name or "")
    return CommentKey(
        workflow_ref=github.workflow_ref or github.workflow,
        job=github.job,
        action=github.action,
        matrix_index=index or "",
        comment_key=settings.comment_key or "",
        account_id=settings.account_id,
        host=settings.host,
        dbt_job=by_name if settings.job_name else (str(settings.job_id or ""),),
        steps_override=tuple(_lasting(command, settings) for command in overrides.steps_override),
        target_name_override=overrides.target_name_override or "",
        former=f"{settings.account_id}/{job_id}/{github.workflow}/{github.job}/{index or 0}",
    )


def _lasting(command: str, settings: Settings) -> str:
    """A command without the commits of the event and the number of the workflow run, which the next push changes."""
    github = settings.github
    commits = named_commits(github.event, github.sha)

    def without(match: re.Match[str]) -> str:
        if match[0] == github.run_id:
            return "<run>"
        return "<commit>" if any(is_same_commit(match[0], commit) for commit in commits) else match[0]

    return _HEX.sub(without, command)
