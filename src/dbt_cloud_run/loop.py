"""The loop: wait for a run, collect what it left, plan a retry, start it, and again.

`attempts_of` yields a new story at each change, and before each request that starts a run. What a story is good for
(the state, the log, the outputs) is the caller's business, and so is a signal: the newest story is what is known then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from dbt_cloud_run.cancellation import Cancellation, CancelledBy
from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import CloudError, RetryRefused
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import READ_BUDGET, Reader
from dbt_cloud_run.collect.attempts import attempt_of, ending_of
from dbt_cloud_run.collect.collect import Collected, collect
from dbt_cloud_run.collect.keeping import Keeping
from dbt_cloud_run.dbt.manifests import Manifests
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.model import Attempt, Fate, FateKind, LeftAlone, Limit, LimitReached, TriggerOverrides
from dbt_cloud_run.planned import RetryPlan
from dbt_cloud_run.retry.capacity import NOT_KNOWN, lacked_capacity, plan_once_more
from dbt_cloud_run.retry.delay import delay_left, ended_at
from dbt_cloud_run.retry.plan import commands_from_failure, plan_retry
from dbt_cloud_run.retry.unrun import never_run
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.busy import builds_there
from dbt_cloud_run.start.chain import is_partial_after
from dbt_cloud_run.start.decide import Decision
from dbt_cloud_run.start.native import native_refusal
from dbt_cloud_run.start.once import NativeRetry, NewRun, start_once
from dbt_cloud_run.story import Story
from dbt_cloud_run.unknown import Unknown, UnknownKind
from dbt_cloud_run.waiting.cancel import cancel_with_fate
from dbt_cloud_run.waiting.listed import late_steps
from dbt_cloud_run.waiting.polling import PollSchedule
from dbt_cloud_run.waiting.steps import read_whole
from dbt_cloud_run.waiting.wait import Limits, looks

_logger = logging.getLogger(__name__)

OUT_OF_TIME = f"{Limit.TOTAL.value} leaves no time for a retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the loop works with; none of it changes."""

    settings: Settings
    client: CloudClient
    reader: Reader
    limits: Limits
    keeping: Keeping


async def attempts_of(story: Story, decision: Decision, means: Means) -> AsyncGenerator[Story]:
    """From the first run, or the runs before it, to the last attempt's end. Raises `ActionError`s and `Interrupted`.

    The loop ends where no run is current (after a success, a time limit, or a plan that sends nothing), and without
    waiting as soon as the current run is known to go on.
    """
    for run in decision.before:
        yield (story := await _read(_attached(story, run, is_of_earlier_attempt=True), means))
    if decision.run is not None:
        story = _attached(story, decision.run, is_of_earlier_attempt=decision.is_continued)
        yield (story := replace(story, is_ours=decision.is_ours))
    elif decision.before:
        # A person had the workflow run again: every failure is retried this once.
        async for newer in _retried(story, decision, means, ended=means.reader.clock.monotonic(), take_all=True):
            yield (story := newer)
    # Without waiting, a run that has ended is read all the same, and is not retried.
    while story.current is not None and (means.settings.wait or story.current.state.is_terminal):
        is_whole, seen = False, float("-inf")
        async with aclosing(_waited(story, decision, means)) as waits:
            async for newer, is_whole in waits:  # noqa: B007 - the last one counts
                if newer.current is not None and not newer.current.state.is_terminal:
                    seen = means.reader.clock.monotonic()
                yield (story := newer)
        finished_at = story.current.finished_at if story.current is not None else None
        ended = ended_at(means.reader.clock.monotonic(), seen, finished_at, means.client.server_now())
        yield (story := await _read(story, means, is_whole=is_whole, seen=seen))
        if story.limit is None and means.settings.wait:
            async for newer in _retried(story, decision, means, ended=ended):
                yield (story := newer)


def _attached(story: Story, run: Run, *, is_of_earlier_attempt: bool) -> Story:
    """The story with a run as its current one that exists already."""
    is_partial = is_partial_after(run, bool(story.attempts) and story.attempts[-1].is_partial)
    story = replace(story, current=run, had_ended=run.state.is_terminal)
    return replace(story, is_of_earlier_attempt=is_of_earlier_attempt, is_partial=is_partial)


# -- waiting


