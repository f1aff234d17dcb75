"""The start: which run it is about. Triggers one, exactly once, or takes up one that exists."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.models import Job, Run
from dbt_cloud_run.cloud.retrying import READ_BUDGET, Reader
from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.jobs import resolve_job
from dbt_cloud_run.start.pending import Pending
from dbt_cloud_run.start.pull_request import PULL_REQUEST_EVENTS, pull_request_overrides
from dbt_cloud_run.start.resume import (
    ResumeAction,
    ResumeDecision,
    decide_resume,
    find_reusable,
    needs_retry,
    retries_of,
)
from dbt_cloud_run.start.sending import Sending
from dbt_cloud_run.start.tag import RunKey, Tag, run_key
from dbt_cloud_run.start.trigger import StartList, start_list


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What the loop begins with. `run` is None where the failures of `earlier` are to be retried first."""

    job_id: int
    run: Run | None
    is_ours: bool  # this step has started it, now or in an earlier attempt of the workflow run
    tag: Tag
    cause: str
    overrides: TriggerOverrides  # of the first trigger: every retry sends them again
    baseline_id: int = 0
    history: tuple[float, ...] = ()  # seconds that comparable runs took lately
    earlier: tuple[Run, ...] = ()  # runs of an earlier attempt of the workflow run, oldest first
    takes_every_failure: bool = False
    notes: tuple[str, ...] = ()

    def is_earlier(self, run: Run) -> bool:
        """Whether the first run is one that an earlier attempt of the workflow run had started."""
        return bool(self.tag.root) and self.run is not None and run.id == self.run.id


