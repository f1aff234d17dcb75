"""One step from its first request to its exit status: runs the loop, hears signals, publishes whatever came of it."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import CloudError, Unconfirmed
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.errors import ActionError, Interrupted
from dbt_cloud_run.github.console import ANNOTATION_LIMIT, Console
from dbt_cloud_run.model import Ending, Outcome
from dbt_cloud_run.run_log import RunLog
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.pending import Pending
from dbt_cloud_run.start.start import Starter
from dbt_cloud_run.state import State

if TYPE_CHECKING:
    from dbt_cloud_run.collect.collect import Collector
    from dbt_cloud_run.publish.publish import Publisher
    from dbt_cloud_run.runner import Runner

EXIT_FAILURE = 1
LAST_WORD = 2.0  # seconds for one request after a signal; the platform grants 7.5 before it asks again


@dataclass(slots=True)
class StepRun:
    """The work of one step."""

    settings: Settings
    console: Console
    clock: SystemClock
    scratch: Path
    make_client: Callable[..., CloudClient] = CloudClient
    _runner: Runner | None = None
    _job_id: int | None = None
    _step_key: str = ""  # by which a run shows that this step started it
    _pending: Pending | None = None  # the newest write that starts a run
    _publisher: Publisher | None = None
    _is_over: bool = False  # by a decision of our own: what is left is publishing, and nothing is to be cancelled
    _error: ActionError | None = None
    _state: State = field(init=False)
    _log: RunLog = field(init=False)

    def __post_init__(self) -> None:
        self._state = State(self.console)
        self._log = RunLog(self.console, self.clock)
        self._job_id = self.settings.job_id

    async def run(self) -> int:
        """Do the work and publish it; gives the exit status."""
        settings = self.settings
        assert settings.api_token is not None  # noqa: S101 - `main` has seen to it
        self._state.target(settings.base_url, settings.account_id)
        try:
            client = self.make_client(settings.base_url, settings.account_id, settings.api_token, self.clock)
        except ActionError as error:
            return await self._publish(self._tell(error), error)
        async with client:
            work = asyncio.create_task(self._work(client))
            signal = asyncio.create_task(self.clock.interrupted())
            await asyncio.wait({work, signal}, return_when=asyncio.FIRST_COMPLETED)
            signal.cancel()
            if work.done() and not isinstance(work.exception(), Interrupted):
                return work.result()
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await work
            return await self._interrupted(client)

    async def _work(self, client: CloudClient) -> int:
        error: ActionError | None = None
        reader = Reader(self.clock, on_note=self._log.note)
        minutes = self.settings.timeout_minutes
        limit = reader.within(minutes * 60) if minutes and self.settings.wait else None
        starter = Starter(
            settings=self.settings,
            client=client,
            reader=reader,
            on_note=self._log.note,
            on_warning=self.console.warning,
            send=self._send,
            deadline=limit,
        )
        try:
            started = await starter.start()
            self._job_id, self._step_key = started.job_id, started.tag.key.step
            self._runner = self._make_runner(client, reader, limit)
            if self.settings.wait:
                await self._runner.run(started)
            elif (run := await self._runner.first(started)) is not None:
                self._runner.take(run, is_ours=False)
                self._log.note("wait is false: the run goes on in dbt Cloud.")
        except ActionError as failure:
            error = failure
        except Interrupted:  # no end of our own: the run is to be cancelled
            raise
        except Exception as failure:  # a fault of ours: it is reported as one, and no reason to cancel anything
            error = self._internal(failure)
        self._log.close()
        self._is_over, self._error = True, error
        is_lost = isinstance(error, Unconfirmed) and limit is not None and self.clock.monotonic() >= limit
        if not is_lost and not (self._runner and self._runner.is_left_running):
            self._state.ended("error" if error else "verdict" if self.settings.wait else "wait: false")
        return await self._publish(self._tell(error), error)

    async def _send(self, pending: Pending) -> Run:
        self._pending = pending
        self._step_key = pending.tag.key.step if pending.tag else self._step_key
        self._state.pending(pending)
        return await pending.send()

    def _make_runner(self, client: CloudClient, reader: Reader, overall: float | None = None) -> Runner:
        from dbt_cloud_run.runner import Events, Runner  # not before it is needed: the trigger goes out first

        return Runner(
            settings=self.settings,
            client=client,
            reader=reader,
            events=Events(
                on_note=self._log.note,
                on_run=self._on_run,
                on_attempt=self._log.ended,
                on_plan=self._log.plan,
                watcher=self._log,
            ),
            send=self._send,
            make_collector=lambda _: self._make_collector(client, reader),
            overall=overall,
        )

    def _on_run(self, run: Run, number: int, is_ours: bool) -> None:
        self._state.run(run, is_ours=is_ours and self.settings.cancel_run, step_key=self._step_key)
        self._log.started(run, number)
        publisher = self._make_publisher()
        publisher.clear()
        publisher.set_outputs(self._tell(None), job_id=self._job_id)

    def _make_collector(self, client: CloudClient, reader: Reader) -> Collector:
        from dbt_cloud_run.collect.collect import Collector

        publisher = self._make_publisher()
        return Collector(
            client=client,
            reader=reader,
            kept=publisher.folder or self.scratch / "kept",
            scratch=self.scratch,
            patterns=self.settings.artifacts,
            step_artifacts=self.settings.step_artifacts,
            are_patterns_given="artifacts" in self.settings.given,
            written=publisher.written,
            packed=publisher.packed if self.settings.upload_artifact else None,
        )

    def _internal(self, failure: Exception) -> ActionError:
        with self.console.group("Where this action itself went wrong"):
            self.console.relay("".join(traceback.format_exception(failure)))
        return ActionError(
            f"This action itself went wrong ({type(failure).__name__}: {failure}).",
            "The run in dbt Cloud, if there is one, was left alone. Please report this with the lines in the log.",
        )

    # -- publishing

    def _make_publisher(self) -> Publisher:
        if self._publisher is None:
            from dbt_cloud_run.publish.publish import Publisher, artifacts_folder

            try:
                folder: Path | None = artifacts_folder(self.settings, self._job_id)
            except (ValueError, OSError) as error:
                folder = None
                self.console.warning(f"artifacts-path cannot be used, so no files are written there: {error}")
            self._publisher = Publisher(self.settings, self.console, self.clock, folder)
        return self._publisher

    async def _publish(self, outcome: Outcome, error: ActionError | None) -> int:
        collector = self._runner.collector if self._runner else None
        publisher = self._make_publisher()
        await publisher.publish(outcome, collector.manifest if collector else None, job_id=self._job_id)
        self._state.published()
        return self._conclude(outcome, error)

    def _conclude(self, outcome: Outcome, error: ActionError | None) -> int:
        """The last lines of the log, at least one annotation for a failure, and the exit status."""
        self._last_lines()
        if error is not None:
            self.console.error(str(error), title="dbt Cloud")
            return EXIT_FAILURE
        if outcome.ending in (Ending.SUCCESS, Ending.QUEUED, Ending.SKIPPED):
            return 0
        # Failed nodes have errors of their own; what became of a run that was out of time is said besides.
        if self.console.annotations_left("error") == ANNOTATION_LIMIT or outcome.ending is Ending.TIMED_OUT:
            self.console.error(outcome.message or f"The run ended: {outcome.ending.value}.", title="dbt Cloud")
        return EXIT_FAILURE if self.settings.fail_on_error else 0

    def _last_lines(self) -> None:
        for line in self._make_publisher().result_lines():
            self.console.info(line)

    def _tell(self, error: ActionError | None, *, interrupted_by: int = 0, fate: str = "") -> Outcome:
        from dbt_cloud_run.ledger.story import tell

        runner = self._runner
        return tell(
            runner.known_attempts() if runner else (),
            notes=runner.notes if runner else (),
            error=error,
            interrupted_by=interrupted_by,
            fate=fate,
            timed_out=runner.timed_out if runner else None,
            now=self.clock.utcnow(),
        )

    # -- signals

    async def _interrupted(self, client: CloudClient) -> int:
        """A signal came: cancel our run with one request, write what is known, and go; the post step does the rest."""
        signum = self.clock.signum
        self._log.close()
        self._log.note(f"Told to stop by signal {signum}.")
        fate = "" if self._is_over else await self._cancel_in_a_hurry(client)
        if fate:
            self._log.note(fate)
        outcome = self._tell(self._error, interrupted_by=0 if self._is_over else signum, fate=fate)
        collector = self._runner.collector if self._runner else None
        publisher = self._make_publisher()
        publisher.publish_in_a_hurry(outcome, collector.manifest if collector else None, job_id=self._job_id)
        if not publisher.has_uploaded:
            self._state.files(publisher.artifact_name, publisher.folder, publisher.written)
        self._last_lines()
        return 128 + signum

    async def _cancel_in_a_hurry(self, client: CloudClient) -> str:
        """Gives the sentence on what becomes of the run; none where there is no run that goes on."""
        if why := self._why_left_alone():
            run = self._runner.current if self._runner is not None else None
            return f"Run {run.id} goes on in dbt Cloud: {why}." if run is not None and not run.state.is_terminal else ""
        try:
            run = await self._left_running(client)
            if run is None:
                return ""
            async with asyncio.timeout(LAST_WORD):
                await client.cancel_run(run.id)
        except (CloudError, TimeoutError) as error:
            return f"The run could not be cancelled now ({error or 'no answer'}); the post step tries again."
        return f"Run {run.id} is being cancelled in dbt Cloud; the post step waits until it has ended."

    def _why_left_alone(self) -> str:
        if not self.settings.cancel_run:
            return "cancel-run is false"
        if not self.settings.wait:
            return "wait is false"
        runner = self._runner
        is_anothers = runner is not None and runner.current is not None and not runner.is_ours
        return "this step did not start it" if is_anothers else ""

    async def _left_running(self, client: CloudClient) -> Run | None:
        """The run of ours that may be going on: the current one, or that of a write whose answer we do not have."""
        runner = self._runner
        current = runner.current if runner is not None and runner.is_ours else None
        if current is not None:
            return None if current.state.is_terminal else current
        started = await self._pending.run_after_all(client, LAST_WORD) if self._pending else None
        if started is None or (runner is not None and any(one.run_id == started.id for one in runner.attempts)):
            return None
        if self._runner is None:
            self._runner = self._make_runner(client, Reader(self.clock))
        self._runner.take(started, is_ours=True)
        return started
