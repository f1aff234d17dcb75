"""Read a run that has ended with all of its steps, which dbt Cloud may list late. Raises `Interrupted` alone."""

from __future__ import annotations

import logging

from dbt_cloud_run.cloud.client import WHOLE_RUN, CloudClient
from dbt_cloud_run.cloud.errors import CloudError, Unreadable
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import NEW_RUN_GRACE, Reader
from dbt_cloud_run.waiting.listed import final_steps, late_steps, missing_steps
from dbt_cloud_run.waiting.wait import with_known

_logger = logging.getLogger(__name__)

PAUSES = (2.0, 3.0, 5.0, 5.0)
"""Seconds between the looks for steps that are late. How late they can be is documented nowhere."""

BUDGET = 60.0
"""Seconds for the answer with the steps, which may be heavy: artifacts do not depend on it."""

LIGHT_BUDGET = 15.0
"""Seconds for the answer without the steps, where that with them is not available."""


async def read_whole(
    run: Run, client: CloudClient, reader: Reader, *, is_whole: bool = False
) -> tuple[Run, str | None]:
    """The run with its steps and relations, and None; or with the steps known to have ended, and what is wrong.

    `is_whole`: its steps were read after its end. Those that an earlier look brought may have gone on since.
    """
    latest, wrong = run, None
    for pause in (*PAUSES, None):
        try:
            latest, is_whole = await _read(latest, client, reader), True
        except CloudError as error:
            wrong = error.message
            latest = await _without_logs(latest, client, reader)
            break
        late = late_steps(latest) if latest.state.is_terminal else None
        if late is None or pause is None:
            break
        _logger.info("Run %s has ended, but %s. Reading it again in %.0f s.", run.id, late, pause)
        await reader.clock.sleep(pause)
    if is_whole:
        wrong = missing_steps(latest)
    return (latest, None) if wrong is None else (_with_final_steps(latest), wrong)


async def _without_logs(run: Run, client: CloudClient, reader: Reader) -> Run:
    """The run with what is light of it: what it was asked for, and who cancelled it. The logs are in the steps."""
    try:
        names = [name for name in WHOLE_RUN if name != "run_steps"]
        latest = await reader.read(lambda: client.get_run(run.id, names), deadline=reader.within(LIGHT_BUDGET))
    except CloudError:
        return run
    is_stale = run.state.is_terminal and not latest.state.is_terminal
    return run if is_stale else with_known(latest, run)


def _with_final_steps(run: Run) -> Run:
    return run.model_copy(update={"run_steps": final_steps(run)}) if run.state.is_terminal else run


async def _read(run: Run, client: CloudClient, reader: Reader) -> Run:
    async def once() -> Run:
        latest = await client.get_run(run.id, WHOLE_RUN)
        # An end stays an end: this answer is stale.
        if run.state.is_terminal and not latest.state.is_terminal:
            raise Unreadable(f"dbt Cloud reported that run {run.id} ended, and now reports it as {latest.state.value}.")
        # What this step sent is known by the trigger's answer, whatever this one leaves out; its steps are the newest.
        return with_known(latest, run).model_copy(update={"run_steps": latest.run_steps})

    deadline, new_until = reader.within(BUDGET), reader.within(NEW_RUN_GRACE)
    return await reader.read(once, deadline=deadline, tolerate_404_until=new_until)