@dataclass(slots=True, kw_only=True)
class Starter:
    """Finds out which run it is about."""

    settings: Settings
    client: CloudClient
    reader: Reader
    on_note: Callable[[str], None]
    on_warning: Callable[[str], None]
    send: Callable[[Pending], Awaitable[Run]]
    deadline: float | None = None  # the end of `timeout-minutes`, on the monotonic clock

    async def start(self) -> Started:
        """Trigger or take up. Raises `ActionError`s and `Interrupted`."""
        if self.settings.run_id is not None:
            return await self._take_up(self.settings.run_id)
        job_id = self.settings.job_id or await self._job_by_name()
        with_audit = self.settings.github.run_attempt > 1 and self.settings.resume != "off"
        known, job = await asyncio.gather(
            start_list(self.client, self.reader, job_id, deadline=self.deadline, with_audit=with_audit),
            self._job(job_id),
        )
        overrides = self._overrides(job_id, job)
        key = self._key(job_id, overrides)
        tag = Tag.new(key, self.settings.github.run_attempt)
        begin = Started(
            job_id=job_id,
            run=None,
            is_ours=True,
            tag=tag,
            cause=self.settings.cause,
            overrides=overrides,
            baseline_id=known.baseline_id,
            history=known.durations(overrides),
        )
        return await self._resumed(begin, known, key) or await self._reused(begin, known) or await self._new(begin)

    async def _new(self, begin: Started) -> Started:
        sending = Sending(
            client=self.client, reader=self.reader, send=self.send, on_note=self.on_note, deadline=self.deadline
        )
        run = await sending.trigger(
            begin.job_id, begin.overrides, begin.cause, begin.tag, baseline_id=begin.baseline_id
        )
        return replace(begin, run=run)

    async def _resumed(self, begin: Started, known: StartList, key: RunKey) -> Started | None:
        """What this step did in an earlier attempt of the workflow run, if that is to go on."""
        attempt = self.settings.github.run_attempt
        decision = decide_resume(known.runs, key, mode=self.settings.resume, run_attempt=attempt)
        if attempt > 1:
            self.on_note(f"Re-run of the workflow: {decision.action.value}, since {decision.reason}.")
        last = decision.run
        if decision.action is ResumeAction.FRESH or last is None:
            return None
        begin = replace(
            begin,
            tag=replace(begin.tag, root=decision.root_id or decision.chain[0].id),
            notes=(f"Resumed: {decision.reason}.",),
        )
        return self._resuming(begin, decision, last)

    def _resuming(self, begin: Started, decision: ResumeDecision, last: Run) -> Started | None:
        if decision.action is ResumeAction.RETRY:
            if not self.settings.targeted_retries:
                self.on_note("targeted-retries is 0: its failures cannot be retried, so the job is triggered anew.")
                return None
            return replace(begin, earlier=decision.chain, takes_every_failure=True)
        return replace(begin, run=last, earlier=decision.chain[:-1])

    async def _reused(self, begin: Started, known: StartList) -> Started | None:
        if self.settings.reuse != "same-commit":
            return None
        sha = begin.overrides.git_sha or self.settings.github.sha
        run = find_reusable(known.runs, job_id=begin.job_id, git_sha=sha, overrides=begin.overrides)
        if run is None:
            return None
        note = f"Run {run.id} of the same commit is taken up instead of a new one ({run.state.value})."
        self.on_note(note)
        return replace(begin, run=run, is_ours=False, overrides=run.overrides, notes=(note,))

    async def _take_up(self, run_id: int) -> Started:
        from dbt_cloud_run.waiting.wait import WHOLE_RUN

        deadline = self.reader.within(READ_BUDGET, self.deadline)
        run = await self.reader.read(lambda: self.client.get_run(run_id, WHOLE_RUN), deadline=deadline)
        job_id = run.job_definition_id or self.settings.job_id
        if job_id is None:
            raise ConfigError(f"dbt Cloud does not say to which job run {run_id} belongs.", "Set `job-id`, too.")
        if self.settings.job_id is not None and "job-id" in self.settings.given and job_id != self.settings.job_id:
            raise ConfigError(
                f"Run {run_id} belongs to job {job_id}, and job-id is {self.settings.job_id}.",
                "Leave job-id out, or correct one of the two.",
            )
        note = f"Run {run_id} is taken up instead of a new one ({run.state.value})."
        self.on_note(note)
        begin = Started(
            job_id=job_id,
            run=run,
            is_ours=False,
            tag=Tag.new(self._key(job_id, run.overrides), self.settings.github.run_attempt),
            cause=self.settings.cause,
            overrides=run.overrides,
            baseline_id=run_id,
            notes=(note,),
        )
        return await self._resumed_retries(begin, run) or begin

    async def _resumed_retries(self, begin: Started, root: Run) -> Started | None:
        """What an earlier attempt of the workflow run has done about the run that is taken up."""
        attempt = self.settings.github.run_attempt
        if attempt <= 1 or self.settings.resume == "off":
            return None
        known = await start_list(self.client, self.reader, begin.job_id, deadline=self.deadline, with_audit=True)
        chain = retries_of(root, known.runs, begin.tag.key, attempt)
        if len(chain) == 1:
            return None
        last, is_to_be_retried = chain[-1], needs_retry(chain)
        self.on_note(f"Re-run of the workflow: run {last.id}, its retry, is {last.state.value}.")
        begin = replace(
            begin,
            is_ours=True,
            tag=replace(begin.tag, root=root.id),
            baseline_id=known.baseline_id,
            notes=(
                *begin.notes,
                f"Resumed: run {last.id} is what an earlier attempt of this step had retried it with.",
            ),
        )
        if is_to_be_retried and self.settings.targeted_retries:
            return replace(begin, run=None, earlier=chain, takes_every_failure=True)
        return replace(begin, run=last, earlier=chain[:-1])

    # -- what is asked for

    async def _job_by_name(self) -> int:
        settings = self.settings
        job = await resolve_job(
            self.client,
            self.reader,
            job_name=settings.job_name or "",
            project_name=settings.project_name,
            environment_name=settings.environment_name,
            deadline=self.deadline,
        )
        return job.id or 0

    async def _job(self, job_id: int) -> Job | None:
        """The job's definition, where the decision about a pull request depends on it."""
        is_pull_request = self.settings.github.event_name in (*PULL_REQUEST_EVENTS, "merge_group")
        if not is_pull_request or self.settings.pull_request == "off":
            return None
        deadline = self.reader.within(READ_BUDGET, self.deadline)
        return await self.reader.read(lambda: self.client.get_job(job_id), deadline=deadline)

    def _overrides(self, job_id: int, job: Job | None) -> TriggerOverrides:
        settings = self.settings
        if job is None:
            return settings.overrides
        if settings.reuse == "never" and job.has_git_webhook:
            self.on_warning(
                f"Job {job_id} is also triggered by dbt Cloud's own Git webhook, so each commit may run twice: "
                "set `reuse: same-commit`, or turn one of the two off."
            )
        return pull_request_overrides(
            settings.github.event_name,
            settings.github.event,
            job_type=job.job_type,
            mode=settings.pull_request,
            given=settings.overrides,
            job_id=job_id,
        )

    def _key(self, job_id: int, overrides: TriggerOverrides) -> RunKey:
        github = self.settings.github
        return run_key(
            server_url=github.server_url,
            repository=github.repository,
            workflow_run_id=github.run_id,
            job=github.job,
            action=github.action,
            strategy_job_index=self.settings.strategy_job_index,
            dbt_job_id=job_id,
            overrides=overrides,
        )
