"""Which of the steps that dbt Cloud lists are the commands that the run was asked for.

dbt Cloud adds steps of its own: cloning, the profile, `dbt deps`, `dbt source freshness` at the start and
`dbt docs generate` at the end. A command that never started may be listed (as skipped, cancelled or queued) or not be
listed at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbt_cloud_run.dbt.commands import same_command
from dbt_cloud_run.dbt.verbs import verb_of
from dbt_cloud_run.model import Attempt, RunState, Step
from dbt_cloud_run.unknown import UnknownKind
from dbt_cloud_run.waiting.listed import check_of_freshness

_LINTERS = frozenset({"sqlfluff", "lint", "linter", "linting"})


@dataclass(frozen=True, slots=True)
class AskedStep:
    """A command that the run was asked for, and its step; None where none is listed."""

    command: str
    step: Step | None

    @property
    def is_started(self) -> bool:
        return self.step is not None and has_started(self.step)


@dataclass(frozen=True, slots=True)
class Aligned:
    """The steps of an attempt: those it was asked for, in order, and those that dbt Cloud added."""

    asked: tuple[AskedStep, ...]
    added: tuple[Step, ...]


def has_started(step: Step) -> bool:
    """Whether a step did anything; one that was cancelled or skipped before its turn has neither time nor output."""
    if step.state in (RunState.SUCCESS, RunState.ERROR, RunState.RUNNING):
        return True
    if step.state in (RunState.SKIPPED, RunState.QUEUED, RunState.STARTING):
        return False
    return step.started_at is not None or bool(step.log.strip()) or step.results is not None


def is_lint(step: Step) -> bool:
    """Whether the step checks the code's style. What the user has named, such as a connection, is not looked at."""
    words = step.command.split()[1:3] if step.command else step.name.partition("connection")[0].split()
    return any(word.strip("`:").lower() in _LINTERS for word in words)


def hides_failure(attempt: Attempt) -> bool:
    """Whether its steps could not be read, and what could be read of them does not show where it failed."""
    if not any(one.kind is UnknownKind.STEPS for one in attempt.unknown):
        return False
    check = check_of_freshness(attempt.steps, checks_freshness=attempt.checks_freshness)
    return not any(step.command and step.state is RunState.ERROR and step is not check for step in attempt.steps)


def align(attempt: Attempt) -> Aligned:
    """Match asked commands with listed steps, in order."""
    listed = [step for step in attempt.steps if step.command is not None]
    commands = list(attempt.asked) or _assumed(attempt, listed)
    ours = _without_added(attempt, listed, commands)
    matched: dict[int, Step] = {}
    position = 0
    for step in ours:
        found = _find(step, commands, position)
        if found is not None:
            matched[found] = step
            position = found + 1
    last = max((number for number, step in matched.items() if has_started(step)), default=-1)
    asked = tuple(
        AskedStep(command, matched.get(number) or (_passed_over(command) if number < last else None))
        for number, command in enumerate(commands)
    )
    used = {id(step) for step in matched.values()}
    return Aligned(asked, tuple(step for step in attempt.steps if id(step) not in used))


def _passed_over(command: str) -> Step:
    """A command that is not listed although a later one has started: dbt Cloud goes on after a success only."""
    return Step(index=0, name=command, command=command, state=RunState.SUCCESS)


def _find(step: Step, commands: Sequence[str], start: int) -> int | None:
    """The asked command that this step is, at or after `start`."""
    name = step.command or ""
    return next(
        (
            number
            for matches in (_same, _resumed, _alike)
            for number in range(start, len(commands))
            if matches(name, commands[number], number == start)
        ),
        None,
    )


def _same(name: str, command: str, _is_next: bool) -> bool:
    return same_command(name, command)


def _resumed(name: str, _command: str, is_next: bool) -> bool:
    """dbt Cloud's own retry may show a step as `dbt retry`: it stands for the next command."""
    return is_next and verb_of(name).name == "retry"


def _alike(name: str, command: str, is_next: bool) -> bool:
    """The next command, with options that dbt Cloud added."""
    verb = verb_of(name)
    return is_next and verb.is_known and verb.name not in {"deps", "docs generate"} and verb == verb_of(command)


def _without_added(attempt: Attempt, listed: Sequence[Step], commands: Sequence[str]) -> list[Step]:
    """The listed steps without `deps` and `source freshness` steps beyond those asked for; dbt Cloud's come first."""
    ours = list(listed)
    for verb, is_added in (("deps", False), ("source freshness", attempt.checks_freshness)):
        steps = [step for step in ours if verb_of(step.command).name == verb]
        surplus = len(steps) - sum(verb_of(command).name == verb for command in commands)
        for step in steps[: max(surplus, 1 if is_added else 0)]:
            ours.remove(step)
    return ours


def _assumed(attempt: Attempt, listed: Sequence[Step]) -> list[str]:
    """The commands, where it is not known what was asked for: all that are listed and that dbt Cloud does not add."""
    added = {"deps"}
    added |= {"source freshness"} if attempt.checks_freshness else set()
    added |= {"docs generate"} if attempt.generates_docs else set()
    return [step.command for step in listed if step.command is not None and verb_of(step.command).name not in added]
