"""The head of the pull request that the event is about, where the event names none."""

from __future__ import annotations

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.github.events import PullRequest, Subject
from dbt_cloud_run.github.heads import look_up_head
from dbt_cloud_run.settings.settings import Settings


async def head_of(subject: Subject, settings: Settings, clock: Clock) -> Subject:
    """What the event is about, with the head looked up at GitHub where it is an open pull request without one.

    Raises:
        Interrupted: a signal came while it waited.
    """
    if not isinstance(subject, PullRequest) or subject.head is not None or not subject.is_open:
        return subject
    token, github = settings.github_token, settings.github
    return await look_up_head(
        subject,
        token=token.reveal() if token else None,
        api_url=github.api_url,
        repository=github.repository,
        clock=clock,
    )
