"""A job by its name, with the candidates named where the name does not settle it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from dbt_cloud_run.cloud.client import PAGE, CloudClient
from dbt_cloud_run.cloud.errors import Forbidden, NotFound, Rejected
from dbt_cloud_run.cloud.retrying import READ_BUDGET, Reader
from dbt_cloud_run.errors import ConfigError

if TYPE_CHECKING:
    from dbt_cloud_run.cloud.models import Job, Named

_MOST_PAGES = 50
_MOST_LISTED = 20

T = TypeVar("T")


async def resolve_job(
    client: CloudClient,
    reader: Reader,
    *,
    job_name: str,
    project_name: str | None = None,
    environment_name: str | None = None,
    deadline: float | None = None,
) -> int:
    """The id of the one active job of exactly this name, in the project and environment if they are named.

    Raises `ConfigError` with the candidates where there is none or more than one.
    """
    finder = _Finder(client, reader, reader.within(READ_BUDGET, deadline))
    jobs = await finder.jobs(job_name)
    named = [job for job in jobs if job.name == job_name]
    need_names = project_name is not None or len(named) != 1
    projects = await finder.projects(jobs) if need_names else {}
    environments = await finder.environments(jobs) if need_names or environment_name is not None else {}
    matches = [
        job
        for job in named
        if project_name in (None, projects.get(job.project_id or 0))
        and environment_name in (None, environments.get(job.environment_id or 0))
    ]
    if len(matches) == 1 and (job_id := matches[0].id) is not None:
        return job_id
    where = "".join(
        f", {kind} {name!r}" for kind, name in (("project", project_name), ("environment", environment_name)) if name
    )
    found = "No job" if not matches else f"More than one job ({len(matches)})"
    candidates = matches or named or jobs or await finder.jobs(None)
    raise ConfigError(
        f"{found} of the name {job_name!r}{where} in this account. "
        + _listed(candidates, projects or await finder.projects(candidates), environments),
        _advice(bool(matches), project_name, projects),
    )


def _advice(several: bool, project_name: str | None, projects: Mapping[int, str]) -> str:
    if project_name is not None and not projects:
        return "The token may not read the names of projects; set `job-id` instead."
    if several:
        return "Set `job-id`, or narrow it down by `project-name` and `environment-name`."
    return "Correct `job-name`, or set `job-id`. Names must match exactly."


def _listed(jobs: Sequence[Job], projects: Mapping[int, str], environments: Mapping[int, str]) -> str:
    if not jobs:
        return "The token has access to no job."
    lines = [
        f"{job.id} {job.name!r} (project {projects.get(job.project_id or 0, job.project_id)!r}, "
        f"environment {environments.get(job.environment_id or 0, job.environment_id)!r})"
        for job in jobs[:_MOST_LISTED]
    ]
    more = f", and {len(jobs) - _MOST_LISTED} more" if len(jobs) > _MOST_LISTED else ""
    return "Candidates: " + "; ".join(lines) + more + "."


class _Finder:
    """Lists of the account, all their pages, by the rules of reading."""

    def __init__(self, client: CloudClient, reader: Reader, deadline: float) -> None:
        self._client = client
        self._reader = reader
        self._deadline = deadline

    async def jobs(self, name: str | None) -> list[Job]:
        async def page(offset: int) -> Sequence[Job]:
            return await self._client.list_jobs(name_contains=name, offset=offset, include=("environment",))

        return await self._all(page)

    async def projects(self, jobs: Sequence[Job]) -> dict[int, str]:
        """Names by id: from the jobs where they carry them, or else from the list, if the token may read it."""
        names = {job.project.id: job.project.name for job in jobs if job.project and job.project.name}
        return names or await self._names(lambda offset: self._client.list_projects(offset=offset))

    async def environments(self, jobs: Sequence[Job]) -> dict[int, str]:
        names = {job.environment.id: job.environment.name for job in jobs if job.environment and job.environment.name}
        return names or await self._names(lambda offset: self._client.list_environments(offset=offset))

    async def _names(self, page: Callable[[int], Awaitable[Sequence[Named]]]) -> dict[int, str]:
        try:
            return {item.id: item.name for item in await self._all(page) if item.name}
        except (NotFound, Forbidden, Rejected):
            return {}

    async def _all(self, page: Callable[[int], Awaitable[Sequence[T]]]) -> list[T]:
        items: list[T] = []
        for number in range(_MOST_PAGES):
            news = await self._reader.read(partial(page, number * PAGE), deadline=self._deadline)
            items += news
            if len(news) < PAGE:
                break
        return items
