"""What a retry does with one step: nothing, all of it, or the nodes that did not succeed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dbt_cloud_run.dbt.blocking import blocked_by
from dbt_cloud_run.dbt.commands import DbtCommand, parse_command, runs_operation
from dbt_cloud_run.dbt.failures import judge, judge_log
from dbt_cloud_run.dbt.naming import ExactSelection, name_exactly, narrow_exactly
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
from dbt_cloud_run.retry.alignment import AskedStep
from dbt_cloud_run.retry.unreported import lost, not_reported

MAX_COMMAND_LENGTH = 8_000
"""Characters of a rewritten command. dbt Cloud documents no limit for a step; this one is well below those of the
shells, proxies and databases that a step's name passes through."""

BUILDING = frozenset({"build", "run", "test", "seed", "snapshot"})
"""`args.which` of the commands whose success means that a node is done; cloning or compiling it is something else."""

_NEEDS_TEST_MODE = frozenset({"build", "test"})
_DETERMINISTIC = Retryability.DETERMINISTIC


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known beyond the step itself. `done`: node → index of the last step in which it succeeded."""

    selector: Selector | None
    adapter_type: str | None
    takes_all: bool
    done: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Needs:
    """The nodes of a step that did not succeed, divided by what becomes of them."""

    retried: tuple[PlannedNode, ...]
    left_out: tuple[PlannedNode, ...]


def plan_step(asked: AskedStep, situation: Situation) -> PlannedStep:
    """Decide about one command that the run was asked for, as if nothing before it had failed."""
    step = asked.step
    if step is None or not asked.is_started:
        return _planned(asked, StepAction.WHOLE, "it never started")
    if step.state is RunState.SUCCESS and not _failed_nodes(step, situation):
        return _skipped(asked, "succeeded")
    if runs_operation(asked.command):
        if situation.takes_all:
            return _planned(asked, StepAction.WHOLE, "the macro failed, and every failure is retried")
        return _planned(
            asked, StepAction.DROP, "a macro may not be repeatable: it is run again with `retry-on: any` only"
        )
    if step.results is None:
        return _without_results(asked, step, situation)
    return _StepPlanner(asked, step, situation).plan()


def _without_results(asked: AskedStep, step: Step, situation: Situation) -> PlannedStep:
    reason = step.distrusted or "it has no results"
    command = parse_command(asked.command)
    if command is not None and command.verb == "source freshness":
        return _planned(asked, StepAction.WHOLE, "it failed")
    if _is_deterministic_log(step, situation):
        return _planned(asked, StepAction.DROP, f"{reason}, and its log shows a failure that would happen again")
    return _planned(asked, StepAction.WHOLE, f"{reason} that could be trusted" if not step.distrusted else reason)


def _is_deterministic_log(step: Step, situation: Situation) -> bool:
    if situation.takes_all or step.state is not RunState.ERROR:
        return False
    return judge_log(step.log, adapter_type=situation.adapter_type) is _DETERMINISTIC


def _failed_nodes(step: Step, situation: Situation) -> list[NodeResult]:
    """What failed although the step counts as successful (dbt may end well with `partial success`)."""
    rows = _rows(step)
    return [row for row in rows.values() if is_failure(row.status) and not _is_done(row.unique_id, step, situation)]


def _rows(step: Step) -> dict[str, NodeResult]:
    """The step's nodes by their last row, hooks left out."""
    nodes = step.results.nodes if step.results else ()
    return {row.unique_id: row for row in nodes if not is_hook(row.unique_id)}


