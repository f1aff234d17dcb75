"""The comment on the pull request: whether, where, and with which text."""

from __future__ import annotations

import logging

from dbt_cloud_run.github.comment import CommentError, upsert_comment
from dbt_cloud_run.github.context import GitHubContext
from dbt_cloud_run.model import Ending
from dbt_cloud_run.report.report import Report
from dbt_cloud_run.report.summary import render_comment
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.pull_request import pull_request_number

_logger = logging.getLogger(__name__)

_GOOD = (Ending.SUCCESS, Ending.QUEUED, Ending.SKIPPED)


def comment(report: Report, settings: Settings) -> list[str]:
    """Create or update the job's comment; returns a warning where it could not be written. Blocks."""
    github, token = settings.github, settings.github_token
    number = pull_request_number(github.event_name, github.event)
    if number is None:
        _logger.info("There is no pull request to comment on.")
        return []
    # The settings have warned of the missing token.
    if token is None:
        return []
    try:
        posted = upsert_comment(
            token=token.get_secret_value(),
            api_url=github.api_url,
            repository=github.repository,
            number=number,
            key=_key(settings, github, report.job_id),
            body=render_comment(report),
            create=settings.pr_comment == "true" or report.outcome.ending not in _GOOD,
        )
    except CommentError as error:
        return [f"The comment on pull request {number} was not written: {error}"]
    if posted is not None:
        _logger.info("Comment on pull request %d: %s", number, posted.url)
    return []


def _key(settings: Settings, github: GitHubContext, job_id: int | None) -> str:
    """One comment for each dbt job and each place in the workflow that runs it."""
    return f"{settings.account_id}/{job_id}/{github.workflow}/{github.job}/{settings.strategy_job_index or 0}"
