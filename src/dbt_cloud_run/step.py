"""The step, from its first request to its exit status. This is THE order of things: it reads from top to bottom.

decide → start → loop → publish → status; below it, the path of a signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dbt_cloud_run.clock import SystemClock, ends_before_signal
from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import CloudError, Unconfirmed
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.console import BaseConsole
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.errors import ActionError, Interrupted
from dbt_cloud_run.github.events import Nothing
from dbt_cloud_run.github.log import TITLE
from dbt_cloud_run.model import Fate, FateKind, Interruption, LeftAlone, Outcome, RunState, StepError
from dbt_cloud_run.process import LAST_WORD, fault_error
from dbt_cloud_run.run_log import RunLog
from dbt_cloud_run.settings.advice import step_error
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.busy import job_is_busy
from dbt_cloud_run.start.decide import Decision, decide
from dbt_cloud_run.start.once import StartRequest, find_started, start_once
from dbt_cloud_run.start.request import about_lines
from dbt_cloud_run.state import State
from dbt_cloud_run.story import Story, decided, outcome_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from dbt_cloud_run.cloud.models import Run
    from dbt_cloud_run.publish.folder import ArtifactsFolder
    from dbt_cloud_run.publish.publish import Publication

_logger = logging.getLogger(__name__)

EXIT_FAILURE = 1


@dataclass
class Step:
    """The work of one step.

    A signal may end the work at any moment. What is known then is in `story`. `publication` exists from the moment at
    which the step has ended by its own decision: only publishing is left then, and nothing is cancelled.
    """

    settings: Settings
    console: BaseConsole
    clock: SystemClock
    scratch: Path
    story: Story
    state: State
    log: RunLog
    publication: Publication | None = None
    error: StepError | None = None

    @cached_property
    def folder(self) -> ArtifactsFolder | None:
        """The folder in the workspace; looked up when the job is known, or has turned out not to be."""
        from dbt_cloud_run.publish.folder import artifacts_folder

        return artifacts_folder(self.settings, self.story.job_id)

    def outcome(self, interruption: Interruption | None = None) -> Outcome:
        """What is known now, as the value that the report is made of."""
        return outcome_of(
            self.story,
            now=self.log.server_now() or self.clock.utcnow(),
            error=self.error,
            interruption=interruption,
            fail_on=self.settings.fail_on,
            git_sha=self.settings.overrides.git_sha,
        )


async def run_step(
    settings: Settings,
    console: BaseConsole,
    clock: SystemClock,
    scratch: Path,
    make_client: Callable[..., CloudClient] = CloudClient,
) -> int:
    """Do the work of the step and publish it; returns the exit status. `scratch` is a folder for temporary files."""
    if settings.dry_run:
        from dbt_cloud_run.dry_run import run_dry

        return await run_dry(settings, console, clock, scratch, make_client)
    assert settings.api_token is not None  # noqa: S101 - `main` has checked it
    step = Step(
        settings,
        console,
        clock,
        scratch,
        story=Story(job_id=settings.job_id),
        state=State(console),
        log=RunLog(console, clock),
    )
    step.state.target(settings.base_url, settings.account_id)
    step.state.may_cancel(settings.cancel_run and settings.wait)
    try:
        client = make_client(settings.base_url, settings.account_id, settings.api_token, clock)
    except ActionError as error:
        step.error = step_error(error, settings)
        return await _conclude(step)
    step.log.server_now = client.server_now
    async with client:
        # A signal ends every wait of the work with `Interrupted`; what is not a wait is cancelled in `_interrupted`.
        work = asyncio.create_task(_work(step, client))
        if await ends_before_signal(work, clock):
            return work.result()
        return await _interrupted(step, client, work)


async def _work(step: Step, client: CloudClient) -> int:
    settings, reader = step.settings, Reader(step.clock)
    minutes = settings.timeout_minutes if settings.wait else 0
    deadline = reader.within(minutes * 60) if minutes else None
    try:
        decision = await decide(settings, client, reader, deadline=deadline)
        _record(step, decided(step.story, decision))
        for line in about_lines(decision, settings, job=decision.job):
            _logger.info("%s", line)
        if decision.busy and settings.when_busy == "fail":
            raise job_is_busy(decision.busy)
        if decision.busy:
            step.console.notice(decision.busy, title="dbt Cloud: skipped")
            _record(step, replace(step.story, skipped=decision.busy))
            return await _conclude(step)
        if decision.is_new:
            await _start(step, client, reader, decision, deadline)
        async with aclosing(_loop(step, client, reader, decision, deadline)) as stories:
            async for story in stories:
                _record(step, story)
        if not settings.wait and step.story.current is not None:
            _logger.info("wait is false: the run continues in dbt Cloud.")
    except ActionError as error:
        step.error = step_error(error, settings)
        # Whether a run was started is not known. Where the time is over, or a signal has come, it would have been
        # cancelled: the post step searches for it once more. In any other case a person decides, as the error says.
        is_over = step.clock.signum != 0 or (deadline is not None and step.clock.monotonic() >= deadline)
        return await _conclude(step, is_unsettled=isinstance(error, Unconfirmed) and is_over)
    except Interrupted:
        # `_interrupted` goes on from here.
        raise
    except Exception as error:
        # A fault of this program is reported as one, and is no reason to cancel anything.
        step.error = fault_error(step.console, error)
        return await _conclude(step)
    # A time limit is no error: the run was cancelled, or left alone, and what it left is published.
    limit = step.story.limit
    return await _conclude(step, is_unsettled=limit is not None and limit.fate.is_unsettled)


async def _start(step: Step, client: CloudClient, reader: Reader, decision: Decision, deadline: float | None) -> None:
    """Trigger the job, exactly once. The request is recorded before it is sent, and its run as soon as it is known.

    Where the answer is lost, `start_once` searches for the run and uses it; it sends the request again only if there is
    none, and raises `Unconfirmed` where that cannot be found out.
    """
    request = decision.new_run()
    _record(step, replace(step.story, request=request))
    run = await start_once(request, client, reader, deadline=deadline)
    if run.job is None:
        # Read a moment before: its commands are the run's, where no answer about the run says more.
        run = run.model_copy(update={"job": decision.job})
    _record(step, replace(step.story, request=None, current=run, is_ours=True))


def _loop(
    step: Step, client: CloudClient, reader: Reader, decision: Decision, deadline: float | None
) -> AsyncGenerator[Story]:
    """The loop over attempts. What it needs is imported when the job has been triggered, which is sooner without it."""
    from dbt_cloud_run.collect.keeping import Keeping
    from dbt_cloud_run.loop import Means, attempts_of
    from dbt_cloud_run.waiting.wait import Limits

    settings, folder = step.settings, step.folder
    keeping = Keeping(
        kept=folder.path if folder is not None else step.scratch / "kept",
        scratch=step.scratch,
        patterns=settings.artifacts,
        step_artifacts=settings.step_artifacts,
        are_patterns_given="artifacts" in settings.given,
        packs=settings.upload_artifact,
    )
    limits = Limits(deadline, settings.queue_timeout_minutes * 60 or None)
    means = Means(settings=settings, client=client, reader=reader, limits=limits, keeping=keeping)
    return attempts_of(step.story, decision, means)


def _record(step: Step, story: Story) -> None:
    """Keep the newest story: for a signal and the post step, in the log, and in the outputs when a run begins."""
    before, step.story = step.story, story
    if story.job_id is not None and story.step_key and not before.step_key:
        step.state.job(story.job_id)
    if story.request is not None and story.request is not before.request:
        step.state.request(story.request)
    run = story.current
    if run is not None and (before.current is None or before.current.id != run.id):
        is_to_cancel = story.is_ours and step.settings.cancel_run and step.settings.wait
        step.state.run(run, is_to_cancel=is_to_cancel, step_key=story.step_key)
        step.log.started(run, len(story.attempts) + 1)
        _begin_outputs(step)
    elif run is not None and run is not before.current:
        step.log.seen(run)
    for number, attempt in enumerate(story.attempts):
        earlier = before.attempts[number] if number < len(before.attempts) else None
        if earlier is None:
            step.log.ended(attempt)
            if step.folder is not None:
                step.folder.keep_index(story.files)
        if attempt.plan is not None and (earlier is None or earlier.plan is None):
            step.log.plan(attempt.plan)


def _begin_outputs(step: Step) -> None:
    """What is known when a run begins: an earlier step's files go, and the outputs are set as far as they are known."""
    from dbt_cloud_run.publish.report import build_report
    from dbt_cloud_run.publish.sinks import set_outputs

    folder, story = step.folder, step.story
    outcome = step.outcome()
    try:
        if folder is not None:
            folder.prepare()
            folder.remove_leftovers(step.settings.artifacts, story.files)
        report = build_report(
            outcome,
            None,
            step.settings,
            subject=Nothing(),
            checkout=None,
            job_id=story.job_id,
            job_name=story.job_name,
            folder=folder,
            files=story.files,
        )
        set_outputs(report, step.console)
    except Exception as error:
        _logger.warning("The first outputs could not be set: %s: %s", type(error).__name__, error)


