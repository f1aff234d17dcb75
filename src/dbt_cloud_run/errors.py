"""Errors that end the step, each with what the user should do next.

`main` turns them into one annotation, the outputs and the exit status. Programming errors are not of this family.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dbt_cloud_run.endings import FailureKind


class ActionError(Exception):
    """Base of all. `message` says what happened in one sentence, `advice` what to do about it.

    `code` is stable: it stands in the message, and people search for it in docs/troubleshooting.md. That page takes
    what happened from the first line of each class's docstring, and what to do about it from `remedy`.
    """

    kind: FailureKind = FailureKind.API
    code: ClassVar[str] = ""
    remedy: ClassVar[str] = ""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return " ".join(part for part in (with_code(self.message, self.code), self.advice) if part)


def with_code(message: str, code: str) -> str:
    """The message with the code by which it is found in the docs: after its first line, before a list."""
    if not code:
        return message
    first, line_break, rest = message.partition("\n")
    colon = ":" if first.endswith(":") else ""
    return f"{first.removesuffix(':')} [{code}]{colon}{line_break}{rest}"


@dataclass(frozen=True, slots=True)
class InputProblem:
    """One thing that is wrong with one input; `message` says what would be right."""

    name: str
    message: str


class InvalidInputsError(ActionError):
    """One or more inputs are not valid. All of them are named at once, before the first request."""

    kind = FailureKind.CONFIG
    code = "invalid-inputs"
    remedy = "Correct every input that the message names. The reference lists what each of them takes."

    def __init__(self, problems: tuple[InputProblem, ...]) -> None:
        lines = "\n".join(f"{problem.name}: {problem.message}" for problem in problems)
        noun = "input is" if len(problems) == 1 else "inputs are"
        super().__init__(f"{len(problems)} {noun} not valid:\n{lines}")
        self.problems = problems


class ConfigError(ActionError):
    """The inputs are valid, but contradict what dbt Cloud, the event or the runner reports."""

    kind = FailureKind.CONFIG
    code = "does-not-fit"
    remedy = "The message names the input, the event or the variable that does not fit, and what to change."


class Interrupted(Exception):  # noqa: N818 - a signal is not an error
    """The process received a signal; raised by every wait. `signum` is the signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"signal {signum}")
        self.signum = signum
