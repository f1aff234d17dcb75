"""Whether dbt Cloud lists all the steps of a run that has ended: they may be late, cut short or missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from dbt_cloud_run.cloud.models import Run, RunStep
from dbt_cloud_run.dbt.commands import same_command
from dbt_cloud_run.dbt.verbs import verb_of
from dbt_cloud_run.model import RunState

_WORKING = (RunState.RUNNING, RunState.STARTING)
_FINAL = (RunState.SUCCESS, RunState.ERROR)


class _Listed(Protocol):
    @property
    def command(self) -> str | None: ...


_Step = TypeVar("_Step", bound=_Listed)


def check_of_freshness(steps: Iterable[_Step], *, checks_freshness: bool) -> _Step | None:
    """The step in which dbt Cloud itself checks the sources, where the job has it do so: the first of its kind.

    What it finds does not stop the commands after it. Source: dbt's documentation of job commands.
    """
    found = (step for step in steps if verb_of(step.command).name == "source freshness")
    return next(found, None) if checks_freshness else None


def late_steps(run: Run) -> str | None:
    """What is still missing of the steps of a run that has ended; None if nothing is."""
    if (missing := missing_steps(run)) is not None:
        return missing
    if any(step.state is RunState.ERROR and not step.log.strip() for step in run.steps):
        return "the log of its failed step is not there yet"
    return None


def missing_steps(run: Run) -> str | None:
    """Why the steps that are listed cannot be all that began; None if they can.

    A run that did not succeed has ended at some step. Where none shows it, that step is not listed, or not as it
    ended: it may be any of the commands that are not listed, and is none that never started.
    """
    if not run.has_ended_after_steps:
        return None
    if not run.steps:
        return "dbt Cloud lists no steps of it"
    if run.state in _FINAL and any(step.state in _WORKING for step in run.steps):
        return "dbt Cloud lists a step of it that has not ended"
    if _lacks_earlier_command(run):
        return "dbt Cloud does not list a step of it before others"
    if run.state is RunState.SUCCESS:
        return None if _lists_last_command(run) else "dbt Cloud does not list the step of its last command"
    if any(_is_end(step, run) for step in run.steps):
        return None
    if run.state is RunState.ERROR:
        return "dbt Cloud lists no failed step of it"
    # A run may be cancelled after its last command.
    return None if run.asked and _lists_last_command(run) else "dbt Cloud lists no step of it that was cut off"


def final_steps(run: Run) -> tuple[RunStep, ...]:
    """The steps that are listed as they ended; these stand, whatever else is not listed."""
    return tuple(step for step in run.steps if step.state in _FINAL)


def _is_end(step: RunStep, run: Run) -> bool:
    if step.state is RunState.ERROR:
        return step is not _check_of(run) or _ends_at_check(step, run)
    if run.state is RunState.CANCELLED and step.state in _WORKING:
        return True
    return step.state in (RunState.CANCELLED, RunState.UNKNOWN) and step.has_begun


def _check_of(run: Run) -> RunStep | None:
    return check_of_freshness(run.steps, checks_freshness=run.job is not None and run.job.checks_freshness)


def _ends_at_check(check: RunStep, run: Run) -> bool:
    """Whether nothing but dbt Cloud's own check of freshness failed: what comes after it is listed, and shows that."""
    after = [step.state for step in run.steps if step.command and step.index > check.index]
    never_began = bool(after) and all(state is RunState.SKIPPED for state in after)
    return never_began or (bool(run.asked) and _lists_last_command(run))


def _lacks_earlier_command(run: Run) -> bool:
    """Whether a number is left out among its steps, and a command before the last listed one is not among them.

    A number alone, or a command of a job that may have been edited since, shows nothing.
    """
    numbers = {step.index for step in run.steps}
    if run.retrying_run_id is not None or max(numbers) - min(numbers) < len(numbers):
        return False
    listed = [step.command for step in run.steps if step.command]
    asked = list(run.asked)
    while asked and listed and not same_command(asked[-1], listed[-1]):
        asked.pop()
    return _executing(listed) < _executing(asked)


def _lists_last_command(run: Run) -> bool:
    """Whether the last command is listed with an end; it may have got options, or be shown as `dbt retry`."""
    if not run.asked:
        return True
    verb = verb_of(run.asked[-1])
    open_states = (RunState.QUEUED, *_WORKING)
    ended = [step for step in run.steps if step.command and step.state not in open_states]
    if run.state is not RunState.SUCCESS:
        ended = [step for step in ended if step.state is RunState.SUCCESS]
    listed = sum(verb_of(step.command) == verb or verb_of(step.command).name == "retry" for step in ended)
    # dbt Cloud's own retry runs the rest of the commands: the last one in any case.
    wanted = 1 if run.retrying_run_id is not None else sum(verb_of(command) == verb for command in run.asked)
    return listed >= wanted or (verb.executes and _executing(step.command for step in ended) >= _executing(run.asked))


def _executing(commands: Iterable[str | None]) -> int:
    """How many of these commands execute nodes. As many others than those asked for: the job was edited since."""
    return sum(verb_of(command).executes for command in commands if command)