# -- publish → status


async def _conclude(step: Step, *, is_unsettled: bool = False) -> int:
    """The step has ended by its own decision. `is_unsettled`: a run may go on, and the post step continues with it."""
    step.log.close()
    if not is_unsettled:
        step.state.ended("error" if step.error else "wait: false" if step.story.current else "verdict")
    return await _publish(step)


async def _publish(step: Step) -> int:
    step.publication = _publication(step, step.outcome())
    await step.publication.publish()
    step.state.published()
    return _status(step, step.publication)


def _publication(step: Step, outcome: Outcome) -> Publication:
    from dbt_cloud_run.publish.publish import Publication
    from dbt_cloud_run.publish.report import build_report, find_checkout

    story, folder = step.story, step.folder
    report = build_report(
        outcome,
        story.manifests,
        step.settings,
        subject=story.subject or step.settings.github.subject,
        checkout=find_checkout(step.settings) if story.attempts else None,
        job_id=story.job_id,
        job_name=story.job_name,
        folder=folder,
        files=story.files,
    )
    return Publication(
        report,
        step.settings,
        step.console,
        step.clock,
        folder,
        dict(story.files),
        manifests=story.manifests,
        scratch=step.scratch,
    )


def _status(step: Step, publication: Publication) -> int:
    """The last lines of the log, at least one annotation for a failure, and the exit status."""
    from dbt_cloud_run.report.progress import result_lines
    from dbt_cloud_run.report.reasons import reason

    outcome = publication.report.outcome
    # Failed nodes have errors of their own; what ended the step, and what contradicts a success, is said besides.
    is_said = step.console.has_annotated("error")
    is_special = step.error is not None or outcome.ending is Ending.TIMED_OUT or bool(outcome.contradictions)
    has_failed = not outcome.ending.is_good
    is_error = has_failed and (is_special or not is_said)
    for line in result_lines(publication.report, with_reason=not is_error):
        _logger.info("%s", line)
    if is_error:
        words = " ".join(word for word in reason(outcome) if word)
        _logger.error("%s", words or f"The run ended: {outcome.ending.value}.", extra=TITLE)
    if step.error is not None:
        return EXIT_FAILURE
    return EXIT_FAILURE if has_failed and step.settings.fail_on_error else 0


