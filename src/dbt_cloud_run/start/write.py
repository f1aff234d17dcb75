"""The rule by which a write is sent at most once with effect: when it is sent again, and when it is looked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.cloud.errors import Ambiguous, CloudError, NotReceived, NotStarted, RateLimited, Unconfirmed
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import COOLDOWN, Note, Reader, backoff, cooldown

_LAST_LOOK_BUDGET = COOLDOWN + 30.0  # seconds for the look that decides, so that a cooldown fits in
LATE_LOOK_BUDGET = 15.0  # seconds for it when the step's own time is up
_NOT_RECEIVED_BUDGET = 180.0
_RATE_LIMIT_BUDGET = 3 * COOLDOWN


@dataclass(slots=True, kw_only=True)
class Write:
    """One write with its rule. `ambiguous` counts the requests that may have taken effect.

    `send` makes one request; `find` makes one look for what such a request has started. `what` and `sign` name it in
    sentences. `deadline` is monotonic, `window` the seconds in which a run whose answer was lost is looked for.
    """

    send: Callable[[], Awaitable[Run]]
    find: Callable[[], Awaitable[Sequence[Run]]]
    reader: Reader
    note: Note
    what: str
    sign: str
    deadline: float | None
    window: float
    ambiguous: int = 0
    _clock: Clock = field(init=False)
    _end: float = field(init=False)
    _failures: int = 0
    _not_received_until: float | None = None
    _rate_limited_until: float | None = None

    def __post_init__(self) -> None:
        self._clock = self.reader.clock
        self._end = float("inf") if self.deadline is None else self.deadline

    async def once(self) -> Run:
        """The run that the write started."""
        await self._keep_still()
        while True:
            try:
                return await self.send()
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
        if self._clock.monotonic() + pause > self._end:
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
        if now + wait > min(self._rate_limited_until, self._end):
            raise self._not_started(error, f"the wait of {wait:.0f} s that it demands is longer than the time left")
        self.note(f"{error.message} Waiting for {wait:.0f} s.")
        await self._clock.sleep(wait)

    async def _wait_for_connection(self, error: NotReceived) -> None:
        self._failures += 1
        now = self._clock.monotonic()
        if self._not_received_until is None:
            self._not_received_until = now + _NOT_RECEIVED_BUDGET
        wait = backoff(self._failures)
        if now + wait > min(self._not_received_until, self._end):
            raise self._not_started(error, "it could not be reached for too long")
        self.note(f"{error.message} It was not received; sending again in {wait:.0f} s.")
        await self._clock.sleep(wait)

    async def _resolve(self, error: Ambiguous) -> Run | None:
        """Look for a run whose start was not confirmed. None: it is not there, and may be sent once more."""
        self.ambiguous += 1
        self.note(f"{error.message} It may have been started: looking for {self.what} {self.sign}.")
        found = await self._look_for_window(error)
        if found is None and self.ambiguous > 1:
            raise self._not_started(error, f"no run appeared within {self.window:.0f} s of either request")
        return found

    async def _look_for_window(self, error: CloudError) -> Run | None:
        window_end = self._clock.monotonic() + self.window
        end = min(window_end, self._end)
        pause = 1.0
        while (left := end - self._clock.monotonic()) > 0:
            try:
                if found := await self.find():
                    return found[0]
            except RateLimited as limit:
                self.reader.rate_limit.observe(limit)
            except CloudError as failure:
                if not failure.is_transient:
                    raise self.unconfirmed(failure) from error
            left = end - self._clock.monotonic()
            await self._clock.sleep(min(max(pause, self.reader.rate_limit.pause()), max(left, 0.0)))
            pause *= 2
        found_at_last = await self._look()
        if found_at_last is None and end < window_end:
            raise self.unconfirmed(error) from error
        return found_at_last

    async def _look(self) -> Run | None:
        """A look that must succeed: without it, nothing is sent again."""
        budget = min(_LAST_LOOK_BUDGET, max(self._end - self._clock.monotonic(), LATE_LOOK_BUDGET))
        try:
            found = await self.reader.read(self.find, deadline=self.reader.within(budget))
        except CloudError as failure:
            raise self.unconfirmed(failure) from failure
        return found[0] if found else None

    def _not_started(self, error: CloudError, why: str) -> NotStarted:
        return NotStarted(
            f"dbt Cloud did not start {self.what}: {why}. The last answer: {error.message}",
            error.advice or "Run the workflow again when dbt Cloud answers.",
            status=error.status,
        )

    def unconfirmed(self, error: CloudError) -> Unconfirmed:
        """The error for a write of which nobody can say whether it has taken effect."""
        return Unconfirmed(
            f"Whether dbt Cloud started {self.what} could not be found out, so it is not sent again: {error.message}",
            f"Look in dbt Cloud for {self.what} {self.sign}, and run the workflow again only if there is none.",
            status=error.status,
        )
