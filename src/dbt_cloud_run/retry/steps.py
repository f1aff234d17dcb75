"""What a retry does with one step: what it still needs (`needs.py`), and one table of what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from dbt_cloud_run.dbt.batches import spans
from dbt_cloud_run.dbt.commands import DbtCommand, parse_command, why_not_understood
from dbt_cloud_run.dbt.costs import cost_of
from dbt_cloud_run.dbt.selection import Selector
from dbt_cloud_run.dbt.verbs import verb_of
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import NOT_STARTED, PlannedNode, PlannedStep, SavedNode, StepAction
from dbt_cloud_run.retry.alignment import AskedStep
from dbt_cloud_run.retry.commands import Rewritten, rewrite
from dbt_cloud_run.retry.deferral import favors_state, reading_of
from dbt_cloud_run.retry.needs import Case, Needs, failed_ephemeral, needs_of
from dbt_cloud_run.retry.nodes import counted_rows, hooks_of, is_over, node_rows
from dbt_cloud_run.retry.overdue import Overdue, in_turn, overdue_of
from dbt_cloud_run.retry.repeats import repeats_of
from dbt_cloud_run.retry.rest import Rest, rest_of
from dbt_cloud_run.retry.situation import Situation
from dbt_cloud_run.retry.unreported import is_listed_in_full, was_cut_off
from dbt_cloud_run.retry.windows import Fills, fills_of, refreshes_fully, span_of


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
    Case.FINISHED: _Decision(_SKIP, "it was cut off, and all of its nodes have succeeded"),
    Case.NEVER_STARTED: _Decision(_WHOLE, "it never started"),
    Case.LINT: _Decision(_DROP, "it found problems in the code, and would find them again"),
    Case.OPERATION: _Decision(
        _DROP,
        "a macro may not be repeatable: it is re-run only with `retry-on: any`",
        (_WHOLE, "the macro failed, and every failure is retried"),
    ),
    Case.NO_RESULTS: _Decision(_WHOLE, "it has no results"),
    Case.UNREAD_RESULTS: _Decision(_WHOLE, "its results could not be read: {detail}"),
    Case.HOPELESS_LOG: _Decision(_DROP, "its log shows a failure that would happen again"),
    Case.FRESHNESS: _Decision(_WHOLE, "it failed, and is run as a whole"),
    Case.STALE: _Decision(_DROP, "every failure in it is deterministic"),
    Case.UNKNOWN_REST: _Decision(_NODES, "the manifest does not show what it had still to run"),
    Case.NODES: _Decision(_NODES, "some of its nodes did not succeed"),
    Case.HOPELESS_NODES: _Decision(_DROP, "every failure in it is deterministic"),
    Case.HOLLOW: _Decision(_NODES, "some of its nodes were built on what had failed in a step before it"),
    Case.HOLLOW_ALONE: _Decision(
        _DROP, "it was built on what had failed in a step before it, and is repeated only with `retry-on: any`"
    ),
    Case.EPHEMERAL: _Decision(_WHOLE, "only ephemeral models of it failed, which are never run by themselves"),
    Case.HOOK: _Decision(
        _DROP,
        "its {detail} hook failed, which may not be repeatable: nothing after it runs. With `retry-on: any` the step "
        "is re-run with the least that may be repeated",
        (_NODES, "its {detail} hook failed: it is re-run with the least that may be repeated"),
    ),
    Case.HOOK_ALONE: _Decision(_DROP, "its {detail} hook failed, and no node that it could run with may be repeated"),
    Case.START_HOOK: _Decision(_WHOLE, "its on-run-start hook failed, so none of its nodes ran"),
    Case.HOPELESS_START_HOOK: _Decision(_DROP, "its on-run-start hook failed, and would fail again"),
    Case.NO_FAILED_NODE: _Decision(_WHOLE, "it failed, but none of its nodes did"),
}

_ANY = "`retry-on: any`"


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
    elif needs.case is Case.NO_RESULTS and asked.step is not None and not asked.step.log.strip():
        reason = f"{reason}, and dbt Cloud shows no log of it"
    if action is _SKIP:
        return _planned(asked, _SKIP, reason, saved=list(counted_rows(asked.step).values()))
    if action is _DROP:
        return _planned(asked, _DROP, reason, left_out=needs.left_out)
    return _Rerun(asked, needs, situation).planned(action, reason)


class _Rerun:
    """A step that runs again: over some of its nodes where that is possible, or whole where that does no harm."""

    def __init__(self, asked: AskedStep, needs: Needs, situation: Situation) -> None:
        self._asked = asked
        self._needs = needs
        self._situation = situation
        self._command: DbtCommand | None = parse_command(asked.command)
        self._fills = self._filling()

    def planned(self, action: StepAction, reason: str) -> PlannedStep:
        if action is _WHOLE and self._needs.case is Case.NEVER_STARTED:
            return self._as_it_was(reason)
        if self._fills.unknown:
            cure = "" if self._situation.takes_all else f": with {_ANY} all of its batches run, from its `begin` on"
            return self._dropped(
                f"which batches of {_some(self._fills.unknown)} failed is not known, and a plain re-run of a "
                f"microbatch model runs only its last ones{cure}"
            )
        return self._nodes(reason) if action is _NODES else self._whole(reason)

    def _filling(self) -> Fills:
        step, situation = self._asked.step, self._situation
        if step is None or self._needs.case is Case.NEVER_STARTED:
            return Fills()
        rows = node_rows(step)
        wanted = self._needs.wanted or frozenset(situation.selector.nodes if situation.selector else ()) - rows.keys()
        return fills_of(
            situation.selector,
            self._command,
            step,
            rows,
            wanted,
            filled=situation.filled_after(step),
            version=situation.version,
            takes_all=situation.takes_all,
            now=situation.now,
        )

    def _overdue(self) -> Overdue:
        """The microbatch models that this step may hold, and that have not run in it."""
        situation = self._situation
        started = None if self._needs.case is Case.NEVER_STARTED else self._asked.step
        rows = node_rows(started)
        ran = (
            {one for one, row in rows.items() if is_over(row.status)}
            | situation.done.keys()
            | self._fills.windows.keys()
        )
        if situation.selector is not None and is_listed_in_full(started, situation.version):
            ran |= situation.selector.nodes.keys() - rows.keys()
        return overdue_of(
            situation.selector,
            self._command,
            ran=ran,
            span=situation.stopped if started is None else span_of(started),
            now=situation.now,
            full_refresh=refreshes_fully(self._command, started),
            favors_state=situation.favors_state
            or favors_state(self._command, started.results if started else None) is True,
        )

    def _nodes(self, reason: str) -> PlannedStep:
        needs, rows = self._needs, node_rows(self._asked.step)
        if needs.case is Case.UNKNOWN_REST:
            return self._rest(reason)
        if not needs.retried:
            return self._whole(reason)
        rewritten, along = self._rewritten()
        if not rewritten.commands and self._command is not None and self._command.is_node_command:
            return self._rest(rewritten.obstacle)
        if not rewritten.commands:
            # Whole, it runs what would fail again too: then nothing is left out, and the run itself shows it.
            left = (replace(node, reason=f"{node.reason}; re-run with the whole step") for node in needs.left_out)
            return self._whole(rewritten.obstacle, tuple(left))
        commands = rewritten.commands
        divided = f"; one command for them would be too long, so there are {len(commands)}"
        count = len(needs.retried)
        if needs.case is Case.NODES:
            reason = f"{count} of its {max(len(counted_rows(self._asked.step)), count)} nodes did not succeed"
        run_again = (*self._retried(), *(_read_along(rows, one) for one in sorted(along)))
        return _planned(
            self._asked,
            _NODES,
            f"{reason}{divided if rewritten.is_divided else ''}",
            commands=commands,
            nodes=run_again,
            left_out=needs.left_out,
            saved=[row for row in rows.values() if row.unique_id not in needs.wanted | along],
        )

    def _rewritten(self) -> tuple[Rewritten, frozenset[str]]:
        """The commands over the nodes that are retried, or the obstacle; and what is run along with them."""
        command, selector, wanted = self._command, self._situation.selector, self._needs.wanted
        none = frozenset[str]()
        if command is None:
            return Rewritten(obstacle=f"its command is not edited: {why_not_understood(self._asked.command)}"), none
        if not command.is_node_command:
            return Rewritten(obstacle=f"the nodes of `dbt {command.verb}` are not run one by one"), none
        if selector is None:
            return Rewritten(obstacle="there is no manifest to name its nodes by"), none
        if self._has_unused_ephemeral(selector, wanted):
            return Rewritten(obstacle="an ephemeral model of it failed, which nothing that is re-run uses"), none
        step = self._asked.step
        reading = reading_of(
            selector,
            command,
            step.results if step else None,
            wanted,
            built=self._situation.built,
            version=self._situation.version,
            takes_all=self._situation.takes_all,
            full_refresh=refreshes_fully(command, step),
        )
        if reading.obstacle:
            return Rewritten(obstacle=reading.obstacle), none
        rewritten = rewrite(
            selector,
            command.without_favor_state() if reading.turns_off else command,
            wanted | reading.along,
            version=self._situation.version,
            may_divide=bool(self._needs.left_out),
            windows=self._fills.windows,
            due=self._fills.due,
        )
        return rewritten, reading.along

    def _rest(self, reason: str) -> PlannedStep:
        """The step's own selection and what failed of it, without what is done; or else the whole step."""
        step, command, selector = self._asked.step, self._command, self._situation.selector
        along = (
            replace(node, reason=f"{node.reason}; re-run with the rest of the step") for node in self._needs.left_out
        )
        left_out = tuple(along)
        if step is None or command is None or selector is None or not command.is_node_command:
            return self._whole(reason, left_out)
        rows = node_rows(step)
        if repeats_of(self._asked, command, self._situation) - rows.keys():
            # Whether these ran is lost: without them rows may be missing, with them rows may be there twice.
            return self._whole(reason)
        retried = self._needs.wanted
        done = {one: row for one, row in rows.items() if is_over(row.status) and one not in retried}
        wanted = retried | {node.unique_id for node in left_out}
        since = {one for one in self._situation.done if self._situation.is_done(one, step)} - wanted
        rest = rest_of(
            selector,
            command,
            Rest(
                wanted & selector.nodes.keys(),
                dict.fromkeys(since, 0.0) | {one: row.execution_seconds for one, row in done.items()},
                step.results,
                refreshes_fully(command, step),
                self._situation.version,
            ),
        )
        if not rest.commands:
            return self._whole(f"{reason}, and {rest.obstacle}", left_out)
        before = self._filled_first()
        if before.obstacle:
            return self._whole(reason)
        parts, why, unfilled = self._in_turn(rest.commands[0])
        planned = _planned(
            self._asked,
            _NODES,
            f"{reason}: its own selection is re-run, with what failed and without what succeeded{why}",
            commands=(*before.commands, *parts),
            nodes=(*self._retried(), *left_out),
            left_out=unfilled,
            saved=list(done.values()),
        )
        return replace(planned, is_open=True)

    def _has_unused_ephemeral(self, selector: Selector, wanted: frozenset[str]) -> bool:
        gone = {node.unique_id for node in self._needs.left_out}
        broken = failed_ephemeral(self._asked.step, self._situation)
        return any(not selector.reach([row.unique_id]) & wanted and row.unique_id not in gone for row in broken)

    def _whole(self, reason: str, more: tuple[PlannedNode, ...] = ()) -> PlannedStep:
        """The step as it was, after the failed batches of its models; `more` are nodes that fail again with it."""
        repeated = repeats_of(self._asked, self._command, self._situation)
        if repeated:
            return self._dropped(
                f"{reason}; re-run as a whole it would repeat {_some(repeated)}, "
                f"which may not be repeatable: only {_ANY} does that"
            )
        lines: tuple[str, ...] = ()
        if self._fills.windows:
            filling = self._filled_first()
            if not filling.commands:
                return self._dropped(f"{reason}; its failed batches cannot be run by themselves ({filling.obstacle})")
            lines = filling.commands
        return self._as_it_was(reason, more, lines)

    def _filled_first(self) -> Rewritten:
        """The commands that run the failed batches alone. No dbt that has microbatch models is too old to name them."""
        command, selector = self._command, self._situation.selector
        if command is None or selector is None or not command.is_node_command:
            return Rewritten(obstacle="its command was not understood")
        return rewrite(
            selector,
            command,
            frozenset(self._fills.windows),
            windows=self._fills.windows,
        )

    def _as_it_was(self, reason: str, more: tuple[PlannedNode, ...] = (), before: tuple[str, ...] = ()) -> PlannedStep:
        nodes = (*self._retried(), *more)
        step = self._asked.step
        rows = counted_rows(step)
        known = rows.keys() | {node.unique_id for node in nodes}
        repeated = sum(is_over(row.status) for row in rows.values())
        if repeated:
            reason += f"; {repeated} of its nodes succeeded and {'is' if repeated == 1 else 'are'} re-run"
        parts, why, unfilled = self._in_turn(self._asked.command)
        commands = (*before, *parts)
        planned = _planned(self._asked, _WHOLE, reason + why, commands=commands, nodes=nodes, left_out=unfilled)
        is_cut_off = not rows or (step is not None and was_cut_off(step))
        is_open = is_cut_off and verb_of(self._asked.command).builds
        return replace(planned, again=frozenset(known), is_open=is_open)

    def _in_turn(self, line: str) -> tuple[tuple[str, ...], str, tuple[PlannedNode, ...]]:
        """The line in parts, where it holds microbatch models whose batches were due before; that in words; and the
        models that are known to be in it and whose batches cannot be filled."""
        command, selector, overdue = parse_command(line), self._situation.selector, self._overdue()
        if command is None or selector is None or not overdue.windows:
            return (line,), "", ()
        overdue = overdue if line == self._asked.command else replace(overdue, selection=command.selection)
        divided = Rewritten(obstacle=overdue.obstacle) if overdue.obstacle else in_turn(selector, command, overdue)
        due = spans(sorted(set(overdue.windows.values())))
        if divided.commands:
            verb = "also fills" if len(overdue.windows) == 1 else "also fill"
            return divided.commands, f"; {_some(overdue.windows)} {verb} what was due then: {due}", ()
        why = f"its microbatch models fill the batches of the retry's own time alone: {divided.obstacle}"
        unfilled = (
            PlannedNode(unique_id=one, status=NOT_STARTED, reason=f"what was due then is not filled: {spans([window])}")
            for one, window in overdue.windows.items()
        )
        return (line,), f"; {why}", tuple(unfilled) if overdue.is_certain else ()

    def _dropped(self, reason: str) -> PlannedStep:
        left_out = (*self._needs.left_out, *self._needs.retried)
        return _planned(self._asked, _DROP, reason, left_out=left_out)

    def _retried(self) -> tuple[PlannedNode, ...]:
        """The nodes that are retried, with the windows of those that run by them."""
        return tuple(
            replace(node, windows=windows, reason=f"{node.reason}; only its failed batches run: {spans(windows)}")
            if (windows := self._fills.windows.get(node.unique_id))
            else self._with_due(node)
            for node in self._needs.retried
        )

    def _with_due(self, node: PlannedNode) -> PlannedNode:
        due = self._fills.due.get(node.unique_id)
        why = f"{node.reason}; the batches that it had run then are filled, too: {spans([due])}" if due else ""
        return replace(node, reason=why) if why else node


def _read_along(rows: Mapping[str, NodeResult], unique_id: str) -> PlannedNode:
    status = rows[unique_id].status if unique_id in rows else "success"
    return PlannedNode(unique_id=unique_id, status=status, reason="with `--favor-state`, read by what is re-run")


def _some(names: Collection[str]) -> str:
    first, *others = sorted(names)
    return first + (f" and {len(others)} more" if others else "")


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
        again=hooks_of(asked.step).union(node.unique_id for node in nodes) if commands else frozenset(),
        saved=tuple(SavedNode(row.unique_id, row.execution_seconds, cost_of(row.adapter_response)) for row in saved),
    )
