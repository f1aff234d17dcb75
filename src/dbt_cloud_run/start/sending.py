"""The two writes that start a run, each sent as one that is still pending when a signal comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import CloudError, RetryRefused
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import READ_BUDGET, Reader
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.start.pending import Pending
from dbt_cloud_run.start.tag import Tag
from dbt_cloud_run.start.trigger import retry_natively_once, trigger_once

NATIVE_LOOKS = 3  # at `can_retry`, which may change for some seconds after the end
NATIVE_PAUSE = 5.0
_REFUSED_FOR_GOOD = (
    "RETRY_UNSUPPORTED_CMD",
    "RETRY_UNSUPPORTED_VERSION",
    "RETRY_NOT_LATEST_RUN",
    "RETRY_NOT_FAILED_RUN",
)


@dataclass(slots=True, kw_only=True)
class Sending:
    """Starts runs of a job. `deadline` is monotonic; `send` keeps the write for as long as its answer is not known."""

    client: CloudClient
    reader: Reader
    send: Callable[[Pending], Awaitable[Run]]
    on_note: Callable[[str], None]
    deadline: float | None = None

    async def trigger(self, job_id: int, overrides: TriggerOverrides, cause: str, tag: Tag, *, baseline_id: int) -> Run:
        """A new run. Raises as `trigger_once` does."""
        return await self.send(
            Pending(
                job_id=job_id,
                baseline_id=baseline_id,
                tag=tag,
                request=lambda: trigger_once(
                    self.client,
                    job_id,
                    overrides,
                    cause,
                    tag,
                    baseline_id,
                    deadline=self.deadline,
                    on_note=self.on_note,
                    reader=self.reader,
                ),
            )
        )

    async def retry_natively(self, job_id: int, run_id: int) -> Run:
        """dbt Cloud's own retry of a run. Raises `RetryRefused`, and else as `retry_natively_once` does."""
        if refusal := await self._refusal(run_id):
            raise RetryRefused(refusal)
        return await self.send(
            Pending(
                job_id=job_id,
                baseline_id=run_id,
                native_of=run_id,
                request=lambda: retry_natively_once(
                    self.client, run_id, job_id, deadline=self.deadline, on_note=self.on_note, reader=self.reader
                ),
            )
        )

    async def _refusal(self, run_id: int) -> str | None:
        """Why dbt Cloud would not retry this run; asked a few times, since the answer may change after the end."""
        reason = "dbt Cloud gives no reason"
        for look in range(NATIVE_LOOKS):
            if look:
                await self.reader.clock.sleep(NATIVE_PAUSE)
            try:
                run = await self.reader.read(
                    lambda: self.client.get_run(run_id), deadline=self.reader.within(READ_BUDGET, self.deadline)
                )
            except CloudError as error:
                return error.message
            if run.can_retry:
                return None
            reason = run.retry_not_supported_reason or reason
            if reason in _REFUSED_FOR_GOOD:
                break
        return reason
