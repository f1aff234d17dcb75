"""Steps and nodes of a plan, made from the results that a step left. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from dbt_cloud_run.dbt.statuses import NODE_COMMANDS, Kind, kind
from dbt_cloud_run.model import NodeResult, PlannedNode, PlannedStep, Retryability, Step, StepAction
from dbt_cloud_run.retry.alignment import AskedStep

BUILDING = frozenset({"build", "run", "test", "seed", "snapshot"})
"""`args.which` of the commands whose success means that a node is done; cloning or compiling it is something else."""


_EPHEMERAL_CAUSE = re.compile(r"caused by compilation error in referenced ephemeral model (\S+)")
_EXECUTING = NODE_COMMANDS | {"retry"}


def is_hook(unique_id: str) -> bool:
    return unique_id.startswith("operation.")


def node_rows(step: Step) -> dict[str, NodeResult]:
    """The step's nodes by their last row, hooks left out."""
    nodes = step.results.nodes if step.results else ()
    return {row.unique_id: row for row in nodes if not is_hook(row.unique_id)}


def is_over(status: str) -> bool:
    return kind(status) in (Kind.SUCCEEDED, Kind.WARNED)


def ephemeral_cause(row: NodeResult) -> str | None:
    """The ephemeral model that the node was skipped for; dbt calls it broken even where it was skipped itself."""
    found = _EPHEMERAL_CAUSE.search(row.message or "")
    return found[1] if found else None


def skipped_node(row: NodeResult, cause: str | None, hopeless: Collection[str]) -> PlannedNode:
    reason = "skipped"
    if row.message and "fail_fast" in row.message.replace("-", "_"):
        reason = "not started: the step stops at the first failure"
    elif cause is not None:
        reason = f"skipped because of {cause}" + (", which is not run again" if cause in hopeless else "")
    return PlannedNode(unique_id=row.unique_id, status=row.status, reason=reason)


def failed_node(row: NodeResult, verdict: Retryability) -> PlannedNode:
    message = " ".join((row.message or "").split())
    shown = message if len(message) <= 160 else f"{message[:159]}…"
    return PlannedNode(
        unique_id=row.unique_id,
        status=row.status,
        reason=f"{row.status}: {shown} ({verdict})" if shown else f"{row.status} ({verdict})",
        retryability=verdict,
        seconds_before=row.execution_seconds,
    )


def skipped_step(asked: AskedStep, reason: str) -> PlannedStep:
    return planned_step(asked, StepAction.SKIP, reason, saved=list(_executed(asked).values()))


def whole_step(asked: AskedStep, reason: str, nodes: tuple[PlannedNode, ...] = ()) -> PlannedStep:
    """The step as it was; `nodes` are those of it that did not succeed."""
    known = _executed(asked).keys() | {node.unique_id for node in nodes}
    return replace(planned_step(asked, StepAction.WHOLE, reason, nodes=nodes), runs_again=len(known))


def _executed(asked: AskedStep) -> dict[str, NodeResult]:
    """The nodes that the step has run; compiling and listing them is no work that could be saved."""
    results = asked.step.results if asked.step else None
    if asked.step is None or results is None or (results.which and results.which not in _EXECUTING):
        return {}
    return node_rows(asked.step)


def planned_step(
    asked: AskedStep,
    action: StepAction,
    reason: str,
    *,
    commands: Sequence[str] = (),
    nodes: tuple[PlannedNode, ...] = (),
    left_out: tuple[PlannedNode, ...] = (),
    saved: Sequence[NodeResult] = (),
) -> PlannedStep:
    """`saved`: the rows of the nodes that are not run again, of which those count that succeeded."""
    saved = [row for row in saved if is_over(row.status)]
    if action is StepAction.WHOLE:
        commands = (asked.command,)
    return PlannedStep(
        index=asked.step.index if asked.step and asked.step.index else None,
        command=asked.command,
        action=action,
        reason=reason,
        new_command=commands[0] if commands else None,
        more_commands=tuple(commands[1:]),
        nodes=nodes,
        left_out=left_out,
        runs_again=len(nodes),
        saved_nodes=len(saved),
        saved_seconds=sum(row.execution_seconds for row in saved),
    )
