"""The loop: start, wait, look at the results, plan, again. The only place that knows the order of things.

It keeps what is known at any moment (`attempts`, `current`), so that a report can be made whatever ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import CloudError, RetryRefused, Unreadable
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import NEW_RUN_GRACE, READ_BUDGET, Reader
from dbt_cloud_run.collect.attempts import attempt_of, ending_of
from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.model import Attempt, Ending, RetryPlan, TriggerOverrides
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.pending import Pending
from dbt_cloud_run.start.sending import Sending
from dbt_cloud_run.start.start import Started
from dbt_cloud_run.start.tag import parse_tag
from dbt_cloud_run.waiting.polling import PollSchedule
from dbt_cloud_run.waiting.wait import WHOLE_RUN, Limits, Waiting, Watcher, cancel

if TYPE_CHECKING:
    from dbt_cloud_run.collect.collect import Collector


@dataclass(slots=True, kw_only=True)
class Events:
    """Whom the loop tells what it does."""

    on_note: Callable[[str], None]
    on_run: Callable[[Run, int, bool], None]  # a run is being waited for: itself, the attempt's number, is it ours
    on_attempt: Callable[[Attempt], None]  # an attempt has ended and was looked at
    on_plan: Callable[[RetryPlan], None]  # what is retried, or why nothing is
    watcher: Watcher


@dataclass(slots=True, kw_only=True)
class Runner:
    """One step's work on dbt Cloud. `attempts` and `current` are true at every moment."""

    settings: Settings
    client: CloudClient
    reader: Reader
    events: Events
    send: Callable[[Pending], Awaitable[Run]]
    make_collector: Callable[[int], Collector]  # by the dbt job's id; called only when a run has ended
    overall: float | None = None  # the end of `timeout-minutes`, on the monotonic clock
    attempts: list[Attempt] = field(default_factory=list)
    current: Run | None = None
    is_ours: bool = False  # whether this step started the current run
    notes: list[str] = field(default_factory=list)
    timed_out: str | None = None  # which of our limits ended it
    is_left_running: bool = False  # out of time, and the cancellation is not confirmed: the post step goes on with it
    collector: Collector | None = None
    _limits: Limits = field(default_factory=Limits)
    _retries: int = 0
    _was_cancelled_here: bool = False  # the last run, by an earlier attempt of this step: then it counts as failed
    _step_key: str = ""

    async def run(self, started: Started) -> None:
        """From a started run to the last attempt's end. Raises `ActionError`s and `Interrupted`."""
        self._limits = Limits(self.overall, self.settings.queue_timeout_minutes * 60 or None)
        run = await self.first(started)
        while run is not None:
            await self._attempt(run, started)
            run = await self._retry_after(started) if self.timed_out is None else None

    async def first(self, started: Started) -> Run | None:
        """The run to begin with: the started one, or the retry of what an earlier run of the workflow left failed."""
        self.notes += started.notes
        self._step_key = started.tag.key.step
        for earlier in started.earlier:
            await self._look_back(earlier, is_earlier=True)
        self.is_ours = started.is_ours
        if started.run is not None:
            return started.run
        return await self._retry_after(started, take_all=started.takes_every_failure)

    async def _attempt(self, run: Run, started: Started) -> None:
        """Wait for a run, and look at what it left."""
        self.take(run, is_ours=self.is_ours)
        schedule = PollSchedule(started.history, self.settings.poll_interval)
        if self._retries:
            schedule = schedule.without_history()
        waiting = Waiting(self.client, self.reader, schedule, self.events.watcher, self._limits, self._know)
        run, reason = await waiting.until_end(run)
        if reason is not None:
            run = await self._out_of_time(run, reason)
            self._know(run)
        is_whole = waiting.is_whole and reason is None
        await self._look_back(run, is_earlier=started.is_earlier(run), is_whole=is_whole)

    async def _look_back(self, run: Run, *, is_earlier: bool = False, is_whole: bool = False) -> None:
        from dbt_cloud_run.retry.plan import commands_from_failure

        run = run if is_whole else await self._whole(run)
        ending = ending_of(run) if run.state.is_terminal else Ending.TIMED_OUT
        if self.timed_out and ending is Ending.CANCELLED:
            ending = Ending.TIMED_OUT
        attempt = await self._collected(run, ending)
        if attempt.is_unread and self._may_be_retried(attempt):
            attempt = await self._collected_again(run, ending) or attempt
        attempt = replace(attempt, from_earlier_workflow_run=is_earlier, is_partial=self._is_partial(run))
        if run.retrying_run_id is not None and self.attempts and self.attempts[-1].run_id == run.retrying_run_id:
            # dbt Cloud gives its retry the job's whole list of commands, and runs the rest of it.
            attempt = replace(attempt, asked=commands_from_failure(self.attempts[-1]) or attempt.asked)
        self.attempts.append(attempt)
        self._was_cancelled_here = is_earlier and not run.cancelled_by_another
        self.current = None
        self.events.on_attempt(self.attempts[-1])

    async def _collected(self, run: Run, ending: Ending) -> Attempt:
        number = len(self.attempts) + 1
        try:
            if self.collector is None:
                self.collector = self.make_collector(run.job_definition_id or self.settings.job_id or 0)
            return await self.collector.collect(run, number, ending)
        except Interrupted:
            raise
        except Exception as error:  # whatever is odd in what a run left, the run ended as it did
            what = f"What run {run.id} left could not be looked at ({type(error).__name__}: {error})."
            return attempt_of(run, number, ending, warnings=(what,))

    def _may_be_retried(self, attempt: Attempt) -> bool:
        has_failed = attempt.ending in (Ending.ERROR, Ending.TIMED_OUT) and self.timed_out is None
        return has_failed and self._retries < self.settings.targeted_retries

    async def _collected_again(self, run: Run, ending: Ending) -> Attempt | None:
        """A second look before a retry is planned: without its results, all of the run would have to be repeated."""
        pause, overall = self.reader.rate_limit.pause(), self._limits.overall
        if overall is not None and self.reader.clock.monotonic() + pause >= overall:
            return None
        self.events.on_note(f"What run {run.id} left is read once more{f' in {pause:.0f} s' if pause else ''}.")
        await self.reader.clock.sleep(pause)
        return await self._collected(run, ending)

    def _is_partial(self, run: Run) -> bool:
        """Whether it is a retry of this step that was not asked for all that had failed before it."""
        if run.retrying_run_id is not None:  # dbt Cloud's own takes all of the run that it retries, and no more
            return bool(self.attempts) and self.attempts[-1].is_partial
        tag = parse_tag(run.trigger.cause if run.trigger else None)
        return tag is not None and tag.is_partial and tag.key.step == self._step_key

    async def _whole(self, run: Run) -> Run:
        """The run with its steps and relations; as it is known, with a note, where dbt Cloud does not answer."""
        deadline, new_until = self.reader.within(READ_BUDGET), self.reader.within(NEW_RUN_GRACE)

        async def once() -> Run:
            latest = await self.client.get_run(run.id, WHOLE_RUN)
            if run.state.is_terminal and not latest.state.is_terminal:  # an end stays an end: that answer is stale
                raise Unreadable(f"dbt Cloud has called run {run.id} ended, and now calls it {latest.state.value}.")
            return latest

        try:
            return await self.reader.read(once, deadline=deadline, tolerate_404_until=new_until)
        except CloudError as error:
            self._note(f"The steps of run {run.id} could not be read: {error.message}")
            return run

    async def _out_of_time(self, run: Run, reason: str) -> Run:
        self.timed_out = reason
        self._note(f"Out of time: {reason}. Run {run.id} is {run.state.value}.")
        if not (self.settings.cancel_run and self.is_ours):
            why = "cancel-run is false" if self.is_ours else "this step did not start it"
            self._note(f"Run {run.id} goes on in dbt Cloud: {why}.")
            return run
        try:
            run = await cancel(self.client, self.reader, run)
        except CloudError as error:
            self._note(f"Run {run.id} could not be cancelled: {error.message} {error.advice}".strip())
        self.is_left_running = not run.state.is_terminal
        return run

    # -- retries

    async def _retry_after(self, started: Started, *, take_all: bool = False) -> Run | None:
        """Plan, and start, the attempt after the last one; None when there is to be none. The plan is kept with it."""
        attempt = self.attempts[-1]
        # A person had the workflow run again: what was left out before is taken, too.
        goes_back = attempt.is_partial and attempt.from_earlier_workflow_run
        has_ended_well = attempt.ending is Ending.SUCCESS and not goes_back
        if has_ended_well or self._retries >= self.settings.targeted_retries:
            return None
        plan = await self._plan(goes_back=goes_back, take_all=take_all or goes_back)
        self._keep(plan)
        self.events.on_plan(plan)
        if not plan.commands:
            return None
        self._retries += 1
        if delay := self._delay():
            self.events.on_note(f"Waiting {delay:g} s before the retry.")
            await self.reader.clock.sleep(delay)
        run = None
        if self.settings.retry_strategy == "native":
            run = await self._natively(started, plan, goes_back=goes_back)
        if run is None:
            left_out = plan.is_partial or (attempt.is_partial and not goes_back)
            run = await self._by_nodes(started, plan, is_partial=left_out)
        self.is_ours = True
        return run

    async def _plan(self, *, goes_back: bool, take_all: bool) -> RetryPlan:
        """The plan after the last attempt; `goes_back`: for the last one that was asked for everything."""
        from dbt_cloud_run.retry.plan import plan_retry  # not before it is needed: the trigger goes out first

        last = len(self.attempts) - 1
        whole = [number for number, attempt in enumerate(self.attempts) if not attempt.is_partial]
        base = whole[-1] if goes_back and whole else last
        plan = await asyncio.to_thread(
            plan_retry,
            self.attempts[base],
            self.collector.manifest if self.collector else None,
            retry_on=self.settings.retry_on,
            take_all=take_all,
            cancelled_here=self._was_cancelled_here or base != last,
            earlier=self.attempts[:base],
            later=self.attempts[base + 1 :],
        )
        if not whole:  # the chain is longer than the list of the newest runs: what was left out is not known
            plan = replace(plan, is_partial=True)
        overall = self._limits.overall
        if plan.commands and overall is not None and self.reader.clock.monotonic() + self._delay() >= overall:
            plan = replace(plan, commands=(), stop_reason="timeout-minutes leaves no time for a retry")
        return plan

    async def _by_nodes(self, started: Started, plan: RetryPlan, *, is_partial: bool) -> Run:
        return await self._sending().trigger(
            started.job_id,
            overrides_for_retry(started.overrides, self._first_sha(), plan),
            started.cause,
            started.tag.for_retry(started.tag.root or self.attempts[0].run_id, is_partial=is_partial),
            baseline_id=max(started.baseline_id, *(attempt.run_id for attempt in self.attempts)),
        )

    async def _natively(self, started: Started, plan: RetryPlan, *, goes_back: bool) -> Run | None:
        """dbt Cloud's own retry, where nothing is to be left out and it is willing; else None: the plan says why."""
        run_id = self.attempts[-1].run_id
        try:
            if plan.is_partial:
                raise RetryRefused("it would also run what this plan leaves out")
            if goes_back:
                raise RetryRefused(f"run {run_id} was not asked for all that had failed before it")
            run = await self._sending().retry_natively(started.job_id, run_id)
        except RetryRefused as error:
            note = f"dbt Cloud's own retry is not used: {error.message}. A new run retries the nodes instead."
            self._note(note)
            self._keep(replace(plan, notes=(*plan.notes, note)))
            return None
        self._keep(replace(plan, strategy="native"))
        return run

    def _sending(self) -> Sending:
        return Sending(
            client=self.client, reader=self.reader, send=self.send, on_note=self._note, deadline=self.overall
        )

    def _delay(self) -> float:
        """Seconds before the next retry: `retry-delay`, doubled for each one before it."""
        return float(self.settings.retry_delay * 2 ** min(max(self._retries - 1, 0), 30))

    def _keep(self, plan: RetryPlan) -> None:
        self.attempts[-1] = replace(self.attempts[-1], plan=plan)

    def _first_sha(self) -> str | None:
        return next((attempt.git_sha for attempt in self.attempts if attempt.git_sha), None)

    # -- what is known

    def take(self, run: Run, *, is_ours: bool) -> None:
        """From now on this is the run that it is about."""
        self.current, self.is_ours = run, is_ours
        self.events.on_run(run, len(self.attempts) + 1, is_ours)

    def _know(self, run: Run) -> None:
        self.current = run

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.events.on_note(text)

    def known_attempts(self) -> Sequence[Attempt]:
        """The attempts, with the current run, as far as it is known, as the last one."""
        if self.current is None:
            return tuple(self.attempts)
        ending = ending_of(self.current) if self.current.state.is_terminal else Ending.QUEUED
        current = attempt_of(self.current, len(self.attempts) + 1, ending)
        return (*self.attempts, replace(current, is_partial=self._is_partial(self.current)))


def overrides_for_retry(first: TriggerOverrides, sha: str | None, plan: RetryPlan) -> TriggerOverrides:
    """Every override of the first trigger again, pinned to the commit of the first run, with the plan's steps.

    The steps are sent even where all run again: the job may have been edited since.
    """
    return replace(first, git_sha=sha or first.git_sha, steps_override=plan.commands)
