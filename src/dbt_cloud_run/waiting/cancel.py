"""Cancel a run, and confirm that it has ended."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import CloudError, Rejected, Unreachable
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import NEW_RUN_GRACE, Reader
from dbt_cloud_run.model import Fate, FateKind, RunState
from dbt_cloud_run.waiting.wait import with_known

_logger = logging.getLogger(__name__)

CANCEL_BUDGET = 120.0
"""Seconds to have a cancellation accepted, and as long again to see the run end."""

CANCEL_POLL = 2.0
COOLDOWNS_WAITED_OUT = 2
"""Rate-limit cooldowns of five minutes each that a cancellation outlasts: a run that is left alone costs more."""


async def cancel(client: CloudClient, reader: Reader, run: Run) -> Run:
    """Cancel a run and wait until it has ended; returns what is last known of it. Raises `CloudError`s.

    A run that ended in the meantime is no error: what it ended as is what counts.
    """
    try:
        await _patiently(reader, lambda: client.cancel_run(run.id))
    except Rejected:
        # It has ended already, or cannot be cancelled: a look at it shows which.
        latest = with_known(await _patiently(reader, lambda: client.get_run(run.id)), run)
        if not latest.state.is_terminal:
            raise
        return latest
    return await _ended(client, reader, run)


async def cancel_with_fate(client: CloudClient, reader: Reader, run: Run) -> tuple[Run, Fate]:
    """Cancel a run; returns what is last known of it, and what became of it. Raises `Interrupted` alone."""
    try:
        run = await cancel(client, reader, run)
    except CloudError as error:
        why = f"{error.message} {error.advice}".strip()
        return run, Fate(kind=FateKind.NOT_CANCELLED, run_id=run.id, state=run.state, error=why)
    if not run.state.is_terminal:
        kind = FateKind.CANCELLING
    else:
        kind = FateKind.CANCELLED if run.state is RunState.CANCELLED else FateKind.HAD_ENDED
    return run, Fate(kind=kind, run_id=run.id, state=run.state)


async def _ended(client: CloudClient, reader: Reader, run: Run) -> Run:
    """Look at a run whose cancellation was accepted until it has ended; returns it as it is after `CANCEL_BUDGET`."""
    deadline = reader.within(CANCEL_BUDGET)
    is_said = False
    while True:
        latest = await _patiently(reader, lambda: client.get_run(run.id))
        if not latest.state.is_terminal and not is_said:
            _logger.info("Waiting for up to %.0f s until run %s has ended.", CANCEL_BUDGET, run.id)
            is_said = True
        if latest.state.is_terminal or reader.clock.monotonic() >= deadline:
            return with_known(latest, run)
        await reader.clock.sleep(max(CANCEL_POLL, reader.rate_limit.minimum_interval))


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
