"""`dry-run`: what the step would do, by GET requests alone. It leaves a log, outputs and a summary."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from dbt_cloud_run.clock import SystemClock, ends_before_signal
from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.models import Job
from dbt_cloud_run.cloud.retrying import READ_BUDGET, Reader
from dbt_cloud_run.collect.keeping import Keeping
from dbt_cloud_run.console import BaseConsole
from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.errors import ActionError, Interrupted
from dbt_cloud_run.loop import Means, attempts_of
from dbt_cloud_run.model import Interruption, Outcome, StepError
from dbt_cloud_run.process import fault_error
from dbt_cloud_run.publish.sinks import set_outputs, write_summary
from dbt_cloud_run.report.dry_run import dry_run_lines
from dbt_cloud_run.report.progress import result_lines
from dbt_cloud_run.report.report import Report
from dbt_cloud_run.settings.advice import step_error
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.decide import Decision, decide
from dbt_cloud_run.start.request import DryRun, about_lines, planned_request
from dbt_cloud_run.story import Story
from dbt_cloud_run.waiting.wait import Limits

MakeClient = Callable[..., CloudClient]


async def run_dry(
    settings: Settings, console: BaseConsole, clock: SystemClock, scratch: Path, make_client: MakeClient = CloudClient
) -> int:
    """Say what the step would do; returns the exit status: 1 where that cannot be found out."""
    console.annotates = False
    work = asyncio.create_task(_report(settings, console, clock, scratch, make_client))
    if await ends_before_signal(work, clock):
        report = work.result()
    else:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await work
        interruption = Interruption(signum=clock.signum)
        outcome = Outcome(ending=Ending.CANCELLED, failure_kind=FailureKind.CANCELLED, interruption=interruption)
        report = Report(outcome=outcome, job_id=settings.job_id)
    for line in (*dry_run_lines(report), *result_lines(report)):
        console.info(line)
    set_outputs(report, console)
    if settings.summary:
        write_summary(report, console)
    if report.outcome.interruption is not None:
        return 128 + report.outcome.interruption.signum
    return 0 if report.outcome.ending is Ending.DRY_RUN else 1


async def _report(
    settings: Settings, console: BaseConsole, clock: SystemClock, scratch: Path, make_client: MakeClient
) -> Report:
    assert settings.api_token is not None  # noqa: S101 - `main` has checked it
    reader = Reader(clock)
    deadline = reader.within(settings.timeout_minutes * 60) if settings.timeout_minutes and settings.wait else None
    try:
        client = make_client(settings.base_url, settings.account_id, settings.api_token, clock)
        async with client:
            decision = await decide(settings, client, reader, deadline=deadline)
            job = decision.job or await _job(decision.job_id, client, reader, deadline)
            means = _means(settings, client, reader, Limits(deadline), scratch)
            found = await _rehearsed(decision, job, means)
    except ActionError as error:
        return _failed(step_error(error, settings), settings)
    except Interrupted:
        raise
    except Exception as error:
        return _failed(fault_error(console, error), settings)
    outcome = Outcome(ending=Ending.DRY_RUN, notes=decision.notes)
    return Report(outcome=outcome, job_id=decision.job_id, job_name=job.name, dry_run=found)


def _failed(error: StepError, settings: Settings) -> Report:
    return Report(outcome=Outcome(ending=Ending.ERROR, failure_kind=error.kind, error=error), job_id=settings.job_id)


async def _job(job_id: int, client: CloudClient, reader: Reader, deadline: float | None) -> Job:
    return await reader.read(lambda: client.get_job(job_id), deadline=reader.within(READ_BUDGET, deadline))


def _means(settings: Settings, client: CloudClient, reader: Reader, limits: Limits, scratch: Path) -> Means:
    """What the loop works with; its files are in a temporary folder, and it does not pause before a retry."""
    keeping = Keeping(kept=scratch / "kept", scratch=scratch, patterns=(), step_artifacts="none")
    unpaused = replace(settings, retry_delay=0.0)
    return Means(settings=unpaused, client=client, reader=reader, limits=limits, keeping=keeping)


async def _rehearsed(decision: Decision, job: Job, means: Means) -> DryRun:
    """The request that the step would send first, with what it would be made of."""
    settings = means.settings
    lines = about_lines(decision, settings, job=job)
    busy = (f"{decision.busy} When-busy is `{settings.when_busy}`, so nothing would be started.",)
    notes = busy if decision.busy else ()
    if decision.is_new:
        request = planned_request(decision.new_run(), decision, settings)
        return DryRun(lines=lines, request=request, notes=notes)
    run = decision.run
    if run is not None and not run.state.is_terminal:
        note = f"The step would wait for run {run.id}, which is {run.state.value}, and only then plan a retry."
        return DryRun(lines=lines, notes=(*notes, note))
    story = await _up_to_the_request(decision, means)
    last = story.attempts[-1]
    if story.request is None:
        if last.plan is None:
            note = f"Run {last.run_id} ended: {last.ending.value}. The step would publish it, and retry nothing."
            notes = (*notes, note)
        return DryRun(lines=lines, plan=last.plan, notes=notes)
    request = planned_request(story.request, decision, settings, retried=last.run_id)
    return DryRun(lines=lines, request=request, plan=last.plan, notes=notes)


async def _up_to_the_request(decision: Decision, means: Means) -> Story:
    """The story of the loop up to the moment before it sends a request that starts a run, or to its end."""
    story = Story(job_id=decision.job_id, subject=decision.subject)
    async with aclosing(attempts_of(story, decision, means)) as stories:
        async for newer in stories:
            story = newer
            if story.request is not None:
                break
    return replace(story, current=None)
