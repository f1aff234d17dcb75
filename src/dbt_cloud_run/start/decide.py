"""Which run this step is about: a new one, one that exists, or the retry of what an earlier attempt left failed.

Only reads are sent here. What is decided goes back as a value, and `step` acts on it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dbt_cloud_run.cloud.client import WHOLE_RUN, CloudClient
from dbt_cloud_run.cloud.errors import CloudError, Forbidden, Unreachable
from dbt_cloud_run.cloud.retrying import READ_BUDGET, Reader
from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.github.events import MergeGroup, Nothing, PullRequest, Subject, Unreadable
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.attached import check_overrides
from dbt_cloud_run.start.busy import busy_with, busy_words
from dbt_cloud_run.start.chain import Chain, chain_of
from dbt_cloud_run.start.heads import head_of
from dbt_cloud_run.start.jobs import resolve_job
from dbt_cloud_run.start.once import NewRun
from dbt_cloud_run.start.overrides import CI, fill, needs_head, pull_request_of
from dbt_cloud_run.start.resume import ResumeAction, decide_resume, find_reusable
from dbt_cloud_run.start.tag import RunKey, Tag, cause_text, run_key
from dbt_cloud_run.waiting.polling import usual_durations

if TYPE_CHECKING:
    from dbt_cloud_run.cloud.models import Job, Run

_logger = logging.getLogger(__name__)

OPTIONAL_LIST_BUDGET = 20.0
"""Seconds for the list of the job's runs where the job can be triggered without it."""

_WARNING_BUDGET = 5.0
"""Seconds for a read that only a warning depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the step begins with, and all that its requests are made of.

    It attaches to `run`; or, without one, retries what failed in the last of the runs `before`; or starts a new run.
    """

    job_id: int
    tag: Tag
    cause: str
    # Of the first trigger: every retry sends them again.
    overrides: TriggerOverrides
    # The highest id of a run of the job before this step's own; 0 for a job that has never run, None if not known.
    baseline_id: int | None = 0
    # Seconds that comparable runs took lately, newest first.
    history: tuple[float, ...] = ()
    run: Run | None = None
    # Whether this step started the run, now or in an earlier attempt of the workflow run.
    is_ours: bool = True
    # Runs of an earlier attempt of the workflow run, oldest first; their results are read before anything else.
    before: tuple[Run, ...] = ()
    # What the event is about, with the head of a pull request as far as it was looked up.
    subject: Subject = field(default_factory=Nothing)
    notes: tuple[str, ...] = ()
    # The job's definition, where it was read.
    job: Job | None = None
    # That the job is busy, where `when-busy` lets nothing be started then.
    busy: str = ""

    @property
    def is_new(self) -> bool:
        """Whether the step starts a new run."""
        return self.run is None and not self.before

    @property
    def is_continued(self) -> bool:
        """Whether the step goes on with what an earlier attempt of the workflow run started."""
        return self.tag.root is not None

    @property
    def is_ci(self) -> bool:
        """Whether the job is for continuous integration: without its type, one that is asked for a pull request."""
        return self.job.job_type == CI if self.job is not None else pull_request_of(self.overrides) is not None

    def new_run(self) -> NewRun:
        """The request that starts the first run."""
        return self.request(self.tag, self.overrides, self.baseline_id)

    def request(self, tag: Tag, overrides: TriggerOverrides, baseline_id: int | None) -> NewRun:
        """A request for a run of this job."""
        body = {"cause": cause_text(tag, self.cause), **overrides.body()}
        return NewRun(job_id=self.job_id, baseline_id=baseline_id, tag=tag, body=body)


async def decide(settings: Settings, client: CloudClient, reader: Reader, *, deadline: float | None) -> Decision:
    """Find out which run this step is about. `deadline` is monotonic. Raises `ActionError`s and `Interrupted`."""
    if settings.run_id is not None:
        return await _attach_by_id(settings, client, reader, settings.run_id, deadline)
    job_id = settings.job_id or await _job_id_by_name(settings, client, reader, deadline)
    listed, job = await asyncio.gather(
        _listed_runs(settings, client, reader, job_id, deadline),
        _job(settings, client, reader, job_id, deadline),
    )
    recent = listed or ()
    subject = await _subject(settings, reader, job)
    overrides = _overrides(settings, job_id, job, subject)
    decision = Decision(
        job_id=job_id,
        tag=Tag.new(_key(settings, job_id, overrides), settings.github.run_attempt),
        cause=settings.cause,
        overrides=overrides,
        baseline_id=None if listed is None else max((run.id for run in recent), default=0),
        history=usual_durations(recent, overrides),
        subject=subject,
        job=job,
    )
    taken = _resumed(settings, decision, recent) or _reused(settings, decision, recent)
    return taken or _unless_busy(settings, decision, recent)


