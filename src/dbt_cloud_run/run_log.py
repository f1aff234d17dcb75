"""The log of the step: what a person who watches it, or reads it afterwards, wants to know, and no more.

One group for each attempt; within it a line for each change of state and, at sensible intervals, one for the step that
is running. The modules that read dbt's logs are loaded when there is a log to read.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.cloud.models import Run, RunStep
from dbt_cloud_run.github.commands import Console
from dbt_cloud_run.model import Attempt, RetryPlan, RunState, Step

if TYPE_CHECKING:
    from dbt_cloud_run.report.progress import Progress

LONGEST_NAME = 100  # characters shown of a step's command
LOG_TAIL = 20_000  # characters of a running step's log in which its progress is sought
SIGN_OF_LIFE = 60.0  # seconds after which a running step is told of again although nothing new is known of it


@dataclass(slots=True)
class RunLog:
    """Writes to the runner's log."""

    console: Console
    clock: Clock
    _state: RunState | None = None
    _steps: dict[int, RunState] = field(default_factory=dict)
    _told: dict[int, tuple[Progress | None, float]] = field(default_factory=dict)  # of each step: what, and when
    _blocked_by: tuple[int, ...] = ()
    _group: ExitStack = field(default_factory=ExitStack)

    def note(self, text: str) -> None:
        """One line of our own."""
        self.console.info(text)

    def started(self, run: Run, number: int) -> None:
        """An attempt begins; its group is open until it ends."""
        self._state, self._steps, self._told, self._blocked_by = None, {}, {}, ()
        self.close()
        self.console.info(f"Attempt {number}: run {run.id} {run.href or ''}".rstrip())
        self._group.enter_context(self.console.group(f"Attempt {number}: while run {run.id} goes on"))

    def seen(self, run: Run, elapsed: float) -> None:
        """A look at the run: what has changed, and how far the running step is where its log has been read."""
        if run.state is not self._state:
            self._state = run.state
            self.console.info(f"{_since(elapsed)}  run {run.id} is {run.state.value}")
        blocked_by = tuple(run.blocked_by or ())
        if run.state is RunState.QUEUED and blocked_by and blocked_by != self._blocked_by:
            self._blocked_by = blocked_by
            runs = ", ".join(str(other) for other in blocked_by[:5])
            self.console.info(f"{_since(elapsed)}  it waits for run {runs} of the same job")
        for step in run.steps:
            self._seen_step(step, elapsed)

    def _seen_step(self, step: RunStep, elapsed: float) -> None:
        from dbt_cloud_run.report.progress import progress_line, read_progress

        before = self._steps.get(step.index)
        self._steps[step.index] = step.state
        if step.state is RunState.RUNNING:
            progress = read_progress(step.log[-LOG_TAIL:])
            told, told_at = self._told.get(step.index, (None, -SIGN_OF_LIFE))
            if progress == told and elapsed - told_at < SIGN_OF_LIFE:
                return
            self._told[step.index] = progress, elapsed
            taken = (self.clock.utcnow() - step.started_at).total_seconds() if step.started_at else elapsed
            line = progress_line(step.index, _name(step), max(taken, 0.0), progress)
            self.console.info(f"{_since(elapsed)}  {line}")
        elif step.state is not before and step.state not in (RunState.QUEUED, RunState.STARTING):
            self.console.info(f"{_since(elapsed)}  step {step.index} “{_name(step)}”: {step.state.value}")

    def ended(self, attempt: Attempt) -> None:
        """An attempt has ended: what became of its steps, and the logs of the failed ones, folded."""
        for step in attempt.steps:
            if self._steps.get(step.index) is not step.state:
                took = f" after {step.duration_seconds:.0f} s" if step.duration_seconds else ""
                self.console.info(f"step {step.index} “{_name(step)}”: {step.state.value}{took}")
        self.close()
        said = f": {attempt.status_message}" if attempt.status_message and not attempt.steps else ""
        self.console.info(f"Attempt {attempt.number}: run {attempt.run_id} ended: {attempt.ending.value}{said}")
        if attempt.warnings:  # one annotation for all: there is room for ten
            self.console.warning("\n".join(attempt.warnings), title=f"What run {attempt.run_id} left is incomplete")
        for step in attempt.steps:
            if step.state is RunState.ERROR and step.log:
                title = f"Attempt {attempt.number}: log of the failed step {step.index}, {_name(step)}"
                with self.console.group(title):
                    self.console.relay(step.log)

    def plan(self, plan: RetryPlan) -> None:
        """What is retried, and why; or why nothing is."""
        from dbt_cloud_run.report.progress import plan_lines

        lines = plan_lines(plan)
        if not plan.commands:
            for line in lines:
                self.console.info(line)
            return
        with self.console.group(f"Retry: {len(plan.commands)} command{'' if len(plan.commands) == 1 else 's'}"):
            for line in lines:
                self.console.info(line)

    def close(self) -> None:
        """Leave no group open."""
        self._group.close()


def _name(step: Step | RunStep) -> str:
    name = step.command or step.name or "?"
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _since(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
