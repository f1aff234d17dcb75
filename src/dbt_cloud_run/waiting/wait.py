"""Waiting for a run to end, by light polls; and cancelling one, with the confirmation that it has ended."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import CloudError, NotFound, Redirected, Rejected, Unreachable
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import NEW_RUN_GRACE, Reader
from dbt_cloud_run.errors import ActionError
from dbt_cloud_run.model import RunState
from dbt_cloud_run.waiting.polling import PollSchedule

_logger = logging.getLogger(__name__)
WHOLE_RUN = ("run_steps", "trigger", "job", "environment", "audit")
CANCEL_BUDGET = 120.0  # seconds to have a cancellation accepted, and as long again to see the run end
CANCEL_POLL = 2.0
COOLDOWNS_WAITED_OUT = 2  # of five minutes each
STEPS_FROM = 10.0  # seconds of waiting until a poll asks for the steps, too: their logs are heavy
STEPS_EVERY = 12.0  # seconds at least between two such polls
STEPS_SHARE = 0.15  # … or this share of the elapsed time, if that is longer
STEPS_COST = 10.0  # … or so many times what the last one took


class Watcher(Protocol):
    """Is told what is seen of a run while it goes on."""

    def seen(self, run: Run, elapsed: float) -> None:
        """A look at the run; its steps are there only in some."""
        ...


class LostSightError(ActionError):
    """The run can no longer be seen; it may be running still, and is left alone."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`overall` is a point in monotonic time, `queue` seconds in the queue for each run; None: none."""

    overall: float | None = None
    queue: float | None = None


@dataclass(slots=True)
class Waiting:
    """The wait for one run."""

    client: CloudClient
    reader: Reader
    schedule: PollSchedule
    watcher: Watcher
    limits: Limits
    on_run: Callable[[Run], None]  # the newest knowledge of the run, kept by the caller
    is_whole: bool = False  # whether the last look brought all of `WHOLE_RUN`
    _steps_at: float = field(default=float("-inf"))
    _steps_took: float = 0.0
    _running_since: float | None = None

    async def until_end(self, run: Run) -> tuple[Run, str | None]:
        """The run when it has ended, or when a limit of ours is reached (then with the sentence that says which).

        Raises `LostSightError` when the run can no longer be seen, and `Interrupted`.
        """
        clock = self.reader.clock
        began = clock.monotonic()
        queued_since: float | None = began
        while True:
            run = await self._look(run, began)
            now = clock.monotonic()
            if run.state.is_terminal:
                return run, None
            if run.state is not RunState.QUEUED and queued_since is not None:
                queued_since, self._running_since = None, now - self._has_run_for(run)
            if reason := self._reached(now, queued_since):
                return run, reason
            pause = self._pause(run, now - began)
            for end in (self.limits.overall, self._queue_end(queued_since)):
                pause = pause if end is None else min(pause, max(end - now, 0.05))
            _logger.debug("run %s is %s; next look in %.1f s", run.id, run.state.value, pause)
            await clock.sleep(pause)

    async def _look(self, run: Run, began: float) -> Run:
        clock = self.reader.clock
        wants_steps = self._wants_steps(run, clock.monotonic(), clock.monotonic() - began)
        whole = await self._whole(run) if wants_steps else None
        self.is_whole = whole is not None and whole.run_steps is not None
        try:
            latest = whole if whole is not None else await self._light(run, began)
        except Unreachable:
            return run  # only where there is a limit: when it is reached, the limit speaks, not this failure
        except CloudError as error:
            raise _lost(run, error) from error
        latest = _with_known(latest, run, is_whole=self.is_whole)
        self.on_run(latest)
        self.watcher.seen(latest, clock.monotonic() - began)
        return latest

    async def _light(self, run: Run, began: float) -> Run:
        return await self.reader.read(
            lambda: self.client.get_run(run.id),
            deadline=self.limits.overall,
            tolerate_404_until=began + NEW_RUN_GRACE,
            tolerated=(Redirected, Rejected),  # one odd answer ends nothing
        )

    async def _whole(self, run: Run) -> Run | None:
        """The run with its steps, tried once: whatever is wrong with them, the run's end must be seen."""
        clock = self.reader.clock
        began = self._steps_at = clock.monotonic()
        try:
            return await self.reader.read(lambda: self.client.get_run(run.id, WHOLE_RUN), deadline=began)
        except (Unreachable, NotFound):
            return None
        except CloudError:  # it may be what is asked for besides that is refused: not asked for again
            self._steps_at = float("inf")
            return None
        finally:
            self._steps_took = clock.monotonic() - began

    def _wants_steps(self, run: Run, now: float, elapsed: float) -> bool:
        if run.state not in (RunState.RUNNING, RunState.UNKNOWN):
            return False
        pause = max(STEPS_EVERY, STEPS_SHARE * elapsed, STEPS_COST * self._steps_took)
        return elapsed >= STEPS_FROM and now - self._steps_at >= pause

    def _pause(self, run: Run, elapsed: float) -> float:
        clock = self.reader.clock
        interval = self.schedule.next_interval(
            elapsed,
            queued=run.state is RunState.QUEUED,
            in_last_step=bool(run.steps and run.asked and run.steps[-1].command == run.asked[-1]),
            # The history is about the time that a run takes once it has left the queue.
            running_seconds=None if self._running_since is None else clock.monotonic() - self._running_since,
        )
        return max(interval, self.reader.rate_limit.minimum_interval)

    def _has_run_for(self, run: Run) -> float:
        """Seconds since it left the queue, as dbt Cloud tells."""
        begun = run.dequeued_at or run.started_at
        return max((self.reader.clock.utcnow() - begun).total_seconds(), 0.0) if begun else 0.0

    def _queue_end(self, queued_since: float | None) -> float | None:
        return None if queued_since is None or self.limits.queue is None else queued_since + self.limits.queue

    def _reached(self, now: float, queued_since: float | None) -> str | None:
        if self.limits.overall is not None and now >= self.limits.overall:
            return "timeout-minutes is over"
        end = self._queue_end(queued_since)
        return "queue-timeout-minutes is over, and the run is still in the queue" if end and now >= end else None


