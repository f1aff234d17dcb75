"""Exactly once: a run is started by a write that is sent again only when it certainly has not taken effect.

What was certainly not received is sent again. What may have taken effect is looked up among the job's newest runs,
above a baseline id and for a stated window, and taken up if it is there; only when it is not is it sent once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.cloud.client import PAGE, CloudClient
from dbt_cloud_run.cloud.errors import (
    Ambiguous,
    CloudError,
    Forbidden,
    NotFound,
    NotReceived,
    NotStarted,
    RateLimited,
    Rejected,
    RetryRefused,
    Unconfirmed,
    Unreadable,
)
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.polling import usual_durations
from dbt_cloud_run.cloud.retrying import COOLDOWN, READ_BUDGET, Note, Reader, backoff, cooldown
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.start.tag import Tag, cause_text, parse_tag

LOOK_UP_WINDOW = 60.0  # seconds in which a run whose answer was lost is looked for
_LAST_LOOK_BUDGET = COOLDOWN + 30.0  # seconds for the look that decides, so that a cooldown fits in
_LATE_LOOK_BUDGET = 15.0  # seconds for it when the step's own time is up
_NOT_RECEIVED_BUDGET = 180.0
_RATE_LIMIT_BUDGET = 3 * COOLDOWN


@dataclass(frozen=True, slots=True)
class StartList:
    """The one list call at the start: the job's newest runs, newest first."""

    runs: tuple[Run, ...] = ()

    @property
    def baseline_id(self) -> int:
        """The highest run id before ours; 0 for a job that has never run."""
        return max((run.id for run in self.runs), default=0)

    def durations(self, overrides: TriggerOverrides) -> tuple[float, ...]:
        """How long successful runs of the same kind ran lately, in seconds, newest first."""
        return usual_durations(self.runs, overrides)


async def start_list(
    client: CloudClient, reader: Reader, job_id: int, *, deadline: float | None = None, with_audit: bool = False
) -> StartList:
    """Make the list call. `with_audit` asks who cancelled a run, too. Raises `CloudError`s."""
    include = ("trigger", "audit") if with_audit else ("trigger",)
    runs = await reader.read(
        lambda: client.list_runs(job_id, include=include), deadline=reader.within(READ_BUDGET, deadline)
    )
    return StartList(tuple(sorted(runs, key=lambda run: run.id, reverse=True)))


async def runs_above(client: CloudClient, job_id: int, baseline_id: int) -> tuple[Run, ...]:
    """Every run of the job with an id above the baseline, oldest first, however many pages they fill."""
    found: list[Run] = []
    while True:
        last = found[-1].id if found else baseline_id
        page = await client.list_runs(job_id, id_gt=last, order_by="id")
        news = sorted((run for run in page if run.id > last), key=lambda run: run.id)
        if len(news) < len(page):
            raise Unreadable(f"dbt Cloud listed runs of job {job_id} that were not asked for.")
        found += news
        if len(page) < PAGE:
            return tuple(found)


async def find_tagged(client: CloudClient, job_id: int, tag: Tag, baseline_id: int) -> tuple[Run, ...]:
    """One look: the runs above the baseline that the request with this tag's nonce started, oldest first."""
    runs = await runs_above(client, job_id, baseline_id)
    if any(run.trigger is None for run in runs):
        raise Unreadable(f"dbt Cloud listed runs of job {job_id} without their causes.")
    return tuple(run for run in runs if _nonce(run) == tag.nonce)


def _nonce(run: Run) -> str | None:
    tag = parse_tag(run.trigger.cause if run.trigger else None)
    return tag.nonce if tag else None


async def trigger_once(
    client: CloudClient,
    job_id: int,
    overrides: TriggerOverrides,
    cause: str,
    tag: Tag,
    baseline_id: int,
    *,
    clock: Clock,
    deadline: float | None = None,
    on_note: Note | None = None,
    window: float = LOOK_UP_WINDOW,
    reader: Reader | None = None,
) -> Run:
    """Start one run of the job, exactly one, and give it.

    `deadline` is monotonic. Raises `NotStarted` when nothing was started, `Unconfirmed` when that cannot be known,
    other `CloudError`s for what dbt Cloud refuses, and `Interrupted`; after that `find_tagged` says what was started.
    """
    body = {"cause": cause_text(tag, cause), **overrides.body()}

    async def send() -> Run:
        return await client.trigger(job_id, body)

    async def find() -> Sequence[Run]:
        return await find_tagged(client, job_id, tag, baseline_id)

    write = _Write(
        send,
        find,
        reader or Reader(clock, on_note=on_note),
        on_note or (lambda _: None),
        what=f"a run of job {job_id}",
        sign=f"whose cause begins with {tag}",
        deadline=deadline,
        window=window,
    )
    run = await write.once()
    return await _without_duplicates(client, find, run, write) if write.ambiguous else run


