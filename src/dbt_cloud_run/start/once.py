"""Start a run exactly once: each kind of start as one value, and one rule by which it is sent, found again and saved.

The rule: a request that was certainly not received is sent again. One that may have taken effect is searched for among
the job's newest runs, for a stated time, and its run is used if it is there; only where it is not is the request sent
once more. Where this cannot be found out, nothing is sent again, and the error says so.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
from dbt_cloud_run.cloud.retrying import COOLDOWN, Reader, backoff, cooldown
from dbt_cloud_run.start.tag import Tag, parse_tag

if TYPE_CHECKING:
    from dbt_cloud_run.cloud.models import Run

_logger = logging.getLogger(__name__)

LOOK_UP_WINDOW = 60.0
"""Seconds for which the run of a request whose answer was lost is searched for."""

# The look that decides about sending again has time for one rate-limit cooldown.
_LAST_LOOK_BUDGET = COOLDOWN + 30.0
_LATE_LOOK_BUDGET = 15.0
_NOT_RECEIVED_BUDGET = 180.0
_RATE_LIMIT_BUDGET = 3 * COOLDOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A new run of a job. It is found again by the nonce of its tag among the runs above `baseline_id`.

    Without a baseline, because the job's runs could not be listed, it is searched for among the newest ones: it can be
    found there, but that it is not there does not show that it was not started.

    `body` is what is sent. It is not saved, so a request that was loaded can be found and never be sent.
    """

    job_id: int
    baseline_id: int | None
    tag: Tag
    body: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def what(self) -> str:
        return f"a run of job {self.job_id}"

    @property
    def what_to_look_for(self) -> str:
        return f"{self.what} whose cause begins with {self.tag}"

    async def send(self, client: CloudClient) -> Run:
        """One request. Its answer counts only if it shows that it is this request's own run."""
        if not self.body:
            raise ValueError("a request that was loaded from the state is never sent")
        run = await client.trigger(self.job_id, self.body)
        if (
            run.id <= (self.baseline_id or 0)
            or run.job_definition_id not in (None, self.job_id)
            or not self._started(run)
        ):
            raise Unreadable(
                f"dbt Cloud answered the trigger of job {self.job_id} with run {run.id} of another request."
            )
        return run

    async def look(self, client: CloudClient) -> tuple[Run, ...]:
        """One look for the runs that this request has started, oldest first."""
        if self.baseline_id is None:
            runs = tuple(sorted(await client.list_runs(self.job_id), key=lambda run: run.id))
        else:
            runs = await _runs_above(client, self.job_id, self.baseline_id)
        if any(run.trigger is None for run in runs):
            raise Unreadable(f"dbt Cloud listed runs of job {self.job_id} without their causes.")
        return tuple(run for run in runs if self._started(run))

    @property
    def is_findable(self) -> bool:
        """Whether a look that finds nothing shows that nothing was started."""
        return self.baseline_id is not None

    def _started(self, run: Run) -> bool:
        tag = parse_tag(run.trigger.cause if run.trigger else None)
        return tag is not None and tag.nonce == self.tag.nonce

    def refused(self, error: CloudError) -> CloudError:
        """The error for a request that dbt Cloud has refused."""
        return error


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeRetry:
    """dbt Cloud's own retry of run `run_id`. It is found again by the run that it says it retries."""

    job_id: int
    run_id: int

    @property
    def what(self) -> str:
        return f"a retry of run {self.run_id} of job {self.job_id}"

    @property
    def what_to_look_for(self) -> str:
        return self.what

    @property
    def is_findable(self) -> bool:
        """Whether a look that finds nothing shows that nothing was started."""
        return True

    async def send(self, client: CloudClient) -> Run:
        """One request. Its answer counts only if it can be a retry of that run."""
        run = await client.retry_run(self.run_id)
        is_of_job = run.job_definition_id in (None, self.job_id)
        if run.id <= self.run_id or not is_of_job or run.retrying_run_id not in (None, self.run_id):
            raise Unreadable(f"dbt Cloud answered the retry of run {self.run_id} with run {run.id} of another request.")
        return run

    async def look(self, client: CloudClient) -> tuple[Run, ...]:
        """One look for the retries of that run, oldest first. Raises `CloudError` where that is not known."""
        runs = await _runs_above(client, self.job_id, self.run_id)
        if found := tuple(run for run in runs if run.retrying_run_id == self.run_id):
            return found
        for run in runs:
            category = run.trigger.cause_category if run.trigger else None
            # A run of which not even the kind of its trigger is known may be a retry, too.
            if run.retrying_run_id is None and category in (None, "", "rerun"):
                raise CloudError(f"dbt Cloud does not say which run its run {run.id} retries.")
        return ()

    def refused(self, error: CloudError) -> CloudError:
        """The error for a request that dbt Cloud has refused."""
        if not isinstance(error, Rejected | NotFound | Forbidden):
            return error
        return RetryRefused(f"dbt Cloud does not retry run {self.run_id}: {error.message}", status=error.status)


