"""The log of the step: what a person who watches it, or reads it afterwards, wants to know, and no more."""

from __future__ import annotations

from dataclasses import dataclass

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.github.commands import Console
from dbt_cloud_run.model import Attempt, Outcome, RetryPlan, RunState


@dataclass(slots=True)
class RunLog:
    """Writes to the runner's log. Heavy modules are loaded only when a run has ended."""

    console: Console
    clock: Clock
    _last_state: RunState | None = None

    def note(self, text: str) -> None:
        """One line of our own."""
        self.console.info(text)

    def started(self, run: Run, number: int) -> None:
        """An attempt begins."""
        self._last_state = None
        self.console.info(f"Attempt {number}: run {run.id} {run.href or ''}")

    def seen(self, run: Run, elapsed: float) -> None:
        """A look at the run."""
        if run.state is not self._last_state:
            self._last_state = run.state
            self.console.info(f"Run {run.id}: {run.state.value} after {elapsed:.0f} s")

    def ended(self, attempt: Attempt) -> None:
        """An attempt has ended: the logs of its failed steps, folded."""
        self.console.info(f"Run {attempt.run_id}: {attempt.ending.value}")
        for step in attempt.steps:
            if step.state is RunState.ERROR:
                with self.console.group(f"Log of step {step.index}: {step.name}"):
                    self.console.relay(step.log)

    def plan(self, attempt: Attempt, plan: RetryPlan) -> None:
        """What is retried, and why."""
        for step in plan.steps:
            self.console.info(f"  {step.action.value}: {step.new_command or step.command} ({step.reason})")
        if plan.stop_reason:
            self.console.info(f"No retry: {plan.stop_reason}")

    def conclude(self, outcome: Outcome) -> None:
        """The last line."""
        self.console.info(f"{outcome.ending.value}{': ' + outcome.message if outcome.message else ''}")
