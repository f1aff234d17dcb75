"""A run of dbt Cloud's, as one of our attempts. Pure."""

from __future__ import annotations

from dbt_cloud_run.cloud.models import Run, RunStep
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import LONGEST_LOG, Attempt, RunState, Step

_ENDINGS = {RunState.SUCCESS: Ending.SUCCESS, RunState.CANCELLED: Ending.CANCELLED}


def ending_of(run: Run) -> Ending:
    """How a run that dbt Cloud calls ended has ended. dbt Cloud's own time limit shows as cancelled there."""
    if run.timed_out:
        return Ending.TIMED_OUT
    if run.superseded:
        return Ending.SUPERSEDED
    return _ENDINGS.get(run.state, Ending.ERROR)


def attempt_of(
    run: Run, number: int, ending: Ending, *, steps: tuple[Step, ...] | None = None, warnings: tuple[str, ...] = ()
) -> Attempt:
    """The attempt that this run is; without `steps`, those of the run, with no results."""
    docs = run.overrides.generate_docs_override
    return Attempt(
        number=number,
        run_id=run.id,
        job_id=run.job_definition_id or 0,
        state=run.state,
        ending=ending,
        run_url=run.href,
        status_message=run.status_message,
        job_name=run.job.name if run.job else None,
        project_id=run.project_id,
        project_name=run.job.project.name if run.job and run.job.project else None,
        environment_id=run.environment_id,
        environment_name=run.environment.name if run.environment else None,
        git_sha=run.git_sha,
        git_branch=run.git_branch,
        dbt_version=run.dbt_version,
        overrides=run.overrides,
        asked=run.asked,
        generates_docs=bool(run.job and run.job.generate_docs) if docs is None else docs,
        checks_freshness=bool(run.job and run.job.checks_freshness),
        steps=tuple(step_of(step) for step in run.steps) if steps is None else steps,
        triggered_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        queued_seconds=queued_seconds(run),
        retried_natively=run.retrying_run_id is not None,
        warnings=warnings,
        cancellation=run.cancellation,
    )


def step_of(step: RunStep) -> Step:
    """A step as it ended, without its results."""
    return Step(
        index=step.index,
        name=" ".join((step.name or "").split()) or f"Step {step.index}",
        command=step.command,
        state=step.state,
        log=step.log[-LONGEST_LOG:],
        started_at=step.started_at,
        finished_at=step.finished_at,
        duration_seconds=step.duration,
    )


def queued_seconds(run: Run) -> float | None:
    """How long the run waited in dbt Cloud's queue: to its end where it never left it; None while it has not."""
    begun = run.dequeued_at or run.started_at
    if run.state is not RunState.QUEUED and (run.queued_duration or (run.queued_duration is not None and begun)):
        return run.queued_duration
    # A run that was cancelled in the queue has an end and no beginning.
    left = begun or (run.finished_at if run.state.is_terminal else None)
    if run.created_at and left:
        return max((left - run.created_at).total_seconds(), 0.0)
    return run.queued_duration if run.state is not RunState.QUEUED else None