async def _without_duplicates(
    client: CloudClient, find: Callable[[], Awaitable[Sequence[Run]]], run: Run, write: _Write
) -> Run:
    """After a second request: if the first one has come late after all, keep the older run and cancel the other."""
    reader = write.reader
    try:
        found = await reader.read(find, deadline=reader.within(_LATE_LOOK_BUDGET))
    except CloudError as error:
        write.note(f"Whether run {run.id} has a late duplicate could not be seen: {error.message}")
        return run
    # The list may lag behind: the run that was answered counts, too, whether it is listed yet or not.
    first, *twins = sorted({one.id: one for one in (*found, run)}.values(), key=lambda one: one.id)
    for twin in twins:
        said = "has ended already" if twin.state.is_terminal else await _stopped(client, reader, twin)
        write.note(f"Run {twin.id} is a late duplicate of run {first.id}, and {said}.")
    return first


async def _stopped(client: CloudClient, reader: Reader, run: Run) -> str:
    """Cancel a run, and say whether it could be done."""
    deadline = reader.within(LOOK_UP_WINDOW)
    try:
        await reader.read(lambda: client.cancel_run(run.id), deadline=deadline, tolerate_404_until=deadline)
    except CloudError as error:
        return f"could not be cancelled, which is left to you: {error.message.rstrip('.')}"
    return "was cancelled"


async def retry_natively_once(
    client: CloudClient,
    run_id: int,
    job_id: int,
    *,
    clock: Clock,
    deadline: float | None = None,
    on_note: Note | None = None,
    window: float = LOOK_UP_WINDOW,
    reader: Reader | None = None,
) -> Run:
    """dbt Cloud's own retry of this very run, exactly once; gives the new run.

    Raises `RetryRefused` with dbt Cloud's reason, and otherwise as `trigger_once` does.
    """

    async def send() -> Run:
        run = await client.retry_run(run_id)
        if run.id == run_id or run.retrying_run_id not in (None, run_id):
            raise Unreadable(f"dbt Cloud answered the retry of run {run_id} with run {run.id}, which retries another.")
        return run

    async def find() -> Sequence[Run]:
        runs = await runs_above(client, job_id, run_id)
        if found := [run for run in runs if run.retrying_run_id == run_id]:
            return found
        for run in runs:
            if run.retrying_run_id is None and run.trigger and run.trigger.cause_category == "rerun":
                raise CloudError(f"dbt Cloud does not say which run its run {run.id} retries.")
        return []

    write = _Write(
        send,
        find,
        reader or Reader(clock, on_note=on_note),
        on_note or (lambda _: None),
        what=f"dbt Cloud's retry of run {run_id} of job {job_id}",
        sign=f"that is a retry of run {run_id}",
        deadline=deadline,
        window=window,
    )
    try:
        return await write.once()
    except (Rejected, NotFound, Forbidden) as error:
        raise RetryRefused(f"dbt Cloud does not retry run {run_id}: {error.message}", status=error.status) from error


