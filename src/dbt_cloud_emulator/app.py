"""The application: routes, error bodies, start and end."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from dbt_cloud_emulator.api import accounts, control, jobs, runs
from dbt_cloud_emulator.api.common import Emulator, respond
from dbt_cloud_emulator.config import Behaviour, EmulatorConfig
from dbt_cloud_emulator.engine import Engine
from dbt_cloud_emulator.errors import NOT_FOUND, ApiError
from dbt_cloud_emulator.faults import Faults
from dbt_cloud_emulator.gate import CONTROL, Gate
from dbt_cloud_emulator.render import Renderer
from dbt_cloud_emulator.store import RunStore

REQUESTS_KEPT = 50_000
ROOT = b"<!doctype html><title>dbt Cloud, emulated</title><p>The API is below <code>/api/v2/</code>.</p>"
V2 = "/api/v2/accounts/{account_id:int}"
V3 = "/api/v3/accounts/{account_id:int}"


def create_app(config: EmulatorConfig, state: Path, url: str) -> Starlette:
    """The emulator over `state`, which it shares with no other process; `url` is where it is served."""
    store = RunStore(state, config.id_base, config.behaviour.keep_runs)
    engine = Engine(config, store)
    faults = Faults(config.faults)
    log: deque[dict[str, Any]] = deque(maxlen=REQUESTS_KEPT)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await engine.close()

    def gate(app: ASGIApp) -> ASGIApp:
        return Gate(Slashes(app, config.behaviour), faults, log)

    app = Starlette(
        routes=_routes(),
        lifespan=lifespan,
        middleware=[Middleware(gate)],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error, Exception: _trouble},
    )
    app.router.redirect_slashes = False
    app.state.emulator = Emulator(config, store, engine, Renderer(engine, config.ui_url or url), faults, log)
    return app


class Slashes:
    """ASGI middleware: a POST whose path lacks its last slash is served, unless the emulator is strict."""

    def __init__(self, app: ASGIApp, behaviour: Behaviour) -> None:
        self._app = app
        self._behaviour = behaviour

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and not self._behaviour.strict:
            path = scope["path"].removesuffix("/") + "/"
            scope = scope if scope["path"].startswith(CONTROL) else {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)


def _routes() -> list[BaseRoute]:
    return [
        Route("/", _root),
        Route("/api/v2/whoami/", accounts.whoami),
        Route("/api/v2/accounts/", accounts.list_accounts),
        Route("/api/v3/accounts/", accounts.list_accounts),
        *(
            route
            for version in (V2, V3)
            for route in (
                Route(f"{version}/", accounts.get_account),
                Route(f"{version}/projects/", accounts.list_projects),
                Route(f"{version}/projects/{{project_id:int}}/", accounts.get_project),
                Route(f"{version}/environments/", accounts.list_environments),
                Route(f"{version}/environments/{{environment_id:int}}/", accounts.get_environment),
            )
        ),
        Route(f"{V3}/projects/{{project_id:int}}/environments/", accounts.list_environments),
        Route(f"{V3}/projects/{{project_id:int}}/environments/{{environment_id:int}}/", accounts.get_environment),
        Route(f"{V2}/jobs/", jobs.list_jobs),
        Route(f"{V2}/jobs/{{job_id:int}}/", jobs.get_job),
        Route(f"{V2}/jobs/{{job_id:int}}/run/", jobs.trigger_run, methods=["POST"]),
        Route(f"{V2}/jobs/{{job_id:int}}/rerun/", jobs.rerun_job, methods=["POST"]),
        Route(f"{V2}/jobs/{{job_id:int}}/artifacts/{{path:path}}", jobs.get_job_artifact),
        Route(f"{V2}/runs/", runs.list_runs),
        Route(f"{V2}/runs/{{run_id:int}}/", runs.get_run),
        Route(f"{V2}/runs/{{run_id:int}}/cancel/", runs.cancel_run, methods=["POST"]),
        Route(f"{V2}/runs/{{run_id:int}}/retry/", runs.retry_run, methods=["POST"]),
        Route(f"{V2}/runs/{{run_id:int}}/retry/", runs.get_retry_details),
        Route(f"{V2}/runs/{{run_id:int}}/artifacts/", runs.list_artifacts),
        Route(f"{V2}/runs/{{run_id:int}}/artifacts/{{path:path}}", runs.get_artifact),
        Route(f"{V2}/steps/{{step_id:int}}/", runs.get_step),
        Route(f"{CONTROL}faults", control.faults, methods=["GET", "POST", "DELETE"]),
        Route(f"{CONTROL}faults/{{fault_id:int}}", control.fault, methods=["DELETE"]),
        Route(f"{CONTROL}cancellations", control.cancellations, methods=["GET", "POST", "DELETE"]),
        Route(f"{CONTROL}requests", control.requests, methods=["GET", "DELETE"]),
        Route(f"{CONTROL}runs", control.runs),
        Route(f"{CONTROL}behaviour", control.behaviour, methods=["GET", "PATCH"]),
        Route(f"{CONTROL}cancel", control.cancel_all, methods=["POST"]),
    ]


async def _root(_: Request) -> Response:
    """What a browser gets at the host itself is no part of the API: a page, for whoever follows the link."""
    return Response(ROOT, media_type="text/html")


async def _api_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return respond(error.data, code=error.code, message=error.user_message, extra={}, error_code=None)


async def _http_error(request: Request, error: Exception) -> Response:
    code = error.status_code if isinstance(error, HTTPException) else 500
    if code == 404 and _only_lacks_a_slash(request):
        return RedirectResponse(request.url.replace(path=f"{request.url.path}/"), 301)
    message = NOT_FOUND if code == 404 else "Method Not Allowed" if code == 405 else str(error)
    return respond(None, code=code, message=message, extra={}, error_code=None)


def _only_lacks_a_slash(request: Request) -> bool:
    """Such a GET is redirected, as Django does it, and a POST where the emulator is strict.

    Most clients turn a redirected POST into a GET without its body.
    """
    path = request.scope["path"]
    scope = {**request.scope, "path": f"{path}/"}
    return not path.endswith("/") and any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)


async def _trouble(_: Request, error: Exception) -> Response:
    return respond(
        None, code=500, message=f"The emulator failed: {type(error).__name__}: {error}", extra={}, error_code=None
    )
