"""When to look at a run again: often around the time at which it usually ends, ever less often if nothing is known.

The best schedule for a known distribution of run lengths has an interval proportional to 1/√hazard, where the hazard is
the chance that the run ends in the next second if it has not yet. The distribution here is a mixture: a log-normal
around each recent duration, and a share for runs that end otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dbt_cloud_run.model import RunState, TriggerOverrides

if TYPE_CHECKING:
    from dbt_cloud_run.cloud.models import Run

FIRST_INTERVAL = 4.5  # seconds, as long as the run is young
SHORTEST_INTERVAL = 2.0  # seconds, where the end is expected
LONGEST_INTERVAL = 22.0  # seconds, where nothing is known
LONGEST_EXPECTANT_INTERVAL = 45.0  # seconds, where the usual end is far away
LONGEST_QUEUED_INTERVAL = 30.0
_YOUNG = 70.0  # seconds: most short runs have ended by then; what has not may well take long
_YOUNG_WITH_HISTORY = 30.0  # seconds: where a later end is expected, fewer early looks leave more for it
_GROWTH = 1.5  # the power of the elapsed time with which the interval grows from then on
_LAST_STEP = 0.85  # of the interval: a job may have one step, and then this is no news
_MOST_HISTORY = 20
_ODD_SHARE = 0.02  # of runs that end otherwise than the history says
_LEAST_SPREAD = 0.06
_SPREAD_OF_ONE = 0.15


def usual_durations(runs: Iterable[Run], overrides: TriggerOverrides) -> tuple[float, ...]:
    """Run times, in seconds, of successful runs of the same kind: same steps, docs and target; no retries."""

    def kind(given: TriggerOverrides) -> TriggerOverrides:
        return TriggerOverrides(
            steps_override=given.steps_override,
            generate_docs_override=given.generate_docs_override,
            target_name_override=given.target_name_override,
        )

    durations = (
        _run_time(run)
        for run in runs
        if run.state is RunState.SUCCESS and run.retrying_run_id is None and kind(run.overrides) == kind(overrides)
    )
    return tuple(duration for duration in durations if duration)[:_MOST_HISTORY]


def _run_time(run: Run) -> float | None:
    if run.run_duration is not None:
        return run.run_duration
    if run.started_at and run.finished_at:
        return max((run.finished_at - run.started_at).total_seconds(), 0.0)
    return run.duration


@dataclass(frozen=True, slots=True)
class PollSchedule:
    """`history`: recent durations of comparable runs in seconds, newest first. `fixed_interval` overrules it."""

    history: Sequence[float] = ()
    fixed_interval: float | None = None

    def without_history(self) -> PollSchedule:
        """For a retry, which runs something else than the job usually does."""
        return replace(self, history=())

    def next_interval(
        self,
        elapsed_seconds: float,
        *,
        queued: bool = False,
        in_last_step: bool = False,
        running_seconds: float | None = None,
    ) -> float:
        """Seconds until the next look.

        `elapsed_seconds` since the trigger; `running_seconds` since the run left the queue, which is what the history
        is about (None: as long as it has existed).
        """
        elapsed = max(elapsed_seconds, 0.0)
        if self.fixed_interval is not None:
            interval = self.fixed_interval if elapsed >= FIRST_INTERVAL else min(self.fixed_interval, FIRST_INTERVAL)
        elif queued:
            interval = _grown(elapsed, LONGEST_QUEUED_INTERVAL)
        else:
            running = elapsed if running_seconds is None else max(running_seconds, 0.0)
            interval = self._running(running)
            if in_last_step and self.history and running > self._usual / 2:
                interval = max(interval * _LAST_STEP, SHORTEST_INTERVAL)
        return interval

    def _running(self, elapsed: float) -> float:
        if not self.history:
            return _grown(elapsed, LONGEST_INTERVAL)
        expectant = min(_scale(self._usual) * math.sqrt(self._inverse_hazard(elapsed)), LONGEST_EXPECTANT_INTERVAL)
        early = _grown(elapsed, LONGEST_EXPECTANT_INTERVAL, _YOUNG_WITH_HISTORY)
        return max(min(expectant, early), SHORTEST_INTERVAL)

    @property
    def _usual(self) -> float:
        return sorted(self.history)[len(self.history) // 2]

    def _inverse_hazard(self, elapsed: float) -> float:
        """Seconds: the chance to last longer than `elapsed`, over the density of ends at it."""
        time = max(elapsed, 1.0)
        logs = [math.log(max(duration, 1.0)) for duration in self.history]
        spread = _spread(logs)
        density = survival = 0.0
        for log in logs:
            z = (math.log(time) - log) / spread
            density += math.exp(-z * z / 2) / (time * spread * math.sqrt(2 * math.pi))
            survival += math.erfc(z / math.sqrt(2)) / 2
        share = (1 - _ODD_SHARE) / len(logs)
        odd_survival = math.exp(sum(logs) / len(logs)) / (math.exp(sum(logs) / len(logs)) + time)  # log-logistic
        odd_density = odd_survival * (1 - odd_survival) / time
        return (share * survival + _ODD_SHARE * odd_survival) / (share * density + _ODD_SHARE * odd_density)


def _grown(elapsed: float, longest: float, young: float = _YOUNG) -> float:
    return min(FIRST_INTERVAL * math.pow(max(elapsed / young, 1.0), _GROWTH), longest)


def _scale(usual: float) -> float:
    """√seconds: how an interval follows from the hazard. Longer runs get a longer lag and fewer calls for their length.

    The figure makes both goals for runs of 30 minutes: a mean lag below 3 s with no more than 120 calls.
    """
    return 0.315 * math.pow(1800.0 / max(usual, 1.0), 0.3)


def _spread(logs: Sequence[float]) -> float:
    """The width of each log-normal: Silverman's rule on the logarithms, within bounds."""
    if len(logs) == 1:
        return _SPREAD_OF_ONE
    mean = sum(logs) / len(logs)
    deviation = math.sqrt(sum((log - mean) ** 2 for log in logs) / (len(logs) - 1))
    return min(max(1.06 * deviation / math.pow(len(logs), 0.2), _LEAST_SPREAD), 0.5)
