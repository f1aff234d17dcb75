"""Windows of time of microbatch models: joined, subtracted, and read from dbt's log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.dbt.artifacts import ManifestNode, NodeConfig
from dbt_cloud_run.dbt.batches import at_most, batches_in_log, begin_of, joined, still_open, without
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import Window

START = datetime(2026, 1, 1, tzinfo=UTC)


def span(first: int, last: int, unit: timedelta = timedelta(days=1)) -> Window:
    return Window(START + first * unit, START + last * unit)


windows = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 6)).map(lambda pair: span(pair[0], pair[0] + pair[1])), max_size=8
)


def days(found: tuple[Window, ...] | list[Window]) -> set[int]:
    return {day for window in found for day in range((window.start - START).days, (window.end - START).days)}


@given(windows, windows)
def test_joining_and_subtracting_are_those_of_sets_of_days(some: list[Window], others: list[Window]) -> None:
    assert days(joined(some)) == days(some)
    assert days(without(some, others)) == days(some) - days(others)
    whole = joined(some)
    assert all(one.end < other.start for one, other in pairwise(whole))


@given(windows, st.integers(1, 4))
def test_fewer_windows_cover_no_less(some: list[Window], count: int) -> None:
    found = at_most(some, count)
    assert len(found) <= count
    assert days(some) <= days(found)


def node(size: str = "day", begin: object = "2026-01-01", relation: str = '"db"."main"."daily"') -> ManifestNode:
    config = NodeConfig(materialized="incremental", incremental_strategy="microbatch", batch_size=size, begin=begin)
    return ManifestNode(unique_id="model.shop.daily", resource_type="model", relation_name=relation, config=config)


LOG = """
12:00:00  1 of 2 START sql microbatch model main.daily ................................... [RUN]
12:00:00  Batch 1 of 4 START batch 2026-01-01 of main.daily .............................. [RUN]
12:00:00  Batch 1 of 4 OK created batch 2026-01-01 of main.daily ......................... [\x1b[32mOK\x1b[0m in 0.21s]
12:00:01  Batch 2 of 4 START batch 2026-01-02 of main.daily .............................. [RUN]
12:00:01  Batch 2 of 4 ERROR creating batch 2026-01-02 of main.daily ..................... [ERROR in 0.02s]
12:00:01  Batch 3 of 4 START batch 2026-01-03 of main.daily .............................. [RUN]
12:00:02  Batch 3 of 4 OK created batch 2026-01-03 of main.daily ......................... [OK in 0.02s]
"""


def test_the_log_of_a_step_that_was_cut_off_tells_its_batches() -> None:
    found = batches_in_log(LOG, node())
    assert found is not None
    assert found.done == (span(0, 1), span(2, 3))
    assert found.failed == (span(1, 2), span(3, 4))


def test_what_the_log_has_lost_is_not_taken_for_done() -> None:
    found = batches_in_log(LOG[LOG.index("12:00:01  Batch 3") :], node())
    assert found is not None
    assert found.done == (span(2, 3),)
    assert joined(found.failed) == (span(0, 2), span(3, 4))


def test_another_models_batches_are_not_its_own() -> None:
    assert batches_in_log(LOG, node(relation='"db"."main"."weekly_daily"')) is None
    assert batches_in_log(LOG, node(relation='"db"."other"."daily"')) is None
    assert batches_in_log("", node()) is None
    assert batches_in_log(LOG, node(size="fortnight")) is None


@pytest.mark.parametrize(
    ("size", "shown", "second", "end"),
    [
        ("hour", "2026-02-28T23", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1, 1, tzinfo=UTC)),
        ("day", "2026-02-28", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)),
        ("month", "2026-01", datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
        ("year", "2024", datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_batches_of_every_size_follow_one_another(size: str, shown: str, second: datetime, end: datetime) -> None:
    line = f"Batch 1 of 2 OK created batch {shown} of main.daily ...... [OK in 1s]"
    found = batches_in_log(line, node(size))
    assert found is not None
    assert found.failed == (Window(second, end),)
    again = batches_in_log(
        line.replace("1 of 2", "2 of 2").replace(shown, second.strftime("%Y-%m-%dT%H")[: len(shown)]), node(size)
    )
    assert again is not None
    assert again.done == (Window(second, end),)
    assert again.failed == found.done


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        ("2026-01-01", START),
        ("2026-01-01T07:30:00", START),
        ("2026-01-01T07:30:00+00:00", START),
        (None, None),
        ("never", None),
    ],
)
def test_the_first_batch_starts_at_begin(begin: object, expected: datetime | None) -> None:
    assert begin_of(node(begin=begin)) == expected


def test_what_is_open_closes_as_its_batches_succeed() -> None:
    first = NodeResult(
        unique_id="m", status="partial success", batches_done=(span(0, 1),), batches_failed=(span(1, 2), span(3, 4))
    )
    still = still_open((), first)
    assert still == (span(1, 2), span(3, 4))
    still = still_open(still, NodeResult(unique_id="m", status="success", batches_done=(span(1, 2),)))
    assert still == (span(3, 4),)
    assert still_open(still, NodeResult(unique_id="m", status="skipped")) == (span(3, 4),)
    assert still_open(still, NodeResult(unique_id="m", status="success", batches_done=(span(0, 9),))) == ()
    assert still_open(still, NodeResult(unique_id="m", status="success")) == ()
