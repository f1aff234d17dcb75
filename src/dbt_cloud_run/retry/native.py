"""dbt Cloud's own retry runs the rest of a command: its results are joined to those of the run it retried. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dbt_cloud_run.dbt.commands import same_command
from dbt_cloud_run.dbt.failures import judge_log
from dbt_cloud_run.model import Attempt, RunState, Step
from dbt_cloud_run.planned import Retryability
from dbt_cloud_run.retry.alignment import Aligned, AskedStep, align
from dbt_cloud_run.retry.nodes import is_hook


def completed(aligned: Aligned, attempt: Attempt, earlier: Sequence[Attempt]) -> Aligned:
    """The steps of a native retry with what was known before it; those of any other attempt as they are."""
    if not (attempt.retried_natively and earlier):
        return aligned
    *rest, retried = earlier
    before = completed(align(retried), retried, rest).asked
    # It is asked for the last commands of the run that it retries, so they are paired from the end.
    pairs = zip(reversed(aligned.asked), reversed(before), strict=False)
    asked = [_joined(ours, past) if same_command(ours.command, past.command) else ours for ours, past in pairs]
    unpaired = aligned.asked[: len(aligned.asked) - len(asked)]
    return replace(aligned, asked=(*unpaired, *reversed(asked)))


def _joined(ours: AskedStep, past: AskedStep) -> AskedStep:
    if past.step is None or past.step.results is None or not past.is_started:
        return ours
    if ours.step is None or not ours.is_started:
        return past
    if ours.step.state is RunState.SUCCESS or _tells_more(ours.step):
        return ours
    latest = ours.step.results.nodes if ours.step.results else ()
    rows = {row.unique_id: row for row in past.step.results.nodes if not is_hook(row.unique_id)}
    rows |= {row.unique_id: row for row in latest}
    results = replace(past.step.results, nodes=tuple(rows.values()))
    return replace(ours, step=replace(ours.step, results=results))


def _tells_more(step: Step) -> bool:
    """Whether a step without results says in its log why no retry of it can succeed."""
    return step.results is None and step.state is RunState.ERROR and judge_log(step.log) is Retryability.DETERMINISTIC
