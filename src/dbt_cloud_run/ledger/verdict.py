"""How the whole ended, what kind of failure it was, and the invariants of a success. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbt_cloud_run.commits import may_be_same_commit
from dbt_cloud_run.dbt.console_log import RAN_NODES
from dbt_cloud_run.dbt.failures import judge_log
from dbt_cloud_run.dbt.statuses import Kind, is_failure, is_skipped
from dbt_cloud_run.dbt.verbs import verb_of
from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.gates import FailedGate
from dbt_cloud_run.invariants import Contradiction, Invariant
from dbt_cloud_run.ledger.judgement import is_failed_set_up, judged
from dbt_cloud_run.ledger.ledger import result_steps
from dbt_cloud_run.model import Attempt, Ledger, RunState, Step
from dbt_cloud_run.planned import NOT_STARTED, Retryability, StepAction
from dbt_cloud_run.retry.alignment import hides_failure, is_lint
from dbt_cloud_run.retry.unreported import is_always_listed
from dbt_cloud_run.unknown import Unknown, UnknownKind

_BY_ENDING = {
    Ending.SUCCESS: FailureKind.NONE,
    Ending.QUEUED: FailureKind.NONE,
    Ending.SKIPPED: FailureKind.NONE,
    Ending.DRY_RUN: FailureKind.NONE,
    Ending.CANCELLED: FailureKind.CANCELLED,
    Ending.SUPERSEDED: FailureKind.CANCELLED,
    Ending.TIMED_OUT: FailureKind.TIMEOUT,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the whole ended. `contradictions` are the invariants that do not hold although the last run succeeded."""

    ending: Ending
    failure_kind: FailureKind
    contradictions: tuple[Contradiction, ...] = ()


def verdict(attempts: Sequence[Attempt], ledger: Ledger, gates: Sequence[FailedGate] = ()) -> Verdict:
    """The ending of the whole: dbt Cloud's for the last run, but a success only where every invariant holds.

    `gates` are the conditions of `fail-on` that hold. Source of the invariants: the contract's outputs `status` and
    `failure-kind`.
    """
    if not attempts:
        return Verdict(Ending.ERROR, FailureKind.API)
    last = attempts[-1]
    if last.ending is not Ending.SUCCESS:
        return Verdict(last.ending, failure_kind(last))
    checks = (
        _left_out(attempts),
        _failed_nodes(attempts, ledger),
        _not_run(attempts, ledger),
        _other_commit(attempts),
        _not_known(attempts),
        Contradiction(invariant=Invariant.NO_GATE_FAILED, gates=tuple(gates)) if gates else None,
    )
    found = tuple(check for check in checks if check is not None)
    if not found:
        return Verdict(Ending.SUCCESS, FailureKind.NONE)
    return Verdict(Ending.ERROR, _kind_of_contradiction(found[0], attempts), found)


def _left_out(attempts: Sequence[Attempt]) -> Contradiction | None:
    is_partial = attempts[-1].is_partial or any(attempt.plan and attempt.plan.is_partial for attempt in attempts)
    return Contradiction(invariant=Invariant.NOTHING_LEFT_OUT) if is_partial else None


def _failed_nodes(attempts: Sequence[Attempt], ledger: Ledger) -> Contradiction | None:
    states = {(attempt.run_id, step.index): step.state for attempt in attempts for step in attempt.steps}
    nodes = tuple(
        unique_id
        for unique_id, outcome in ledger.outcomes.items()
        if judged(outcome.result.status, states.get((outcome.run_id, outcome.step_index), RunState.UNKNOWN))
        is Kind.FAILED
    )
    return Contradiction(invariant=Invariant.NO_NODE_FAILED, nodes=nodes) if nodes else None


def _not_run(attempts: Sequence[Attempt], ledger: Ledger) -> Contradiction | None:
    """The nodes that were skipped or never started, that a plan had run again, and that no later attempt reports.

    A failed node is found by its status alone. Where results are not known, these may be among them.
    """
    planned: dict[str, int] = {}
    unstarted: dict[str, int] = {}
    for attempt in attempts:
        for node in (node for step in attempt.plan.steps for node in step.nodes) if attempt.plan is not None else ():
            planned[node.unique_id] = attempt.number
            if node.status == NOT_STARTED and is_always_listed(node.unique_id):
                unstarted[node.unique_id] = attempt.number
    skipped = [
        unique_id
        for unique_id, outcome in ledger.outcomes.items()
        if outcome.attempt <= planned.get(unique_id, 0) and is_skipped(outcome.result.status)
    ]
    missing = [
        unique_id
        for unique_id, number in unstarted.items()
        if (found := ledger.outcomes.get(unique_id)) is None or found.attempt <= number
    ]
    nodes = tuple(dict.fromkeys((*skipped, *missing)))
    if not nodes or unknown_runs(attempts):
        return None
    return Contradiction(invariant=Invariant.RETRIED_RAN, nodes=nodes)


