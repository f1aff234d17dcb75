"""What a step of an attempt still needs, as one value. What follows from it is decided in `steps.py`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from dbt_cloud_run.dbt.blocking import blocked_by, causes_of, holds_nothing
from dbt_cloud_run.dbt.commands import DbtCommand, parse_command
from dbt_cloud_run.dbt.failures import judge
from dbt_cloud_run.dbt.hook_failures import failed_hook
from dbt_cloud_run.dbt.repeating import may_repeat
from dbt_cloud_run.dbt.selection import model_of
from dbt_cloud_run.dbt.statuses import Kind, is_failure, is_skipped, kind
from dbt_cloud_run.dbt.verbs import runs_operation
from dbt_cloud_run.model import RunState, Step, StepResults
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import NOT_STARTED, PlannedNode, Retryability
from dbt_cloud_run.retry.alignment import AskedStep, is_lint
from dbt_cloud_run.retry.hollow import has_failed_surely, hollow_before
from dbt_cloud_run.retry.nodes import (
    carriers_of,
    ephemeral_cause,
    failed_node,
    is_hook,
    is_over,
    node_rows,
    skipped_node,
)
from dbt_cloud_run.retry.repeats import under_way
from dbt_cloud_run.retry.situation import Situation
from dbt_cloud_run.retry.unreported import lost, not_reported, was_cut_off
from dbt_cloud_run.retry.windows import refreshes_fully

_DETERMINISTIC = Retryability.DETERMINISTIC


class Case(Enum):
    """How a step stands."""

    SUCCEEDED = auto()
    SUCCEEDED_LATER = auto()  # what failed in it succeeded in a later step
    FINISHED = auto()  # it was cut off after its last node
    NEVER_STARTED = auto()
    LINT = auto()
    OPERATION = auto()
    NO_RESULTS = auto()
    UNREAD_RESULTS = auto()
    HOPELESS_LOG = auto()  # no node is known to have failed, and the log shows a failure that would happen again
    FRESHNESS = auto()
    STALE = auto()  # every failed source is too old, or would fail again
    UNKNOWN_REST = auto()  # cut off, or not listed in full, and the manifest does not show what was to come
    NODES = auto()  # some nodes are worth another try
    HOPELESS_NODES = auto()  # none is
    HOLLOW = auto()  # all succeeded, some on what had failed in a step before it that counts as successful
    HOLLOW_ALONE = auto()  # so they did, and none of them may be repeated
    EPHEMERAL = auto()  # only ephemeral models failed, which never run by themselves
    HOOK = auto()  # it failed, and every node succeeded
    HOOK_ALONE = auto()  # so it did, and no node may be repeated for it
    START_HOOK = auto()  # it failed before any node ran
    HOPELESS_START_HOOK = auto()
    NO_FAILED_NODE = auto()  # the step failed, and its results do not show why


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a step still needs: how it stands, the nodes that are worth another try, and those that are not."""

    case: Case
    retried: tuple[PlannedNode, ...] = ()
    left_out: tuple[PlannedNode, ...] = ()
    detail: str = ""  # the hook that failed, or why the results are not used

    @property
    def wanted(self) -> frozenset[str]:
        return frozenset(node.unique_id for node in self.retried)


def needs_of(asked: AskedStep, situation: Situation) -> Needs:
    """What one command that the run was asked for still needs, as if nothing before it had failed."""
    step = asked.step
    if step is None or not asked.is_started:
        return Needs(case=Case.NEVER_STARTED)
    if step.state is RunState.SUCCESS and not _failed_all_the_same(step, situation):
        return Needs(case=Case.SUCCEEDED)
    if is_lint(step) and step.state is RunState.ERROR and not situation.takes_all:
        return Needs(case=Case.LINT)
    if runs_operation(asked.command):
        return Needs(case=Case.OPERATION)
    if step.freshness:
        return _needs_of_freshness(step, situation)
    if step.results is None:
        case = Case.HOPELESS_LOG if situation.is_hopeless_log(step) else Case.NO_RESULTS
        if case is Case.NO_RESULTS and not step.distrusted and (why := situation.why_unread(step)):
            return Needs(case=Case.UNREAD_RESULTS, detail=why.rstrip("."))
        return Needs(case=case, detail=step.distrusted or "")
    return _Results(asked, step, step.results, situation).needs()


