"""What `result.json` holds: every output, what the run was about, what it cost, and what its retries saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbt_cloud_run import __version__
from dbt_cloud_run.cost import total
from dbt_cloud_run.report.facts import Facts
from dbt_cloud_run.report.outputs import output_values
from dbt_cloud_run.report.shapes import VERSION, About, Result, Saved, Spending, TotalSpending

if TYPE_CHECKING:
    from dbt_cloud_run.cost import Cost
    from dbt_cloud_run.report.report import Report


def result_values(data: Report) -> Result:
    """The whole file; what is not known is None."""
    return {
        "schema_version": VERSION,
        **output_values(data),
        **about(data),
        "cost": _spent(Facts(data)),
        "saved": _saved(data),
    }


def about(data: Report) -> About:
    """Where and of what the run was."""
    last = data.outcome.last
    return {
        "account": {"id": data.account_id, "name": None},
        "job": {"id": data.job_id, "name": data.job_name},
        "project": {"id": last.project_id if last else None, "name": data.project_name},
        "environment": {"id": last.environment_id if last else None, "name": data.environment},
        "branch": last.git_branch if last else None,
        "schema": last.overrides.schema_override if last else None,
        "adapter": data.adapter,
        "versions": {"action": __version__, "dbt": data.dbt_version or (last.dbt_version if last else None)},
    }


def _spent(facts: Facts) -> TotalSpending | None:
    spent = facts.spent
    return {**_spending(spent.cost), "is_complete": spent.is_complete} if spent.cost else None


def _saved(data: Report) -> Saved | None:
    """What all retries together did not repeat. A plan that no attempt follows was not carried out."""
    numbers = {attempt.number for attempt in data.outcome.attempts}
    savings = [
        attempt.plan.saved
        for attempt in data.outcome.attempts
        if attempt.plan is not None and attempt.number + 1 in numbers
    ]
    if not savings:
        return None
    cost = total(saving.cost for saving in savings)
    return {
        "nodes": sum(saving.nodes for saving in savings),
        "node_seconds": round(sum(saving.seconds for saving in savings), 3),
        "cost": _spending(cost) if cost else None,
    }


def _spending(cost: Cost) -> Spending:
    return {"bytes_processed": cost.bytes_processed, "bytes_billed": cost.bytes_billed, "slot_ms": cost.slot_ms}
