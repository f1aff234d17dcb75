"""What a retry does with one step: nothing, all of it, or the nodes that did not succeed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dbt_cloud_run.dbt.blocking import blocked_by, causes_of
from dbt_cloud_run.dbt.commands import parse_command, runs_operation
from dbt_cloud_run.dbt.failures import judge, judge_log
from dbt_cloud_run.dbt.selection import Selector, is_ephemeral, model_of
from dbt_cloud_run.dbt.statuses import Kind, is_failure, is_skipped, kind
from dbt_cloud_run.model import (
    NodeResult,
    PlannedNode,
    PlannedStep,
    Retryability,
    RunState,
    Step,
    StepAction,
)
from dbt_cloud_run.retry.alignment import AskedStep, is_lint
from dbt_cloud_run.retry.planned import (
    ephemeral_cause,
    failed_node,
    is_hook,
    is_over,
    node_rows,
    planned_step,
    skipped_node,
    skipped_step,
    whole_step,
)
from dbt_cloud_run.retry.rewriting import Rewritten, rewrite
from dbt_cloud_run.retry.unreported import lost, not_reported

_DETERMINISTIC = Retryability.DETERMINISTIC


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known beyond the step itself. `done`: node → index of the last step in which it succeeded."""

    selector: Selector | None
    adapter_type: str | None
    takes_all: bool
    done: Mapping[str, int]
    version: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Needs:
    """The nodes of a step that did not succeed, divided by what becomes of them."""

    retried: tuple[PlannedNode, ...]
    left_out: tuple[PlannedNode, ...]


def plan_step(asked: AskedStep, situation: Situation) -> PlannedStep:
    """Decide about one command that the run was asked for, as if nothing before it had failed."""
    step = asked.step
    if step is None or not asked.is_started:
        return whole_step(asked, "it never started")
    if step.state is RunState.SUCCESS and not _failed_nodes(step, situation):
        return skipped_step(asked, "it succeeded")
    if is_lint(step) and step.state is RunState.ERROR and not situation.takes_all:
        return planned_step(asked, StepAction.DROP, "it found problems in the code, and would again")
    if runs_operation(asked.command):
        if situation.takes_all:
            return whole_step(asked, "the macro failed, and every failure is retried")
        return planned_step(
            asked, StepAction.DROP, "a macro may not be repeatable: it is run again with `retry-on: any` only"
        )
    if step.results is None:
        return _without_results(asked, step, situation)
    return _StepPlanner(asked, step, situation).plan()


def _without_results(asked: AskedStep, step: Step, situation: Situation) -> PlannedStep:
    reason = f"its results are not used: {step.distrusted}" if step.distrusted else "it has no results"
    if step.freshness:
        return _freshness(asked, step, situation)
    if _is_deterministic_log(step, situation):
        return planned_step(asked, StepAction.DROP, f"{reason}, and its log shows a failure that would happen again")
    return whole_step(asked, reason)


def _freshness(asked: AskedStep, step: Step, situation: Situation) -> PlannedStep:
    """Data that is too old is as old in the retry; a source that could not be asked is judged by its message."""
    failed = tuple(
        failed_node(NodeResult(unique_id=row.unique_id, status=row.status, message=row.message), verdict)
        for row in step.freshness
        if is_failure(row.status)
        for verdict in [judge(row.status, row.message, adapter_type=situation.adapter_type, resource_type="source")]
    )
    hopeless = not situation.takes_all and all(node.retryability is _DETERMINISTIC for node in failed)
    if failed and hopeless and step.state is RunState.ERROR:
        return planned_step(asked, StepAction.DROP, "every failure in it is deterministic", left_out=failed)
    return whole_step(asked, "it failed, and is run as a whole", failed)


def _is_deterministic_log(step: Step, situation: Situation) -> bool:
    if situation.takes_all or step.state is not RunState.ERROR:
        return False
    return judge_log(step.log, adapter_type=situation.adapter_type) is _DETERMINISTIC


