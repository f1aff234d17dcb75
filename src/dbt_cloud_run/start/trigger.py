"""Exactly once: a run is started by a write that is sent again only when it certainly has not taken effect.

What was certainly not received is sent again. What may have taken effect is looked up among the job's newest runs,
above a baseline id and for a stated window, and taken up if it is there; only when it is not is it sent once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from dbt_cloud_run.cloud.client import PAGE, CloudClient
from dbt_cloud_run.cloud.errors import CloudError, Forbidden, NotFound, Rejected, RetryRefused, Unreadable
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import READ_BUDGET, Note, Reader
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.start.tag import Tag, cause_text, parse_tag
from dbt_cloud_run.start.write import LATE_LOOK_BUDGET, Write
from dbt_cloud_run.waiting.polling import usual_durations

LOOK_UP_WINDOW = 60.0  # seconds in which a run whose answer was lost is looked for


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
    reader: Reader,
    on_note: Note,
    deadline: float | None = None,
    window: float = LOOK_UP_WINDOW,
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

    write = Write(
        send=send,
        find=find,
        reader=reader,
        note=on_note,
        what=f"a run of job {job_id}",
        sign=f"whose cause begins with {tag}",
        deadline=deadline,
        window=window,
    )
    run = await write.once()
    return await _without_duplicates(client, find, run, write) if write.ambiguous else run


async def _without_duplicates(
    client: CloudClient, find: Callable[[], Awaitable[Sequence[Run]]], run: Run, write: Write
) -> Run:
    """After a second request: if the first one has come late after all, keep the older run and cancel the other."""
    reader = write.reader
    try:
        found = await reader.read(find, deadline=reader.within(LATE_LOOK_BUDGET))
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
    reader: Reader,
    on_note: Note,
    deadline: float | None = None,
    window: float = LOOK_UP_WINDOW,
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

    write = Write(
        send=send,
        find=find,
        reader=reader,
        note=on_note,
        what=f"dbt Cloud's retry of run {run_id} of job {job_id}",
        sign=f"that is a retry of run {run_id}",
        deadline=deadline,
        window=window,
    )
    try:
        run = await write.once()
    except (Rejected, NotFound, Forbidden) as error:
        if write.ambiguous:  # it may be refused just because the request before it took effect
            raise write.unconfirmed(error) from error
        raise RetryRefused(f"dbt Cloud does not retry run {run_id}: {error.message}", status=error.status) from error
    return await _without_duplicates(client, find, run, write) if write.ambiguous else run