async def _waited(story: Story, decision: Decision, means: Means) -> AsyncGenerator[tuple[Story, bool]]:
    """The story at each look at the current run until it ends, and whether that look brought its steps as well.

    At a time limit, the run is cancelled if it is this step's own, and the last story says what became of it.
    """
    assert story.current is not None  # noqa: S101 - the caller waits only for a run
    schedule = PollSchedule(decision.history, means.settings.poll_interval)
    if story.retries:
        schedule = schedule.without_history()
    limits = _limits(story, means)
    stream = looks(story.current, client=means.client, reader=means.reader, schedule=schedule, limits=limits)
    async with aclosing(stream):
        async for look in stream:
            story = replace(story, current=look.run)
            yield story, look.is_whole
            if look.limit is not None:
                run, limit = await _end_at_limit(look.run, look.limit, story, means)
                yield replace(story, current=run, limit=limit), False


def _limits(story: Story, means: Means) -> Limits:
    """The limits of this wait: after a lack of capacity, the time in the queue counts on."""
    limits, last = means.limits, story.attempts[-1] if story.attempts else None
    if limits.queue is None or last is None or not lacked_capacity(last):
        return limits
    return replace(limits, queue=max(limits.queue - (last.queued_seconds or 0.0), 0.0))


async def _end_at_limit(run: Run, limit: Limit, story: Story, means: Means) -> tuple[Run, LimitReached]:
    """Cancel the run of this step; leave any other run alone."""
    _logger.info("%s is reached, and run %s is %s.", limit.value, run.id, run.state.value)
    if not story.is_ours or not means.settings.cancel_run:
        why = LeftAlone.CANCEL_RUN if story.is_ours else LeftAlone.NOT_OURS
        fate = Fate(kind=FateKind.LEFT_ALONE, run_id=run.id, state=run.state, why=why)
        return run, LimitReached(limit=limit, fate=fate)
    run, fate = await cancel_with_fate(means.client, means.reader, run)
    return run, LimitReached(limit=limit, fate=fate)


# -- reading what a run left


async def _read(story: Story, means: Means, *, is_whole: bool = False, seen: float = float("-inf")) -> Story:
    """The story with the current run as its newest attempt. It was last seen going on at `seen`."""
    assert story.current is not None  # noqa: S101 - the caller reads only a run
    run, unread = story.current, None
    if not is_whole or story.limit is not None or late_steps(run) is not None:
        run, unread = await read_whole(run, means.client, means.reader, is_whole=is_whole)
    ending = _ending(run, story.limit)
    collected = await _collected(run, story, ending, means, unread, seen)
    # Before a retry is planned: without the results, all of the run would have to be repeated.
    if (
        collected.attempt.is_unread
        and _may_be_retried(story, ending, means)
        and await _waited_out_rate_limit(run, means)
    ):
        collected = await _collected(run, story, ending, means, unread, seen)
    attempt = replace(
        collected.attempt,
        from_earlier_workflow_run=story.is_of_earlier_attempt,
        had_ended=story.had_ended,
        is_partial=story.is_partial,
        asked=_asked(collected.attempt, run, story),
    )
    if ending is Ending.SUCCESS and not (attempt.is_partial or attempt.unknown):
        # The plans of an earlier attempt of the workflow run, and so what its retries were to run, are not saved.
        unrun = await asyncio.to_thread(never_run, (*story.attempts, attempt), story.manifests)
        attempt = replace(attempt, is_partial=bool(unrun))
    if unread is not None:
        note = f"The steps of run {run.id} could not be read: {unread.rstrip('.')}."
        _logger.info("%s", note)
        story = story.with_note(note)
    return replace(
        story,
        attempts=(*story.attempts, attempt),
        current=None,
        is_of_earlier_attempt=False,
        had_ended=False,
        manifests=(story.manifests or Manifests()).with_run(
            attempt.run_id, collected.manifest, collected.step_manifests
        ),
        files={**story.files, **collected.files},
    )


def _ending(run: Run, limit: LimitReached | None) -> Ending:
    ending = ending_of(run) if run.state.is_terminal else Ending.TIMED_OUT
    return Ending.TIMED_OUT if limit is not None and ending is Ending.CANCELLED else ending


async def _collected(
    run: Run, story: Story, ending: Ending, means: Means, unread: str | None, seen: float
) -> Collected:
    number, limit = len(story.attempts) + 1, means.limits.overall
    client, reader, keeping = means.client, means.reader, means.keeping
    try:
        return await collect(
            run, number, ending, client=client, reader=reader, keeping=keeping, unread=unread, seen=seen, limit=limit
        )
    except Interrupted:
        raise
    except Exception as error:
        # Whatever is unexpected in what a run left, the run ended as it did.
        why = f"The results of run {run.id} could not be read ({type(error).__name__}: {error})."
        unknown = (Unknown(kind=UnknownKind.RESULTS, why=why),)
        return Collected(attempt=replace(attempt_of(run, number, ending, warnings=(why,)), unknown=unknown))