def _with_known(latest: Run, run: Run, *, is_whole: bool = False) -> Run:
    """What a light answer leaves out stays known: job, trigger, steps (which it calls none)."""
    names = [name for name in WHOLE_RUN if getattr(latest, name) is None or (name == "run_steps" and not is_whole)]
    return latest.model_copy(update={name: getattr(run, name) for name in names})


async def cancel(client: CloudClient, reader: Reader, run: Run) -> Run:
    """Cancel a run and wait until it has ended; gives what is last known of it. Raises `CloudError`s.

    A run that ended in the meantime is no error: what it ended as is what counts. Nothing presses, so cooldowns are
    waited out: a run that is left to itself costs more.
    """
    try:
        await _patiently(reader, lambda: client.cancel_run(run.id))
    except Rejected:  # it has ended already, or is not to be cancelled: the look at it tells
        latest = _with_known(await _patiently(reader, lambda: client.get_run(run.id)), run)
        if not latest.state.is_terminal:
            raise
        return latest
    return await ended(client, reader, run)


async def ended(client: CloudClient, reader: Reader, run: Run) -> Run:
    """Look at a run that was told to stop until it has; gives up, without an error, after `CANCEL_BUDGET`."""
    clock: Clock = reader.clock
    deadline = reader.within(CANCEL_BUDGET)
    while True:
        latest = await _patiently(reader, lambda: client.get_run(run.id))
        if latest.state.is_terminal or clock.monotonic() >= deadline:
            return _with_known(latest, run)
        await clock.sleep(max(CANCEL_POLL, reader.rate_limit.minimum_interval))


async def _patiently(reader: Reader, call: Callable[[], Awaitable[Run]]) -> Run:
    """Repeat a request for `CANCEL_BUDGET`, not counting a few cooldowns; a run may be new, and so be answered 404."""
    new_until = reader.within(NEW_RUN_GRACE)
    for cooldowns_left in reversed(range(COOLDOWNS_WAITED_OUT + 1)):
        deadline = reader.within(CANCEL_BUDGET + reader.rate_limit.pause())
        try:
            return await reader.read(call, deadline=deadline, tolerate_404_until=new_until)
        except Unreachable:
            if not cooldowns_left or not reader.rate_limit.pause():
                raise
    raise AssertionError("unreachable")


def _lost(run: Run, error: CloudError) -> LostSightError:
    return LostSightError(
        f"Run {run.id} can no longer be seen: {error.message}",
        f"It was not cancelled and may still be running: {run.href or 'see dbt Cloud'}. {error.advice}".strip(),
    )