def _needs_of_freshness(step: Step, situation: Situation) -> Needs:
    """Data that is too old is as old in the retry; a source that could not be asked is judged by its message."""
    failed = tuple(
        failed_node(NodeResult(unique_id=row.unique_id, status=row.status, message=row.message), verdict)
        for row in step.freshness
        if is_failure(row.status)
        for verdict in [judge(row.status, row.message, adapter_type=situation.adapter_type, resource_type="source")]
    )
    hopeless = all(situation.is_hopeless(node.retryability) for node in failed)
    if failed and hopeless and step.state is RunState.ERROR:
        return Needs(case=Case.STALE, left_out=failed)
    return Needs(case=Case.FRESHNESS, retried=failed)


def _failed_all_the_same(step: Step, situation: Situation) -> bool:
    """Whether nodes failed although the step counts as successful (dbt may end well with `partial success`)."""
    rows = node_rows(step)
    hollow = hollow_before(situation.hollow, step)
    if situation.selector is not None and not situation.selector.reach(hollow).isdisjoint(rows):
        return True
    return any(is_failure(row.status) and not situation.is_done(row.unique_id, step) for row in rows.values())


class _Results:
    """A started step with results of its own; holds what each of the questions about it needs."""

    def __init__(self, asked: AskedStep, step: Step, results: StepResults, situation: Situation) -> None:
        self._step = step
        self._results = results
        self._situation = situation
        self._selector = situation.selector
        self._command: DbtCommand | None = parse_command(asked.command)
        self._rows = node_rows(step)
        self._ephemeral = failed_ephemeral(step, situation)
        hooks = (row for row in results.nodes if is_hook(row.unique_id))
        self._failed_hooks = [row for row in hooks if is_failure(row.status)]

    def needs(self) -> Needs:
        rows = [row for row in self._rows.values() if self._is_needed(row)]
        missing = self._missing(rows)
        if missing is None:
            known = self._divided(rows, ()) if rows else Needs(case=Case.UNKNOWN_REST)
            return replace(known, case=Case.UNKNOWN_REST, retried=(*known.retried, *known.left_out), left_out=())
        if rows or not all(self._situation.is_done(one, self._step) for one in missing):
            return self._divided(rows, missing)
        if (hollow := self._of_hollow()) is not None:
            return hollow
        if self._step.state is RunState.SUCCESS:  # what failed in it, or before it, is done by now
            return Needs(case=Case.SUCCEEDED)
        return self._of_ephemeral() if self._ephemeral else self._without_failed_nodes()

    @property
    def _is_cut_off(self) -> bool:
        return was_cut_off(self._step)

    def _missing(self, needed: Sequence[NodeResult]) -> list[str] | None:
        """What the step had to run and has no result, here at least; None where that must be known, and cannot."""
        results = self._results
        if self._selector is None or self._command is None:
            return None if self._is_cut_off else []
        if self._is_cut_off or results.lost_rows:
            found = not_reported(self._selector, self._command, results, self._rows)
        elif self._step.state is RunState.ERROR and needed:
            found = lost(self._selector, self._command, results, self._rows, self._situation.version)
        else:
            return []
        return None if found is None else sorted(found)

    def _is_needed(self, row: NodeResult) -> bool:
        if self._situation.is_done(row.unique_id, self._step) or self._situation.is_compiled(row.unique_id):
            return False
        if is_failure(row.status):
            return True
        if self._step.state is RunState.SUCCESS:  # the new engine says `skipped` of what has nothing to do
            return False
        return is_skipped(row.status) or (kind(row.status) is Kind.WARNED and self._warnings_are_errors)

    @property
    def _warnings_are_errors(self) -> bool:
        return self._command is not None and self._command.has("--warn-error")

    def _without_failed_nodes(self) -> Needs:
        if self._failed_hooks:
            return self._of_hooks()
        if any(
            not is_over(row.status) and not self._situation.is_compiled(row.unique_id) for row in self._rows.values()
        ):
            return Needs(case=Case.SUCCEEDED_LATER)
        if self._is_cut_off:
            return Needs(case=Case.FINISHED)
        if self._rows and (hook := failed_hook(self._step.log)) is not None:
            # Before 1.9, and from 2.0 on, the results do not list hooks.
            return self._of_hook(hook, ())
        return Needs(case=Case.HOPELESS_LOG if self._situation.is_hopeless_log(self._step) else Case.NO_FAILED_NODE)

    def _of_hollow(self) -> Needs | None:
        found = list(self._built_on_failures((), ()))
        if not found:
            return None
        needs = self._without_orphans([one for one, may in found if may], [one for one, may in found if not may])
        return replace(needs, case=Case.HOLLOW if needs.retried else Case.HOLLOW_ALONE)

    def _of_ephemeral(self) -> Needs:
        failed = tuple(failed_node(row, self._situation.judge(row)) for row in self._ephemeral)
        if all(self._situation.is_hopeless(node.retryability) for node in failed):
            return Needs(case=Case.HOPELESS_NODES, left_out=failed)
        return Needs(case=Case.EPHEMERAL, retried=failed)

    def _of_hooks(self) -> Needs:
        hooks = tuple(failed_node(row, self._situation.judge(row)) for row in self._failed_hooks)
        is_at_end = any("on-run-end" in row.unique_id for row in self._failed_hooks)
        if self._rows or is_at_end:
            return self._of_hook("on-run-end" if is_at_end else "on-run-start", hooks)
        if all(self._situation.is_hopeless(hook.retryability) for hook in hooks):
            return Needs(case=Case.HOPELESS_START_HOOK, left_out=hooks)
        return Needs(case=Case.START_HOOK)

    def _of_hook(self, name: str, hooks: tuple[PlannedNode, ...]) -> Needs:
        """A hook runs with nodes only: with `retry-on: any`, with the least of them."""
        if not self._situation.takes_all:
            return Needs(case=Case.HOOK, left_out=hooks, detail=name)
        refreshes = refreshes_fully(self._command, self._step)
        carriers = carriers_of(self._selector, self._rows.values(), full_refresh=refreshes)
        why = f"it is re-run so that the {name} hook runs"
        retried = tuple(PlannedNode(unique_id=one, status=self._rows[one].status, reason=why) for one in carriers)
        case = Case.HOOK if retried or not self._rows or self._selector is None else Case.HOOK_ALONE
        return Needs(case=case, retried=retried, left_out=() if case is Case.HOOK else hooks, detail=name)

    def _divided(self, rows: Sequence[NodeResult], missing: Collection[str]) -> Needs:
        """The nodes that did not succeed: those that are worth another try, and those that are not."""
        failed = self._verdicts(rows)
        hopeless = {unique_id for unique_id, verdict in failed.items() if self._situation.is_hopeless(verdict)}
        stopped = self._is_stopped_by_hook()
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
            if self._situation.is_done(unique_id, self._step):
                continue
            why = "the step was cut off before its turn" if self._is_cut_off else "the results do not contain it"
            if is_spent := self._may_be_spent(unique_id):
                why = "its result is not known: it may have succeeded, and may not be repeated"
            node = PlannedNode(unique_id=unique_id, status=NOT_STARTED, reason=why)
            (left_out if is_spent or unique_id in held else retried).append(node)
        for node, may_run in self._built_on_failures({node.unique_id for node in retried}, missing):
            (retried if may_run else left_out).append(node)
        return self._without_orphans(retried, left_out)

    def _may_be_spent(self, unique_id: str) -> bool:
        """Whether a node without a row may have succeeded all the same, and may not do so twice."""
        if self._situation.takes_all or self._selector is None:
            return False
        node = self._selector.nodes[unique_id]
        is_open = bool(self._results.lost_rows) or bool(under_way(self._step, [node]))
        return is_open and not may_repeat(node, full_refresh=refreshes_fully(self._command, self._step))

    def _built_on_failures(
        self, retried: Collection[str], missing: Collection[str]
    ) -> Iterable[tuple[PlannedNode, bool]]:
        """What succeeded on the old contents of a model that had failed, and whether it may run.

        The command went on (`on_error: continue`), or the next one ran. `dbt retry` leaves such rows as they are.
        """
        selector = self._selector
        if selector is None:
            return
        is_green = self._step.state is RunState.SUCCESS
        surely = [one for one in retried if is_green and has_failed_surely(self._rows.get(one))]
        holding_nothing = [one for one in retried if holds_nothing(selector, one)]
        causes = {*surely, *holding_nothing, *hollow_before(self._situation.hollow, self._step)}
        refreshes = refreshes_fully(self._command, self._step)
        for unique_id in sorted(selector.reach(causes) & (self._rows.keys() | set(missing)) - set(retried)):
            status = self._rows[unique_id].status if unique_id in self._rows else NOT_STARTED
            is_built = is_over(status) or (is_green and is_skipped(status))
            # The cause has not succeeded since, so what another attempt has built on it has its old contents, too.
            if self._situation.is_compiled(unique_id) or not (
                is_built or self._situation.is_done(unique_id, self._step)
            ):
                continue
            # A later step of this attempt that has built it is asked the same.
            if self._situation.is_done_by_later_step(unique_id, self._step):
                continue
            may_run = self._situation.takes_all or may_repeat(selector.nodes[unique_id], full_refresh=refreshes)
            why = "built on the old contents of a model that had failed" + (
                "" if may_run else "; it may not be repeated"
            )
            yield PlannedNode(unique_id=unique_id, status=status, reason=why), may_run

    def _verdicts(self, rows: Sequence[NodeResult]) -> dict[str, Retryability]:
        """What has failed, judged, and what was skipped for an ephemeral model that dbt lists no result of."""
        failing = (row for row in (*rows, *self._ephemeral) if not is_skipped(row.status))
        failed = {row.unique_id: self._situation.judge(row) for row in failing}
        explained = failed.keys() | self._held_by(failed)
        for row in rows:
            cause = ephemeral_cause(row)
            if cause is not None and cause not in explained:
                failed[row.unique_id] = _DETERMINISTIC
        return failed

    def _is_stopped_by_hook(self) -> bool:
        """A project may let nothing run after an on-run-start hook that failed (`skip_nodes_if_on_run_start_fails`)."""
        return all(is_skipped(row.status) for row in self._rows.values()) and any(
            "on-run-start" in row.unique_id and self._situation.is_hopeless(self._situation.judge(row))
            for row in self._failed_hooks
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

    def _without_orphans(self, retried: Sequence[PlannedNode], left_out: Sequence[PlannedNode]) -> Needs:
        """`dbt build` runs a unit test with its model only: without the one there is no retry of the other."""
        orphans: list[PlannedNode] = []
        if self._selector is not None and self._command is not None and self._command.verb == "build":
            gone = {node.unique_id for node in left_out}
            tests = (node for node in retried if node.unique_id.startswith("unit_test."))
            orphans = [node for node in tests if model_of(self._selector, node.unique_id) in gone]
        kept = tuple(node for node in retried if node not in orphans)
        lost = (replace(node, reason=f"{node.reason}; its model is not re-run") for node in orphans)
        case = Case.NODES if kept else Case.HOPELESS_NODES
        return Needs(case=case, retried=kept, left_out=(*left_out, *lost))


def failed_ephemeral(step: Step | None, situation: Situation) -> list[NodeResult]:
    """The rows of ephemeral models that failed: dbt lists those that it could not compile."""
    rows = node_rows(step).values()
    return [row for row in rows if is_failure(row.status) and situation.is_compiled(row.unique_id)]
