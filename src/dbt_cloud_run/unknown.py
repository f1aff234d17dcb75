"""What is not known of an attempt: a value that travels to the report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

UNLISTED = 0
"""Stands for the index of the last step of a run where dbt Cloud does not list it; listed ones count from 1."""


def step_words(index: int) -> str:
    """How a step is called in a sentence: `step 3`, or `the last step`."""
    return f"step {index}" if index != UNLISTED else "the last step"


class UnknownKind(StrEnum):
    """What could not be read of a run that has ended."""

    STEPS = "its steps"
    RESULTS = "the results of a step"
    FRESHNESS = "the freshness of its sources"


HIDDEN_FAILURE = "its steps could not be read, so it is not known which command failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """One thing that is not known of an attempt; never taken for nothing, and never for a success."""

    kind: UnknownKind
    why: str
    step: int | None = None  # the step's index, with `RESULTS` and `FRESHNESS`
