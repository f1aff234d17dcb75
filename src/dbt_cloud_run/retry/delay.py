"""How long a retry waits: `retry-delay` counts from the end of the run before it. Pure.

So noticing the end, reading what the run left, and planning take place while the delay runs.
"""

from __future__ import annotations

from datetime import datetime

_MOST_DOUBLINGS = 30


def ended_at(now: float, seen: float, finished_at: datetime | None, server_now: datetime | None) -> float:
    """When a run ended, in seconds of our clock: by dbt Cloud's own times where it names both, else `now`.

    It was seen going on at `seen`, so a time before that is wrong: the server's clock, or its `Date`, is not right.
    """
    if finished_at is None or server_now is None:
        return now
    return max(now - max((server_now - finished_at).total_seconds(), 0.0), seen)


def delay_left(delay: float, retries: int, ended: float, now: float) -> float:
    """Seconds until the next retry: what is left of `delay`, doubled for each of the `retries` before it."""
    return max(ended + delay * (1 << min(retries, _MOST_DOUBLINGS)) - now, 0.0)
