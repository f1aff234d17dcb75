"""A run that dbt Cloud cancelled because it lacked capacity, before any step began: whether it runs once more. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from dbt_cloud_run.cancellation import CancelledBy
from dbt_cloud_run.model import Attempt
from dbt_cloud_run.planned import RetryPlan
from dbt_cloud_run.retry.alignment import has_started

_NO_CAPACITY = "dbt Cloud cancelled the run because it lacked capacity before any step began: all of it runs once more"
NOT_KNOWN = "the commands of the run are not known"


def lacked_capacity(attempt: Attempt) -> bool:
    """Whether dbt Cloud says that it cancelled the run because it lacked capacity, before any step began."""
    cancellation = attempt.cancellation
    is_cancelled = cancellation is not None and cancellation.by is CancelledBy.CAPACITY
    return is_cancelled and attempt.started_at is None and not any(has_started(step) for step in attempt.steps)


def plan_once_more(attempts: Sequence[Attempt]) -> RetryPlan:
    """All that the last of these attempts was asked for, unless capacity was lacking before, too.

    A person who has the workflow run again asks for another time.
    """
    *before, last = attempts
    if not last.from_earlier_workflow_run and any(lacked_capacity(attempt) for attempt in before):
        return RetryPlan(stop_reason="dbt Cloud had no capacity for it a second time")
    if not last.asked:
        return RetryPlan(stop_reason=NOT_KNOWN)
    return RetryPlan(commands=last.asked, is_whole=True, notes=(_NO_CAPACITY,))