StartRequest = NewRun | NativeRetry


def save_request(request: StartRequest) -> str:
    """The request as text for the state; without its body, so no override and no secret is in it."""
    if isinstance(request, NewRun):
        return json.dumps([request.job_id, request.baseline_id, str(request.tag), None])
    return json.dumps([request.job_id, request.run_id, None, request.run_id])


def load_request(text: str) -> StartRequest | None:
    """The request that `save_request` wrote, in this or an earlier 1.x release; None for anything else."""
    try:
        job_id, baseline_id, tag, retried = json.loads(text)
    except (ValueError, TypeError):
        return None
    if type(job_id) is not int or type(baseline_id) not in (int, type(None)):
        return None
    if isinstance(tag, str) and (parsed := parse_tag(tag)) is not None:
        return NewRun(job_id=job_id, baseline_id=baseline_id, tag=parsed)
    return NativeRetry(job_id=job_id, run_id=retried) if type(retried) is int else None


async def find_started(client: CloudClient, request: StartRequest) -> Run | None:
    """One look for the run that a request has started; the oldest if there are several. Raises `CloudError`s."""
    found = await request.look(client)
    return found[0] if found else None


async def start_once(
    request: StartRequest,
    client: CloudClient,
    reader: Reader,
    *,
    deadline: float | None = None,
) -> Run:
    """Send the request by the rule; returns its run. `deadline` is monotonic.

    Raises `NotStarted` when nothing was started, `Unconfirmed` when that cannot be known, `RetryRefused` when dbt Cloud
    refuses its own retry, other `CloudError`s for what else it refuses, and `Interrupted`.
    """
    return await _Start(request, client, reader, float("inf") if deadline is None else deadline).once()


async def _runs_above(client: CloudClient, job_id: int, baseline_id: int) -> tuple[Run, ...]:
    """Every run of the job with an id above the baseline, oldest first, however many pages they fill."""
    found: list[Run] = []
    while True:
        last = found[-1].id if found else baseline_id
        page = await client.list_runs(job_id, id_gt=last, order_by="id")
        new = sorted((run for run in page if run.id > last), key=lambda run: run.id)
        if len(new) < len(page):
            raise Unreadable(f"dbt Cloud listed runs of job {job_id} that were not requested.")
        found += new
        if len(page) < PAGE:
            return tuple(found)


