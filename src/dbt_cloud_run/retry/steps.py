"""What a retry does with one step: what it still needs (`needs.py`), and one table of what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dbt_cloud_run.dbt.commands import parse_command
from dbt_cloud_run.model import NodeResult, PlannedNode, PlannedStep, StepAction
from dbt_cloud_run.retry.alignment import AskedStep
from dbt_cloud_run.retry.commands import Rewritten, rewrite
from dbt_cloud_run.retry.needs import Case, Needs, Situation, failed_ephemeral, needs_of
from dbt_cloud_run.retry.nodes import executed_rows, is_over, node_rows


@dataclass(frozen=True, slots=True)
class _Decision:
    """What becomes of a step, and why, in words for people. `with_any`: where `retry-on: any` changes it."""

    action: StepAction
    reason: str
    with_any: tuple[StepAction, str] | None = None


_SKIP, _WHOLE, _NODES, _DROP = StepAction.SKIP, StepAction.WHOLE, StepAction.NODES, StepAction.DROP

_DECISIONS: Mapping[Case, _Decision] = {
    Case.SUCCEEDED: _Decision(_SKIP, "it succeeded"),
    Case.SUCCEEDED_LATER: _Decision(_SKIP, "what failed in it succeeded in a later step"),
    Case.FINISHED: _Decision(_SKIP, "all of its nodes had succeeded before it was cut off"),
    Case.NEVER_STARTED: _Decision(_WHOLE, "it never started"),
    Case.LINT: _Decision(_DROP, "it found problems in the code, and would find them again"),
    Case.OPERATION: _Decision(
        _DROP,
        "a macro may not be repeatable: it is run again with `retry-on: any` only",
        (_WHOLE, "the macro failed, and every failure is retried"),
    ),
    Case.NO_RESULTS: _Decision(_WHOLE, "it has no results"),
    Case.HOPELESS_LOG: _Decision(_DROP, "its log shows a failure that would happen again"),
    Case.FRESHNESS: _Decision(_WHOLE, "it failed, and is run as a whole"),
    Case.STALE: _Decision(_DROP, "every failure in it is deterministic"),
    Case.UNKNOWN_REST: _Decision(_WHOLE, "it was cut off, and the manifest does not tell what was still to run"),
    Case.NODES: _Decision(_NODES, "some of its nodes did not succeed"),
    Case.HOPELESS_NODES: _Decision(_DROP, "every failure in it is deterministic"),
    Case.EPHEMERAL: _Decision(_WHOLE, "only ephemeral models of it failed, which are never run by themselves"),
    Case.END_HOOK: _Decision(_DROP, "only its {detail} hook failed: no node is left to be run again"),
    Case.START_HOOK: _Decision(_WHOLE, "its on-run-start hook failed, so none of its nodes ran"),
    Case.HOPELESS_START_HOOK: _Decision(_DROP, "its on-run-start hook failed, and would fail again"),
    Case.NO_FAILED_NODE: _Decision(_WHOLE, "it failed, but none of its nodes did"),
}


def plan_step(asked: AskedStep, situation: Situation) -> PlannedStep:
    """Decide about one command that the run was asked for, as if nothing before it had failed."""
    needs = needs_of(asked, situation)
    decision = _DECISIONS[needs.case]
    action, reason = (decision.action, decision.reason)
    if situation.takes_all and decision.with_any is not None:
        action, reason = decision.with_any
    reason = reason.format(detail=needs.detail)
    if needs.case in (Case.NO_RESULTS, Case.HOPELESS_LOG) and needs.detail:
        unused = f"its results are not used: {needs.detail}"
        reason = unused if needs.case is Case.NO_RESULTS else f"{unused}, and {reason}"
    if action is _SKIP:
        return _planned(asked, _SKIP, reason, saved=list(executed_rows(asked.step).values()))
    if action is _DROP:
        return _planned(asked, _DROP, reason, left_out=needs.left_out)
    if action is _WHOLE:
        return _whole(asked, reason, needs.retried)
    return _nodes(asked, needs, situation)


def _nodes(asked: AskedStep, needs: Needs, situation: Situation) -> PlannedStep:
    rewritten = _rewritten(asked, needs, situation)
    if not rewritten.commands:
        # Whole, it runs what would fail again too: then nothing is left out, and the run itself tells.
        along = (replace(node, reason=f"{node.reason}; run again with the whole step") for node in needs.left_out)
        return _whole(asked, rewritten.obstacle, (*needs.retried, *along))
    commands, rows = rewritten.commands, node_rows(asked.step)
    divided = f"; one command for them would be too long, so there are {len(commands)}" if commands[1:] else ""
    count = len(needs.retried)
    return _planned(
        asked,
        _NODES,
        f"{count} of its {max(len(rows), count)} nodes did not succeed{divided}",
        commands=commands,
        nodes=needs.retried,
        left_out=needs.left_out,
        saved=[row for row in rows.values() if row.unique_id not in needs.wanted],
    )


def _rewritten(asked: AskedStep, needs: Needs, situation: Situation) -> Rewritten:
    """The command over the nodes that are retried, or the obstacle to it."""
    command, selector = parse_command(asked.command), situation.selector
    if command is None:
        return Rewritten(obstacle="its command was not understood, so it is not edited")
    if not command.is_node_command:
        return Rewritten(obstacle=f"the nodes of `dbt {command.verb}` are not run one by one")
    if selector is None:
        return Rewritten(obstacle="there is no manifest to name its nodes by")
    gone = {node.unique_id for node in needs.left_out}
    broken = failed_ephemeral(asked.step, situation) if asked.step else ()
    unused = (row for row in broken if not selector.reach([row.unique_id]) & needs.wanted)
    if any(row.unique_id not in gone for row in unused):
        return Rewritten(obstacle="an ephemeral model of it failed, which nothing that is run again uses")
    return rewrite(selector, command, needs.wanted, version=situation.version, may_divide=bool(needs.left_out))


def _whole(asked: AskedStep, reason: str, nodes: tuple[PlannedNode, ...] = ()) -> PlannedStep:
    """The step as it was; `nodes` are those of it that did not succeed."""
    known = executed_rows(asked.step).keys() | {node.unique_id for node in nodes}
    planned = _planned(asked, _WHOLE, reason, commands=(asked.command,), nodes=nodes)
    return replace(planned, runs_again=len(known))


def _planned(
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
