"""The nodes of a step, by its results, and what a plan says of each. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from dbt_cloud_run.dbt.repeating import may_repeat
from dbt_cloud_run.dbt.selection import Selector
from dbt_cloud_run.dbt.statuses import BUILDABLE, Kind, kind
from dbt_cloud_run.dbt.verbs import verb_named
from dbt_cloud_run.model import Step
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import PlannedNode, Retryability
from dbt_cloud_run.text import shortened

_EPHEMERAL_CAUSE = re.compile(r"caused by compilation error in referenced ephemeral model (\S+)")
_LONGEST_MESSAGE = 160


def is_hook(unique_id: str) -> bool:
    return unique_id.startswith("operation.")


def node_rows(step: Step | None) -> dict[str, NodeResult]:
    """The step's nodes by their last row, hooks left out."""
    nodes = step.results.nodes if step is not None and step.results is not None else ()
    return {row.unique_id: row for row in nodes if not is_hook(row.unique_id)}


def counted_rows(step: Step | None) -> dict[str, NodeResult]:
    """What the step has run, hooks included, as in every count of nodes.

    To compile or to list nodes is no work that a retry could save.
    """
    if step is None or step.results is None:
        return {}
    is_work = not step.results.which or verb_named(step.results.which).executes
    return {row.unique_id: row for row in step.results.nodes} if is_work else {}


def executed_rows(step: Step | None) -> dict[str, NodeResult]:
    """The nodes that the step has run, hooks left out."""
    return {unique_id: row for unique_id, row in counted_rows(step).items() if not is_hook(unique_id)}


def hooks_of(step: Step | None) -> frozenset[str]:
    """The hooks of the step: they run with every command that replaces it, whatever it selects."""
    return frozenset(unique_id for unique_id in counted_rows(step) if is_hook(unique_id))


def is_over(status: str) -> bool:
    return kind(status) in (Kind.SUCCEEDED, Kind.WARNED)


def ephemeral_cause(row: NodeResult) -> str | None:
    """The ephemeral model that the node was skipped for; dbt calls it broken even where it was skipped itself."""
    found = _EPHEMERAL_CAUSE.search(row.message or "")
    return found[1] if found else None


def carriers_of(selector: Selector | None, rows: Iterable[NodeResult], *, full_refresh: bool) -> tuple[str, ...]:
    """The least that a hook can run with: of every schema that the step built in, the quickest that may be repeated.

    What a hook receives (`schemas`, `results`) comes from the nodes that run. Tests are in no schema, and serve where
    nothing else does.
    """
    if selector is None:
        return ()
    found: dict[tuple[str | None, str | None], tuple[tuple[bool, float, str], str]] = {}
    for row in rows:
        node = selector.nodes.get(row.unique_id)
        if node is None or not is_over(row.status) or not may_repeat(node, full_refresh=full_refresh):
            continue
        place = (node.database, node.schema) if node.resource_type in BUILDABLE else (None, None)
        rank = (node.config.materialized != "view", row.execution_seconds, row.unique_id)
        found[place] = min(found.get(place, (rank, row.unique_id)), (rank, row.unique_id))
    if len(found) > 1:
        found.pop((None, None), None)
    return tuple(sorted(unique_id for _, unique_id in found.values()))


def skipped_node(row: NodeResult, cause: str | None, hopeless: Collection[str]) -> PlannedNode:
    reason = "skipped"
    if row.message and "fail_fast" in row.message.replace("-", "_"):
        reason = "not started: the step stops at the first failure"
    elif cause is not None:
        reason = f"skipped because of {cause}" + (", which is not re-run" if cause in hopeless else "")
    return PlannedNode(unique_id=row.unique_id, status=row.status, reason=reason)


def failed_node(row: NodeResult, verdict: Retryability) -> PlannedNode:
    message = " ".join((row.message or "").split())
    shown = shortened(message, _LONGEST_MESSAGE)
    return PlannedNode(
        unique_id=row.unique_id,
        status=row.status,
        reason=f"{row.status}: {shown} ({verdict})" if shown else f"{row.status} ({verdict})",
        retryability=verdict,
        seconds_before=row.execution_seconds,
    )
