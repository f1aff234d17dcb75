"""A job by its name: all pages are read, and what does not settle it is listed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import CloudServer, FakeClock, Fault, Request, enveloped

from dbt_cloud_run.cloud.errors import Unreachable
from dbt_cloud_run.cloud.retrying import READ_BUDGET, Reader
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


class Account(CloudServer):
    """Lists projects and environments, too, where the token may read them."""

    def __init__(self, jobs: list[dict[str, Any]], **named: list[str]) -> None:
        super().__init__()
        self.jobs = jobs
        self.named = {
            kind: [{"id": at, "name": name} for at, name in enumerate(names, 1)] for kind, names in named.items()
        }

    def _handle(self, request: Request) -> tuple[int, bytes | Path]:
        kind = request.path.rstrip("/").rpartition("/")[2]
        if not request.path.startswith("/api/v3/") or kind not in self.named:
            return super()._handle(request)
        offset, limit = int(request.query["offset"]), int(request.query["limit"])
        return enveloped(self.named[kind][offset : offset + limit])

    @property
    def paths(self) -> list[str]:
        return [request.path.partition("/accounts/1")[2] for request in self.requests]


def resolve_at(account: Account, **names: Any) -> int:
    async def body() -> int:
        clock = FakeClock()
        async with account, account.client(clock, read_timeout=20.0) as client:
            return await resolve_job(client, Reader(clock), **names)

    return asyncio.run(body())


def resolve(jobs: list[dict[str, Any]], fault: Fault | None = None, **names: Any) -> int | None:
    account = Account(jobs)
    if fault:
        account.fault("GET", "/jobs/$", fault)
    return resolve_at(account, **names)


def refused(account: Account, **names: Any) -> tuple[str, str]:
    """The message and the advice of the error."""
    with pytest.raises(ConfigError) as caught:
        resolve_at(account, **names)
    return caught.value.message, caught.value.advice


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


# -- what is asked for


def bare(number: int, name: str, **fields: Any) -> dict[str, Any]:
    """A job whose project and environment are not named in it."""
    return {"id": number, "name": name, **fields}


def test_a_name_that_settles_it_costs_one_request() -> None:
    account = Account([bare(1, "Nightly"), bare(2, "Nightly build")], projects=["shop"], environments=["prod"])
    assert resolve_at(account, job_name="Nightly") == 1
    (request,) = account.requests
    assert request.query["name__icontains"] == "Nightly"
    assert request.query["include_related"] == "environment"


def test_projects_and_environments_are_listed_where_the_jobs_do_not_name_them() -> None:
    # More than a page of both, and what is looked for on the second.
    names = [f"p{number}" for number in range(1, 104)]
    jobs = [bare(1, "Nightly", project_id=1, environment_id=1), bare(2, "Nightly", project_id=103, environment_id=102)]
    account = Account(jobs, projects=names, environments=names)
    assert resolve_at(account, job_name="Nightly", project_name="p103") == 2
    assert account.paths == ["/jobs/", "/projects/", "/projects/", "/environments/", "/environments/"]
    assert resolve_at(account, job_name="Nightly", environment_name="p102") == 2
    assert resolve_at(account, job_name="Nightly", environment_name="p1") == 1


@pytest.mark.parametrize("kind", ["project", "environment"])
def test_the_only_job_of_the_name_has_to_be_where_it_is_looked_for(kind: str) -> None:
    fields = {"project": {"project_id": 1, "environment_id": 9}, "environment": {"project_id": 9, "environment_id": 1}}
    account = Account([bare(1, "Nightly", **fields[kind])], projects=["here"], environments=["here"])
    assert resolve_at(account, job_name="Nightly", **{f"{kind}_name": "here"}) == 1
    homeless = Account([bare(1, "Nightly")], projects=["here"], environments=["here"])
    message, _ = refused(homeless, job_name="Nightly", **{f"{kind}_name": "here"})
    assert message.startswith(f"No job of the name 'Nightly', {kind} 'here' in this account. ")


def test_a_job_without_an_environment_is_no_hindrance_to_those_with_one() -> None:
    jobs = [job(1, "Nightly") | {"environment": None}, job(2, "Nightly", "staging")]
    assert resolve(jobs, job_name="Nightly", environment_name="staging") == 2


@pytest.mark.parametrize(("deadline", "seconds"), [(None, READ_BUDGET), (1000.0 + 20, 20)])
def test_the_lists_are_read_within_the_budget_and_before_the_deadline(deadline: float | None, seconds: float) -> None:
    account, clock = Account([job(1, "Nightly")]), FakeClock()
    # It would answer some time, but not in time.
    account.fault("GET", "/jobs/$", Fault(503, times=60))

    async def body() -> None:
        async with account, account.client(clock, read_timeout=20.0) as client:
            await resolve_job(client, Reader(clock), job_name="Nightly", deadline=deadline)

    with pytest.raises(Unreachable):
        asyncio.run(body())
    assert seconds / 2 < clock.now - 1000 <= seconds


# -- what is said


def test_more_than_one_is_said_with_where_they_are_and_how_to_choose() -> None:
    jobs = [job(1, "Nightly"), job(2, "Nightly", "staging"), job(3, "Nightly", project="finance")]
    message, advice = refused(Account(jobs), job_name="Nightly", project_name="shop")
    assert message == (
        "More than one job (2) of the name 'Nightly', project 'shop' in this account. Candidates: "
        "1 'Nightly' (project 'shop', environment 'prod'); 2 'Nightly' (project 'shop', environment 'staging')."
    )
    assert advice == "Set `job-id`, or narrow it down by `project-name` and `environment-name`."


def test_none_is_said_with_where_it_was_looked_for() -> None:
    account = Account([job(1, "Nightly"), job(2, "Nightly build"), job(3, "Hourly")])
    message, advice = refused(account, job_name="Nightly", project_name="shop", environment_name="dev")
    assert message == (
        "No job of the name 'Nightly', project 'shop', environment 'dev' in this account. "
        "Candidates: 1 'Nightly' (project 'shop', environment 'prod')."
    )
    assert advice == "Correct `job-name`, or set `job-id`. Names must match exactly."


def test_the_candidates_are_those_that_come_closest() -> None:
    account = Account([job(1, "Nightly"), job(2, "Nightly build"), job(3, "Hourly")])
    message, _ = refused(account, job_name="Nightly", environment_name="dev")
    assert "Candidates: 1 'Nightly' (project 'shop', environment 'prod')." in message, "of exactly this name"
    message, _ = refused(account, job_name="nightly")
    assert ("'Nightly build'" in message, "'Hourly'" in message) == (True, False), "of a name that contains it"
    message, _ = refused(account, job_name="Weekly")
    assert "3 'Hourly' (project 'shop', environment " in message, "all"


def test_ids_stand_for_names_that_the_token_may_not_read() -> None:
    message, _ = refused(Account([bare(1, "Hourly", project_id=10, environment_id=20)]), job_name="Nightly")
    assert message.endswith("Candidates: 1 'Hourly' (project 10, environment 20).")


@pytest.mark.parametrize(("count", "end"), [(20, "; 20 'Nightly' (project 1, environment 1)."), (23, ", and 3 more.")])
def test_twenty_candidates_are_listed_and_the_others_counted(count: int, end: str) -> None:
    jobs = [bare(number, "Nightly", project_id=1, environment_id=1) for number in range(1, count + 1)]
    message, _ = refused(Account(jobs), job_name="Nightly")
    assert message.endswith(end)
    assert message.count("'Nightly' (") == 20


def test_a_job_of_the_first_page_is_found_among_many() -> None:
    jobs = [bare(1, "Nightly"), *(bare(number, f"Nightly {number}") for number in range(2, 150))]
    assert resolve(jobs, job_name="Nightly") == 1
