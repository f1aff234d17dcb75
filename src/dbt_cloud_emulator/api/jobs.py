"""Jobs: read, list, trigger, rerun, latest artifact."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from dbt_cloud_emulator import artifacts
from dbt_cloud_emulator.api.common import (
    access_of,
    job_of,
    parsed_body,
    query_of,
    require_no_body,
    require_no_query,
    respond,
    respond_page,
)
from dbt_cloud_emulator.api.runs import send_artifact
from dbt_cloud_emulator.config import JobConfig
from dbt_cloud_emulator.errors import bad_request, not_found
from dbt_cloud_emulator.schemas import JOB_RELATED, JobsQuery, RelatedQuery, TriggerBody
from dbt_cloud_emulator.store import Trigger


async def list_jobs(request: Request) -> Response:
    emulator, access = access_of(request)
    query = query_of(request, JobsQuery)
    related = query.related(JOB_RELATED)
    config = emulator.config
    found = [
        job
        for job in config.jobs
        if config.account_of(job) == access.account_id and access.sees_project(job.project_id) and _matches(job, query)
    ]
    field = query.order_by.removeprefix("-")
    found.sort(key=lambda job: (getattr(job, field), job.id), reverse=query.order_by.startswith("-"))
    page = found[query.offset : query.offset + query.limit]
    return respond_page([emulator.renderer.job(j, related) for j in page], len(found), query, access.account_id)


def _matches(job: JobConfig, query: JobsQuery) -> bool:
    states = {"active": (1,), "1": (1,), "deleted": (2,), "2": (2,), "all": (1, 2)}[query.state]
    return (
        job.state in states
        and query.project_id in (None, job.project_id)
        and (query.project_id__in is None or job.project_id in query.project_id__in)
        and query.environment_id in (None, job.environment_id)
        and query.pk in (None, job.id)
        and (query.name__icontains is None or query.name__icontains.lower() in job.name.lower())
        and query.triggers_schedule in (None, job.triggers.schedule)
        and (query.dbt_version__in is None or job.dbt_version in query.dbt_version__in)
        and not query.is_fusion_ready
        and not query.is_system
    )


async def get_job(request: Request) -> Response:
    emulator, access = access_of(request)
    related = query_of(request, RelatedQuery).related(JOB_RELATED)
    return respond(emulator.renderer.job(job_of(request, emulator, access), related))


async def trigger_run(request: Request) -> Response:
    emulator, access = access_of(request)
    job = job_of(request, emulator, access)
    access.require_write()
    require_no_query(request)
    body = await parsed_body(request, TriggerBody)
    trigger = Trigger(actor=access.token.name, **body.model_dump(exclude_unset=True))
    if job.job_type == "ci" and emulator.config.behaviour.ci_needs_pull_request:
        if trigger.pull_request is None:
            raise bad_request("A CI job needs a pull request id")
        if not (trigger.git_sha or trigger.git_branch):
            raise bad_request("A CI job needs git_sha or git_branch")
    return respond(emulator.renderer.run(emulator.engine.trigger(job, trigger), frozenset({"trigger"})))


async def rerun_job(request: Request) -> Response:
    emulator, access = access_of(request)
    job = job_of(request, emulator, access)
    access.require_write()
    require_no_query(request)
    await require_no_body(request)
    latest = emulator.store.latest(job.id)
    if latest is not None and emulator.engine.refusal(latest) is None:
        run = emulator.engine.retry(latest, access.token.name)
    else:
        trigger = Trigger(cause="Rerun of the job", cause_category="rerun", actor=access.token.name)
        run = emulator.engine.trigger(job, trigger)
    return respond(emulator.renderer.run(run, frozenset({"trigger"})))


async def get_job_artifact(request: Request) -> Response:
    """The newest one, whichever run of the job made it."""
    emulator, access = access_of(request)
    query_of(request, RelatedQuery)
    job = job_of(request, emulator, access)
    for run in reversed(emulator.store.of_job(job.id)):
        step = artifacts.last_step(run)
        if run.artifacts_saved and step is not None:
            file = artifacts.find(run, step.index, request.path_params["path"])
            if file is not None:
                return await send_artifact(run, file)
    raise not_found()
