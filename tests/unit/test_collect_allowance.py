"""What the downloads of an attempt may take: room and time, and what comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from standins.cloud_server import FakeClock

from dbt_cloud_run.cloud.errors import TooLarge
from dbt_cloud_run.collect.allowance import (
    AFTER_LIMIT,
    EXPECTED_RATE,
    LARGEST_ATTEMPT,
    LONGEST,
    PATIENCE,
    Allowance,
    Overdue,
    downloads_until,
)
from dbt_cloud_run.waiting.cancel import CANCEL_BUDGET

RETRIES = Path(__file__).parents[2] / "docs/retries.md"
HALF = LARGEST_ATTEMPT // 2


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def allowance(clock: FakeClock) -> Allowance:
    return Allowance(clock)


def store(allowance: Allowance, *counts: int) -> None:
    with allowance.begin() as usage:
        for count in counts:
            usage.stored(count)


def receive(allowance: Allowance, clock: FakeClock, pieces: int, count: int, seconds: float) -> None:
    with allowance.begin() as usage:
        for _ in range(pieces):
            clock.now += seconds
            usage.arrived(count)


def test_a_file_that_exceeds_the_room_costs_that_file_alone(allowance: Allowance) -> None:
    store(allowance, HALF)
    with pytest.raises(TooLarge):
        store(allowance, HALF, 1)
    store(allowance, HALF)
    with pytest.raises(TooLarge):
        store(allowance, 1)


def test_a_trickle_uses_up_the_patience(allowance: Allowance, clock: FakeClock) -> None:
    with pytest.raises(Overdue):
        receive(allowance, clock, 1000, 1, 2.0)
    assert clock.now - 1000 == pytest.approx(PATIENCE, abs=3)
    with pytest.raises(Overdue):
        allowance.begin()


def test_what_comes_at_a_rate_to_expect_is_waited_for(allowance: Allowance, clock: FakeClock) -> None:
    receive(allowance, clock, 400, EXPECTED_RATE, 1.0)


def test_an_endless_body_ends_whatever_its_rate(allowance: Allowance, clock: FakeClock) -> None:
    with pytest.raises(Overdue):
        receive(allowance, clock, 2000, 10 * EXPECTED_RATE, 1.0)
    assert clock.now - 1000 == pytest.approx(LONGEST, abs=2)


def test_many_small_files_are_waited_for(allowance: Allowance, clock: FakeClock) -> None:
    for _ in range(600):
        with allowance.begin() as usage:
            clock.now += 1
            usage.arrived(100)


def test_time_between_downloads_does_not_count_and_of_several_at_once_counts_once(
    allowance: Allowance, clock: FakeClock
) -> None:
    for _ in range(20):
        clock.now += PATIENCE
        with allowance.begin(), allowance.begin() as usage:
            clock.now += 1
            usage.arrived(1)


def test_downloads_end_ninety_seconds_after_the_time_limit_whatever_comes(clock: FakeClock) -> None:
    began = clock.now
    with pytest.raises(Overdue):
        receive(Allowance(clock, downloads_until(began + 10, began)), clock, 1000, 10 * EXPECTED_RATE, 1.0)
    assert clock.now - began == pytest.approx(10 + 90, abs=2)


@pytest.mark.parametrize(
    ("limit", "until"),
    [
        (None, float("inf")),
        (500.0, 1000.0 + AFTER_LIMIT),
        (1000.0, 1000.0 + AFTER_LIMIT),
        (1100.0, 1100.0 + AFTER_LIMIT),
    ],
)
def test_what_is_read_after_the_time_limit_has_its_time_from_then_on(limit: float | None, until: float) -> None:
    """Until then the run was cancelled, which takes time of its own."""
    assert downloads_until(limit, 1000.0) == until


def test_the_documentation_says_how_long_the_step_goes_on_after_the_time_limit() -> None:
    section = RETRIES.read_text(encoding="utf-8").partition("## Limits and cancelled runs")[2].replace("\n", " ")
    assert f"for at most {AFTER_LIMIT:.0f} seconds" in section
    assert f"end {AFTER_LIMIT:.0f} seconds after the limit" in section
    minutes = f"{CANCEL_BUDGET / 60:.0f} minutes"
    assert f"repeats the cancellation for up to {minutes}, waits up to {minutes} for the run to end" in section
