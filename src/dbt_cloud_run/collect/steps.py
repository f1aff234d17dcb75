"""What the listed steps of a run may have left. Pure."""

from __future__ import annotations

from dbt_cloud_run.cloud.models import Run, RunStep
from dbt_cloud_run.dbt.console_log import RAN_NODES
from dbt_cloud_run.dbt.verbs import verb_of
from dbt_cloud_run.model import RunState

_NEVER_RAN = (RunState.SKIPPED, RunState.QUEUED)


def steps_with_artifacts(run: Run) -> list[RunStep]:
    """The steps that ran a dbt command which may leave artifacts."""
    return [
        step
        for step in run.steps
        if step.command and verb_of(step.command).leaves_artifacts and step.state not in _NEVER_RAN
    ]


def has_results(step: RunStep) -> bool:
    """Whether it came as far as running nodes, and so has left results: it succeeded, or its log shows it."""
    return step.state is RunState.SUCCESS or any(words in step.log for words in RAN_NODES)
