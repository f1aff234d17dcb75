"""Nodes that failed in a step that counts as successful, so that later steps were built on what is not there. Pure.

dbt 1.9.0 ends well where batches of a microbatch model failed and nothing else in the command depends on it (dbt-core
#11114). dbt Cloud then goes on with the next step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from dbt_cloud_run.dbt.statuses import FAILURES, normalise
from dbt_cloud_run.dbt.verbs import verb_named
from dbt_cloud_run.model import RunState, Step
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.retry.nodes import node_rows


def has_failed_surely(row: NodeResult | None) -> bool:
    """Whether the status is one of dbt's own words for a failure; of a green step, another word may mean anything."""
    return row is not None and normalise(row.status) in FAILURES


def hollow_nodes(steps: Iterable[Step], is_done: Callable[[str, Step], bool]) -> dict[str, int]:
    """Each such node that has not succeeded since, with the first step in which it failed."""
    found: dict[str, int] = {}
    for step in steps:
        if step.state is RunState.SUCCESS and _builds_nodes(step):
            for unique_id, row in node_rows(step).items():
                if has_failed_surely(row) and not is_done(unique_id, step):
                    found.setdefault(unique_id, step.index)
    return found


def hollow_before(hollow: Mapping[str, int], step: Step) -> frozenset[str]:
    """The nodes that had failed when this step was built on them."""
    return frozenset(one for one, index in hollow.items() if index < step.index and _builds_nodes(step))


def _builds_nodes(step: Step) -> bool:
    """Whether the step's results are those of nodes that it has built or tested."""
    return step.results is not None and verb_named(step.results.which).builds
