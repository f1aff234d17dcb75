"""What an earlier attempt of the workflow run was to run again, and did not. Pure.

The plans of its retries are not saved. They are planned once more, from the same results.
"""

from __future__ import annotations

from collections.abc import Sequence

from dbt_cloud_run.dbt.manifests import Manifests
from dbt_cloud_run.dbt.statuses import is_skipped
from dbt_cloud_run.model import Attempt
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import NOT_STARTED
from dbt_cloud_run.retry.nodes import executed_rows
from dbt_cloud_run.retry.plan import plan_retry
from dbt_cloud_run.retry.unreported import is_always_listed


def never_run(attempts: Sequence[Attempt], manifests: Manifests | None) -> frozenset[str]:
    """The nodes that were skipped or never started, that a retry had to run, and that no attempt since reports.

    `attempts` are a run and its retries, which were asked for everything; a node that failed shows by itself.
    """
    found: frozenset[str] = frozenset()
    for number, attempt in enumerate(attempts[:-1]):
        later = attempts[number + 1 :]
        if attempt.plan is not None:
            continue
        plan = plan_retry(
            attempt,
            manifests.newest if manifests else None,
            take_all=True,
            cancelled_here=True,
            earlier=attempts[:number],
            later=later,
            manifests=manifests.of_run(attempt.run_id) if manifests else None,
        )
        skipped = _skipped(attempt)
        due = {
            node.unique_id
            for step in plan.steps
            for node in step.nodes
            if node.unique_id in skipped or (node.status == NOT_STARTED and is_always_listed(node.unique_id))
        }
        found |= due - {node for one in later for node in _rows(one)}
    return found


def _skipped(attempt: Attempt) -> frozenset[str]:
    return frozenset(unique_id for unique_id, row in _rows(attempt).items() if is_skipped(row.status))


def _rows(attempt: Attempt) -> dict[str, NodeResult]:
    """Every node by its last row."""
    return {unique_id: row for step in attempt.steps for unique_id, row in executed_rows(step).items()}
