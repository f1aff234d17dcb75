"""Which steps of a run parse the project in a way of their own, so that each needs its own manifest. Pure.

All steps of a run share one checkout. Variables, target and profile are what may let one step see other models, or give
them other names, than another step.
"""

from __future__ import annotations

from collections.abc import Sequence

from dbt_cloud_run.cloud.models import RunStep
from dbt_cloud_run.dbt.commands import parse_command
from dbt_cloud_run.dbt.verbs import verb_of

_PARSED_WITH = ("--vars", "--target", "--profile", "--project-dir", "--profiles-dir")


def steps_with_own_project(steps: Sequence[RunStep]) -> tuple[RunStep, ...]:
    """The steps that execute nodes, newest first, where they do not all parse the project alike; else none."""
    executing = [step for step in steps if verb_of(step.command).executes]
    if len({_parsed_with(step.command or "") for step in executing}) < 2:
        return ()
    return tuple(reversed(executing))


def _parsed_with(line: str) -> tuple[object, ...]:
    command = parse_command(line)
    # A line that is not understood may say anything.
    if command is None:
        return (line,)
    flags = (command.flag(name) for name in _PARSED_WITH)
    return tuple(None if flag is None else flag.values for flag in flags)
