"""Which batches of a microbatch model a retry runs. Pure.

A plain re-run builds the last batches up to now. So failed batches are run by their own windows of time, and only
where the table exists: with a window, dbt builds a table that does not exist from that window alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dbt_cloud_run.dbt.artifacts import ManifestNode
from dbt_cloud_run.dbt.batches import (
    Batches,
    at_most,
    batches_in_log,
    begin_of,
    is_microbatch,
    plain_span,
    whole_span,
    without,
)
from dbt_cloud_run.dbt.commands import DbtCommand
from dbt_cloud_run.dbt.repeating import is_full_refresh
from dbt_cloud_run.dbt.selection import Selector
from dbt_cloud_run.dbt.statuses import is_failure
from dbt_cloud_run.dbt.versions import NEW_ENGINE
from dbt_cloud_run.model import Step
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import Window
from dbt_cloud_run.retry.nodes import is_over

MAX_WINDOWS = 8
"""Windows of one model, and so commands: more are joined over the shortest gaps between them."""

LONGEST_WAIT = timedelta(hours=6)
"""For which a retry may be delayed, queued or at other work before a model's turn comes."""

_TIMES = ("--event-time-start", "--event-time-end", "--sample")


@dataclass(frozen=True, slots=True)
class Fills:
    """The windows to run, by model, and the models whose failed batches are not known.

    `due`: of a model that ran no batch, the window that a plain run had filled at the time of its step. A plain run of
    the retry fills those of its own time, or all where there is no table yet; so it runs first, and then this window.
    """

    windows: Mapping[str, tuple[Window, ...]] = field(default_factory=dict)
    due: Mapping[str, Window] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()


def fills_of(
    selector: Selector | None,
    command: DbtCommand | None,
    step: Step,
    rows: Mapping[str, NodeResult],
    wanted: Iterable[str],
    *,
    filled: Mapping[str, tuple[Window, ...]],
    version: tuple[int, int] | None,
    takes_all: bool,
    now: datetime | None = None,
) -> Fills:
    """How the microbatch models among `wanted` are run again.

    `filled`: windows that other attempts have filled since. `takes_all`: a model whose failed batches are not known is
    run from its `begin` on. `now`: as for `due_window`. A model that is in neither of the answers runs as the
    command says.
    """
    windows: dict[str, tuple[Window, ...]] = {}
    due: dict[str, Window] = {}
    unknown: set[str] = set()
    refreshes = refreshes_fully(command, step)
    for unique_id in wanted:
        node = selector.nodes.get(unique_id) if selector is not None else None
        if node is None or not is_microbatch(node) or is_full_refresh(node, full_refresh=refreshes):
            continue
        row = rows.get(unique_id)
        batches = _batches(node, row, step)
        if batches is None:
            if _are_lost(row, version) and not sets_times(command):
                until = _end_of(step) if takes_all else None
                span = whole_span(node, until) if until is not None else None
                windows |= {unique_id: (span,)} if span else {}
                unknown |= set() if span else {unique_id}
            elif not sets_times(command) and (was_due := _due(node, step, now)) is not None:
                due[unique_id] = was_due
            continue
        # One that succeeded runs again because of what it was built on: all of its batches were.
        is_whole = row is not None and is_over(row.status)
        rest = batches.done if is_whole else without(batches.failed, filled.get(unique_id, ()))
        if rest and _is_built(node, batches, command):
            windows[unique_id] = at_most(rest, MAX_WINDOWS)
    return Fills(windows, due, frozenset(unknown))


def refreshes_fully(command: DbtCommand | None, step: Step | None) -> bool:
    """Whether the command rebuilds incremental models: by its own option, or by the environment's."""
    if command is not None and command.has("--full-refresh"):
        return True
    return step is not None and step.results is not None and step.results.full_refresh is True


def _end_of(step: Step) -> datetime | None:
    """When the step was done, as far as that is known."""
    made = step.results.generated_at if step.results is not None else None
    return step.finished_at or made or step.started_at


def due_window(node: ManifestNode, start: datetime, end: datetime, now: datetime | None) -> Window | None:
    """The batches that the model had run, begun at some time from `start` to `end`.

    `now`: when the retry is planned. None where a plain run fills them, too, even one that waits for its turn.
    """
    due = plain_span(node, start, end)
    if due is None or now is None:
        return due
    latest = plain_span(node, now + LONGEST_WAIT, now + LONGEST_WAIT)
    return None if latest is not None and latest.start <= due.start else due


def _due(node: ManifestNode, step: Step, now: datetime | None) -> Window | None:
    """The batches that the model had run in its step; None where the time of the step is not known."""
    span = span_of(step)
    return due_window(node, *span, now) if span is not None else None


def span_of(step: Step) -> tuple[datetime, datetime] | None:
    """When the step began and ended, as far as that is known."""
    start = step.started_at or _end_of(step)
    return (start, _end_of(step) or start) if start is not None else None


def _are_lost(row: NodeResult | None, version: tuple[int, int] | None) -> bool:
    """Whether batches failed, and nothing tells which."""
    if row is not None and row.are_batches_unread:
        return True
    # The new engine reports no batches, and leaves out a model that failed between them.
    return (row is None or is_failure(row.status)) and version is not None and version >= NEW_ENGINE


def _batches(node: ManifestNode, row: NodeResult | None, step: Step) -> Batches | None:
    if row is not None and row.are_batches_unread:
        return batches_in_log(step.log, node)
    if row is not None and (row.batches_done or row.batches_failed):
        return Batches(row.batches_done, row.batches_failed)
    # A row that says nothing of batches is of a model that ran none, or of an engine that does not report it.
    return batches_in_log(step.log, node) if row is None else None


def _is_built(node: ManifestNode, batches: Batches, command: DbtCommand | None) -> bool:
    """Whether the table is known to exist: some batch succeeded, or the first was not that of a new table."""
    if command is not None and command.flag("--sample") is not None:
        return False
    if batches.done:
        return True
    begin = begin_of(node)
    return not sets_times(command) and begin is not None and batches.failed[0].start > begin


def sets_times(command: DbtCommand | None) -> bool:
    """Whether the command itself says which batches run."""
    return command is not None and any(command.flag(name) is not None for name in _TIMES)
