"""Errors that end the step, each with what the user should do next.

`main` turns them into one annotation, the outputs and the exit status. Programming errors are not of this family.
"""

from __future__ import annotations

from dataclasses import dataclass

from dbt_cloud_run.model import FailureKind


class ActionError(Exception):
    """Base of all. `message` says what happened in one sentence, `advice` what to do about it."""

    kind: FailureKind = FailureKind.API

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".strip()


@dataclass(frozen=True, slots=True)
class InputProblem:
    """One thing that is wrong with one input; `message` says what would be right."""

    name: str
    message: str


class InvalidInputsError(ActionError):
    """One or more inputs are wrong; raised before any request, with all of them."""

    kind = FailureKind.CONFIG

    def __init__(self, problems: tuple[InputProblem, ...]) -> None:
        lines = "\n".join(f"{problem.name}: {problem.message}" for problem in problems)
        noun = "input is" if len(problems) == 1 else "inputs are"
        super().__init__(f"{len(problems)} {noun} not valid:\n{lines}")
        self.problems = problems


class ConfigError(ActionError):
    """The inputs are well formed, but do not fit what dbt Cloud or the event says (unknown job, a fork, …)."""

    kind = FailureKind.CONFIG


class Interrupted(Exception):  # noqa: N818 - a signal is not an error
    """The process received a signal; raised by every wait. `signum` is the signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"signal {signum}")
        self.signum = signum
