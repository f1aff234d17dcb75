"""What all endpoints share: the envelope, pages, and how a request reaches the emulator's parts."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from dbt_cloud_emulator.auth import Access, authorize
from dbt_cloud_emulator.config import EmulatorConfig, JobConfig
from dbt_cloud_emulator.engine import Engine
from dbt_cloud_emulator.errors import bad_request, not_found
from dbt_cloud_emulator.faults import Faults
from dbt_cloud_emulator.render import Renderer
from dbt_cloud_emulator.schemas import LISTS, TOLERATED_QUERIES, Model, NoQuery, PageQuery, known, parse
from dbt_cloud_emulator.store import Run, RunStore
from dbt_cloud_emulator.timing import utcnow

Item = TypeVar("Item")


@dataclass(slots=True)
class Emulator:
    """All parts, as `app.state.emulator`."""

    config: EmulatorConfig
    store: RunStore
    engine: Engine
    renderer: Renderer
    faults: Faults
    requests: deque[dict[str, Any]]


def emulator_of(request: Request) -> Emulator:
    emulator: Emulator = request.app.state.emulator
    return emulator


def access_of(request: Request) -> tuple[Emulator, Access]:
    """The emulator, and what the request's token may do in the account of its path."""
    emulator = emulator_of(request)
    return emulator, authorize(request, emulator.config)


def respond(data: Any, *, code: int = 200, message: str = "Success!", **more: Any) -> Response:
    """The envelope."""
    status = {"code": code, "is_success": code < 400, "user_message": message, "developer_message": ""}
    content = json.dumps({"data": data, "status": status, **more}, separators=(",", ":")).encode()
    return Response(content, code, media_type="application/json")


def respond_page(items: Sequence[Any], total: int, query: PageQuery, account_id: int) -> Response:
    """The envelope of a list."""
    filters = query.model_dump(mode="json", exclude_unset=True, exclude={"include_related", "order_by"})
    extra = {
        "filters": {"limit": query.limit, "offset": query.offset, "account_id": account_id, **filters},
        "order_by": query.order_by,
        "pagination": {"count": len(items), "total_count": total},
    }
    return respond(list(items), extra=extra)


def query_of(request: Request, model: type[Model]) -> Model:
    """The query parameters. Raises ApiError 400 for one that is unknown, not valid, or twice there and no list."""
    given, is_strict = request.query_params, emulator_of(request).config.behaviour.strict
    names = [name for name in given if is_strict or name not in TOLERATED_QUERIES]
    repeatable = LISTS if is_strict else LISTS | {"include_related"}
    values: dict[str, Any] = {name: given.getlist(name) if name in LISTS else given[name] for name in names}
    if any(len(given.getlist(name)) > 1 for name in names if name not in repeatable):
        raise bad_request("A query parameter was given twice")
    if len(given.getlist("include_related")) > 1:
        values["include_related"] = ",".join(given.getlist("include_related"))
    return parse(model, values)


def require_no_query(request: Request) -> None:
    """For the writes, none of which takes a parameter. Raises ApiError 400."""
    query_of(request, NoQuery)


async def parsed_body(request: Request, model: type[Model]) -> Model:
    """The body as a model; fields that it does not have are left out, unless the emulator is strict."""
    body = await body_of(request)
    return parse(model, body if emulator_of(request).config.behaviour.strict else known(model, body))


async def body_of(request: Request) -> Any:
    """The body as JSON, or as a form, whose words become what they look like. Raises ApiError 400."""
    content, kind = await request.body(), request.headers.get("content-type", "")
    if kind.startswith("application/x-www-form-urlencoded"):
        return _form(parse_qsl(content.decode("utf-8", errors="replace"), keep_blank_values=True))
    if kind.startswith("multipart/form-data"):
        return _form(_parts(kind, content))
    try:
        body = json.loads(content)
    except ValueError as error:
        raise bad_request(f"JSON parse error - {error}") from error
    if not isinstance(body, dict):
        raise bad_request(f"{body!r} is not of type 'object'")
    return body


def _parts(kind: str, content: bytes) -> list[tuple[str, str]]:
    message = message_from_bytes(b"Content-Type: %s\r\n\r\n%s" % (kind.encode(), content))
    fields: list[tuple[str, str]] = []
    for part in message.walk():
        value = part.get_payload(decode=True)
        if isinstance(value, bytes):
            name = part.get_param("name", header="content-disposition")
            fields.append((str(name), value.decode(errors="replace")))
    return fields


def _form(fields: list[tuple[str, str]]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, value in fields:
        if name == "steps_override":
            body.setdefault(name, []).append(value)
        elif name.endswith("_id") or name in ("threads_override", "timeout_seconds_override"):
            body[name] = int(value) if value.isdecimal() else value
        elif name == "generate_docs_override":
            body[name] = {"true": True, "false": False}.get(value.lower(), value)
        else:
            body[name] = value
    return body


async def require_no_body(request: Request) -> None:
    """For the endpoints that take none. Raises ApiError 400 where the emulator is strict; else a body has no effect."""
    is_strict = emulator_of(request).config.behaviour.strict
    if is_strict and (await request.body()).strip() not in (b"", b"{}", b"null"):
        raise bad_request("This endpoint takes no body")


def job_of(request: Request, emulator: Emulator, access: Access, name: str = "job_id") -> JobConfig:
    """The job of the path. Raises ApiError 404."""
    job = emulator.config.job(request.path_params[name])
    if job is None or emulator.config.account_of(job) != access.account_id or not access.sees_project(job.project_id):
        raise not_found()
    return job


def run_of(request: Request, emulator: Emulator, access: Access) -> Run:
    """The run of the path. Raises ApiError 404, also for a new one that is still hidden."""
    run = emulator.store.get(request.path_params["run_id"])
    if run is None or run.account_id != access.account_id or not access.sees_project(run.project_id):
        raise not_found()
    if run.hidden_requests > 0:
        run.hidden_requests -= 1
        raise not_found()
    if run.hidden_until is not None and utcnow() < run.hidden_until:
        raise not_found()
    return run
