"""The delay before a retry counts from the end of the run before it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dbt_cloud_run.retry.delay import delay_left, ended_at

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("finished", "server_now", "ended"),
    [
        (NOON - timedelta(seconds=12), NOON, 988.0),
        # A clock that goes back, or a time that is not known: the run has ended just now.
        (NOON + timedelta(seconds=5), NOON, 1000.0),
        (None, NOON, 1000.0),
        (NOON, None, 1000.0),
    ],
)
def test_the_end_is_that_of_dbt_clouds_own_clock(
    finished: datetime | None, server_now: datetime | None, ended: float
) -> None:
    assert ended_at(1000.0, 900.0, finished, server_now) == ended


@pytest.mark.parametrize("before", [timedelta(hours=1), timedelta(days=9000)])
def test_a_run_ended_after_it_was_seen_going_on_whatever_the_clocks_say(before: timedelta) -> None:
    assert ended_at(1000.0, 990.0, NOON - before, NOON) == 990.0
    assert ended_at(1000.0, float("-inf"), NOON - before, NOON) == 1000.0 - before.total_seconds()


@pytest.mark.parametrize(
    ("retries", "since_the_end", "left"), [(0, 0, 30), (0, 12, 18), (0, 30, 0), (0, 500, 0), (1, 12, 48), (3, 0, 240)]
)
def test_what_is_left_of_the_delay(retries: int, since_the_end: float, left: float) -> None:
    assert delay_left(30.0, retries, 1000.0 - since_the_end, 1000.0) == left


def test_without_a_delay_there_is_none_left() -> None:
    assert delay_left(0.0, 1000, 1000.0, 1000.0) == 0.0
