"""Wait for a run to end, by light polls. Each look is a value; the caller decides what follows from it."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from dbt_cloud_run.cloud.client import WHOLE_RUN, CloudClient
from dbt_cloud_run.cloud.errors import CloudError, NotFound, Redirected, Rejected, Unreachable
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import NEW_RUN_GRACE, Reader
from dbt_cloud_run.errors import ActionError
from dbt_cloud_run.model import Limit, RunState
from dbt_cloud_run.waiting.polling import PollSchedule

_logger = logging.getLogger(__name__)

STEPS_FROM = 10.0
"""Seconds of waiting until a poll asks for the steps, too: their logs are heavy."""

STEPS_EVERY = 12.0
"""Seconds at least between two such polls."""

STEPS_SHARE = 0.15
"""… or this share of the elapsed time, if that is longer."""

STEPS_COST = 10.0
"""… or this many times what the last such poll took."""

_SHORTEST_PAUSE = 0.05


class LostSightError(ActionError):
    """dbt Cloud no longer answers for the run. It may still be running, and is left alone."""

    code = "lost-sight"
    remedy = "Look at the run in dbt Cloud. To attach to it, re-run the job on GitHub, or set `run-id`."


@dataclass(frozen=True, slots=True)
class Limits:
    """`overall` is a point in monotonic time, `queue` seconds in the queue for each run; None: none."""

    overall: float | None = None
    queue: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a run: what earlier looks brought is part of it.

    `is_whole`: this look brought all of `WHOLE_RUN`. `limit`: the time limit that is reached; it ends the wait.
    """

    run: Run
    is_whole: bool = False
    limit: Limit | None = None


async def looks(
    run: Run, *, client: CloudClient, reader: Reader, schedule: PollSchedule, limits: Limits
) -> AsyncGenerator[Look]:
    """Look at the run until it has ended or a limit is reached. The last look is the one that ended the wait.

    Raises `LostSightError` when the run can no longer be seen, and `Interrupted`.
    """
    wait = _Wait(client, reader, schedule, limits)
    while True:
        look = await wait.look(run)
        yield look
        run = look.run
        if run.state.is_terminal or look.limit is not None:
            return
        await reader.clock.sleep(wait.pause(run))


class _Wait:
    """The times that a wait has to remember: its begin, the queue's, and those of the looks at the steps."""

    def __init__(self, client: CloudClient, reader: Reader, schedule: PollSchedule, limits: Limits) -> None:
        self._client, self._reader, self._schedule, self._limits = client, reader, schedule, limits
        self._began = self._now()
        self._queued_since: float | None = self._began
        self._running_since: float | None = None
        self._steps_at = float("-inf")
        self._steps_took = 0.0

    async def look(self, run: Run) -> Look:
        whole = await self._whole(run) if self._wants_steps(run) else None
        is_whole = whole is not None and whole.run_steps is not None
        try:
            latest = whole if whole is not None else await self._light(run)
        except Unreachable:
            # This happens only where there is a limit: it is reached, and ends the wait.
            latest = run
        except CloudError as error:
            raise _lost(run, error) from error
        latest = with_known(latest, run, is_whole=is_whole)
        if latest.state.is_terminal:
            return Look(latest, is_whole)
        if latest.state is not RunState.QUEUED and self._queued_since is not None:
            self._queued_since, self._running_since = None, self._now() - self._has_run_for(latest)
        return Look(latest, is_whole, self._reached())

    def pause(self, run: Run) -> float:
        """Seconds until the next look."""
        now = self._now()
        interval = self._schedule.next_interval(
            now - self._began,
            queued=run.state is RunState.QUEUED,
            in_last_step=bool(run.steps and run.asked and run.steps[-1].command == run.asked[-1]),
            # The history is about the time that a run takes once it has left the queue.
            running_seconds=None if self._running_since is None else now - self._running_since,
        )
        pause = max(interval, self._reader.rate_limit.minimum_interval)
        for end in (self._limits.overall, self._queue_end()):
            pause = pause if end is None else min(pause, max(end - now, _SHORTEST_PAUSE))
        _logger.debug("run %s is %s; next look in %.1f s", run.id, run.state.value, pause)
        return pause

    async def _light(self, run: Run) -> Run:
        return await self._reader.read(
            lambda: self._client.get_run(run.id),
            deadline=self._limits.overall,
            tolerate_404_until=self._began + NEW_RUN_GRACE,
            # One unexpected answer ends nothing.
            tolerated=(Redirected, Rejected),
        )

    async def _whole(self, run: Run) -> Run | None:
        """The run with its steps, tried once: whatever is wrong with them, the run's end must be seen."""
        began = self._steps_at = self._now()
        try:
            return await self._reader.read(lambda: self._client.get_run(run.id, WHOLE_RUN), deadline=began)
        except (Unreachable, NotFound):
            return None
        except CloudError:
            # It may be the related objects that are refused: they are not asked for again.
            self._steps_at = float("inf")
            return None
        finally:
            self._steps_took = self._now() - began

    def _wants_steps(self, run: Run) -> bool:
        if run.state not in (RunState.RUNNING, RunState.UNKNOWN):
            return False
        elapsed = self._now() - self._began
        pause = max(STEPS_EVERY, STEPS_SHARE * elapsed, STEPS_COST * self._steps_took)
        return elapsed >= STEPS_FROM and self._now() - self._steps_at >= pause

    def _has_run_for(self, run: Run) -> float:
        """Seconds since it left the queue, by dbt Cloud's own clock; 0 where that is not known."""
        begun, server_now = run.dequeued_at or run.started_at, self._client.server_now()
        return max((server_now - begun).total_seconds(), 0.0) if begun and server_now else 0.0

    def _queue_end(self) -> float | None:
        if self._queued_since is None or self._limits.queue is None:
            return None
        return self._queued_since + self._limits.queue

    def _reached(self) -> Limit | None:
        now, queue_end = self._now(), self._queue_end()
        if self._limits.overall is not None and now >= self._limits.overall:
            return Limit.TOTAL
        return Limit.QUEUE if queue_end is not None and now >= queue_end else None

    def _now(self) -> float:
        return self._reader.clock.monotonic()


def with_known(latest: Run, run: Run, *, is_whole: bool = False) -> Run:
    """What a light answer leaves out stays known: job, trigger, steps (of which it reports none)."""
    names = [name for name in WHOLE_RUN if getattr(latest, name) is None or (name == "run_steps" and not is_whole)]
    return latest.model_copy(update={name: getattr(run, name) for name in names})


def _lost(run: Run, error: CloudError) -> LostSightError:
    return LostSightError(
        f"Run {run.id} can no longer be seen: {error.message}",
        f"It was not cancelled and may still be running: {run.href or 'see dbt Cloud'}. {error.advice}".strip(),
    )
