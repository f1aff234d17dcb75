"""The plan of a retry, as it travels from the decision to the log and the report. Durations are seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from dbt_cloud_run.cost import NO_COST, Cost, total


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A span of event time of a microbatch model, from `start` up to and without `end`; both aware and in UTC."""

    start: datetime
    end: datetime


class StepAction(StrEnum):
    """What a retry does with a step of the attempt before."""

    SKIP = "skip"
    WHOLE = "re-run whole"
    NODES = "re-run these nodes"
    DROP = "left out"  # it would have to run, but a failure before it is not retried, or it must not be repeated


class Retryability(StrEnum):
    """The judgement about one failure."""

    DETERMINISTIC = "deterministic"
    TRANSIENT = "transient"
    UNKNOWN = "unknown"


NOT_STARTED = "not started"
"""In the place of a status: the node was to run, and no result of it is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedNode:
    """A node that did not succeed, and what the plan does with it."""

    unique_id: str
    status: str
    reason: str  # for people: `failed: connection reset (transient)`, `skipped because of model.shop.orders`
    retryability: Retryability = Retryability.UNKNOWN
    seconds_before: float = 0.0
    windows: tuple[Window, ...] = ()  # of a microbatch model: only these are run again; empty: all of the node


@dataclass(frozen=True, slots=True)
class SavedNode:
    """A node that is not repeated, with what it took and cost in the attempt before."""

    unique_id: str
    seconds: float = 0.0
    cost: Cost = NO_COST


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One step of a `RetryPlan`, in the order of the attempt's steps."""

    index: int | None  # of the attempt's step; None where the step never started and was not listed
    command: str  # as it was
    action: StepAction
    reason: str
    new_command: str | None = None  # what is sent: the old command for `WHOLE`, the rewritten one for `NODES`
    more_commands: tuple[str, ...] = ()  # sent after it, where one command would be too long
    nodes: tuple[PlannedNode, ...] = ()  # what is rerun
    left_out: tuple[PlannedNode, ...] = ()  # what did not succeed and is not rerun
    again: frozenset[str] = frozenset()  # every node of the step that is known to run again, its hooks included
    is_open: bool = False  # more may run than that: what the step had not come to, or does not say
    saved: tuple[SavedNode, ...] = ()  # nodes that succeeded in this step and that the retry of it does not repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPlan:
    """What the next attempt does. Nothing is sent when `commands` is empty; `stop_reason` then says why."""

    steps: tuple[PlannedStep, ...] = ()
    commands: tuple[str, ...] = ()  # the `steps_override` of the next run, in order
    is_whole: bool = False  # every asked command runs again as it was
    is_partial: bool = False  # some failure is not retried: the verdict stays a failure
    stop_reason: str | None = None
    strategy: str = "nodes"  # `nodes` or `native`, as it was carried out
    notes: tuple[str, ...] = ()  # for people, such as why `native` was refused

    @property
    def again(self) -> frozenset[str]:
        """Every node that is known to run again, in whichever step."""
        return frozenset[str]().union(*(step.again for step in self.steps))

    @property
    def is_open(self) -> bool:
        """Whether more nodes may run than `again` has."""
        return any(step.is_open for step in self.steps)

    @property
    def saved(self) -> Saving:
        """What the retry does not repeat. A node that some step runs again is none of the nodes that do not run."""
        again = self.again
        kept = [node for step in self.steps for node in step.saved]
        names = {node.unique_id for node in kept} - again
        return replace(saving(kept), nodes=len(names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Work that is not repeated. `seconds` are execution times added up: threads that ran at once count each."""

    nodes: int = 0
    seconds: float = 0.0
    cost: Cost = NO_COST


def saving(nodes: Sequence[SavedNode]) -> Saving:
    """What these executions took and cost together."""
    return Saving(
        nodes=len(nodes), seconds=sum(node.seconds for node in nodes), cost=total(node.cost for node in nodes)
    )
