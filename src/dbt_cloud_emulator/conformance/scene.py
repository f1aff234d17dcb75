"""What the checks look at: the job, its runs, and what was started for them. Read once, on first use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dbt_cloud_emulator.conformance.session import Exchange, NotThereError, Session

Json = dict[str, Any]
SUCCESS, ERROR, CANCELLED = 10, 20, 30
ENDED = (SUCCESS, ERROR, CANCELLED)
RELATED = "run_steps,trigger,job,environment,audit"
OUR_CAUSE = "Conformance check"  # how the cause of each run begins that is started here
UNKNOWN_ID = 9_000_000_000_000_001  # fits into 64 bits, and into a float


class NotCheckedError(Exception):
    """A check has nothing to look at; the message says what there would have to be."""


@dataclass
class Started:
    """A run that was started for the checks: the trigger's answer, and what was seen of it until its end."""

    body: Mapping[str, Any]
    answer: Exchange
    moments: list[Json] = field(default_factory=list)  # the run as it was polled, steps included
    newest_after: Json | None = None  # the head of the job's list right after the trigger
    seconds: float = 0.0  # from the first look to the end
    of: int = 0  # the run that a retry retries
    cancel: Exchange | None = None
    cancel_again: Exchange | None = None

    @property
    def id(self) -> int:
        data = self.answer.data
        found = data.get("id") if isinstance(data, dict) else None
        if not self.answer.is_success or type(found) is not int:
            raise NotThereError(f"{self.answer}, {self.answer.shown_words}")
        return found

    @property
    def end(self) -> Json:
        """The run after its end. Raises NotThereError for one that was not seen to end."""
        last = self.moments[-1] if self.moments else {}
        if last.get("status") not in ENDED:
            raise NotThereError(f"run {self.id} was not seen to end")
        return last


@dataclass
class Scene:
    """The session, the job, and what was started: by the names of `runs.PHASES`."""

    session: Session
    job_id: int
    started: dict[str, Started] = field(default_factory=dict)
    refusals: dict[str, Exchange] = field(default_factory=dict)

    def phase(self, name: str) -> Started:
        """What was started in a phase. Raises NotCheckedError where it was not."""
        if name not in self.started:
            raise NotCheckedError("needs --start-runs")
        return self.started[name]

    def refusal(self, name: str) -> Exchange:
        """The answer to a request that is to be refused. Raises NotCheckedError where it was not sent."""
        if name not in self.refusals:
            raise NotCheckedError("needs --start-runs")
        return self.refusals[name]

    @cached_property
    def job(self) -> Json:
        return self.session.one(f"jobs/{self.job_id}/", {"include_related": "environment"})

    @cached_property
    def listed(self) -> list[Json]:
        """The newest runs of the job, the newest first. Raises NotCheckedError where there are none."""
        found = self.list(limit="20", include_related="trigger")
        if not found:
            raise NotCheckedError("the job has no runs")
        return found

    def list(self, **params: str) -> list[Json]:
        """Runs of the job, the newest first unless the parameters say otherwise."""
        query = {"job_definition_id": str(self.job_id), "order_by": "-id", **params}
        return self.session.many("runs/", query)

    def run(self, run_id: int, related: str = RELATED) -> Json:
        return self.session.one(f"runs/{run_id}/", {"include_related": related} if related else {})

    def _newest(self, status: int, what: str) -> Json:
        found = self.list(limit="100", status__in=f"[{status}]", include_related="trigger")
        if not found:
            raise NotCheckedError(f"the job has no {what} run")
        # A run that builds has more to look at than one that these checks have started.
        chosen = next((run for run in found if not _is_ours(run)), found[0])
        return self.run(chosen["id"])

    @cached_property
    def successful(self) -> Json:
        """The newest successful run, with all that is related."""
        return self._newest(SUCCESS, "successful")

    @cached_property
    def failed(self) -> Json:
        """The newest failed run, with all that is related."""
        return self._newest(ERROR, "failed")

    @cached_property
    def retry(self) -> Json:
        """The newest run that is a retry by dbt Cloud itself, with all that is related."""
        if "retry" in self.started:
            return self.started["retry"].end
        for run in self.list(limit="100"):
            if run.get("retrying_run_id"):
                return self.run(run["id"])
        raise NotCheckedError("the job has no run that retries another")

    @cached_property
    def ended(self) -> Json:
        """A run that has ended: successful, or else failed."""
        try:
            return self.successful
        except NotCheckedError:
            return self.failed

    def results_step(self) -> tuple[Json, Json, Json]:
        """A run, a step of it that left run results, and these. Raises NotCheckedError where there is none."""
        run = self.ended
        for step in reversed(dbt_steps(run)):
            answer = self.session.ask("GET", f"runs/{run['id']}/artifacts/run_results.json", step_query(step))
            if answer.is_success and isinstance(answer.body, dict) and "results" in answer.body:
                return run, step, answer.body
        raise NotCheckedError("no step of the run left run results")


def _is_ours(run: Mapping[str, Any]) -> bool:
    trigger = run.get("trigger")
    cause = trigger.get("cause") if isinstance(trigger, dict) else None
    return isinstance(cause, str) and cause.startswith(OUR_CAUSE)


def steps_of(run: Mapping[str, Any]) -> list[Json]:
    """The steps of a run. Raises NotCheckedError where there are none."""
    found = run.get("run_steps")
    if not isinstance(found, list) or not found or not all(isinstance(step, dict) for step in found):
        raise NotCheckedError("the run has no steps")
    return found


def command_of(step: Mapping[str, Any]) -> str | None:
    """What stands between back-ticks in the name of a step."""
    _, tick, rest = str(step.get("name") or "").partition("`")
    command, closing, _ = rest.rpartition("`")
    return command.strip() if tick and closing else None


def dbt_steps(run: Mapping[str, Any]) -> list[Json]:
    """The steps that ran a dbt command other than `dbt deps`."""
    return [
        step
        for step in steps_of(run)
        if (command := command_of(step)) and command != "dbt deps" and step.get("status") in (SUCCESS, ERROR)
    ]


def step_query(step: Mapping[str, Any]) -> dict[str, str]:
    return {"step": str(step.get("index"))}
