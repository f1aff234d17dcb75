"""Who cancelled a run, as far as dbt Cloud says so: a value that travels to the report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

# dbt Cloud cancels a run whose set-up failed; the wording is of public reports, and documented nowhere.
_SET_UP_FAILED = re.compile(
    r"\bfailed to (?:generate|create|set ?up|load) (?:\w+ ){0,3}profiles?\b|\bfailed to clone\b"
    r"|\b(?:incorrect|invalid) credentials\b",
    re.IGNORECASE,
)


class CancelledBy(StrEnum):
    """Who cancelled a run in dbt Cloud, each as the end of a sentence that begins `Run 7 was cancelled`."""

    ACTOR = "by a person or through the API"
    STARTER = "with the token that started it"
    NEWER_RUN = "by dbt Cloud for a newer run"
    CAPACITY = "by dbt Cloud, because it lacked capacity"
    HEARTBEAT = "by dbt Cloud, which had lost contact with it"
    TIME_LIMIT = "by dbt Cloud at its own time limit"
    SET_UP = "by dbt Cloud, because its set-up failed"
    UNKNOWN = "in dbt Cloud, which does not say by whom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """Who cancelled a run, as far as dbt Cloud says so. `newer_run_id` and `is_for_commit` belong to `NEWER_RUN`."""

    by: CancelledBy
    actor: str | None = None  # a name, untrusted; empty where the audit has an actor without one
    newer_run_id: int | None = None
    is_for_commit: bool = False

    @property
    def is_by_another(self) -> bool:
        """Whether an actor cancelled it who did not start it."""
        return self.by is CancelledBy.ACTOR


def says_set_up_failed(text: str) -> bool:
    """Whether dbt Cloud's words, in a status message or a log, name a set-up that failed."""
    return _SET_UP_FAILED.search(text) is not None