def _failed_nodes(step: Step, situation: Situation) -> list[NodeResult]:
    """What failed although the step counts as successful (dbt may end well with `partial success`)."""
    rows = node_rows(step)
    return [row for row in rows.values() if is_failure(row.status) and not _is_done(row.unique_id, step, situation)]


def _is_done(unique_id: str, step: Step, situation: Situation) -> bool:
    return situation.done.get(unique_id, -1) > step.index


class _StepPlanner:
    """A started step with results of its own."""

    def __init__(self, asked: AskedStep, step: Step, situation: Situation) -> None:
        self._asked = asked
        self._step = step
        self._situation = situation
        self._selector = situation.selector
        self._command = parse_command(asked.command)
        self._rows = node_rows(step)
        self._ephemeral = [row for row in self._rows.values() if is_failure(row.status) and self._is_compiled(row)]
        self._hooks = [row for row in (step.results.nodes if step.results else ()) if is_hook(row.unique_id)]

    def plan(self) -> PlannedStep:
        rows = [row for row in self._rows.values() if self._is_needed(row)]
        missing = self._missing(rows)
        if missing is None:
            return self._whole("it was cut off, and what it had still to do cannot be told from the manifest")
        failed_hooks = [row for row in self._hooks if is_failure(row.status)]
        if not rows and not missing:
            return self._only_ephemeral() if self._ephemeral else self._nothing_failed(failed_hooks)
        needs = self._divide(rows, missing, failed_hooks)
        if not needs.retried:
            return self._left_out(needs, "every failure in it is deterministic")
        return self._rerun(needs)

    @property
    def _is_cut_off(self) -> bool:
        return self._step.state not in (RunState.ERROR, RunState.SUCCESS)

    def _missing(self, needed: Sequence[NodeResult]) -> list[str] | None:
        """What the step had to run and has no result; None where that must be known, and cannot."""
        results = self._step.results
        if self._selector is None or self._command is None or results is None:
            return None if self._is_cut_off else []
        if self._is_cut_off:
            found = not_reported(self._selector, self._command, results, self._rows)
            return None if found is None else sorted(found)
        if self._step.state is not RunState.ERROR or not needed:
            return []
        found = lost(self._selector, self._command, results, self._rows, self._situation.version)
        return sorted(one for one in found if not _is_done(one, self._step, self._situation))

    def _is_needed(self, row: NodeResult) -> bool:
        if _is_done(row.unique_id, self._step, self._situation) or self._is_compiled(row):
            return False
        if is_failure(row.status):
            return True
        if self._step.state is RunState.SUCCESS:  # the new engine says `skipped` of what has nothing to do
            return False
        return is_skipped(row.status) or (kind(row.status) is Kind.WARNED and self._warnings_are_errors)

    def _is_compiled(self, row: NodeResult) -> bool:
        """Whether the row is of an ephemeral model: part of those that use it, it is listed at times all the same."""
        node = self._selector.nodes.get(row.unique_id) if self._selector else None
        return node is not None and is_ephemeral(node)

    @property
    def _warnings_are_errors(self) -> bool:
        return self._command is not None and self._command.has("--warn-error")

    def _nothing_failed(self, failed_hooks: Sequence[NodeResult]) -> PlannedStep:
        if failed_hooks:
            return self._only_hooks(failed_hooks)
        if any(not is_over(row.status) and not self._is_compiled(row) for row in self._rows.values()):
            return skipped_step(self._asked, "what failed in it succeeded in a later step")
        if self._is_cut_off:
            return skipped_step(self._asked, "all of its nodes had succeeded before it was cut off")
        if self._rows and "on-run-end failed" in self._step.log:  # before 1.9 the results do not list hooks
            return self._drop("only its on-run-end hook failed: no node is left to be run again")
        if _is_deterministic_log(self._step, self._situation):
            return self._drop("no node of it failed, but its log shows a failure that would happen again")
        return self._whole("it failed, but none of its nodes did")

    def _only_ephemeral(self) -> PlannedStep:
        failed = tuple(failed_node(row, self._judge(row)) for row in self._ephemeral)
        if all(self._is_hopeless(node.retryability) for node in failed):
            return self._left_out(_Needs((), failed), "every failure in it is deterministic")
        return replace(
            self._whole("only ephemeral models of it failed, which are never run by themselves"), nodes=failed
        )

    def _only_hooks(self, failed: Sequence[NodeResult]) -> PlannedStep:
        hooks = tuple(self._hook(row) for row in failed)
        if self._rows or any("on-run-end" in row.unique_id for row in failed):
            which = "on-run-end" if any("on-run-end" in row.unique_id for row in failed) else "on-run-start"
            return self._drop(f"only its {which} hook failed: no node is left to be run again", left_out=hooks)
        if all(hook.retryability is _DETERMINISTIC for hook in hooks) and not self._situation.takes_all:
            return self._drop("its on-run-start hook failed, and would again", left_out=hooks)
        return self._whole("its on-run-start hook failed, so none of its nodes ran")

    def _hook(self, row: NodeResult) -> PlannedNode:
        return failed_node(row, self._judge(row))

    def _divide(self, rows: Sequence[NodeResult], missing: Iterable[str], failed_hooks: Sequence[NodeResult]) -> _Needs:
        failed = self._verdicts(rows)
        hopeless = {unique_id for unique_id, verdict in failed.items() if self._is_hopeless(verdict)}
        stopped = self._stopped_by_hook(failed_hooks)
        held = self._held_by(hopeless)
        causes = self._causes({row.unique_id for row in rows} - failed.keys(), failed, hopeless)
        retried: list[PlannedNode] = []
        left_out = [failed_node(row, failed[row.unique_id]) for row in self._ephemeral if row.unique_id in hopeless]
        for row in rows:
            verdict = failed.get(row.unique_id)
            if verdict is not None:
                node = failed_node(row, verdict)
            else:
                node = skipped_node(row, causes.get(row.unique_id), hopeless)
            gone = row.unique_id in hopeless or (verdict is None and (stopped or row.unique_id in held))
            (left_out if gone else retried).append(node)
        for unique_id in missing:
            why = "the step was cut off before its turn" if self._is_cut_off else "the results say nothing of it"
            node = PlannedNode(unique_id=unique_id, status="not started", reason=why)
            (left_out if unique_id in held else retried).append(node)
        return self._without_orphans(_Needs(tuple(retried), tuple(left_out)))

    def _verdicts(self, rows: Sequence[NodeResult]) -> dict[str, Retryability]:
        """What has failed, judged, and what was skipped for an ephemeral model that dbt lists no result of."""
        failed = {row.unique_id: self._judge(row) for row in (*rows, *self._ephemeral) if not is_skipped(row.status)}
        explained = failed.keys() | self._held_by(failed)
        for row in rows:
            cause = ephemeral_cause(row) if is_skipped(row.status) else None
            if cause is not None and cause not in explained:
                failed[row.unique_id] = _DETERMINISTIC
        return failed

    def _judge(self, row: NodeResult) -> Retryability:
        node = self._selector.nodes.get(row.unique_id) if self._selector else None
        return judge(
            row.status,
            row.message,
            adapter_type=self._situation.adapter_type,
            resource_type=node.resource_type if node else row.unique_id.partition(".")[0],
        )

    def _is_hopeless(self, verdict: Retryability) -> bool:
        return verdict is _DETERMINISTIC and not self._situation.takes_all

    def _stopped_by_hook(self, failed_hooks: Sequence[NodeResult]) -> bool:
        """A project may let nothing run after an on-run-start hook that failed (`skip_nodes_if_on_run_start_fails`)."""
        return all(is_skipped(row.status) for row in self._rows.values()) and any(
            "on-run-start" in row.unique_id and self._is_hopeless(self._judge(row)) for row in failed_hooks
        )

    def _held_by(self, failures: Collection[str]) -> frozenset[str]:
        if self._selector is None or self._command is None:
            return frozenset()
        return blocked_by(self._selector, failures, self._command.verb)

    def _causes(self, skipped: Collection[str], failed: Iterable[str], hopeless: Collection[str]) -> dict[str, str]:
        """For each skipped node a failure that it waits for, those that are not run again first."""
        if self._selector is None or self._command is None:
            return {}
        failures = sorted(failed, key=lambda unique_id: unique_id not in hopeless)
        causes = causes_of(self._selector, failures, self._command.verb)
        return {unique_id: causes[unique_id] for unique_id in skipped if unique_id in causes}

    def _without_orphans(self, needs: _Needs) -> _Needs:
        """`dbt build` runs a unit test with its model only: without the one there is no retry of the other."""
        if self._selector is None or self._command is None or self._command.verb != "build":
            return needs
        gone = {node.unique_id for node in needs.left_out}
        orphans = [
            node
            for node in needs.retried
            if node.unique_id.startswith("unit_test.") and model_of(self._selector, node.unique_id) in gone
        ]
        kept = tuple(node for node in needs.retried if node not in orphans)
        lost = tuple(replace(node, reason=f"{node.reason}; its model is not run again") for node in orphans)
        return _Needs(kept, (*needs.left_out, *lost))

    def _rerun(self, needs: _Needs) -> PlannedStep:
        rewritten = self._rewritten(needs)
        if rewritten.commands:
            return self._nodes(needs, rewritten.commands)
        # Whole, it runs what would fail again too: then nothing is left out, and the run itself tells.
        along = tuple(replace(node, reason=f"{node.reason}; run again with the whole step") for node in needs.left_out)
        return self._whole(rewritten.obstacle, (*needs.retried, *along))

    def _rewritten(self, needs: _Needs) -> Rewritten:
        """The command over the nodes that are retried, or the obstacle to it."""
        if self._command is None:
            return Rewritten(obstacle="its command was not understood, so it is not edited")
        if not self._command.is_node_command:
            return Rewritten(obstacle=f"the nodes of `dbt {self._command.verb}` are not run one by one")
        if self._selector is None:
            return Rewritten(obstacle="there is no manifest to name its nodes by")
        wanted = frozenset(node.unique_id for node in needs.retried)
        gone = {node.unique_id for node in needs.left_out}
        unused = (row for row in self._ephemeral if not self._selector.reach([row.unique_id]) & wanted)
        if any(row.unique_id not in gone for row in unused):
            return Rewritten(obstacle="an ephemeral model of it failed, which nothing that is run again uses")
        return rewrite(
            self._selector, self._command, wanted, version=self._situation.version, may_divide=bool(needs.left_out)
        )

    def _nodes(self, needs: _Needs, commands: tuple[str, ...]) -> PlannedStep:
        retried = {node.unique_id for node in needs.retried}
        kept = [row for row in self._rows.values() if row.unique_id not in retried]
        divided = f"; one command for them would be too long, so there are {len(commands)}" if commands[1:] else ""
        return planned_step(
            self._asked,
            StepAction.NODES,
            f"{len(needs.retried)} of its {max(len(self._rows), len(needs.retried))} nodes did not succeed{divided}",
            commands=commands,
            nodes=needs.retried,
            left_out=needs.left_out,
            saved=kept,
        )

    def _left_out(self, needs: _Needs, reason: str) -> PlannedStep:
        return self._drop(reason, left_out=needs.left_out)

    def _drop(self, reason: str, *, left_out: tuple[PlannedNode, ...] = ()) -> PlannedStep:
        return planned_step(self._asked, StepAction.DROP, reason, left_out=left_out)

    def _whole(self, reason: str, nodes: tuple[PlannedNode, ...] = ()) -> PlannedStep:
        return whole_step(self._asked, reason, nodes)
