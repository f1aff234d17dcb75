"""What the attempts cost, as far as the adapter reports it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbt_cloud_run.cost import NO_COST, Cost, total
from dbt_cloud_run.dbt.costs import cost_of
from dbt_cloud_run.dbt.statuses import Kind, kind, normalise
from dbt_cloud_run.model import Attempt, RunState
from dbt_cloud_run.node_results import NodeResult

_NOT_EXECUTED = frozenset({"reused", "no-op"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The cost of every execution: a node that ran in two attempts has cost twice.

    `is_complete`: every run has ended by itself, and everything that it left was read. Else the true cost is higher.
    """

    by_attempt: tuple[Cost, ...] = ()
    is_complete: bool = True

    @property
    def cost(self) -> Cost:
        return total(self.by_attempt)


def spent(attempts: Sequence[Attempt]) -> Spent:
    """What these attempts cost, in their order."""
    return Spent(by_attempt=tuple(map(_of_attempt, attempts)), is_complete=all(map(_is_known, attempts)))


def _of_attempt(attempt: Attempt) -> Cost:
    return total(_of_row(row) for step in attempt.steps if step.results is not None for row in step.results.nodes)


def _of_row(row: NodeResult) -> Cost:
    """What an execution cost. A node that was not executed costs nothing, whatever its row repeats."""
    if not row.adapter_response or normalise(row.status) in _NOT_EXECUTED or kind(row.status) is Kind.SKIPPED:
        return NO_COST
    return cost_of(row.adapter_response)


def _is_known(attempt: Attempt) -> bool:
    # What a run that was cancelled had begun has no result.
    return (
        attempt.state in (RunState.SUCCESS, RunState.ERROR)
        and not attempt.unknown
        and not any(step.distrusted or (step.results is not None and step.results.lost_rows) for step in attempt.steps)
    )
