"""Accounts, projects, environments: what looking up a job by name needs, in v2 and v3."""

from __future__ import annotations

from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from dbt_cloud_emulator import definitions
from dbt_cloud_emulator.api.common import access_of, emulator_of, query_of, respond, respond_page
from dbt_cloud_emulator.auth import Access, authenticate
from dbt_cloud_emulator.config import EnvironmentConfig, ProjectConfig
from dbt_cloud_emulator.errors import not_found
from dbt_cloud_emulator.schemas import EnvironmentsQuery, PageQuery, ProjectsQuery, RelatedQuery

Item = TypeVar("Item", ProjectConfig, EnvironmentConfig)


async def whoami(request: Request) -> Response:
    token = authenticate(request, emulator_of(request).config)
    return respond({"user": {"name": token.name, "permission": token.permission}})


async def list_accounts(request: Request) -> Response:
    emulator = emulator_of(request)
    token = authenticate(request, emulator.config)
    query = query_of(request, PageQuery)
    seen = [a for a in emulator.config.accounts if token.account_ids is None or a.id in token.account_ids]
    page = seen[query.offset : query.offset + query.limit]
    return respond_page([definitions.account(a) for a in page], len(seen), query, 0)


async def get_account(request: Request) -> Response:
    emulator, access = access_of(request)
    query_of(request, RelatedQuery)
    account = next(a for a in emulator.config.accounts if a.id == access.account_id)
    return respond(definitions.account(account))


async def list_projects(request: Request) -> Response:
    emulator, access = access_of(request)
    access.require_beyond_jobs()
    query = query_of(request, ProjectsQuery)
    found = [p for p in emulator.config.projects if _is_seen(p, access) and _matches(p, query)]
    page = _page(found, query)
    return respond_page([definitions.project(p) for p in page], len(found), query, access.account_id)


async def get_project(request: Request) -> Response:
    emulator, access = access_of(request)
    access.require_beyond_jobs()
    query_of(request, RelatedQuery)
    for project in emulator.config.projects:
        if project.id == request.path_params["project_id"] and _is_seen(project, access):
            return respond(definitions.project(project))
    raise not_found()


async def list_environments(request: Request) -> Response:
    """Of the account, or of the project of the path."""
    emulator, access = access_of(request)
    access.require_beyond_jobs()
    query = query_of(request, EnvironmentsQuery)
    found = [
        environment
        for environment in emulator.config.environments
        if _is_seen(emulator.config.project(environment.project_id), access)
        and request.path_params.get("project_id") in (None, environment.project_id)
        and query.project_id in (None, environment.project_id)
        and (query.project_id__in is None or environment.project_id in query.project_id__in)
        and query.type in (None, environment.type)
        and query.deployment_type in (None, environment.deployment_type)
        and (query.deployment_type__in is None or environment.deployment_type in query.deployment_type__in)
        and query.dbt_version in (None, environment.dbt_version)
        and (query.dbt_version__in is None or environment.dbt_version in query.dbt_version__in)
        and query.credentials_id in (None, environment.credentials_id)
        and (query.id__gt is None or environment.id > query.id__gt)
        and _matches(environment, query)
    ]
    page = _page(found, query)
    return respond_page([emulator.renderer.environment(e) for e in page], len(found), query, access.account_id)


async def get_environment(request: Request) -> Response:
    emulator, access = access_of(request)
    access.require_beyond_jobs()
    query_of(request, RelatedQuery)
    for environment in emulator.config.environments:
        project = emulator.config.project(environment.project_id)
        in_path = request.path_params.get("project_id") in (None, project.id)
        if environment.id == request.path_params["environment_id"] and in_path and _is_seen(project, access):
            return respond(emulator.renderer.environment(environment))
    raise not_found()


def _is_seen(project: ProjectConfig, access: Access) -> bool:
    return project.account_id == access.account_id and access.sees_project(project.id)


def _matches(item: ProjectConfig | EnvironmentConfig, query: ProjectsQuery) -> bool:
    return (
        query.state not in ("deleted", "2")
        and query.name in (None, item.name)
        and (query.name__icontains is None or query.name__icontains.lower() in item.name.lower())
        and query.pk in (None, item.id)
        and (query.pk__gt is None or item.id > query.pk__gt)
        and (query.pk__in is None or item.id in query.pk__in)
    )


def _page(found: list[Item], query: ProjectsQuery) -> list[Item]:
    found.sort(key=lambda item: getattr(item, query.order_by.removeprefix("-")), reverse=query.order_by.startswith("-"))
    return found[query.offset : query.offset + query.limit]
