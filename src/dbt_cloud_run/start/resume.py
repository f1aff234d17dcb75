"""What a re-run of the workflow does with what this step did before, and which run of the same commit is taken up.

All of it is decided on the runs that the list call at the start has given. A run belongs to this step if its tag has
this step's key; a retry belongs to its chain by the root in its tag, or by `retrying_run_id` where dbt Cloud made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.model import RunState, TriggerOverrides
from dbt_cloud_run.start.tag import RunKey, Tag, parse_tag


class ResumeAction(StrEnum):
    """What to do about the run that was started before."""

    FRESH = "start afresh"
    WAIT = "wait for it"
    RETRY = "retry its failures"
    PUBLISH = "publish it"


@dataclass(frozen=True, slots=True)
class ResumeDecision:
    """`chain` is the earlier run and its retries, oldest first; empty for a fresh start. `reason` is for people."""

    action: ResumeAction
    reason: str
    chain: tuple[Run, ...] = ()
    root_id: int | None = None  # the first run of the chain; it may be too old to be listed

    @property
    def run(self) -> Run | None:
        """The run that the action is about: the last of the chain."""
        return self.chain[-1] if self.chain else None


@dataclass(frozen=True, slots=True)
class Earlier:
    """A run that this step started in an earlier attempt of the workflow run, with its retries, oldest first."""

    root_id: int
    chain: tuple[Run, ...]

    @property
    def last(self) -> Run:
        return self.chain[-1]

    @property
    def is_partial(self) -> bool:
        """Whether some of what has failed was not retried: then the step has failed, even if its last run succeeded."""
        return is_partial(self.chain)


def is_partial(chain: Sequence[Run]) -> bool:
    """Whether the last run of a chain was not asked for all that had failed before it."""
    for run in reversed(chain):
        if run.retrying_run_id is None:  # dbt Cloud's own retry takes all of the run that it retries, and no more
            tag = _tag(run)
            return tag is not None and tag.is_partial
    return False


class AmbiguousEarlierError(Exception):
    """More than one earlier run has this step's key, and nothing tells which is its own."""


def _tag(run: Run) -> Tag | None:
    return parse_tag(run.trigger.cause if run.trigger else None)


def find_earlier(runs: Sequence[Run], key: RunKey, run_attempt: int) -> Earlier | None:
    """The newest chain of runs that this step started before attempt `run_attempt` of the workflow run.

    Raises `AmbiguousEarlierError` where two steps share the key, as two jobs of a matrix do whose index is not known.
    """
    chains = _chains(runs, key)
    if not chains:
        return None
    tags = [tag for chain in chains.values() for run in chain if (tag := _tag(run)) and tag.key == key]
    if any(tag.attempt >= run_attempt for tag in tags):
        raise AmbiguousEarlierError
    started = {root: _started_in(chain) for root, chain in chains.items()}
    newest = max(started.values())
    candidates = [root for root, attempt in started.items() if attempt == newest]
    if len(candidates) > 1:
        raise AmbiguousEarlierError
    return Earlier(candidates[0], tuple(chains[candidates[0]]))


def _started_in(chain: Sequence[Run]) -> int:
    return min(tag.attempt for run in chain if (tag := _tag(run)))


def _chains(runs: Sequence[Run], key: RunKey) -> dict[int, list[Run]]:
    """The chains with this key by their root's id, each oldest first."""
    chains: dict[int, list[Run]] = {}
    root_of: dict[int, int] = {}
    nonces: set[str] = set()
    for run in sorted(runs, key=lambda run: run.id):
        tag = _tag(run)
        if run.retrying_run_id is not None:
            # dbt Cloud's own retry; it may carry the cause, and so the tag, of the run that it retries.
            root = root_of.get(run.retrying_run_id)
        elif tag is None or tag.key != key or tag.nonce in nonces:
            root = None  # not ours, or a late duplicate
        else:
            root = tag.root or run.id
            nonces.add(tag.nonce)
        if root is not None:
            root_of[run.id] = root
            chains.setdefault(root, []).append(run)
    return chains


def retries_of(root: Run, runs: Sequence[Run], key: RunKey, run_attempt: int) -> tuple[Run, ...]:
    """A run that somebody else started, and what this step has retried it with before, oldest first."""
    try:
        earlier = find_earlier([run for run in runs if run.id != root.id], key, run_attempt)
    except AmbiguousEarlierError:
        return (root,)
    return (root, *earlier.chain) if earlier is not None and earlier.root_id == root.id else (root,)


def needs_retry(chain: Sequence[Run]) -> bool:
    """Whether a chain has ended, and not well; what somebody cancelled is left at that."""
    last = chain[-1]
    if not last.state.is_terminal or last.superseded or last.cancelled_by_another:
        return False
    return last.state is not RunState.SUCCESS or is_partial(chain)