async def _recent_runs(
    client: CloudClient, reader: Reader, job_id: int, deadline: float | None, *, with_audit: bool
) -> tuple[Run, ...]:
    """The job's newest runs, newest first. `with_audit` asks who cancelled a run, too."""
    include = ("trigger", "audit") if with_audit else ("trigger",)
    runs = await reader.read(
        lambda: client.list_runs(job_id, include=include), deadline=reader.within(READ_BUDGET, deadline)
    )
    return tuple(sorted(runs, key=lambda run: run.id, reverse=True))


async def _listed_runs(
    settings: Settings, client: CloudClient, reader: Reader, job_id: int, deadline: float | None
) -> tuple[Run, ...] | None:
    """The job's newest runs; None where they cannot be listed, and no input needs them."""
    needing = _input_that_needs_the_list(settings)
    budget = READ_BUDGET if needing else OPTIONAL_LIST_BUDGET
    limit = reader.within(budget, deadline)
    try:
        # One request may take longer than the budget: where the list is not needed, it is not waited for to the end.
        async with asyncio.timeout(None if needing else OPTIONAL_LIST_BUDGET):
            return await _recent_runs(client, reader, job_id, limit, with_audit=needing == "resume")
    except TimeoutError:
        _warn_of_missing_list(job_id, f"dbt Cloud did not answer within {OPTIONAL_LIST_BUDGET:.0f} s.")
        return None
    except (Unreachable, Forbidden) as error:
        if needing:
            error.lead_advice(f"`{needing}` needs the list of the job's runs.")
            raise
        _warn_of_missing_list(job_id, error.message)
        return None


def _warn_of_missing_list(job_id: int, why: str) -> None:
    """Say what is given up without the list of the job's runs."""
    _logger.warning(
        "The runs of job %s could not be listed, so the job is triggered without them: a trigger whose answer is "
        "lost is not sent again, and how long the job usually takes is not known. %s",
        job_id,
        why,
    )


def _input_that_needs_the_list(settings: Settings) -> str | None:
    """The input for which the runs that exist already decide what this step does; None if there is none."""
    if settings.reuse != "never":
        return "reuse"
    if settings.github.run_attempt > 1 and settings.resume != "off":
        return "resume"
    return "when-busy" if settings.when_busy != "queue" else None


def _resumed(settings: Settings, decision: Decision, recent: tuple[Run, ...]) -> Decision | None:
    """What this step did in an earlier attempt of the workflow run, if that is continued."""
    attempt = settings.github.run_attempt
    resume = decide_resume(recent, decision.tag.key, mode=settings.resume, run_attempt=attempt)
    if attempt > 1:
        _logger.info("Re-run of the workflow: %s, because %s.", resume.action.value, resume.reason)
    if resume.chain is None:
        return None
    is_retried = resume.action is ResumeAction.RETRY
    if is_retried and not settings.targeted_retries:
        _logger.info("targeted-retries is 0, so its failures cannot be retried: the job is triggered instead.")
        return None
    return _continued(decision, resume.chain, is_retried=is_retried, note=f"Resumed: {resume.reason}.")


def _continued(decision: Decision, chain: Chain, *, is_retried: bool, note: str) -> Decision:
    """Go on with a chain: retry what failed in its last run, or attach to that run."""
    return replace(
        decision,
        tag=replace(decision.tag, root=chain.root_id),
        run=None if is_retried else chain.last,
        is_ours=True,
        before=chain.runs if is_retried else chain.runs[:-1],
        notes=(*decision.notes, note),
    )


def _reused(settings: Settings, decision: Decision, recent: tuple[Run, ...]) -> Decision | None:
    if settings.reuse != "same-commit":
        return None
    sha = decision.overrides.git_sha or settings.github.sha
    run = find_reusable(recent, job_id=decision.job_id, git_sha=sha, overrides=decision.overrides)
    if run is None:
        return None
    note = f"Attached to run {run.id} of the same commit instead of starting one ({run.state.value})."
    _logger.info("%s", note)
    return replace(decision, run=run, is_ours=False, overrides=run.overrides, notes=(note,))


def _unless_busy(settings: Settings, decision: Decision, recent: tuple[Run, ...]) -> Decision:
    """The new run, with the sentence that the job is busy where that keeps the step from starting one."""
    if settings.when_busy == "queue":
        return decision
    overrides, is_ci = decision.overrides, decision.is_ci
    run = busy_with(recent, overrides, is_ci=is_ci, step_key=decision.tag.key.step)
    return decision if run is None else replace(decision, busy=busy_words(decision.job_id, run, overrides, is_ci=is_ci))


