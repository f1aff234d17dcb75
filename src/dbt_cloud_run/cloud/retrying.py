"""How reads are repeated. Writes have other rules (`start.once`) and never come here.

Repeated: connection errors, timeouts, 408, 429, 5xx, and a body that is not what it should be. All else stops at once.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.cloud.errors import (
    CloudError,
    Forbidden,
    NotFound,
    RateLimited,
    Unauthorized,
    Unreachable,
    WrongHost,
)

_logger = logging.getLogger(__name__)

READ_BUDGET = 180.0  # seconds for reads before the trigger
WRONG_HOST_BUDGET = 20.0  # seconds for a host that is most likely misspelt, as long as no request has got through
ARTIFACT_BUDGET = 90.0  # seconds for artifacts, from the end of the run
NEW_RUN_GRACE = 60.0  # seconds in which a new run may still be answered with 404
COOLDOWN = 300.0  # seconds that a 429 without `Retry-After` costs, as the platform documents it
LONGEST_COOLDOWN = 300.0  # seconds that any answer can keep us still: what is asked about goes on in the meantime
_LONGEST_BACKOFF = 30.0
_LONGEST_TAUGHT_INTERVAL = 60.0

REFUSALS_REPEATED = 3  # times that a 401 or 403 is asked again after the same token was accepted

T = TypeVar("T")


def backoff(attempt: int) -> float:
    """Seconds to wait after failure number `attempt`: 1, 2, 4 … 30, each up to a quarter more or less by chance."""
    return min(2.0 ** min(attempt - 1, 10), _LONGEST_BACKOFF) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret


def cooldown(error: CloudError) -> float:
    """Seconds to keep still after a 429, or another answer that names a time: never more than `LONGEST_COOLDOWN`."""
    return COOLDOWN if error.retry_after is None else min(error.retry_after, LONGEST_COOLDOWN)


class RateLimit:
    """What 429s have taught. The limit is the account's, so one request's 429 holds all others back, too."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._quiet_until = float("-inf")
        self.minimum_interval = 0.0  # seconds between two polls from now on

    def observe(self, error: RateLimited) -> None:
        """Keep still for as long as the answer says, and poll less often afterwards."""
        self._quiet_until = max(self._quiet_until, self._clock.monotonic() + cooldown(error))
        self.minimum_interval = min(max(2 * self.minimum_interval, 15.0), _LONGEST_TAUGHT_INTERVAL)

    def pause(self) -> float:
        """Seconds left to keep still."""
        return max(self._quiet_until - self._clock.monotonic(), 0.0)


