"""The scheduler: runs of one job one after the other, CI runs side by side; timeouts, cancels, superseding, retries."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections import defaultdict
from datetime import timedelta
from typing import Any

from dbt_cloud_emulator import artifacts
from dbt_cloud_emulator.cancellations import ACTORS, WITH_A_NEWER_RUN, Cancellations, RunEnded
from dbt_cloud_emulator.config import EmulatorConfig, JobConfig
from dbt_cloud_emulator.execution import Execution, split_at_failure
from dbt_cloud_emulator.replay import Replayer
from dbt_cloud_emulator.status import Status
from dbt_cloud_emulator.store import Run, RunStore, Trigger
from dbt_cloud_emulator.timing import spoken_duration, utcnow

# dbt-core, core/dbt/task/retry.py: the commands whose results `dbt retry` can retry from
RETRYABLE = ("build", "compile", "clone", "generate", "seed", "snapshot", "test", "run", "run-operation", "retry")


class Engine:
    """All that makes a run go on."""

    def __init__(self, config: EmulatorConfig, store: RunStore) -> None:
        self.config = config
        self.store = store
        self.cancellations = Cancellations(config.cancellations)
        self.execution = Execution(config, store)
        self.replayer = Replayer(config, store)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._serial: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._slots = {account.id: asyncio.Semaphore(account.run_slots) for account in config.accounts}

    def trigger(self, job: JobConfig, trigger: Trigger, *, retrying: Run | None = None) -> Run:
        """Enqueue a run."""
        environment, behaviour, now = self.config.environment(job.environment_id), self.config.behaviour, utcnow()
        run_id = self.store.new_id()
        run = Run(
            id=run_id,
            trigger_id=self.store.new_id(),
            account_id=self.config.account_of(job),
            project_id=job.project_id or environment.project_id,
            environment_id=environment.id,
            job_id=job.id,
            trigger=trigger,
            created_at=now,
            updated_at=now,
            folder=self.store.state / "runs" / str(run_id),
            git_sha=trigger.git_sha,
            git_branch=trigger.git_branch,
            dbt_version=trigger.dbt_version_override or job.dbt_version or environment.dbt_version,
            retrying_run_id=retrying.id if retrying is not None else None,
            hidden_requests=behaviour.hidden_requests,
            hidden_until=now + timedelta(seconds=behaviour.hidden_seconds) if behaviour.hidden_seconds else None,
        )
        if job.replay:
            run.replayed = self.replayer.choose(run, job)
        run.planned_end = self.cancellations.take(job.id)
        self.store.add(run)
        if job.job_type == "ci" and behaviour.supersede:
            self._supersede_older(run)
        if not job.deactivated:
            task = asyncio.create_task(self._drive(run, job), name=f"run {run.id}")
            self._tasks[run.id] = task
            task.add_done_callback(lambda _: self._forget(run))
        return run

    def _forget(self, run: Run) -> None:
        self._tasks.pop(run.id, None)
        if not run.status.is_complete:  # cancelled before its task began
            self._complete(run, Status.CANCELLED)

    def _supersede_older(self, run: Run) -> None:
        for other in self.store.active_before(run):
            same = run.trigger.pull_request is not None and other.trigger.pull_request == run.trigger.pull_request
            if same and run.trigger.git_sha != (other.trigger.git_sha or other.git_sha):
                message = (
                    f"This run was cancelled because run {run.id} was triggered for a newer commit of the pull request."
                )
                self._end_early(other, message)

    async def cancel(self, run: Run, actor: str) -> None:
        """Cancel on behalf of a user, and wait until it is done; nothing happens to a run that is complete."""
        if run.status.is_complete:
            return
        if self.config.behaviour.cancel_delay:
            loop = asyncio.get_running_loop()
            loop.call_later(self.config.behaviour.cancel_delay, self._end_early, run, _cancelled_by(actor), actor)
            return
        task = self._tasks.get(run.id)
        self._end_early(run, _cancelled_by(actor), actor)
        if task is not None:
            await asyncio.wait([task], timeout=20)

    def _end_early(self, run: Run, message: str, actor: str | None = None) -> None:
        """Cancel on behalf of an actor, or of dbt Cloud itself where there is none."""
        if run.status.is_complete or run.is_ending:
            return
        run.is_ending, run.cancelled_by, run.status_message = True, actor, message
        task = self._tasks.get(run.id)
        if task is None:
            self._complete(run, Status.CANCELLED)
        else:
            task.cancel()

    async def _drive(self, run: Run, job: JobConfig) -> None:
        """A run from the queue to its end. The task is cancelled to cancel the run."""
        serial: Any = contextlib.nullcontext() if job.job_type == "ci" else self._serial[job.id]
        status = Status.CANCELLED
        try:
            if self.config.behaviour.queued_seconds:
                await asyncio.sleep(self.config.behaviour.queued_seconds)
            if run.planned_end is not None and run.planned_end.step is None:
                await asyncio.sleep(run.planned_end.queued_seconds)
                raise RunEnded
            async with serial, self._slots[run.account_id]:
                run.status, run.dequeued_at, run.started_at = Status.STARTING, utcnow(), utcnow()
                run.updated_at = run.dequeued_at
                if self.config.behaviour.starting_seconds:
                    await asyncio.sleep(self.config.behaviour.starting_seconds)
                run.status = Status.RUNNING
                status = await self._execute(run, job)
        except asyncio.CancelledError:
            pass  # by `_end_early`, or because the emulator ends
        except RunEnded:
            self._end_as_planned(run, job)
        except Exception as error:
            status, run.status_message = Status.ERROR, f"{type(error).__name__}: {error}"
        finally:
            self._complete(run, status)

    def _end_as_planned(self, run: Run, job: JobConfig) -> None:
        plan = run.planned_end
        if plan is None or run.is_ending:
            return
        newer = None
        if plan.kind in WITH_A_NEWER_RUN:
            cause = Trigger(**{name: getattr(run.trigger, name) for name in Trigger.__slots__} | {"cause": "Newer"})
            newer = self.trigger(job, cause).id
        run.is_ending, run.status_message = True, plan.worded(newer)
        if plan.kind in ACTORS:
            run.cancelled_by, run.cancelled_by_type = ACTORS[plan.kind]

    async def _execute(self, run: Run, job: JobConfig) -> Status:
        work = self.replayer.play(run) if run.replayed is not None else self.execution.execute(run, job)
        limit = run.trigger.timeout_seconds_override
        limit = job.execution.timeout_seconds if limit is None else limit
        task = asyncio.create_task(work)
        try:
            done, _ = await asyncio.wait([task], timeout=limit or None)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            raise
        if not done:
            task.cancel("timeout")
            await asyncio.wait([task])
            ran = spoken_duration(utcnow() - (run.started_at or run.created_at))
            run.status_message = (
                f"This run timed out after running for {ran}, which exceeded the configured timeout of {limit} seconds."
            )
            return Status.CANCELLED
        return task.result()

    def _complete(self, run: Run, status: Status) -> None:
        behaviour, now = self.config.behaviour, utcnow()
        for step in run.steps:
            if step.status < Status.SUCCESS:
                step.status, step.finished_at = Status.CANCELLED, now
        run.finished_at = run.updated_at = now
        if behaviour.saved_without_artifacts or any(artifacts.list_paths(run, step.index) for step in run.steps):
            run.saved_at = now + timedelta(seconds=behaviour.artifacts_delay)
        run.retryable_at = now + timedelta(seconds=behaviour.can_retry_delay)
        if status is Status.ERROR and run.status_message is None and run.failed_step is not None:
            run.status_message = f"{run.failed_step.name} failed."
        run.status = status
        self.store.save(run)

    async def completed(self, run: Run) -> None:
        """Wait for a run's end."""
        task = self._tasks.get(run.id)
        if task is not None:
            await asyncio.wait([task])

    def refusal(self, run: Run) -> str | None:
        """Why a run cannot be retried: a `retry_not_supported_reason`, or None."""
        if run.status is not Status.ERROR:
            return "RETRY_NOT_FAILED_RUN"
        if self.store.latest(run.job_id) is not run:
            return "RETRY_NOT_LATEST_RUN"
        if _version(run.dbt_version) < (1, 6):
            return "RETRY_UNSUPPORTED_VERSION"
        failed = run.failed_step
        if failed is None or failed.kind == "setup":
            return "RETRY_NO_RUN_RESULTS"
        if not _is_retryable(failed.command or ""):
            return "RETRY_UNSUPPORTED_CMD"
        early = run.retryable_at is not None and utcnow() < run.retryable_at
        if early or not run.artifacts_saved or not failed.wrote_results:
            return "RETRY_NO_RUN_RESULTS"
        return None

    def retry(self, run: Run, actor: str) -> Run:
        """A run that resumes a failed one; the caller has asked `refusal`."""
        job = self.config.job(run.job_id)
        if job is None:
            raise LookupError(run.job_id)
        inherited: dict[str, Any] = {}
        if self.config.behaviour.retry_inherits_overrides:
            names = Trigger.__slots__
            inherited = {n: getattr(run.trigger, n) for n in names if n not in ("cause", "cause_category", "actor")}
        inherited["git_sha"], inherited["git_branch"] = run.git_sha, run.git_branch
        cause = f"Retry of run {run.id} from its failed step"
        return self.trigger(job, Trigger(cause=cause, cause_category="rerun", actor=actor, **inherited), retrying=run)

    def failure_details(self, run: Run) -> tuple[str, list[str]]:
        """Name of the failed step, and names of the steps that were not reached."""
        job, failed = self.config.job(run.job_id), run.failed_step
        if job is None or failed is None:
            return "", []
        _, rest = split_at_failure(run, job, self.store)
        return failed.name, [f"Invoke dbt with `{command}`" for _, command in rest]

    async def close(self) -> None:
        """Cancel everything that is active, and end dbt."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=20)
        await self.execution.close()


def _cancelled_by(actor: str) -> str:
    return f"This run was cancelled by {actor}."


def _version(text: str | None) -> tuple[int, int]:
    """Major and minor of `1.11.0-latest`; a release track such as `latest` is new."""
    parts = (text or "").split(".")
    if len(parts) > 1 and parts[0].isdigit() and parts[1].isdigit():
        return int(parts[0]), int(parts[1])
    return 99, 0


def _is_retryable(command: str) -> bool:
    try:
        words = shlex.split(command)[1:]
    except ValueError:
        return False
    if "source" in words and "freshness" in words:
        return False
    return any(word in RETRYABLE for word in words)