def _other_commit(attempts: Sequence[Attempt]) -> Contradiction | None:
    """The commit that was asked for is the first trigger's; without one, a retry builds what the first run built."""
    first = attempts[0]
    asked = first.overrides.git_sha or first.git_sha
    for attempt in attempts:
        if asked and attempt.git_sha and not may_be_same_commit(asked, attempt.git_sha):
            return Contradiction(
                invariant=Invariant.COMMIT_AS_ASKED, runs=(attempt.run_id,), commits=(asked, attempt.git_sha)
            )
    return None


def _not_known(attempts: Sequence[Attempt]) -> Contradiction | None:
    runs = unknown_runs(attempts) if len(attempts) > 1 else ()
    return Contradiction(invariant=Invariant.RESULTS_KNOWN, runs=runs) if runs else None


def unknown_runs(attempts: Sequence[Attempt]) -> tuple[int, ...]:
    """The runs of which a result of a node is not known that no later attempt ran again as a whole."""
    return tuple(
        attempt.run_id
        for attempt in attempts
        if any(
            attempt is attempts[-1] or not _is_repeated(unknown, attempt)
            for unknown in attempt.unknown
            if unknown.kind is not UnknownKind.FRESHNESS
        )
    )


def _is_repeated(unknown: Unknown, attempt: Attempt) -> bool:
    plan = attempt.plan
    if plan is None or not plan.commands:
        return False
    if plan.is_whole:
        return True
    return unknown.step is not None and any(
        step.index == unknown.step and step.action is StepAction.WHOLE for step in plan.steps
    )


def _kind_of_contradiction(found: Contradiction, attempts: Sequence[Attempt]) -> FailureKind:
    if found.gates:
        return FailureKind(found.gates[0].gate.value)
    return {
        Invariant.NO_NODE_FAILED: FailureKind.NODES,
        Invariant.RETRIED_RAN: FailureKind.NODES,
        Invariant.RESULTS_KNOWN: FailureKind.API,
        Invariant.COMMIT_AS_ASKED: FailureKind.OTHER_COMMIT,
    }.get(found.invariant) or _kind_of_left_out(attempts)


def failure_kind(attempt: Attempt) -> FailureKind:
    """What failed, by the first step that did; a failing docs or freshness step of the platform's comes last."""
    if is_failed_set_up(attempt):
        return FailureKind.SETUP
    if attempt.ending in _BY_ENDING:
        return _BY_ENDING[attempt.ending]
    if hides_failure(attempt):
        return FailureKind.NODES if _has_failed_nodes(attempt) else FailureKind.API
    failed = [step for step in attempt.steps if step.state is RunState.ERROR]
    if not failed:
        return FailureKind.NODES if _has_failed_nodes(attempt) else FailureKind.SETUP
    gating = [step for step in failed if not _is_checkbox_step(attempt, step)]
    first = (gating or failed)[0]
    return _kind_of_unread(first) if _is_unread(attempt, first) else _kind_of_step(first)


def _is_unread(attempt: Attempt, step: Step) -> bool:
    """Whether the step may have results that could not be read."""
    unread = {one.step for one in attempt.unknown if one.kind is UnknownKind.RESULTS}
    return step.results is None and verb_of(step.command).writes_results and not unread.isdisjoint((step.index, None))


def _kind_of_unread(step: Step) -> FailureKind:
    """What failed in a step whose results could not be read, as far as its log shows it."""
    if any(word in step.log for word in RAN_NODES):
        return FailureKind.NODES
    return FailureKind.COMPILE if judge_log(step.log) is Retryability.DETERMINISTIC else FailureKind.API


def _kind_of_left_out(attempts: Sequence[Attempt]) -> FailureKind:
    for attempt in attempts:
        if attempt.plan is not None and attempt.plan.is_partial:
            kind = failure_kind(attempt)
            return kind if kind is not FailureKind.NONE else FailureKind.NODES
    kinds = [failure_kind(attempt) for attempt in attempts]
    return next((kind for kind in kinds if kind is not FailureKind.NONE), FailureKind.NODES)


def _kind_of_step(step: Step) -> FailureKind:
    if is_lint(step):
        return FailureKind.LINT
    if step.command is None:
        return FailureKind.SETUP
    verb = verb_of(step.command).name
    if verb == "deps":
        return FailureKind.SETUP
    if verb == "source freshness":
        return FailureKind.FRESHNESS
    if step.results is not None and any(is_failure(node.status) for node in step.results.nodes):
        return FailureKind.NODES
    # No node failed, and yet the step did: it did not come as far as running them.
    return FailureKind.COMPILE if judge_log(step.log) is not Retryability.TRANSIENT else FailureKind.SETUP


def _is_checkbox_step(attempt: Attempt, step: Step) -> bool:
    if step.command is None or step.command in attempt.asked:
        return False
    verb = verb_of(step.command).name
    return (attempt.generates_docs and verb == "docs generate") or (
        attempt.checks_freshness and verb == "source freshness"
    )


def _has_failed_nodes(attempt: Attempt) -> bool:
    return any(is_failure(node.status) for _, results in result_steps(attempt) for node in results.nodes)
