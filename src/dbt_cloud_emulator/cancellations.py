"""Cancellations that are planned: the next run of a job ends as cancelled, for a reason of dbt Cloud's or a person's.

The reasons are from public reports (incidents of dbt Cloud's status page, its documentation of the scheduler). How dbt
Cloud words them is not documented: `message` replaces the wording here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["person", "api", "capacity", "heartbeat", "newer_run", "newer_commit", "credentials", "unknown"]
ActorType = Literal["user", "service_token"]

# `{newer}` is the id of the newer run, `{actor}` the name of who cancelled.
MESSAGES: dict[Kind, str | None] = {
    "person": "This run was cancelled by {actor}.",
    "api": "This run was cancelled by {actor}.",
    "capacity": "This run was cancelled after waiting 10 minutes to start, due to capacity constraints.",
    "heartbeat": "This run was cancelled after 10 minutes of inactivity: its heartbeat was lost.",
    "newer_run": "This run was cancelled because a more recent run of this job, run {newer}, was queued.",
    "newer_commit": "This run was cancelled because run {newer} was triggered for a newer commit of the pull request.",
    "credentials": "Failed to generate profile due to incorrect credentials",
    "unknown": None,
}
ACTORS: dict[Kind, tuple[str, ActorType]] = {
    "person": ("Ann Example", "user"),
    "api": ("another service token", "service_token"),
}
WITH_A_NEWER_RUN = ("newer_run", "newer_commit")


class RunEnded(Exception):  # noqa: N818 - it is no error
    """A run has come to where its planned cancellation ends it."""


class Cancellation(BaseModel):
    """One plan. The first one that is for a run's job and not used up is taken when the run is triggered.

    `newer_run` and `newer_commit` also trigger the newer run; the audit names an actor for `person` and `api` alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int = 0
    kind: Kind
    job_id: int | None = Field(None, description="any job when left out")
    after: int = Field(0, ge=0, description="number of runs that are let through first")
    times: int | None = Field(1, ge=1, description="how many runs are cancelled; null: all")
    step: int | None = Field(
        None, ge=1, description="index of the step in which it happens, which begins and does no work; null: the queue"
    )
    queued_seconds: float = Field(0, ge=0, description="how long the run has been in the queue by then")
    message: str | None = Field(None, description="status_message; the emulator's own wording when left out")

    def worded(self, newer: int | None) -> str | None:
        """The run's `status_message`."""
        text = self.message or MESSAGES[self.kind]
        actor = ACTORS[self.kind][0] if self.kind in ACTORS else ""
        return text and text.replace("{newer}", str(newer)).replace("{actor}", actor)


class Cancellations:
    """The plans that are set, in order, and how often each has been asked."""

    def __init__(self, plans: list[Cancellation]) -> None:
        self._ids = itertools.count(1)
        self._seen: dict[int, int] = {}
        self._plans: list[Cancellation] = []
        for plan in plans:
            self.add(plan)

    def add(self, plan: Cancellation) -> Cancellation:
        plan = plan.model_copy(update={"id": next(self._ids)})
        self._plans.append(plan)
        return plan

    def clear(self) -> int:
        """Remove all; returns how many there were."""
        count = len(self._plans)
        self._plans.clear()
        return count

    def __iter__(self) -> Iterator[Cancellation]:
        return iter(list(self._plans))

    def take(self, job_id: int) -> Cancellation | None:
        """The plan for a new run of the job, counted as used."""
        for plan in self._plans:
            seen = self._seen.get(plan.id, 0)
            is_spent = plan.times is not None and seen >= plan.after + plan.times
            if is_spent or plan.job_id not in (None, job_id):
                continue
            self._seen[plan.id] = seen + 1
            if seen >= plan.after:
                return plan
        return None