async def _attach_by_id(
    settings: Settings, client: CloudClient, reader: Reader, run_id: int, deadline: float | None
) -> Decision:
    until = reader.within(READ_BUDGET, deadline)
    run = await reader.read(lambda: client.get_run(run_id, WHOLE_RUN), deadline=until)
    job_id = run.job_definition_id or settings.job_id
    if job_id is None:
        raise ConfigError(f"dbt Cloud does not say to which job run {run_id} belongs.", "Set `job-id`, too.")
    if settings.job_id is not None and "job-id" in settings.given and job_id != settings.job_id:
        raise ConfigError(
            f"Run {run_id} belongs to job {job_id}, and job-id is {settings.job_id}.",
            "Leave job-id out, or correct one of the two.",
        )
    check_overrides(settings.overrides, run)
    note = f"Attached to run {run_id} instead of starting one ({run.state.value})."
    _logger.info("%s", note)
    decision = Decision(
        job_id=job_id,
        run=run,
        is_ours=False,
        tag=Tag.new(_key(settings, job_id, run.overrides), settings.github.run_attempt),
        cause=settings.cause,
        overrides=run.overrides,
        baseline_id=run_id,
        subject=await _subject(settings, reader, None),
        notes=(note,),
        job=run.job,
    )
    if settings.github.run_attempt <= 1 or settings.resume == "off":
        return decision
    recent = await _recent_runs(client, reader, job_id, deadline, with_audit=True)
    return _resumed_retries(settings, decision, run, recent)


def _resumed_retries(settings: Settings, decision: Decision, root: Run, recent: tuple[Run, ...]) -> Decision:
    """What an earlier attempt of the workflow run has done about the run that this step attaches to."""
    chain = chain_of(root, recent, decision.tag.key, settings.github.run_attempt)
    if len(chain.runs) == 1:
        return decision
    last = chain.last
    _logger.info("Re-run of the workflow: run %s, its retry, is %s.", last.id, last.state.value)
    note = f"Resumed: run {last.id} is the retry of it that an earlier attempt of this step started."
    decision = replace(decision, baseline_id=max(run.id for run in (*recent, root)))
    is_retried = chain.needs_retry and settings.targeted_retries > 0
    return _continued(decision, chain, is_retried=is_retried, note=note)


async def _job_id_by_name(settings: Settings, client: CloudClient, reader: Reader, deadline: float | None) -> int:
    return await resolve_job(
        client,
        reader,
        job_name=settings.job_name or "",
        project_name=settings.project_name,
        environment_name=settings.environment_name,
        deadline=deadline,
    )


def _may_fill(settings: Settings) -> bool:
    """Whether the decision about the event depends on the job."""
    subject = settings.github.subject
    is_open = isinstance(subject, PullRequest | MergeGroup) and subject.is_open
    return settings.pull_request != "off" and (is_open or isinstance(subject, Unreadable))


async def _job(
    settings: Settings, client: CloudClient, reader: Reader, job_id: int, deadline: float | None
) -> Job | None:
    """The job's definition. None where nothing depends on it: either it is not needed, or it could not be read."""
    if settings.dry_run or _may_fill(settings):
        return await reader.read(lambda: client.get_job(job_id), deadline=reader.within(READ_BUDGET, deadline))
    if settings.overrides.git_sha or settings.overrides.git_branch:
        return None
    # Only a warning depends on it, so it is asked for once, beside the list of runs, and for a few seconds.
    try:
        async with asyncio.timeout(_WARNING_BUDGET):
            return await client.get_job(job_id)
    except (CloudError, TimeoutError) as error:
        _logger.debug("The type of job %s is not known: %s", job_id, error)
        return None


async def _subject(settings: Settings, reader: Reader, job: Job | None) -> Subject:
    """What the event is about. The head of a pull request is looked up where the trigger or the comment needs it."""
    subject = settings.github.subject
    # Without a commit that is given, a job that nothing is filled in for builds its own branch, which is reported
    # nowhere; with one, or with a run that exists, the comment is judged by the head.
    builds_given = bool(settings.overrides.git_sha or settings.overrides.git_branch or settings.run_id)
    is_judged = settings.pr_comment != "false" and builds_given
    if not is_judged and (job is None or not needs_head(subject, job.job_type, settings.pull_request)):
        return subject
    return await head_of(subject, settings, reader.clock)


def _overrides(settings: Settings, job_id: int, job: Job | None, subject: Subject) -> TriggerOverrides:
    if job is None:
        return settings.overrides
    if _may_fill(settings) and settings.reuse == "never" and job.has_git_webhook:
        _logger.warning(
            "Job %s is also triggered by dbt Cloud's own Git webhook, so each commit may run twice: set "
            "`reuse: same-commit`, or turn one of the two off.",
            job_id,
        )
    filled = fill(subject, job.job_type, settings.pull_request, settings.overrides, job_id)
    for warning in filled.warnings:
        _logger.warning("%s", warning)
    return filled.overrides


def _key(settings: Settings, job_id: int, overrides: TriggerOverrides) -> RunKey:
    github = settings.github
    return run_key(
        server_url=github.server_url,
        repository=github.repository,
        workflow_run_id=github.run_id,
        job=github.job,
        action=github.action,
        strategy_job_index=settings.strategy_job_index,
        dbt_job_id=job_id,
        overrides=overrides,
    )
