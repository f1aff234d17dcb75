"""The rules of `resume` and `reuse`: what is done with runs that exist already. Pure, on the job's newest runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from dbt_cloud_run.cancellation import CancelledBy
from dbt_cloud_run.model import RunState, TriggerOverrides
from dbt_cloud_run.start.chain import AmbiguousChainError, Chain, find_chain, tag_of
from dbt_cloud_run.start.overrides import pull_request_of
from dbt_cloud_run.start.tag import RunKey

if TYPE_CHECKING:
    from dbt_cloud_run.cloud.models import Run


class ResumeAction(StrEnum):
    """What to do about the runs that this step started in an earlier attempt of the workflow run."""

    TRIGGER = "trigger the job"
    WAIT = "wait for the run"
    RETRY = "retry its failures"
    PUBLISH = "publish its results"


@dataclass(frozen=True, slots=True)
class ResumeDecision:
    """`chain` is None exactly where the job is triggered. `reason` completes the sentence `<action>, because …`."""

    action: ResumeAction
    reason: str
    chain: Chain | None = None


def decide_resume(
    runs: Sequence[Run], key: RunKey, *, mode: Literal["unfinished", "all", "off"], run_attempt: int
) -> ResumeDecision:
    """What attempt `run_attempt` of the workflow run does with what this step did before."""
    if run_attempt <= 1:
        return ResumeDecision(ResumeAction.TRIGGER, "this is the first attempt of the workflow run")
    if mode == "off":
        return ResumeDecision(ResumeAction.TRIGGER, "resume is off")
    try:
        chain = find_chain(runs, key, run_attempt)
    except AmbiguousChainError:
        reason = "more than one earlier run could be this step's own, and they cannot be distinguished"
        return ResumeDecision(ResumeAction.TRIGGER, reason)
    if chain is None:
        others = any(tag.key.step == key.step for run in runs if (tag := tag_of(run)))
        reason = (
            "the earlier attempt of this step was triggered with other overrides"
            if others
            else "no run of an earlier attempt of this step was found"
        )
        return ResumeDecision(ResumeAction.TRIGGER, reason)
    action, reason = _judge(runs, chain, publish_success=mode == "all")
    return ResumeDecision(action, reason, None if action is ResumeAction.TRIGGER else chain)


def _judge(runs: Sequence[Run], chain: Chain, *, publish_success: bool) -> tuple[ResumeAction, str]:
    last = chain.last
    name = f"run {last.id} of an earlier attempt of this step"
    if not last.state.is_terminal:
        return ResumeAction.WAIT, f"{name} is still active"
    if last.state is RunState.SUCCESS and not chain.is_partial:
        if publish_success:
            return ResumeAction.PUBLISH, f"{name} succeeded"
        return ResumeAction.TRIGGER, f"{name} succeeded, and only unfinished runs are resumed"
    if last.superseded:
        return ResumeAction.TRIGGER, f"{name} was superseded by a newer run"
    rebuilt = next((run for run in runs if _rebuilt(run, chain)), None)
    if rebuilt is not None:
        return ResumeAction.TRIGGER, f"run {rebuilt.id} of the job has succeeded since {name} ended"
    if last.state is RunState.SUCCESS:
        return ResumeAction.RETRY, f"{name} succeeded, but had left out some of what failed before it"
    if last.state is RunState.ERROR:
        return ResumeAction.RETRY, f"{name} failed"
    if last.timed_out:
        return ResumeAction.RETRY, f"{name} reached dbt Cloud's time limit"
    return _judge_cancelled(last, name)


def _judge_cancelled(last: Run, name: str) -> tuple[ResumeAction, str]:
    """Whether this step itself had cancelled its run.

    dbt Cloud keeps no note of why. Where the audit names who cancelled it, it was this step if the same actor triggered
    the run. Where the audit does not, too: the workflow run ended before its run did, and a person wants it to go on.
    """
    cancellation = last.cancellation
    if cancellation is not None and cancellation.is_by_another:
        return ResumeAction.TRIGGER, f"{name} was cancelled in dbt Cloud by {cancellation.actor or 'another user'}"
    if cancellation is not None and cancellation.by is CancelledBy.STARTER:
        return ResumeAction.RETRY, f"{name} was cancelled by this step itself"
    return ResumeAction.RETRY, f"{name} was cancelled, and dbt Cloud does not name another user who did it"


def _rebuilt(run: Run, chain: Chain) -> bool:
    """Whether another run has since succeeded where the chain's runs built; runs into other schemas do not count."""
    if run.state is not RunState.SUCCESS or run.id in {known.id for known in chain.runs}:
        return False
    if _target(run) != _target(chain.runs[0]):
        return False
    if run.finished_at and chain.last.finished_at:
        return run.finished_at > chain.last.finished_at
    return run.id > chain.last.id


def _target(run: Run) -> tuple[str | None, str | None]:
    return run.overrides.schema_override, run.overrides.target_name_override


def find_reusable(runs: Sequence[Run], *, job_id: int, git_sha: str | None, overrides: TriggerOverrides) -> Run | None:
    """The newest active or successful run of the job for this commit and pull request that does what is asked for.

    A retry is never reused: it holds a part of the results only.
    """
    if not git_sha:
        return None
    for run in sorted(runs, key=lambda run: run.id, reverse=True):
        is_usable = not run.state.is_terminal or run.state is RunState.SUCCESS
        tag = tag_of(run)
        is_retry = run.retrying_run_id is not None or (tag is not None and tag.root is not None)
        if not is_usable or is_retry or run.trigger is None or _commit(run) != git_sha.lower():
            continue
        if _asks_for_the_same(run.overrides, overrides, job_id):
            return run
    return None


def _commit(run: Run) -> str:
    return (run.overrides.git_sha or run.git_sha or "").lower()


def _asks_for_the_same(theirs: TriggerOverrides, ours: TriggerOverrides, job_id: int) -> bool:
    def essence(given: TriggerOverrides) -> tuple[object, ...]:
        return (
            pull_request_of(given),
            given.steps_override,
            given.target_name_override,
            given.dbt_version_override,
            given.generate_docs_override,
            _schema(given, job_id),
        )

    return essence(theirs) == essence(ours)


def _schema(given: TriggerOverrides, job_id: int) -> str | None:
    """Where a run builds; dbt Cloud's Git integration builds a pull request into this schema without an override."""
    pull_request = pull_request_of(given)
    if given.schema_override or pull_request is None:
        return given.schema_override
    return f"dbt_cloud_pr_{job_id}_{pull_request[1]}"
