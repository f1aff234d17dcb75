"""The last step of a run whose steps are not all known: its artifacts need no step number. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dbt_cloud_run.cloud.models import Run, RunStep
from dbt_cloud_run.dbt.commands import same_command
from dbt_cloud_run.dbt.statuses import is_failure
from dbt_cloud_run.dbt.verbs import verb_named, verb_of
from dbt_cloud_run.model import RunState, Step
from dbt_cloud_run.unknown import UNLISTED


def unlisted_step(run: Run) -> RunStep | None:
    """A stand-in for the last step of a run that has ended after steps; None for any other run."""
    return RunStep(index=UNLISTED, name="not listed") if run.has_ended_after_steps else None


def unlisted_commands(run: Run) -> tuple[str, ...]:
    """The commands that the run was asked for and that no listed step is, in order."""
    left = list(run.asked)
    for step in run.steps:
        found = next((command for command in left if same_command(command, step.command or "")), None)
        if found is not None:
            left.remove(found)
    return tuple(left)


def named_step(step: Step, asked: Sequence[str], run_state: RunState) -> Step:
    """The step with the command that its results belong to, where only one of those asked for can be it.

    `asked`: the commands that no listed step is.
    """
    which = verb_named(step.results.which if step.results else None)
    commands = [command for command in asked if verb_of(command).name == which.name]
    command = commands[0] if which.name and len(commands) == 1 else None
    has_failed = step.results is not None and any(is_failure(row.status) for row in step.results.nodes)
    state = RunState.ERROR if has_failed else run_state if run_state is RunState.SUCCESS else RunState.UNKNOWN
    return replace(step, command=command, name=command or step.name, state=state)


def same_invocation(step: Step, listed: Sequence[Step]) -> Step | None:
    """The listed step that wrote the results of this one: it is the last, or later ones wrote none."""
    made_by = step.results.invocation_id if step.results else None
    return next((one for one in listed if made_by and one.results and one.results.invocation_id == made_by), None)


def is_all_there_was(step: Step, asked: Sequence[str], run_state: RunState) -> bool:
    """Whether no other of the commands executes nodes, and the step shows why a run failed: then nothing is missing."""
    executing = [command for command in asked if verb_of(command).executes]
    is_explained = run_state is not RunState.ERROR or step.state is RunState.ERROR
    return step.results is not None and step.command is not None and executing == [step.command] and is_explained
