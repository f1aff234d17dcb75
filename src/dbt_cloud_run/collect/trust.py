"""Whether a file that was served for a step is that step's own, and says what became of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dbt_cloud_run.dbt.hook_failures import as_logged
from dbt_cloud_run.dbt.results import RunResultsHead
from dbt_cloud_run.dbt.verbs import Verb, verb_named
from dbt_cloud_run.model import Step

STALE_BY = timedelta(seconds=1)
"""How much earlier than its step a file may say that it was made: clocks differ."""


def foreign(head: RunResultsHead, run_id: int, started_at: datetime | None, verb: Verb) -> str | None:
    """Why a file that was served for a step is not that step's; None if nothing contradicts it."""
    made_by = head.env.get("DBT_CLOUD_RUN_ID")
    if made_by is not None and str(made_by) != str(run_id):
        return f"they are those of run {made_by}"
    if head.generated_at and started_at and head.generated_at < started_at - STALE_BY:
        return "they were made before the step began"
    other = verb_named(head.which)
    # The file of `dbt retry` names the command that it continues.
    is_named_otherwise = verb.name != other.name and "retry" not in (verb.name, other.name)
    if verb.executes and other.executes and is_named_otherwise:
        return f"they are those of `dbt {head.which}`, and the step ran `dbt {verb.name}`"
    return None


def trusted(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps with their own results, and with what the log says of nodes of which those say nothing."""
    return tuple(
        step if step.results is None else replace(step, results=as_logged(step.results, step.log))
        for step in without_left_behind(steps)
    )


def without_left_behind(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps, without results whose invocation is an earlier step's: they were left behind in the target folder."""
    seen: set[str] = set()
    own: list[Step] = []
    for step in steps:
        invocation = step.results.invocation_id if step.results else None
        if invocation and invocation in seen:
            step = replace(step, results=None, distrusted="they are those of an earlier step")
        elif invocation:
            seen.add(invocation)
        own.append(step)
    return tuple(own)
