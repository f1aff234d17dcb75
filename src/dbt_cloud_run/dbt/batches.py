"""Batches of microbatch models: the windows of time that failed, and those that were filled. Pure.

A plain re-run of such a model builds its last `lookback` batches up to now, not the ones that failed. Sources:
`dbt/task/run.py`, `dbt/materializations/incremental/microbatch.py` (dbt-core 1.9 to 1.12).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from dbt_cloud_run.dbt.artifacts import ManifestNode
from dbt_cloud_run.dbt.console_log import relation_in_log, without_colours
from dbt_cloud_run.dbt.results import parse_time
from dbt_cloud_run.dbt.statuses import Kind, kind
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import Window

_LINE = re.compile(
    r"Batch (?P<number>\d+) of (?P<count>\d+) (?P<what>START|OK created|ERROR creating|SKIP) "
    r"batch (?P<start>\d{4}(?:-\d\d(?:-\d\d(?:T\d\d)?)?)?) of (?P<name>\S+)"
)
_MOST_LOOKBACK = 10_000
_FORMATS = {4: "%Y", 7: "%Y-%m", 10: "%Y-%m-%d", 13: "%Y-%m-%dT%H"}


@dataclass(frozen=True, slots=True)
class Batches:
    """What became of a model's batches: each window is one batch, or several that touch."""

    done: tuple[Window, ...] = ()
    failed: tuple[Window, ...] = ()


def is_microbatch(node: ManifestNode) -> bool:
    return node.config.materialized == "incremental" and node.config.incremental_strategy == "microbatch"


def joined(windows: Iterable[Window]) -> tuple[Window, ...]:
    """The same time in as few windows as possible, in order."""
    found: list[Window] = []
    for window in sorted(windows):
        if found and window.start <= found[-1].end:
            found[-1] = Window(found[-1].start, max(found[-1].end, window.end))
        else:
            found.append(window)
    return tuple(found)


def without(windows: Iterable[Window], done: Iterable[Window]) -> tuple[Window, ...]:
    """What of the windows is not covered by `done`."""
    rest = list(joined(windows))
    for gone in joined(done):
        cut: list[Window] = []
        for window in rest:
            parts = (Window(window.start, min(window.end, gone.start)), Window(max(window.start, gone.end), window.end))
            cut += [part for part in parts if part.start < part.end]
        rest = cut
    return tuple(rest)


def still_open(before: Sequence[Window], row: NodeResult) -> tuple[Window, ...]:
    """What is still to be filled after this result, where `before` was open until then."""
    if not (row.batches_done or row.batches_failed):
        return () if kind(row.status) in (Kind.SUCCEEDED, Kind.WARNED) else tuple(before)
    return without((*before, *row.batches_failed), row.batches_done)


def spans(windows: Sequence[Window]) -> str:
    """Windows in words for people; all times are UTC."""
    return ", ".join(f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M}" for window in windows)


def at_most(windows: Sequence[Window], count: int) -> tuple[Window, ...]:
    """The windows joined over the shortest gaps until there are no more than `count`; what lies between runs again."""
    found = list(joined(windows))
    while len(found) > count:
        gaps = [later.start - earlier.end for earlier, later in pairwise(found)]
        place = gaps.index(min(gaps))
        found[place : place + 2] = [Window(found[place].start, found[place + 1].end)]
    return tuple(found)


def begin_of(node: ManifestNode) -> datetime | None:
    """Where the model's first batch starts, as far as the manifest shows it."""
    begin = parse_time(str(node.config.begin)) if node.config.begin else None
    return _truncated(begin, str(node.config.batch_size)) if begin is not None else None


def whole_span(node: ManifestNode, until: datetime) -> Window | None:
    """All batches of the model up to this moment; None where the manifest does not show where they begin."""
    begin = begin_of(node)
    end = _next(_truncated(until, str(node.config.batch_size)), str(node.config.batch_size))
    return Window(begin, end) if begin is not None and begin < end else None


def plain_span(node: ManifestNode, start: datetime, end: datetime) -> Window | None:
    """The batches that a plain run of an existing table fills, begun at some time from `start` to `end`.

    They are the one of that time, and `lookback` before it (one, where the model does not say).
    """
    size, lookback = str(node.config.batch_size), node.config.lookback
    if size not in _SIZES:
        return None
    first = _truncated(start, size)
    count = lookback if isinstance(lookback, int) and lookback >= 0 else 1
    for _ in range(min(count, _MOST_LOOKBACK)):
        first = _truncated(first - timedelta(hours=1), size)
    begin = begin_of(node)
    first = max(first, begin) if begin is not None else first
    last = _next(_truncated(end, size), size)
    return Window(first, last) if first < last else None


def batches_in_log(log: str, node: ManifestNode) -> Batches | None:
    """What a step's log says of this model's batches; None where it shows none of them.

    The log of a step that was cut off may end in any batch, and may have lost its beginning.
    """
    size = str(node.config.batch_size)
    lines = [found for found in _LINE.finditer(without_colours(log)) if _is_of(node, found["name"])]
    # A step may run the model more than once, by several commands; the last one counts.
    count = int(lines[-1]["count"]) if lines else 0
    lines = [line for line in lines if int(line["count"]) == count]
    first = _first_start(lines, size)
    if first is None:
        return None
    starts = [first]
    for _ in range(count):
        starts.append(_next(starts[-1], size))
    windows = [Window(start, end) for start, end in pairwise(starts)]
    numbers = {int(line["number"]) for line in lines if line["what"] == "OK created"}
    # Batches before the first one that the log still shows are in the part that is lost, and their fate with it.
    return Batches(
        done=tuple(window for number, window in enumerate(windows, 1) if number in numbers),
        failed=tuple(window for number, window in enumerate(windows, 1) if number not in numbers),
    )


def _is_of(node: ManifestNode, name: str) -> bool:
    """Whether the log's name of a relation (`schema.identifier`, or with its database) is that of the node."""
    relation = relation_in_log(node.relation_name)
    return bool(relation) and f".{relation}".endswith(f".{name.lower()}")


def _first_start(lines: Sequence[re.Match[str]], size: str) -> datetime | None:
    """The start of batch 1, counted back from the first batch that is shown."""
    if not lines or size not in _SIZES:
        return None
    form = _FORMATS.get(len(lines[0]["start"]))
    start = datetime.strptime(lines[0]["start"], form).replace(tzinfo=UTC) if form else None
    for _ in range(int(lines[0]["number"]) - 1):
        start = _truncated(start - timedelta(hours=1), size) if start else None
    return start


_SIZES = frozenset({"hour", "day", "month", "year"})


def _truncated(moment: datetime, size: str) -> datetime:
    moment = moment.replace(minute=0, second=0, microsecond=0)
    if size != "hour":
        moment = moment.replace(hour=0)
    if size in ("month", "year"):
        moment = moment.replace(day=1)
    return moment.replace(month=1) if size == "year" else moment


def _next(moment: datetime, size: str) -> datetime:
    step = {"hour": timedelta(hours=1), "day": timedelta(days=1), "month": timedelta(days=31)}
    return _truncated(moment + step.get(size, timedelta(days=366)), size)
