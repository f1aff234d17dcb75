"""A job by its name: all pages are read, and what does not settle it is listed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from standins.cloud_server import CloudServer, FakeClock, Fault

from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.start.jobs import resolve_job


def job(number: int, name: str, environment: str = "prod", project: str | None = "shop") -> dict[str, Any]:
    named = {"id": 100 + len(project or ""), "name": project} if project else None
    return {
        "id": number,
        "name": name,
        "project_id": 100 + len(project or ""),
        "project": named,
        "environment_id": 200 + len(environment),
        "environment": {"id": 200 + len(environment), "name": environment},
    }


def resolve(jobs: list[dict[str, Any]], fault: Fault | None = None, **names: Any) -> int | None:
    async def body() -> int | None:
        async with CloudServer() as server:
            server.jobs = jobs
            if fault:
                server.fault("GET", "/jobs/$", fault)
            clock = FakeClock()
            async with server.client(clock) as client:
                return (await resolve_job(client, Reader(clock), **names)).id

    return asyncio.run(body())


def test_the_exact_name_is_found_among_those_that_contain_it_on_any_page() -> None:
    jobs = [job(number, f"Nightly {number}") for number in range(1, 240)] + [job(777, "Nightly")]
    assert resolve(jobs, job_name="Nightly") == 777
    assert resolve(jobs, Fault(503, times=2), job_name="Nightly") == 777


def test_project_and_environment_tell_jobs_of_one_name_apart() -> None:
    jobs = [job(1, "Nightly"), job(2, "Nightly", "staging"), job(3, "Nightly", project="finance")]
    assert resolve(jobs, job_name="Nightly", environment_name="staging") == 2
    assert resolve(jobs, job_name="Nightly", project_name="finance") == 3
    assert resolve(jobs, job_name="Nightly", project_name="shop", environment_name="prod") == 1


def test_several_are_listed() -> None:
    jobs = [job(1, "Nightly"), job(2, "Nightly", "staging"), job(3, "Nightly build")]
    with pytest.raises(ConfigError) as caught:
        resolve(jobs, job_name="Nightly")
    text = str(caught.value)
    assert "More than one job (2)" in text
    assert "1 'Nightly' (project 'shop', environment 'prod')" in text
    assert "2 'Nightly' (project 'shop', environment 'staging')" in text
    assert "build" not in text


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        ({"job_name": "nightly"}, "3 'Nightly build'"),  # not equal to the letter
        ({"job_name": "Hourly"}, "1 'Nightly'"),
        ({"job_name": "Nightly", "environment_name": "dev"}, "1 'Nightly'"),
    ],
)
def test_none_lists_what_comes_close(names: dict[str, str], listed: str) -> None:
    with pytest.raises(ConfigError, match="No job") as caught:
        resolve([job(1, "Nightly"), job(3, "Nightly build")], **names)
    assert listed in str(caught.value)


def test_a_token_that_may_not_read_projects_is_told_so() -> None:
    with pytest.raises(ConfigError, match="set `job-id` instead"):
        resolve([job(1, "Nightly", project=None)], job_name="Nightly", project_name="shop")


def test_an_account_without_jobs_says_so() -> None:
    with pytest.raises(ConfigError, match="has access to no job"):
        resolve([], job_name="Nightly")
