"""A run that dbt Cloud had no capacity for: when it counts as one, and that it runs once more and no further."""

from __future__ import annotations

import pytest
from tests.support.attempts import NOON, attempt, step
from tests.support.values import replace

from dbt_cloud_run.cancellation import Cancellation, CancelledBy
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import RunState
from dbt_cloud_run.retry.capacity import lacked_capacity, plan_once_more

ASKED = ("dbt build", "dbt test")
LACKED = attempt(1, ending=Ending.CANCELLED, asked=ASKED, cancellation=Cancellation(by=CancelledBy.CAPACITY))


def test_all_of_it_runs_once_more_and_not_a_second_time() -> None:
    plan = plan_once_more([LACKED])
    assert (plan.commands, plan.is_whole, plan.is_partial, plan.stop_reason) == (ASKED, True, False, None)
    assert len(plan.notes) == 1
    again = plan_once_more([LACKED, replace(LACKED, number=2)])
    assert (again.commands, again.stop_reason) == ((), "dbt Cloud had no capacity for it a second time")
    assert plan_once_more([attempt(1, step(4, "dbt build")), replace(LACKED, number=2)]).commands == ASKED


def test_what_it_was_asked_for_must_be_known() -> None:
    plan = plan_once_more([replace(LACKED, asked=())])
    assert plan.commands == ()
    assert "commands of the run are not known" in (plan.stop_reason or "")


@pytest.mark.parametrize("by", [by for by in CancelledBy if by is not CancelledBy.CAPACITY])
def test_a_run_that_another_cause_cancelled_lacked_none(by: CancelledBy) -> None:
    assert lacked_capacity(LACKED)
    assert not lacked_capacity(replace(LACKED, cancellation=Cancellation(by=by)))
    assert not lacked_capacity(replace(LACKED, cancellation=None))


def test_a_run_that_had_begun_lacked_none() -> None:
    assert not lacked_capacity(replace(LACKED, started_at=NOON))
    assert not lacked_capacity(replace(LACKED, steps=(step(4, "dbt build", state=RunState.CANCELLED, log="Running"),)))
    assert lacked_capacity(replace(LACKED, steps=(step(4, "dbt build", state=RunState.QUEUED),)))