class Reader:
    """Repeats reads by the rules, with waits that a signal ends. Each repetition is a line of the log."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.rate_limit = RateLimit(clock)
        self.has_contact = False  # whether anything has ever been answered
        self.has_succeeded = False  # whether the token has ever been accepted

    def within(self, seconds: float, limit: float | None = None) -> float:
        """The deadline, on the monotonic clock, that ends in `seconds` from now, or at `limit` if that is sooner."""
        deadline = self.clock.monotonic() + seconds
        return deadline if limit is None else min(deadline, limit)

    async def read(
        self,
        call: Callable[[], Awaitable[T]],
        *,
        deadline: float | None,
        tolerate_404_until: float | None = None,
        tolerated: tuple[type[CloudError], ...] = (),
    ) -> T:
        """The result of `call`, which is tried at least once, and again until `deadline` (monotonic; None: for ever).

        `tolerated` errors are repeated, too. A wait that the server demands and that is longer than the time left ends
        it at once. Raises `Unreachable` when the time is up, what is final for a read (401, 403, 404, …) as it comes,
        and `Interrupted`.
        """
        return await _Read(self, deadline, tolerate_404_until, tolerated).run(call)


class _Read:
    """One read with its deadline, in the form of tenacity's hooks."""

    def __init__(
        self,
        reader: Reader,
        deadline: float | None,
        tolerate_404_until: float | None,
        tolerated: tuple[type[CloudError], ...],
    ) -> None:
        self._reader = reader
        self._clock = reader.clock
        self._rate_limit = reader.rate_limit
        self._deadline = float("inf") if deadline is None else deadline
        self._tolerate_404_until = float("-inf") if tolerate_404_until is None else tolerate_404_until
        self._tolerated = tolerated
        self._started = reader.clock.monotonic()
        self._refusals = 0

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        async def attempt() -> T:
            await self._keep_still()
            try:
                result = await call()
            except CloudError as error:
                self._reader.has_contact |= error.status is not None
                if isinstance(error, RateLimited):
                    self._rate_limit.observe(error)
                raise
            self._reader.has_contact = self._reader.has_succeeded = True
            return result

        retrying = AsyncRetrying(
            sleep=self._clock.sleep,
            retry=retry_if_exception(self._may_repeat),
            wait=self._wait,
            stop=self._stop,
            before_sleep=self._before_sleep,
            retry_error_callback=self._give_up,
        )
        return await retrying(attempt)

    async def _keep_still(self) -> None:
        pause = self._rate_limit.pause()
        if self._clock.monotonic() + pause > self._deadline and pause > 0:
            raise Unreachable(
                f"dbt Cloud's rate limit holds for {pause:.0f} s more, which is longer than the time left.",
                "Start fewer runs in this account at a time.",
            )
        if pause > 0:
            _logger.info("dbt Cloud's rate limit holds for %.0f s more: waiting.", pause)
            await self._clock.sleep(pause)

    def _may_repeat(self, error: BaseException) -> bool:
        if isinstance(error, NotFound):
            return self._clock.monotonic() < self._tolerate_404_until
        if isinstance(error, Unauthorized | Forbidden):
            # The same token worked before: one such answer in the middle can pass.
            self._refusals += 1
            return self._reader.has_succeeded and self._refusals <= REFUSALS_REPEATED
        return isinstance(error, CloudError) and (error.is_transient or isinstance(error, self._tolerated))

    def _wait(self, state: RetryCallState) -> float:
        error = _error(state)
        usual = backoff(state.attempt_number)
        if isinstance(error, RateLimited) or error.retry_after is not None:
            demanded = cooldown(error)
            return demanded if demanded >= 1 else usual  # zero is no invitation to ask without a pause
        return min(usual, max(self._end(error) - self._clock.monotonic(), 0.0))

    def _stop(self, state: RetryCallState) -> bool:
        now, end = self._clock.monotonic(), self._end(_error(state))
        return now >= end or now + state.upcoming_sleep > end + 1e-3

    def _end(self, error: CloudError) -> float:
        """The deadline; nearer for a host that is most likely misspelt, which is not worth so long a wait."""
        if self._reader.has_contact or not isinstance(error, WrongHost):
            return self._deadline
        return min(self._deadline, self._started + WRONG_HOST_BUDGET)

    def _before_sleep(self, state: RetryCallState) -> None:
        _logger.info("%s Repeating it in %.0f s.", _error(state).message, state.upcoming_sleep)

    def _give_up(self, state: RetryCallState) -> NoReturn:
        error = _error(state)
        if isinstance(error, Unauthorized | Forbidden):
            raise error
        spent = self._clock.monotonic() - self._started
        times = "once" if state.attempt_number == 1 else f"{state.attempt_number} times in {spent:.0f} s"
        why = ""
        if state.upcoming_sleep and isinstance(error, RateLimited):
            demanded = max(error.retry_after or 0.0, state.upcoming_sleep)
            why = f" The wait of {demanded:.0f} s that it demands is longer than the time left."
        raise Unreachable(
            f"dbt Cloud could not be read, tried {times}. The last answer: {error.message}{why}",
            error.advice or "If dbt Cloud has no incident, check the runner's network.",
            status=error.status,
            retry_after=error.retry_after,
        ) from error


def _error(state: RetryCallState) -> CloudError:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, CloudError) else CloudError(f"{error}")