def is_hook(unique_id: str) -> bool:
    return unique_id.startswith("operation.")


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
        self._rows = _rows(step)
        self._hooks = [row for row in (step.results.nodes if step.results else ()) if is_hook(row.unique_id)]

    def plan(self) -> PlannedStep:
        rows = [row for row in self._rows.values() if self._is_needed(row)]
        missing = self._missing(rows)
        if missing is None:
            return self._whole("it was cut off, and what it had still to do cannot be told from the manifest")
        failed_hooks = [row for row in self._hooks if is_failure(row.status)]
        if not rows and not missing:
            return self._nothing_failed(failed_hooks)
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
        found = lost(self._selector, self._command, results, self._rows)
        return sorted(one for one in found if not _is_done(one, self._step, self._situation))

    def _is_needed(self, row: NodeResult) -> bool:
        if _is_done(row.unique_id, self._step, self._situation) or self._is_ephemeral(row.unique_id):
            return False
        if is_failure(row.status):
            return True
        if self._step.state is RunState.SUCCESS:  # the new engine says `skipped` of what has nothing to do
            return False
        return is_skipped(row.status) or (kind(row.status) is Kind.WARNED and self._warnings_are_errors)

    def _is_ephemeral(self, unique_id: str) -> bool:
        """An ephemeral model is part of those that use it; `--fail-fast` lists it as skipped all the same."""
        node = self._selector.nodes.get(unique_id) if self._selector else None
        return node is not None and is_ephemeral(node)

    @property
    def _warnings_are_errors(self) -> bool:
        return self._command is not None and self._command.has("--warn-error")

    def _nothing_failed(self, failed_hooks: Sequence[NodeResult]) -> PlannedStep:
        if failed_hooks:
            return self._only_hooks(failed_hooks)
        if any(not _is_over(row.status) for row in self._rows.values()):
            return _skipped(self._asked, "what failed in it succeeded in a later step")
        if self._is_cut_off:
            return _skipped(self._asked, "all of its nodes had succeeded before it was cut off")
        if self._rows and "on-run-end failed" in self._step.log:  # before 1.9 the results do not list hooks
            return self._drop("only its on-run-end hook failed: no node is left to be run again")
        if _is_deterministic_log(self._step, self._situation):
            return self._drop("no node of it failed, but its log shows a failure that would happen again")
        return self._whole("it failed, but none of its nodes did")

    def _only_hooks(self, failed: Sequence[NodeResult]) -> PlannedStep:
        hooks = tuple(self._hook(row) for row in failed)
        if self._rows or any("on-run-end" in row.unique_id for row in failed):
            which = "on-run-end" if any("on-run-end" in row.unique_id for row in failed) else "on-run-start"
            return self._drop(f"only its {which} hook failed: no node is left to be run again", left_out=hooks)
        if all(hook.retryability is _DETERMINISTIC for hook in hooks) and not self._situation.takes_all:
            return self._drop("its on-run-start hook failed, and would again", left_out=hooks)
        return self._whole("its on-run-start hook failed, so none of its nodes ran")

    def _hook(self, row: NodeResult) -> PlannedNode:
        return _failed_node(row, self._judge(row))

    def _divide(self, rows: Sequence[NodeResult], missing: Iterable[str], failed_hooks: Sequence[NodeResult]) -> _Needs:
        failed = {row.unique_id: self._judge(row) for row in rows if not is_skipped(row.status)}
        hopeless = {unique_id for unique_id, verdict in failed.items() if self._is_hopeless(verdict)}
        stopped = self._stopped_by_hook(failed_hooks)
        held = self._held_by(hopeless)
        causes = self._causes({row.unique_id for row in rows} - failed.keys(), failed, hopeless)
        retried: list[PlannedNode] = []
        left_out: list[PlannedNode] = []
        for row in rows:
            verdict = failed.get(row.unique_id)
            if verdict is not None:
                node = _failed_node(row, verdict)
            else:
                node = _skipped_node(row, causes.get(row.unique_id), hopeless)
            gone = row.unique_id in hopeless or (verdict is None and (stopped or row.unique_id in held))
            (left_out if gone else retried).append(node)
        for unique_id in missing:
            why = "the step was cut off before its turn" if self._is_cut_off else "the results say nothing of it"
            node = PlannedNode(unique_id=unique_id, status="not started", reason=why)
            (left_out if unique_id in held else retried).append(node)
        return self._without_orphans(_Needs(tuple(retried), tuple(left_out)))

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
        causes: dict[str, str] = {}
        for failure in sorted(failed, key=lambda unique_id: unique_id not in hopeless):
            if len(causes) == len(skipped):
                break
            for unique_id in self._held_by([failure]) & frozenset(skipped):
                causes.setdefault(unique_id, failure)
        return causes

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
        obstacle, new_command = self._rewritten(needs)
        if new_command is not None:
            return self._nodes(needs, new_command)
        if needs.left_out:
            return self._left_out(
                _Needs((), (*needs.left_out, *needs.retried)), f"{obstacle}, and part of it would fail again"
            )
        return replace(self._whole(obstacle), nodes=needs.retried)

    def _rewritten(self, needs: _Needs) -> tuple[str, str | None]:
        """The command over the nodes that are retried, or the obstacle to it."""
        if self._command is None:
            return "its command was not understood, so it is not edited", None
        if not self._command.is_node_command:
            return f"the nodes of `dbt {self._command.verb}` are not run one by one", None
        if self._selector is None:
            return "there is no manifest to name its nodes by", None
        return _rewrite(self._selector, self._command, frozenset(node.unique_id for node in needs.retried))

    def _nodes(self, needs: _Needs, new_command: str) -> PlannedStep:
        retried = {node.unique_id for node in needs.retried}
        kept = [row for row in self._rows.values() if row.unique_id not in retried]
        return _planned(
            self._asked,
            StepAction.NODES,
            f"{len(needs.retried)} of its {max(len(self._rows), len(needs.retried))} nodes did not succeed",
            new_command=new_command,
            nodes=needs.retried,
            left_out=needs.left_out,
            saved=kept,
        )

    def _left_out(self, needs: _Needs, reason: str) -> PlannedStep:
        return self._drop(reason, left_out=needs.left_out)

    def _drop(self, reason: str, *, left_out: tuple[PlannedNode, ...] = ()) -> PlannedStep:
        return _planned(self._asked, StepAction.DROP, reason, left_out=left_out)

    def _whole(self, reason: str) -> PlannedStep:
        return _planned(self._asked, StepAction.WHOLE, reason)


