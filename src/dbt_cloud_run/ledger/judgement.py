"""What a node's status says where the state of its step is known, too; and what failed without a failed node."""

from __future__ import annotations

from functools import lru_cache

from dbt_cloud_run.cancellation import CancelledBy, says_set_up_failed
from dbt_cloud_run.dbt.commands import parse_command
from dbt_cloud_run.dbt.statuses import FAILURES, Kind, is_failure, kind, normalise
from dbt_cloud_run.dbt.verbs import verb_of
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Attempt, RunState, Step
from dbt_cloud_run.node_results import NodeResult

_SAY_FAILURE = ("error", "fail", "partial", "abort", "kill", "timed out", "cancel")


@lru_cache(maxsize=1024)  # there are few words, and many nodes
def judged(status: str, step: RunState) -> Kind:
    """As `statuses.kind`; but an unknown word is no failure where dbt called the step a success."""
    found = kind(status)
    if found is not Kind.FAILED or step is not RunState.SUCCESS:
        return found
    word = normalise(status)
    return found if word in FAILURES or any(part in word for part in _SAY_FAILURE) else Kind.SUCCEEDED


def has_failed(step: Step, node: NodeResult) -> bool:
    """Whether this result of the step is a failure."""
    return judged(node.status, step.state) is Kind.FAILED


def is_empty(step: Step) -> bool:
    """Whether the step ran with `--empty`, by its command or by the settings in its results."""
    if step.results is not None and step.results.empty is not None:
        return step.results.empty
    command = parse_command(step.command or "")
    if command is not None:
        return command.has("--empty")
    return "--empty" in (step.command or "").split()


def is_set_up(step: Step) -> bool:
    """Whether the step prepares the run: it clones, writes the profile or installs packages."""
    return step.command is None or verb_of(step.command).name == "deps"


def failed_without_nodes(attempt: Attempt) -> tuple[Step, ...]:
    """The steps that failed without a failed node or source to show for it: clone, profile, deps, compile, docs."""
    return tuple(
        step
        for step in attempt.steps
        if (step.state is RunState.ERROR or _is_cancelled_set_up(step))
        and not any(has_failed(step, node) for node in (step.results.nodes if step.results else ()))
        and not any(is_failure(row.status) for row in step.freshness)
    )


def is_failed_set_up(attempt: Attempt) -> bool:
    """Whether a run that dbt Cloud calls cancelled failed while it was set up, by its steps or dbt Cloud's wording."""
    if attempt.ending is not Ending.CANCELLED:
        return False
    if attempt.cancellation is not None and attempt.cancellation.by is CancelledBy.SET_UP:
        return True
    return any(is_set_up(step) for step in failed_without_nodes(attempt))


def _is_cancelled_set_up(step: Step) -> bool:
    return step.state is RunState.CANCELLED and is_set_up(step) and says_set_up_failed(step.log[-20_000:])
