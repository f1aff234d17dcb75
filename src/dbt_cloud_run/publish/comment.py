"""The comment on the pull request: whether, where, and with which text."""

from __future__ import annotations

from collections.abc import Callable

from dbt_cloud_run.github.comment import CommentError, upsert_comment
from dbt_cloud_run.github.context import GitHubContext
from dbt_cloud_run.model import Ending
from dbt_cloud_run.report.report import Report
from dbt_cloud_run.report.summary import render_comment
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.pull_request import pull_request_number

_GOOD = (Ending.SUCCESS, Ending.QUEUED, Ending.SKIPPED)


def comment(
    settings: Settings, data: Report, *, on_note: Callable[[str], None], on_warning: Callable[[str], None]
) -> None:
    """Create or update the job's comment. Blocks; nothing raises that concerns GitHub."""
    github, token = settings.github, settings.github_token
    number = pull_request_number(github.event_name, github.event)
    if number is None:
        on_note("There is no pull request to comment on.")
        return
    if token is None:
        return  # the settings have warned
    is_good = data.outcome.ending in _GOOD and not data.outcome.left_out
    try:
        posted = upsert_comment(
            token=token.get_secret_value(),
            api_url=github.api_url,
            repository=github.repository,
            number=number,
            key=_key(settings, github, data.job_id),
            body=render_comment(data),
            create=settings.pr_comment == "true" or not is_good,
        )
    except CommentError as error:
        on_warning(f"The comment on pull request {number} was not written: {error}")
    else:
        if posted is not None:
            on_note(f"Comment on pull request {number}: {posted.url}")


def _key(settings: Settings, github: GitHubContext, job_id: int | None) -> str:
    """One comment for each dbt job and each place in the workflow that runs it."""
    return f"{settings.account_id}/{job_id}/{github.workflow}/{github.job}/{settings.strategy_job_index or 0}"
