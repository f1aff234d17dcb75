"""How it ended, and what kind of failure that was: pure judgements on attempts."""

from __future__ import annotations

from collections.abc import Sequence

from dbt_cloud_run.dbt.failures import judge_log
from dbt_cloud_run.dbt.statuses import is_failure
from dbt_cloud_run.dbt.verbs import verb_of
from dbt_cloud_run.ledger.ledger import result_steps
from dbt_cloud_run.model import Attempt, Ending, FailureKind, Retryability, RunState, Step
from dbt_cloud_run.retry.alignment import is_lint

_BY_ENDING = {
    Ending.SUCCESS: FailureKind.NONE,
    Ending.QUEUED: FailureKind.NONE,
    Ending.SKIPPED: FailureKind.NONE,
    Ending.CANCELLED: FailureKind.CANCELLED,
    Ending.SUPERSEDED: FailureKind.CANCELLED,
    Ending.TIMED_OUT: FailureKind.TIMEOUT,
}


def verdict(attempts: Sequence[Attempt]) -> tuple[Ending, FailureKind, bool]:
    """The ending of the whole, the kind of failure, and whether a green last run still leaves a failure behind.

    It is a success only if the last run succeeded *and* no plan on the way left a failure out, or a later one took it.
    """
    last = attempts[-1]
    left_out = last.is_partial or any(attempt.plan is not None and attempt.plan.is_partial for attempt in attempts)
    if last.ending is Ending.SUCCESS and left_out:
        return Ending.ERROR, _kind_of_left_out(attempts), True
    return last.ending, failure_kind(last), left_out


def failure_kind(attempt: Attempt) -> FailureKind:
    """What failed, by the first step that did; a failing docs or freshness step of the platform's comes last."""
    if attempt.ending in _BY_ENDING:
        return _BY_ENDING[attempt.ending]
    failed = [step for step in attempt.steps if step.state is RunState.ERROR]
    if not failed:
        return FailureKind.NODES if _has_failed_nodes(attempt) else FailureKind.SETUP
    gating = [step for step in failed if not _is_checkbox_step(attempt, step)]
    return _kind_of_step((gating or failed)[0])


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
