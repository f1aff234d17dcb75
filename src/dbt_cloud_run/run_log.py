"""The log of the step: what a person who watches it, or reads it afterwards, wants to know.

Groups do not nest, so an attempt is a heading with lines for its changes of state, and each step that is seen at work a
group with a line on its progress at sensible intervals. The modules that read dbt's logs are loaded when there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from dbt_cloud_run.clock import Clock, unknown_time
from dbt_cloud_run.console import BaseConsole
from dbt_cloud_run.model import LONGEST_LOG, Attempt, RunState, Step
from dbt_cloud_run.text import shortened
from dbt_cloud_run.unknown import step_words

if TYPE_CHECKING:
    from dbt_cloud_run.cloud.models import Run, RunStep
    from dbt_cloud_run.planned import RetryPlan
    from dbt_cloud_run.report.progress import Progress

LONGEST_NAME = 100  # characters shown of a step's command
LOG_TAIL = 20_000  # characters of a running step's log that are searched for its progress
SIGN_OF_LIFE = 60.0  # seconds after which a running step has a line although nothing about it is new


@dataclass(slots=True)
class RunLog:
    """Writes to the runner's log."""

    console: BaseConsole
    clock: Clock
    # dbt Cloud's own time, where it says: the times that it names are compared with no other clock.
    server_now: Callable[[], datetime | None] = unknown_time
    _state: RunState | None = None
    _steps: dict[int, RunState] = field(default_factory=dict)
    _shown: dict[int, tuple[Progress | None, float]] = field(default_factory=dict)  # of each step: what, and when
    _blocked_by: tuple[int, ...] = ()
    _lengths: dict[int, int] = field(default_factory=dict)  # of each step's log, as it was served
    _number: int = 0
    _state_said_at: float = 0.0
    _began: float = 0.0  # when the wait for the run began, on the monotonic clock
    _open_step: int | None = None
    _group: ExitStack = field(default_factory=ExitStack)

    def started(self, run: Run, number: int) -> None:
        """An attempt begins."""
        self._state, self._steps, self._shown, self._blocked_by = None, {}, {}, ()
        self._lengths, self._number, self._began = {}, number, self.clock.monotonic()
        self._state_said_at = 0.0
        self.close()
        self.console.info(f"Attempt {number}: run {run.id} {run.href or ''}".rstrip())

    def seen(self, run: Run) -> None:
        """A look at the run: what has changed, and how far the running step is where its log has been read."""
        elapsed = self.clock.monotonic() - self._began
        self.console.debug(f"look at run {run.id} after {elapsed:.1f} s: {run.state.value}, {len(run.steps)} steps")
        if run.state is not self._state:
            if run.state.is_terminal:
                self.close()
            self._state = run.state
            self._state_said_at = elapsed
            self.console.info(f"{_since(elapsed)}  run {run.id} is {run.state.value}")
        elif elapsed - self._state_said_at >= SIGN_OF_LIFE and not any(s.state is RunState.RUNNING for s in run.steps):
            self._state_said_at = elapsed
            self.console.info(f"{_since(elapsed)}  run {run.id} is still {run.state.value}")
        blocked_by = tuple(run.blocked_by or ())
        if run.state is RunState.QUEUED and blocked_by and blocked_by != self._blocked_by:
            self._blocked_by = blocked_by
            runs = ", ".join(str(other) for other in blocked_by[:5])
            self.console.info(f"{_since(elapsed)}  it waits for run {runs} of the same job")
        if self.console.shows_live and not run.state.is_terminal:
            self.console.live(f"run {run.id} is {run.state.value}", elapsed)
        for step in run.steps:
            self._seen_step(step, elapsed)

    def _seen_step(self, step: RunStep, elapsed: float) -> None:
        from dbt_cloud_run.report.progress import progress_line, read_progress

        before = self._steps.get(step.index)
        self._steps[step.index] = step.state
        self._lengths[step.index] = max(len(step.log), self._lengths.get(step.index, 0))
        if step.state is RunState.RUNNING:
            progress = read_progress(step.log[-LOG_TAIL:])
            now = self.server_now()
            taken = (now - step.started_at).total_seconds() if now and step.started_at else elapsed
            if self.console.shows_live:
                self.console.live(progress_line(step.index, _name(step), None, progress), max(taken, 0.0))
                return
            shown, shown_at = self._shown.get(step.index, (None, -SIGN_OF_LIFE))
            if progress == shown and elapsed - shown_at < SIGN_OF_LIFE:
                return
            self._shown[step.index] = progress, elapsed
            self._open(step)
            line = progress_line(step.index, _name(step), max(taken, 0.0), progress)
            self.console.info(f"{_since(elapsed)}  {line}")
        elif step.state is not before and step.state not in (RunState.QUEUED, RunState.STARTING):
            self.close()
            self.console.info(f"{_since(elapsed)}  step {step.index} “{_name(step)}”: {step.state.value}")

    def _open(self, step: RunStep) -> None:
        if self._open_step != step.index:
            self.close()
            self._open_step = step.index
            title = f"Attempt {self._number}, step {step.index}: {_name(step)}"
            self._group.enter_context(self.console.group(title))

    def ended(self, attempt: Attempt) -> None:
        """An attempt has ended: what became of its steps, and the logs of the failed ones, folded."""
        self.close()
        for step in attempt.steps:
            if self._steps.get(step.index) is not step.state:
                took = f" after {step.duration_seconds:.0f} s" if step.duration_seconds else ""
                self.console.info(f"{step_words(step.index)} “{_name(step)}”: {step.state.value}{took}")
        said = f": {attempt.status_message}" if attempt.status_message and not attempt.steps else ""
        self.console.info(f"Attempt {attempt.number}: run {attempt.run_id} ended: {attempt.ending.value}{said}")
        if attempt.warnings:  # one annotation for all: there is room for ten
            title = f"The results of run {attempt.run_id} are incomplete"
            self.console.warning("\n".join(attempt.warnings), title=title)
        for step in attempt.steps:
            if step.state is RunState.ERROR and step.log:
                title = f"Attempt {attempt.number}: log of the failed step {step.index}, {_name(step)}"
                with self.console.group(title):
                    if cut := self._cut(step):
                        where = attempt.run_url or "dbt Cloud"
                        self.console.info(f"{cut} Its end follows; the whole log is in {where}")
                    self.console.relay(step.log)

    def _cut(self, step: Step) -> str:
        """What is missing of a step's log; empty where nothing is."""
        if len(step.log) < LONGEST_LOG:
            return ""
        missing = self._lengths.get(step.index, 0) - len(step.log)
        return (
            f"The first {missing:,} characters or more are left out." if missing > 0 else "The beginning is left out."
        )

    def plan(self, plan: RetryPlan) -> None:
        """What is retried, and why; or why nothing is."""
        from dbt_cloud_run.report.progress import plan_lines
        from dbt_cloud_run.report.wording import plural

        lines = plan_lines(plan)
        for step in plan.steps:
            self.console.debug(f"plan: step {step.index} {step.action.value}: {step.command} -> {step.new_command}")
            for node in (*step.nodes, *step.left_out):
                self.console.debug(f"plan: {node.unique_id} {node.status}, {node.retryability.value}: {node.reason}")
        title = f"Retry: {plural(len(plan.commands), 'command')}"
        with self.console.group(title) if plan.commands else nullcontext():
            for line in lines:
                self.console.info(line)

    def close(self) -> None:
        """Leave no group open, and no line that changes."""
        self.console.end_live()
        self._open_step = None
        self._group.close()


def _name(step: Step | RunStep) -> str:
    name = step.command or step.name or "?"
    return shortened(name, LONGEST_NAME)


def _since(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