def _may_be_retried(story: Story, ending: Ending, means: Means) -> bool:
    has_failed = ending in (Ending.ERROR, Ending.TIMED_OUT) and story.limit is None
    return has_failed and story.retries < means.settings.targeted_retries


async def _waited_out_rate_limit(run: Run, means: Means) -> bool:
    """Wait as long as dbt Cloud's rate limit holds; False, without waiting, where timeout-minutes is over by then."""
    pause = means.reader.rate_limit.pause()
    if _is_time_over(means, pause):
        return False
    _logger.info("What run %s left behind is read once more%s.", run.id, f" in {pause:.0f} s" if pause else "")
    await means.reader.clock.sleep(pause)
    return True


def _asked(attempt: Attempt, run: Run, story: Story) -> tuple[str, ...]:
    """The commands that the run was asked for. dbt Cloud lists the job's for its own retry, and runs the rest."""
    before = story.attempts[-1] if story.attempts else None
    if before is not None and run.retrying_run_id == before.run_id:
        return commands_from_failure(before) or attempt.asked
    return attempt.asked


# -- retrying


async def _retried(
    story: Story, decision: Decision, means: Means, *, ended: float, take_all: bool = False
) -> AsyncGenerator[Story]:
    """The story with the plan after the last attempt, then with its request, then with the retry as the current run.

    `retry-delay` counts from `ended`: reading what the run left, and planning, take none of it.
    """
    last = story.attempts[-1]
    # A person had the workflow run again: what was left out before is taken, too.
    goes_back = last.is_partial and last.from_earlier_workflow_run
    has_ended_well = last.ending is Ending.SUCCESS and not goes_back
    if has_ended_well or story.retries >= means.settings.targeted_retries:
        return
    if lacked_capacity(last) and not goes_back:
        story, plan = await _plan_once_more(story, decision, means)
    else:
        plan = await _plan(story, means, goes_back=goes_back, take_all=take_all or goes_back)
    delay = delay_left(means.settings.retry_delay, story.retries, ended, means.reader.clock.monotonic())
    if plan.commands and _is_time_over(means, delay):
        plan = _stopped(plan)
    yield (story := _with_plan(story, plan))
    if not plan.commands:
        return
    if delay:
        _logger.info("Waiting %.0f s before the retry.", delay)
        await means.reader.clock.sleep(delay)
    if means.settings.retry_strategy == "native" and not lacked_capacity(last):
        async for newer in _retried_natively(story, decision, plan, means, goes_back=goes_back):
            yield (story := newer)
        if story.current is not None:
            return
        if _is_time_over(means):
            _logger.info("No retry: %s", OUT_OF_TIME)
            yield _with_plan(story, _stopped(story.attempts[-1].plan or plan))
            return
    is_partial = plan.is_partial or (last.is_partial and not goes_back)
    request = _request(story, decision, plan, is_partial=is_partial)
    yield (story := replace(story, request=request))
    run = await start_once(request, means.client, means.reader, deadline=means.limits.overall)
    yield _started(story, run, is_partial=is_partial)


async def _plan(story: Story, means: Means, *, goes_back: bool, take_all: bool) -> RetryPlan:
    """The plan after the last attempt; with `goes_back`, after the last one that was asked for everything."""
    attempts, last = story.attempts, len(story.attempts) - 1
    whole = [number for number, attempt in enumerate(attempts) if not attempt.is_partial]
    base = whole[-1] if goes_back and whole else last
    if not attempts[base].asked:
        # Those that dbt Cloud lists may not be all: what never started would be left out of a green retry.
        return RetryPlan(stop_reason=NOT_KNOWN, is_partial=True)
    cancellation = attempts[-1].cancellation
    is_by_another = cancellation is not None and cancellation.is_by_another
    was_cancelled_here = attempts[-1].from_earlier_workflow_run and not is_by_another
    plan = await asyncio.to_thread(
        plan_retry,
        attempts[base],
        story.manifests.newest if story.manifests else None,
        retry_on=means.settings.retry_on,
        take_all=take_all,
        cancelled_here=was_cancelled_here or base != last,
        earlier=attempts[:base],
        later=attempts[base + 1 :],
        manifests=story.manifests.of_run(attempts[base].run_id) if story.manifests else None,
        now=means.client.server_now(),
    )
    if not whole:
        # The chain is longer than the list of the newest runs: what was left out is not known.
        plan = replace(plan, is_partial=True)
    return plan


