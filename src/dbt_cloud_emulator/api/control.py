"""What the real API does not have, for tests: faults, switches, the log of requests, the runs as they are."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dbt_cloud_emulator.api.common import emulator_of
from dbt_cloud_emulator.cancellations import Cancellation
from dbt_cloud_emulator.config import Behaviour
from dbt_cloud_emulator.faults import Fault


async def faults(request: Request) -> Response:
    """GET: all with their hits. POST: one, or a list, to add. DELETE: all."""
    emulator = emulator_of(request)
    if request.method == "POST":
        raw = await request.json()
        try:
            new = [Fault.model_validate(item) for item in (raw if isinstance(raw, list) else [raw])]
        except ValidationError as error:
            return _refused(error)
        return JSONResponse([emulator.faults.add(fault).model_dump() for fault in new])
    if request.method == "DELETE":
        return JSONResponse({"removed": emulator.faults.remove()})
    return JSONResponse([fault.model_dump() for fault in emulator.faults])


async def fault(request: Request) -> Response:
    """DELETE: one."""
    return JSONResponse({"removed": emulator_of(request).faults.remove(request.path_params["fault_id"])})


async def cancellations(request: Request) -> Response:
    """GET: all that are planned. POST: one, or a list, to add. DELETE: all."""
    planned = emulator_of(request).engine.cancellations
    if request.method == "POST":
        raw = await request.json()
        try:
            new = [Cancellation.model_validate(item) for item in (raw if isinstance(raw, list) else [raw])]
        except ValidationError as error:
            return _refused(error)
        return JSONResponse([planned.add(plan).model_dump() for plan in new])
    if request.method == "DELETE":
        return JSONResponse({"removed": planned.clear()})
    return JSONResponse([plan.model_dump() for plan in planned])


async def requests(request: Request) -> Response:
    """GET: the log, oldest first. DELETE: forget it."""
    log = emulator_of(request).requests
    if request.method == "DELETE":
        log.clear()
    return JSONResponse(list(log))


async def runs(request: Request) -> Response:
    """GET: every run with its trigger; `?count=1`: how many there are."""
    emulator = emulator_of(request)
    if "count" in request.query_params:
        return JSONResponse({"count": sum(1 for _ in emulator.store)})
    related = frozenset({"trigger", "audit"})
    return JSONResponse([emulator.renderer.run(run, related) for run in emulator.store])


async def behaviour(request: Request) -> Response:
    """GET: the switches. PATCH: change some."""
    emulator = emulator_of(request)
    current = emulator.config.behaviour
    if request.method == "PATCH":
        try:
            new = Behaviour.model_validate({**current.model_dump(), **await request.json()})
        except ValidationError as error:
            return _refused(error)
        for name in Behaviour.model_fields:
            setattr(current, name, getattr(new, name))
    return JSONResponse(current.model_dump())


async def cancel_all(request: Request) -> Response:
    """POST: cancel every active run, so that a test leaves nothing behind."""
    emulator = emulator_of(request)
    active = [run for run in emulator.store if not run.status.is_complete]
    await asyncio.gather(*(emulator.engine.cancel(run, "the test") for run in active))
    return JSONResponse({"cancelled": [run.id for run in active]})


def _refused(error: ValidationError) -> Response:
    detail: Any = error.errors(include_url=False, include_context=False)
    return JSONResponse(detail, 400)