def _rewrite(selector: Selector, command: DbtCommand, wanted: frozenset[str]) -> tuple[str, str | None]:
    exact = name_exactly(selector, wanted, command)
    line = _render(command, exact)
    if line is None:
        return "its nodes cannot be named exactly", None
    if len(line) <= MAX_COMMAND_LENGTH:
        return "", line
    narrowed = narrow_exactly(selector, wanted, command)
    if narrowed is not None and narrowed.exclude == command.selection.exclude:
        return "none of its nodes succeeded", None
    line = _render(command, narrowed)
    if line is not None and len(line) <= MAX_COMMAND_LENGTH:
        return "", line
    return f"the names of its nodes would be longer than {MAX_COMMAND_LENGTH} characters", None


def _render(command: DbtCommand, exact: ExactSelection | None) -> str | None:
    if exact is None:
        return None
    indirect = exact.indirect if command.verb in _NEEDS_TEST_MODE else None
    return command.with_selection(exact.select, exact.exclude, indirect=indirect).render()


def _is_over(status: str) -> bool:
    return kind(status) in (Kind.SUCCEEDED, Kind.WARNED)


def _skipped_node(row: NodeResult, cause: str | None, hopeless: Collection[str]) -> PlannedNode:
    reason = "skipped"
    if row.message and "fail_fast" in row.message.replace("-", "_"):
        reason = "not started: the step stops at the first failure"
    elif cause is not None:
        reason = f"skipped because of {cause}" + (", which is not run again" if cause in hopeless else "")
    return PlannedNode(unique_id=row.unique_id, status=row.status, reason=reason)


def _failed_node(row: NodeResult, verdict: Retryability) -> PlannedNode:
    message = " ".join((row.message or "").split())
    shown = message if len(message) <= 160 else f"{message[:159]}…"
    return PlannedNode(
        unique_id=row.unique_id,
        status=row.status,
        reason=f"{row.status}: {shown} ({verdict})" if shown else f"{row.status} ({verdict})",
        retryability=verdict,
        seconds_before=row.execution_seconds,
    )


def _skipped(asked: AskedStep, reason: str) -> PlannedStep:
    rows = _rows(asked.step).values() if asked.step else ()
    return _planned(asked, StepAction.SKIP, reason, saved=list(rows))


def _planned(
    asked: AskedStep,
    action: StepAction,
    reason: str,
    *,
    new_command: str | None = None,
    nodes: tuple[PlannedNode, ...] = (),
    left_out: tuple[PlannedNode, ...] = (),
    saved: Sequence[NodeResult] = (),
) -> PlannedStep:
    return PlannedStep(
        index=asked.step.index if asked.step and asked.step.index else None,
        command=asked.command,
        action=action,
        reason=reason,
        new_command=asked.command if action is StepAction.WHOLE else new_command,
        nodes=nodes,
        left_out=left_out,
        saved_nodes=len(saved),
        saved_seconds=sum(row.execution_seconds for row in saved),
    )