@dataclass(slots=True)
class _Start:
    """The rule at work on one request. `ambiguous` counts the requests that may have taken effect."""

    request: StartRequest
    client: CloudClient
    reader: Reader
    end: float
    ambiguous: int = 0
    failures: int = 0
    not_received_until: float | None = None
    rate_limited_until: float | None = None

    async def once(self) -> Run:
        await self._wait_for_rate_limit()
        run = await self._sent_or_found()
        return await self._without_duplicates(run) if self.ambiguous else run

    async def _sent_or_found(self) -> Run:
        while True:
            try:
                run = await self.request.send(self.client)
                # The token is good, also where it may not list runs: a later refusal of it can pass.
                self.reader.has_contact = self.reader.has_succeeded = True
                return run
            except RateLimited as error:
                await self._wait_out(error)
                found = await self._look()
            except NotReceived as error:
                await self._wait_for_connection(error)
                found = await self._look() if self.ambiguous else None
            except Ambiguous as error:
                found = await self._resolve(error)
            except CloudError as error:
                if not self.ambiguous:
                    raise self.request.refused(error) from error
                # It may be refused because the request before it took effect.
                found = await self._look_for_window(error)
                if found is None:
                    raise (self._unconfirmed(error) if isinstance(self.request, NativeRetry) else error) from error
            if found is not None:
                _logger.info("Run %s had been started by the lost request: this step uses it.", found.id)
                return found

    async def _wait_for_rate_limit(self) -> None:
        """A 429 to any other request holds this one back, too: the limit is the account's."""
        pause = self.reader.rate_limit.pause()
        if pause <= 0:
            return
        if self._now() + pause > self.end:
            held = RateLimited(f"dbt Cloud's rate limit holds for {pause:.0f} s more.")
            raise self._not_started(held, "that is longer than the time left")
        _logger.info("dbt Cloud's rate limit holds for %.0f s more: waiting.", pause)
        await self.reader.clock.sleep(pause)

    async def _wait_out(self, error: RateLimited) -> None:
        self.failures += 1
        self.reader.rate_limit.observe(error)
        wait = max(cooldown(error), backoff(self.failures))
        if self.rate_limited_until is None:
            self.rate_limited_until = self._now() + _RATE_LIMIT_BUDGET
        if self._now() + wait > min(self.rate_limited_until, self.end):
            raise self._not_started(error, f"it demands a wait of {wait:.0f} s, which is longer than the time left")
        _logger.info("%s Waiting for %.0f s.", error.message, wait)
        await self.reader.clock.sleep(wait)

    async def _wait_for_connection(self, error: NotReceived) -> None:
        self.failures += 1
        if self.not_received_until is None:
            self.not_received_until = self._now() + _NOT_RECEIVED_BUDGET
        wait = backoff(self.failures)
        if self._now() + wait > min(self.not_received_until, self.end):
            raise self._not_started(error, "it could not be reached for too long")
        _logger.info("%s The request was not received; sending it again in %.0f s.", error.message, wait)
        await self.reader.clock.sleep(wait)

    async def _resolve(self, error: Ambiguous) -> Run | None:
        """Search for a run whose start was not confirmed. None: it is not there, and may be sent once more."""
        self.ambiguous += 1
        _logger.info("%s It may have been started: looking for %s.", error.message, self.request.what_to_look_for)
        found = await self._look_for_window(error)
        if found is None and self.ambiguous > 1:
            raise self._not_started(error, f"no run appeared within {LOOK_UP_WINDOW:.0f} s of either request")
        return found

    async def _look_for_window(self, error: CloudError) -> Run | None:
        window_end = self._now() + LOOK_UP_WINDOW
        end = min(window_end, self.end)
        pause = 1.0
        while (left := end - self._now()) > 0:
            try:
                if (found := await find_started(self.client, self.request)) is not None:
                    return found
            except RateLimited as limit:
                self.reader.rate_limit.observe(limit)
            except CloudError as failure:
                if not failure.is_transient:
                    raise self._unconfirmed(failure) from error
            left = end - self._now()
            await self.reader.clock.sleep(min(max(pause, self.reader.rate_limit.pause()), max(left, 0.0)))
            pause *= 2
        found = await self._look()
        if found is None and (end < window_end or not self.request.is_findable):
            raise self._unconfirmed(error) from error
        return found

    async def _look(self) -> Run | None:
        """A look that must succeed: without it, nothing is sent again."""
        budget = min(_LAST_LOOK_BUDGET, max(self.end - self._now(), _LATE_LOOK_BUDGET))
        try:
            return await self.reader.read(
                lambda: find_started(self.client, self.request), deadline=self.reader.within(budget)
            )
        except CloudError as failure:
            raise self._unconfirmed(failure) from failure

    async def _without_duplicates(self, run: Run) -> Run:
        """After a lost answer: if several requests took effect after all, keep the oldest run and cancel the others."""
        try:
            found: Sequence[Run] = await self.reader.read(
                lambda: self.request.look(self.client), deadline=self.reader.within(_LATE_LOOK_BUDGET)
            )
        except CloudError as error:
            _logger.warning("Whether run %s has a late duplicate could not be read: %s", run.id, error.message)
            return run
        # The list may lag behind: the run that was answered counts, too, whether it is listed yet or not.
        first, *others = sorted({one.id: one for one in (*found, run)}.values(), key=lambda one: one.id)
        for other in others:
            await self._cancel_duplicate(other, first)
        return first

    async def _cancel_duplicate(self, duplicate: Run, first: Run) -> None:
        what = f"Run {duplicate.id} is a late duplicate of run {first.id}"
        if duplicate.state.is_terminal:
            _logger.info("%s, and has already ended.", what)
            return
        deadline = self.reader.within(LOOK_UP_WINDOW)
        try:
            await self.reader.read(
                lambda: self.client.cancel_run(duplicate.id), deadline=deadline, tolerate_404_until=deadline
            )
        except CloudError as error:
            _logger.warning("%s, and could not be cancelled. Cancel it in dbt Cloud: %s", what, error.message)
        else:
            _logger.info("%s, and was cancelled.", what)

    def _now(self) -> float:
        return self.reader.clock.monotonic()

    def _not_started(self, error: CloudError, why: str) -> NotStarted:
        return NotStarted(
            f"dbt Cloud did not start {self.request.what}: {why}. The last answer: {error.message}",
            error.advice or "Re-run the job when dbt Cloud answers.",
            status=error.status,
        )

    def _unconfirmed(self, error: CloudError) -> Unconfirmed:
        """The error for a request of which it is not known whether it has taken effect."""
        return Unconfirmed(
            f"Whether dbt Cloud started {self.request.what} could not be determined, so it is not sent again: "
            f"{error.message}",
            f"Look in dbt Cloud for {self.request.what_to_look_for}, and re-run the job only if there is none.",
            status=error.status,
        )
