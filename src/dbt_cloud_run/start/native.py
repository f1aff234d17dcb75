"""Whether dbt Cloud would retry a run by itself."""

from __future__ import annotations

import logging

from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import CloudError
from dbt_cloud_run.cloud.retrying import READ_BUDGET, Reader

_logger = logging.getLogger(__name__)

LOOKS = 3
PAUSE = 5.0
"""Seconds between two looks: `can_retry` may change for some seconds after a run's end."""

_REFUSED_FOR_GOOD = (
    "RETRY_UNSUPPORTED_CMD",
    "RETRY_UNSUPPORTED_VERSION",
    "RETRY_NOT_LATEST_RUN",
    "RETRY_NOT_FAILED_RUN",
)


async def native_refusal(client: CloudClient, reader: Reader, run_id: int, deadline: float | None) -> str | None:
    """Why dbt Cloud would not retry this run; None if it would. `deadline` is monotonic."""
    reason = "dbt Cloud names no reason"
    for look in range(LOOKS):
        if look == 1:
            seconds = PAUSE * (LOOKS - 1)
            _logger.info("Waiting for up to %.0f s until dbt Cloud can retry run %s by itself.", seconds, run_id)
        if look:
            await reader.clock.sleep(PAUSE)
        try:
            run = await reader.read(lambda: client.get_run(run_id), deadline=reader.within(READ_BUDGET, deadline))
        except CloudError as error:
            return error.message
        if run.can_retry:
            return None
        reason = run.retry_not_supported_reason or reason
        if reason in _REFUSED_FOR_GOOD:
            break
    return reason