def _is_time_over(means: Means, seconds: float = 0.0) -> bool:
    """Whether timeout-minutes is reached in `seconds` from now."""
    overall = means.limits.overall
    return overall is not None and means.reader.clock.monotonic() + seconds >= overall


def _stopped(plan: RetryPlan) -> RetryPlan:
    return replace(plan, commands=(), stop_reason=OUT_OF_TIME)


def _started(story: Story, run: Run, *, is_partial: bool) -> Story:
    """The story with a retry as its current run."""
    return replace(story, request=None, current=run, is_ours=True, is_partial=is_partial, retries=story.retries + 1)


async def _plan_once_more(story: Story, decision: Decision, means: Means) -> tuple[Story, RetryPlan]:
    """After a lack of capacity: all of it once more, unless a newer run of the job builds in the same place."""
    *before, last = story.attempts
    plan = plan_once_more(story.attempts)
    if not plan.commands:
        return story, plan
    try:
        runs = await means.reader.read(
            lambda: means.client.list_runs(last.job_id, id_gt=last.run_id, order_by="id"),
            deadline=means.reader.within(READ_BUDGET, means.limits.overall),
        )
    except CloudError as error:
        reason = f"whether a newer run of the job does the same work could not be read: {error.message}"
        return story, RetryPlan(stop_reason=reason)
    active = (run for run in runs if run.id > last.run_id and not run.state.is_terminal)
    newer = next((run for run in active if builds_there(run, decision.overrides, is_ci=decision.is_ci)), None)
    if newer is None:
        return story, plan
    cancellation = Cancellation(by=CancelledBy.NEWER_RUN, newer_run_id=newer.id)
    superseded = replace(last, ending=Ending.SUPERSEDED, cancellation=cancellation)
    story = replace(story, attempts=(*before, superseded))
    return story, RetryPlan(stop_reason=f"run {newer.id} of the job is active, and does the same work")


async def _retried_natively(
    story: Story, decision: Decision, plan: RetryPlan, means: Means, *, goes_back: bool
) -> AsyncGenerator[Story]:
    """The story with dbt Cloud's own retry as the current run, or with the reason why there is none."""
    run_id = story.attempts[-1].run_id
    if plan.is_partial:
        refusal: str | None = "it would also run what this plan leaves out"
    elif goes_back:
        refusal = f"run {run_id} did not include everything that had failed before it"
    else:
        refusal = await native_refusal(means.client, means.reader, run_id, means.limits.overall)
    if refusal is not None:
        yield _without_native(story, plan, refusal)
        return
    request = NativeRetry(job_id=decision.job_id, run_id=run_id)
    story = replace(story, request=request)
    yield story
    try:
        run = await start_once(request, means.client, means.reader, deadline=means.limits.overall)
    except RetryRefused as error:
        yield replace(_without_native(story, plan, error.message), request=None)
        return
    story = _with_plan(story, replace(plan, strategy="native"))
    # dbt Cloud retries all that the run was asked for, and no more.
    yield _started(story, run, is_partial=story.attempts[-1].is_partial)


def _without_native(story: Story, plan: RetryPlan, refusal: str) -> Story:
    note = f"dbt Cloud's own retry is not used: {refusal.rstrip('.')}. A new run retries the nodes instead."
    _logger.info("%s", note)
    return _with_plan(story.with_note(note), replace(plan, notes=(*plan.notes, note)))


def _request(story: Story, decision: Decision, plan: RetryPlan, *, is_partial: bool) -> NewRun:
    """The request for a new run of exactly what the plan retries."""
    first_sha = next((attempt.git_sha for attempt in story.attempts if attempt.git_sha), None)
    root = decision.tag.root or story.attempts[0].run_id
    return decision.request(
        decision.tag.for_retry(root, is_partial=is_partial),
        overrides_for_retry(decision.overrides, first_sha, plan),
        max(decision.baseline_id or 0, *(attempt.run_id for attempt in story.attempts)),
    )


def overrides_for_retry(first: TriggerOverrides, sha: str | None, plan: RetryPlan) -> TriggerOverrides:
    """Every override of the first trigger again, pinned to the commit of the first run, with the plan's steps.

    The steps are sent even where all run again: the job may have been edited since.
    """
    return replace(first, git_sha=sha or first.git_sha, steps_override=plan.commands)


def _with_plan(story: Story, plan: RetryPlan) -> Story:
    return replace(story, attempts=(*story.attempts[:-1], replace(story.attempts[-1], plan=plan)))
