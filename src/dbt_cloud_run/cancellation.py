"""Who cancelled a run, as far as dbt Cloud says so: a value that travels to the report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CancelledBy(StrEnum):
    """Who cancelled a run in dbt Cloud, each as the end of a sentence that begins `Run 7 was cancelled`."""

    ACTOR = "by a person or through the API"
    STARTER = "with the token that started it"
    NEWER_RUN = "by dbt Cloud for a newer run"
    CAPACITY = "by dbt Cloud, for want of capacity"
    HEARTBEAT = "by dbt Cloud, which had lost contact with it"
    TIME_LIMIT = "by dbt Cloud at its own time limit"
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
