"""The conditions of `fail-on`, judged on what the attempts left. Pure; nothing is ever retried for one.

What is not known fails a condition that needs it, and what was never there to compare does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dbt_cloud_run.commits import is_hash, may_be_same_commit
from dbt_cloud_run.dbt.commands import parse_command
from dbt_cloud_run.dbt.statuses import Kind, kind
from dbt_cloud_run.dbt.verbs import verb_of
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.gates import FailedGate, Gate, GateFindings, NothingSelected
from dbt_cloud_run.ledger.judgement import judged
from dbt_cloud_run.ledger.ledger import result_steps
from dbt_cloud_run.ledger.verdict import unknown_runs
from dbt_cloud_run.model import Attempt, Ledger, RunState, Step
from dbt_cloud_run.unknown import UnknownKind

_HOOK = re.compile(r"operation\..*-on-run-(?:start|end)-\d+\Z")
_BY_STATE = ("state:", "source_status:", "result:")
_RAN = (RunState.SUCCESS, RunState.ERROR)


def judge_gates(
    attempts: Sequence[Attempt], ledger: Ledger, *, fail_on: Sequence[Gate] = (), commits: Sequence[str] = ()
) -> GateFindings:
    """What holds of `fail_on`, in the contract's order.

    `commits` are those of which one has to be built: the one that was asked for, or else the event's. A run that did
    not succeed is judged by what is known of it alone.
    """
    if not attempts or attempts[-1].ending is Ending.QUEUED:
        return GateFindings()
    has_succeeded = attempts[-1].ending is Ending.SUCCESS
    unread = unknown_runs(attempts)
    unread_freshness = _unread_freshness(attempts, unread)
    nothing = _nothing_selected(attempts[-1], ledger) if has_succeeded and not unread else None
    wanted = [gate for gate in Gate if gate in fail_on]
    found = {
        Gate.NO_NODES: _no_nodes(ledger, nothing, unread) if has_succeeded else None,
        Gate.STALE_SOURCES: _sources(Gate.STALE_SOURCES, Kind.FAILED, ledger, unread_freshness),
        Gate.SOURCE_WARNINGS: _sources(Gate.SOURCE_WARNINGS, Kind.WARNED, ledger, unread_freshness),
        Gate.WARNINGS: _warnings(attempts, ledger, unread),
        Gate.OTHER_COMMIT: _other_commit(attempts, commits),
    }
    failed = [gate for name in wanted if (gate := found[name]) is not None]
    if not has_succeeded:
        failed = [gate for gate in failed if not gate.unread]
    idle = tuple(gate for gate in wanted if has_succeeded and _is_idle(gate, attempts, commits, unread_freshness))
    return GateFindings(failed=tuple(failed), idle=idle, nothing_selected=nothing, unread_freshness=unread_freshness)


def wanted_commits(given: str | None, of_event: Sequence[str]) -> tuple[str, ...]:
    """The commits of which one has to be built: the given one, or those of the event where none is given as a hash."""
    return (given,) if given and is_hash(given) else tuple(of_event)


# -- one condition each


def _no_nodes(ledger: Ledger, nothing: NothingSelected | None, unread: tuple[int, ...]) -> FailedGate | None:
    if any(_counts(unique_id) for unique_id in ledger.outcomes):
        return None
    if unread:
        return FailedGate(gate=Gate.NO_NODES, unread=unread)
    return FailedGate(gate=Gate.NO_NODES, commands=nothing.commands if nothing else ())


def _sources(gate: Gate, wanted: Kind, ledger: Ledger, unread: tuple[int, ...]) -> FailedGate | None:
    found = tuple(row.unique_id for row in ledger.freshness if kind(row.status) is wanted)
    return FailedGate(gate=gate, nodes=found, unread=() if found else unread) if found or unread else None


def _warnings(attempts: Sequence[Attempt], ledger: Ledger, unread: tuple[int, ...]) -> FailedGate | None:
    states = {(attempt.run_id, step.index): step.state for attempt in attempts for step in attempt.steps}
    found = tuple(
        unique_id
        for unique_id, outcome in ledger.outcomes.items()
        if judged(outcome.result.status, states.get((outcome.run_id, outcome.step_index), RunState.UNKNOWN))
        is Kind.WARNED
    )
    return FailedGate(gate=Gate.WARNINGS, nodes=found, unread=() if found else unread) if found or unread else None


def _other_commit(attempts: Sequence[Attempt], commits: Sequence[str]) -> FailedGate | None:
    if not commits:
        return None
    for attempt in attempts:
        built = attempt.git_sha
        if built and is_hash(built) and not any(may_be_same_commit(commit, built) for commit in commits):
            return FailedGate(gate=Gate.OTHER_COMMIT, commits=(commits[0], built))
    last = attempts[-1]
    is_known = last.git_sha is not None and is_hash(last.git_sha)
    return None if is_known else FailedGate(gate=Gate.OTHER_COMMIT, unread=(last.run_id,))


def _is_idle(gate: Gate, attempts: Sequence[Attempt], commits: Sequence[str], unread: tuple[int, ...]) -> bool:
    """Whether there was nothing that the condition could be about."""
    if gate in (Gate.STALE_SOURCES, Gate.SOURCE_WARNINGS):
        return not unread and not any(True for attempt in attempts for _ in _freshness_steps(attempt))
    return gate is Gate.OTHER_COMMIT and not commits


# -- what they need


def _nothing_selected(last: Attempt, ledger: Ledger) -> NothingSelected | None:
    """The commands that selected nothing, where no node was executed; None too where no command executes any."""
    if any(_counts(unique_id) for unique_id in ledger.outcomes):
        return None
    commands = tuple(step.command or step.name for step, _ in result_steps(last))
    is_by_state = any(_is_by_state(command) for command in commands)
    return NothingSelected(commands=commands, is_by_state=is_by_state) if commands else None


def _is_by_state(command: str) -> bool:
    parsed = parse_command(command)
    terms = (*parsed.terms("--select"), *parsed.terms("--exclude")) if parsed is not None else command.split()
    return any(method in term for term in terms for method in _BY_STATE)


def _counts(unique_id: str) -> bool:
    """Whether a result shows that something was selected: the hooks of a project run without that."""
    return _HOOK.fullmatch(unique_id) is None


def _freshness_steps(attempt: Attempt) -> Iterator[Step]:
    for step in attempt.steps:
        if step.freshness or (verb_of(step.command).name == "source freshness" and step.state in _RAN):
            yield step


def _unread_freshness(attempts: Sequence[Attempt], unread: Sequence[int]) -> tuple[int, ...]:
    """The runs whose freshness results could not be read, unless a later run of the same command has them."""
    open_runs: dict[str, int] = {}
    for attempt in attempts:
        unknown = [one for one in attempt.unknown if one.kind is UnknownKind.FRESHNESS or one.step is None]
        for step in _freshness_steps(attempt):
            open_runs.pop(step.command or "", None)
            if not step.freshness and any(one.step in (None, step.index) for one in unknown):
                open_runs[step.command or ""] = attempt.run_id
        if attempt.run_id in unread and any(one.kind is UnknownKind.STEPS for one in attempt.unknown):
            open_runs[""] = attempt.run_id
    return tuple(dict.fromkeys(open_runs.values()))