class _Write:
    """One write with its rule. `ambiguous` counts the requests that may have taken effect."""

    def __init__(
        self,
        send: Callable[[], Awaitable[Run]],
        find: Callable[[], Awaitable[Sequence[Run]]],
        reader: Reader,
        note: Note,
        *,
        what: str,
        sign: str,
        deadline: float | None,
        window: float,
    ) -> None:
        self._send = send
        self._find = find
        self.reader = reader
        self._clock = reader.clock
        self.note = note
        self._what = what
        self._sign = sign
        self._deadline = float("inf") if deadline is None else deadline
        self._window = window
        self.ambiguous = 0
        self._failures = 0
        self._not_received_until: float | None = None
        self._rate_limited_until: float | None = None

    async def once(self) -> Run:
        """The run that the write started."""
        await self._keep_still()
        while True:
            try:
                return await self._send()
            except RateLimited as error:
                await self._wait_out(error)
                found = await self._look()
            except NotReceived as error:
                await self._wait_for_connection(error)
                found = await self._look() if self.ambiguous else None
            except Ambiguous as error:
                found = await self._resolve(error)
            except CloudError as error:  # after a lost answer it may be refused just because that one took effect
                found = await self._look_for_window(error) if self.ambiguous else None
                if found is None:
                    raise
            if found is not None:
                self.note(f"Run {found.id} had been started all the same, and is taken up.")
                return found

    async def _keep_still(self) -> None:
        """A 429 to any other request holds this one back, too: the limit is the account's."""
        pause = self.reader.rate_limit.pause()
        if pause <= 0:
            return
        if self._clock.monotonic() + pause > self._deadline:
            held = RateLimited(f"dbt Cloud's rate limit holds for {pause:.0f} s more.")
            raise self._not_started(held, "that is longer than the time left")
        self.note(f"dbt Cloud's rate limit holds for {pause:.0f} s more: waiting.")
        await self._clock.sleep(pause)

    async def _wait_out(self, error: RateLimited) -> None:
        self._failures += 1
        self.reader.rate_limit.observe(error)
        wait = max(cooldown(error), backoff(self._failures))
        now = self._clock.monotonic()
        if self._rate_limited_until is None:
            self._rate_limited_until = now + _RATE_LIMIT_BUDGET
        if now + wait > min(self._rate_limited_until, self._deadline):
            raise self._not_started(error, f"the wait of {wait:.0f} s that it demands is longer than the time left")
        self.note(f"{error.message} Waiting for {wait:.0f} s.")
        await self._clock.sleep(wait)

    async def _wait_for_connection(self, error: NotReceived) -> None:
        self._failures += 1
        now = self._clock.monotonic()
        if self._not_received_until is None:
            self._not_received_until = now + _NOT_RECEIVED_BUDGET
        wait = backoff(self._failures)
        if now + wait > min(self._not_received_until, self._deadline):
            raise self._not_started(error, "it could not be reached for too long")
        self.note(f"{error.message} It was not received; sending again in {wait:.0f} s.")
        await self._clock.sleep(wait)

    async def _resolve(self, error: Ambiguous) -> Run | None:
        """Look for a run whose start was not confirmed. None: it is not there, and may be sent once more."""
        self.ambiguous += 1
        self.note(f"{error.message} It may have been started: looking for {self._what} {self._sign}.")
        found = await self._look_for_window(error)
        if found is None and self.ambiguous > 1:
            raise self._not_started(error, f"no run appeared within {self._window:.0f} s of either request")
        return found

    async def _look_for_window(self, error: CloudError) -> Run | None:
        window_end = self._clock.monotonic() + self._window
        end = min(window_end, self._deadline)
        pause = 1.0
        while (left := end - self._clock.monotonic()) > 0:
            try:
                if found := await self._find():
                    return found[0]
            except RateLimited as limit:
                self.reader.rate_limit.observe(limit)
            except CloudError as failure:
                if not failure.is_transient:
                    raise self._unconfirmed(failure) from error
            left = end - self._clock.monotonic()
            await self._clock.sleep(min(max(pause, self.reader.rate_limit.pause()), max(left, 0.0)))
            pause *= 2
        found_at_last = await self._look()
        if found_at_last is None and end < window_end:
            raise self._unconfirmed(error) from error
        return found_at_last

    async def _look(self) -> Run | None:
        """A look that must succeed: without it, nothing is sent again."""
        budget = min(_LAST_LOOK_BUDGET, max(self._deadline - self._clock.monotonic(), _LATE_LOOK_BUDGET))
        try:
            found = await self.reader.read(self._find, deadline=self.reader.within(budget))
        except CloudError as failure:
            raise self._unconfirmed(failure) from failure
        return found[0] if found else None

    def _not_started(self, error: CloudError, why: str) -> NotStarted:
        return NotStarted(
            f"dbt Cloud did not start {self._what}: {why}. The last answer: {error.message}",
            error.advice or "Run the workflow again when dbt Cloud answers.",
            status=error.status,
        )

    def _unconfirmed(self, error: CloudError) -> Unconfirmed:
        return Unconfirmed(
            f"Whether dbt Cloud started {self._what} could not be found out, so it is not sent again: {error.message}",
            f"Look in dbt Cloud for {self._what} {self._sign}, and run the workflow again only if there is none.",
            status=error.status,
        )
