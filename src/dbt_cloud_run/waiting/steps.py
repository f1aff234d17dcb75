"""Read a run that has ended with all of its steps, which dbt Cloud may list late. Raises `Interrupted` alone."""

from __future__ import annotations

import logging

from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import CloudError, Unreadable
from dbt_cloud_run.cloud.models import WHOLE_RUN, Run
from dbt_cloud_run.cloud.retrying import NEW_RUN_GRACE, Reader
from dbt_cloud_run.model import RunState

_logger = logging.getLogger(__name__)

PAUSES = (2.0, 3.0, 5.0, 5.0)
"""Seconds between the looks for steps that are late. How late they can be is documented nowhere."""

BUDGET = 60.0
"""Seconds for the answer with the steps, which may be heavy: artifacts do not depend on it."""

_WORKING = (RunState.RUNNING, RunState.STARTING)


async def read_whole(run: Run, client: CloudClient, reader: Reader) -> tuple[Run, str | None]:
    """The run with its steps and relations, and None; or the run without steps, and why they are not known.

    What an earlier look brought is kept, apart from steps: those of a run that went on are not those of its end.
    """
    latest = run
    for pause in (*PAUSES, None):
        try:
            latest = await _read(latest, client, reader)
        except CloudError as error:
            return _without_steps(latest), error.message
        missing = late_steps(latest) if latest.state.is_terminal else None
        if missing is None or pause is None:
            break
        _logger.info("Run %s has ended, but %s. Reading it again in %.0f s.", run.id, missing, pause)
        await reader.clock.sleep(pause)
    missing = _not_listed(latest)
    return (latest, None) if missing is None else (_without_steps(latest), missing)


def _without_steps(run: Run) -> Run:
    return run.model_copy(update={"run_steps": ()}) if run.state.is_terminal else run


def late_steps(run: Run) -> str | None:
    """What is still missing of the steps of a run that has ended; None if nothing is."""
    if (missing := _not_listed(run)) is not None:
        return missing
    failed = [step for step in run.steps if step.state is RunState.ERROR]
    if run.state is RunState.ERROR and not failed:
        return "dbt Cloud lists no failed step of it"
    if any(not step.log.strip() for step in failed):
        return "the log of its failed step is not there yet"
    return None


def _not_listed(run: Run) -> str | None:
    if not run.has_ended_after_steps:
        return None
    if not run.steps:
        return "dbt Cloud lists no steps of it"
    is_over = run.state in (RunState.SUCCESS, RunState.ERROR)
    if is_over and any(step.state in _WORKING for step in run.steps):
        return "dbt Cloud lists a step of it that has not ended"
    return None


async def _read(run: Run, client: CloudClient, reader: Reader) -> Run:
    async def once() -> Run:
        latest = await client.get_run(run.id, WHOLE_RUN)
        # An end stays an end: this answer is stale.
        if run.state.is_terminal and not latest.state.is_terminal:
            raise Unreadable(f"dbt Cloud has reported that run {run.id} ended, and now calls it {latest.state.value}.")
        return latest

    deadline, new_until = reader.within(BUDGET), reader.within(NEW_RUN_GRACE)
    return await reader.read(once, deadline=deadline, tolerate_404_until=new_until)