def decide_resume(
    runs: Sequence[Run], key: RunKey, *, mode: Literal["unfinished", "all", "off"], run_attempt: int
) -> ResumeDecision:
    """What attempt `run_attempt` of the workflow run does with what this step did before."""

    def fresh(reason: str) -> ResumeDecision:
        return ResumeDecision(ResumeAction.FRESH, reason)

    if run_attempt <= 1 or mode == "off":
        return fresh("this is the first attempt of the workflow run" if run_attempt <= 1 else "resume is off")
    try:
        earlier = find_earlier(runs, key, run_attempt)
    except AmbiguousEarlierError:
        return fresh("more than one earlier run could be this step's own, and they cannot be told apart")
    if earlier is None:
        others = (tag for run in runs if (tag := _tag(run)) and tag.key.step == key.step)
        if any(others):
            return fresh("the earlier attempt of this step was triggered with other overrides")
        return fresh("no run of an earlier attempt of this step was found")
    action, reason = _judge(runs, earlier, publish_success=mode == "all")
    if action is ResumeAction.FRESH:
        return fresh(reason)
    return ResumeDecision(action, reason, earlier.chain, earlier.root_id)


def _judge(runs: Sequence[Run], earlier: Earlier, *, publish_success: bool) -> tuple[ResumeAction, str]:
    last = earlier.last
    name = f"run {last.id} of an earlier attempt of this step"
    if not last.state.is_terminal:
        return ResumeAction.WAIT, f"{name} is still active"
    if last.state is RunState.SUCCESS and not earlier.is_partial:
        if publish_success:
            return ResumeAction.PUBLISH, f"{name} succeeded"
        return ResumeAction.FRESH, f"{name} succeeded, and only unfinished runs are resumed"
    if last.superseded:
        return ResumeAction.FRESH, f"{name} made way for a newer commit"
    rebuilt = next((run for run in runs if _rebuilt(run, earlier)), None)
    if rebuilt is not None:
        return ResumeAction.FRESH, f"run {rebuilt.id} of the job has succeeded since {name} ended"
    if last.state is RunState.SUCCESS:
        return ResumeAction.RETRY, f"{name} succeeded, but had left out some of what failed before it"
    if last.state is RunState.ERROR:
        return ResumeAction.RETRY, f"{name} failed"
    if last.timed_out:
        return ResumeAction.RETRY, f"{name} ran out of dbt Cloud's time"
    return _judge_cancelled(last, name)


def _judge_cancelled(last: Run, name: str) -> tuple[ResumeAction, str]:
    """Whether this step itself had cancelled its run.

    The platform keeps no note of why. Where the audit tells who did, it was this step if it is who triggered the run;
    where it does not tell, too: the workflow run ended before its run did, and somebody wants it to go on.
    """
    if last.cancelled_by_another:
        who = last.canceller.name if last.canceller else None
        return ResumeAction.FRESH, f"{name} was cancelled in dbt Cloud by {who or 'somebody else'}"
    if last.cancelled_by_another is None:
        return ResumeAction.RETRY, f"{name} was cancelled, and dbt Cloud names nobody else who did it"
    return ResumeAction.RETRY, f"{name} was cancelled by this step itself"


def _rebuilt(run: Run, earlier: Earlier) -> bool:
    """Whether another run has since succeeded where the earlier one built; runs into other schemas do not count."""
    last = earlier.last
    if run.state is not RunState.SUCCESS or run.id in {known.id for known in earlier.chain}:
        return False
    if _target(run) != _target(earlier.chain[0]):
        return False
    if run.finished_at and last.finished_at:
        return run.finished_at > last.finished_at
    return run.id > last.id


def _target(run: Run) -> tuple[str | None, str | None]:
    return run.overrides.schema_override, run.overrides.target_name_override


def find_reusable(runs: Sequence[Run], *, job_id: int, git_sha: str | None, overrides: TriggerOverrides) -> Run | None:
    """The newest active or successful run of the job for this commit and pull request that does what we would ask for.

    A retry is never taken up: it holds a part of the results only.
    """
    if not git_sha:
        return None
    for run in sorted(runs, key=lambda run: run.id, reverse=True):
        usable = not run.state.is_terminal or run.state is RunState.SUCCESS
        tag = _tag(run)
        is_retry = run.retrying_run_id is not None or (tag is not None and tag.root is not None)
        if not usable or is_retry or run.trigger is None or _commit(run) != git_sha.lower():
            continue
        if _does_the_same(run.overrides, overrides, job_id):
            return run
    return None


def _commit(run: Run) -> str:
    return (run.overrides.git_sha or run.git_sha or "").lower()


def _does_the_same(theirs: TriggerOverrides, ours: TriggerOverrides, job_id: int) -> bool:
    def essence(given: TriggerOverrides) -> tuple[object, ...]:
        return (
            given.github_pull_request_id,
            given.steps_override,
            given.target_name_override,
            given.dbt_version_override,
            given.generate_docs_override,
        )

    return essence(theirs) == essence(ours) and _schema(theirs, job_id) == _schema(ours, job_id)


def _schema(given: TriggerOverrides, job_id: int) -> str | None:
    """Where a run builds; dbt Cloud's Git integration gives a pull request this schema without an override."""
    if given.schema_override or given.github_pull_request_id is None:
        return given.schema_override
    return f"dbt_cloud_pr_{job_id}_{given.github_pull_request_id}"