# -- a signal


async def _interrupted(step: Step, client: CloudClient, work: asyncio.Task[int]) -> int:
    """A signal came: cancel the run with one request, publish what is known, and end. The post step does the rest.

    Where the step has ended by its own decision, nothing is cancelled, and the rest of its verdict is published. The
    exit status is the signal's all the same.
    """
    from dbt_cloud_run.report.progress import result_lines
    from dbt_cloud_run.report.reasons import interruption_words

    if step.story.request is not None and step.publication is None:
        # The request is on its way. Its answer says which run to cancel, or ends the step by its own decision.
        await asyncio.wait({work}, timeout=LAST_WORD)
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await work
    step.log.close()
    interruption = Interruption(signum=step.clock.signum, continued_by=step.console.continued_by)
    if step.publication is None:
        interruption = replace(interruption, fate=await _cancel_own_run(step, client))
        outcome = step.outcome(interruption)
        step.publication = _publication(step, outcome)
    publication = step.publication
    _logger.info("%s", interruption_words(interruption))
    publication.publish_in_a_hurry()
    folder = publication.folder if step.settings.upload_artifact else None
    if folder is not None and publication.report.artifact is None:
        step.state.files(publication.artifact_name, folder.path, publication.files)

    # A report that is made because of the signal has no other reason than the words above.
    for line in result_lines(publication.report, with_reason=publication.report.outcome.interruption is None):
        _logger.info("%s", line)
    return 128 + interruption.signum


async def _cancel_own_run(step: Step, client: CloudClient) -> Fate | None:
    """Cancel the run of this step with one request; returns what becomes of it. None: no run is known to go on."""
    run, request = step.story.current, step.story.request
    if (run is None and request is None) or (run is not None and run.state.is_terminal):
        return None
    if (why := _left_alone(step)) is not None:
        # Without a run, it is not known whether the request has started one.
        state = run.state if run is not None else RunState.UNKNOWN
        return Fate(kind=FateKind.LEFT_ALONE, run_id=run.id if run is not None else None, state=state, why=why)
    try:
        if run is None and request is not None:
            run = await _found(step, client, request)
        if run is None:
            # It may have been sent, and the run be listed late: the post step searches for longer.
            return Fate(kind=FateKind.NOT_CANCELLED, run_id=None, error="dbt Cloud lists no such run yet")
        if run.state.is_terminal:
            return None
        async with asyncio.timeout(LAST_WORD):
            await client.cancel_run(run.id)
    except (CloudError, TimeoutError) as error:
        known, words = step.story.current, error.message if isinstance(error, CloudError) else ""
        return Fate(kind=FateKind.NOT_CANCELLED, run_id=known.id if known else None, error=words)
    return Fate(kind=FateKind.CANCELLING, run_id=run.id, state=run.state)


def _left_alone(step: Step) -> LeftAlone | None:
    if not step.settings.cancel_run:
        return LeftAlone.CANCEL_RUN
    if not step.settings.wait:
        return LeftAlone.WAIT
    return LeftAlone.NOT_OURS if step.story.current is not None and not step.story.is_ours else None


async def _found(step: Step, client: CloudClient, request: StartRequest) -> Run | None:
    """The run of a request whose answer is not known, by one look for it."""
    async with asyncio.timeout(LAST_WORD):
        run = await find_started(client, request)
    if run is not None:
        _record(step, replace(step.story, request=None, current=run, is_ours=True))
    return run
