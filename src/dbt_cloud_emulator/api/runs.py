"""Runs: read, list, cancel, retry; their steps and artifacts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from dbt_cloud_emulator import artifacts
from dbt_cloud_emulator.api.common import (
    access_of,
    query_of,
    require_no_body,
    require_no_query,
    respond,
    respond_page,
    run_of,
)
from dbt_cloud_emulator.errors import ApiError, bad_request, not_found
from dbt_cloud_emulator.schemas import LISTED_RUN_RELATED, RUN_RELATED, ArtifactQuery, RelatedQuery, RunsQuery
from dbt_cloud_emulator.store import Run

STEP_RELATED = frozenset({"trigger", "job", "debug_logs"})
MEDIA_TYPES = {
    ".json": "application/json",
    ".parquet": "application/x-parquet",
    ".sql": "text/plain",
    ".log": "text/plain",
}
NEVER = datetime.max.replace(tzinfo=UTC)


async def list_runs(request: Request) -> Response:
    emulator, access = access_of(request)
    query = query_of(request, RunsQuery)
    related = query.related(LISTED_RUN_RELATED)
    candidates = emulator.store.of_job(query.job_definition_id) if query.job_definition_id else emulator.store
    found = [
        run
        for run in candidates
        if run.account_id == access.account_id and access.sees_project(run.project_id) and _matches(run, query)
    ]
    field = query.order_by.removeprefix("-")
    found.sort(key=lambda run: (getattr(run, field) or NEVER, run.id), reverse=query.order_by.startswith("-"))
    page = found[query.offset : query.offset + query.limit]
    data = [emulator.renderer.run(run, related, listed=True) for run in page]
    return respond_page(data, len(found), query, access.account_id)


def _matches(run: Run, query: RunsQuery) -> bool:
    equal = {
        "dbt_version": run.dbt_version,
        "deferring_run_id": None,
        "environment_id": run.environment_id,
        "has_docs_generated": run.has_docs_generated,
        "has_sources_generated": run.has_sources_generated,
        "pk": run.id,
        "project_id": run.project_id,
        "status": int(run.status),
    }
    among = {"dbt_version": run.dbt_version, "pk": run.id, "project_id": run.project_id, "status": int(run.status)}
    return (
        all(getattr(query, name) in (None, value) for name, value in equal.items())
        and all(
            wanted is None or value in wanted
            for name, value in among.items()
            for wanted in [getattr(query, f"{name}__in")]
        )
        and (query.id__gt is None or run.id > query.id__gt)
        and query.state in ("all", "active", "1")
        and _within(run.created_at, query.created_at__range)
        and _within(run.finished_at, query.finished_at__range)
    )


def _within(moment: datetime | None, bounds: list[datetime] | None) -> bool:
    return bounds is None or (moment is not None and bounds[0] <= moment <= bounds[1])


async def get_run(request: Request) -> Response:
    emulator, access = access_of(request)
    related = query_of(request, RelatedQuery).related(RUN_RELATED)
    return respond(emulator.renderer.run(run_of(request, emulator, access), related))


async def cancel_run(request: Request) -> Response:
    emulator, access = access_of(request)
    run = run_of(request, emulator, access)
    access.require_write()
    require_no_query(request)
    await require_no_body(request)
    code = emulator.config.behaviour.cancel_complete_status
    if run.status.is_complete and code >= 400:
        raise ApiError(
            code, "The run is complete and cannot be cancelled.", f"run {run.id} has status {int(run.status)}"
        )
    await emulator.engine.cancel(run, access.token.name)
    return respond(emulator.renderer.run(run, frozenset({"trigger", "audit"})))


async def retry_run(request: Request) -> Response:
    emulator, access = access_of(request)
    run = run_of(request, emulator, access)
    access.require_write()
    require_no_query(request)
    await require_no_body(request)
    reason = emulator.engine.refusal(run)
    if reason is not None:
        raise ApiError(emulator.config.behaviour.retry_refusal_status, "This run cannot be retried.", reason)
    return respond(emulator.renderer.run(emulator.engine.retry(run, access.token.name), frozenset({"trigger"})))


async def get_retry_details(request: Request) -> Response:
    """Of any run that failed, whether it may still be retried or not."""
    emulator, access = access_of(request)
    query_of(request, RelatedQuery)
    run = run_of(request, emulator, access)
    if not run.status.is_complete or run.failed_step is None:
        raise bad_request("RETRY_NOT_FAILED_RUN")
    failed, skipped = emulator.engine.failure_details(run)
    return respond({"failed_step": failed, "skipped_steps": skipped})


async def get_step(request: Request) -> Response:
    emulator, access = access_of(request)
    related = query_of(request, RelatedQuery).related(STEP_RELATED)
    found = emulator.store.find_step(request.path_params["step_id"])
    if found is None or found[0].account_id != access.account_id or not access.sees_project(found[0].project_id):
        raise not_found()
    run, step = found
    return respond(emulator.renderer.step(run, step, full="debug_logs" in related))


async def list_artifacts(request: Request) -> Response:
    """Those of the last step, and null while there are none; `step` is taken and, as on the platform, not heeded."""
    emulator, access = access_of(request)
    query_of(request, ArtifactQuery)
    run = run_of(request, emulator, access)
    step = artifacts.last_step(run)
    paths = artifacts.list_paths(run, step.index) if step is not None and run.artifacts_saved else []
    return respond(paths or None)


async def get_artifact(request: Request) -> Response:
    emulator, access = access_of(request)
    query = query_of(request, ArtifactQuery)
    run = run_of(request, emulator, access)
    last = artifacts.last_step(run)
    index = query.step or (last.index if last is not None else 0)
    known = any(step.index == index and step.started_at is not None for step in run.steps)
    file = artifacts.find(run, index, request.path_params["path"]) if known and run.artifacts_saved else None
    if file is None and emulator.config.behaviour.missing_artifact_status == 200:
        return Response(b"", media_type="application/json")
    if file is None:
        raise not_found()
    return await send_artifact(run, file)


async def send_artifact(run: Run, file: Path) -> Response:
    """The raw file, streamed; a replayed one is rewritten for this run first."""
    media_type = MEDIA_TYPES.get(file.suffix, "application/octet-stream")
    content = await artifacts.rewritten(run, file)
    if content is not None:
        return Response(content, media_type=media_type)
    return FileResponse(file, media_type=media_type)
