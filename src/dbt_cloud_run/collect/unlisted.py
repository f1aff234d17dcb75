"""The last step of a run whose steps could not be read: its artifacts need no step number. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dbt_cloud_run.cloud.models import Run, RunStep
from dbt_cloud_run.dbt.statuses import is_failure
from dbt_cloud_run.dbt.verbs import verb_named, verb_of
from dbt_cloud_run.model import RunState, Step

INDEX = 0
"""Stands for the index of a step that is not listed; listed ones count from 1."""


def unlisted_steps(run: Run) -> tuple[RunStep, ...]:
    """A stand-in for the last step, where a run has ended that began steps and lists none."""
    return (RunStep(index=INDEX, name="The last step"),) if not run.steps and run.has_ended_after_steps else ()


def named_step(step: Step, asked: Sequence[str], run_state: RunState) -> Step:
    """The step with the command that its results belong to, where only one of those asked for can be it."""
    which = verb_named(step.results.which if step.results else None)
    commands = [command for command in asked if verb_of(command).name == which.name]
    command = commands[0] if which.name and len(commands) == 1 else None
    has_failed = step.results is not None and any(is_failure(row.status) for row in step.results.nodes)
    state = RunState.ERROR if has_failed else run_state if run_state is RunState.SUCCESS else RunState.UNKNOWN
    return replace(step, command=command, name=command or step.name, state=state)


def is_all_there_was(step: Step, asked: Sequence[str]) -> bool:
    """Whether no other command that was asked for executes nodes: then its results are those of the whole run."""
    executing = [command for command in asked if verb_of(command).executes]
    return step.results is not None and step.command is not None and executing == [step.command]
