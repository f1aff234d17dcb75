"""What released clients send and the description does not list: taken, unless the emulator is strict."""

from __future__ import annotations

from typing import Any

import pytest
from standins.emulator import RunningEmulator
from tests.support.emulated_jobs import JOB

EXTRA: dict[str, Any] = {"json": {"cause": "x", "account_id": 1, "job_id": JOB, "new": None}}


@pytest.mark.parametrize(
    ("method", "path", "arguments", "strict"),
    [
        ("POST", f"jobs/{JOB}/run/", EXTRA, 400),
        ("POST", f"jobs/{JOB}/run", {"json": {"cause": "x"}}, 301),
        ("POST", f"jobs/{JOB}/rerun/", {"json": {"steps_override": ["dbt build"]}}, 400),
        ("GET", "runs/", {"params": {"account_id": 1}}, 400),
        ("GET", "jobs/", {"params": {"account_id": 1}}, 400),
        ("GET", "runs/", {"params": [("include_related", "trigger"), ("include_related", "job")]}, 400),
    ],
)
def test_what_clients_send_is_taken(
    emulator: RunningEmulator, method: str, path: str, arguments: dict[str, Any], strict: int
) -> None:
    assert emulator.api(method, path, **arguments).status_code == strict
    emulator.behave(strict=False)
    assert emulator.api(method, path, **arguments).status_code == 200


def test_repeated_names_of_what_is_related_all_count(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    emulator.behave(strict=False)
    related = [("include_related", name) for name in ("trigger", "job,run_steps")]
    found = emulator.data("GET", f"runs/{run['id']}/", params=related)
    assert all(found[name] for name in ("trigger", "job", "run_steps"))


def test_further_fields_have_no_effect(emulator: RunningEmulator) -> None:
    emulator.behave(strict=False)
    run = emulator.data("POST", f"jobs/{JOB}/run/", **EXTRA)
    assert (run["trigger"]["cause"], run["job_definition_id"]) == ("x", JOB)
    assert "new" not in run["trigger"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"json": {"account_id": 1}},  # no cause
        {"json": {"cause": "x" * 256}},
        {"json": {"cause": "x", "threads_override": "4"}},
    ],
)
def test_what_is_wrong_is_refused_all_the_same(emulator: RunningEmulator, arguments: dict[str, Any]) -> None:
    emulator.behave(strict=False)
    assert emulator.api("POST", f"jobs/{JOB}/run", **arguments).status_code == 400


def test_an_unknown_query_is_refused_all_the_same(emulator: RunningEmulator) -> None:
    emulator.behave(strict=False)
    answer = emulator.api("GET", "runs/", params={"created_at__gte": "2026-01-01"})
    assert (answer.status_code, "created_at__gte" in answer.json()["data"]) == (400, True)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"dbt_version__in": '["1.11.0-latest"]'}, [20, 22]),
        ({"dbt_version__in": "1.5.0,1.6.0"}, []),
        ({"deployment_type__in": '["staging", "production"]'}, [20, 22]),
        ({"deployment_type__in": "staging"}, []),
        ({"id__gt": 20}, [22]),
        ({"credentials_id": 5}, []),
    ],
)
def test_every_described_query_of_environments_works(
    emulator: RunningEmulator, query: dict[str, Any], ids: list[int]
) -> None:
    for path in ("/api/v2/accounts/1/environments/", "/api/v3/accounts/1/environments/"):
        answer = emulator.client.get(path, params=query)
        assert [environment["id"] for environment in answer.json()["data"]] == ids
    of_project = emulator.client.get("/api/v3/accounts/1/projects/12/environments/", params=query)
    assert [environment["id"] for environment in of_project.json()["data"]] == [i for i in ids if i == 22]


def test_the_details_of_a_retry_are_there_for_an_older_run_too(emulator: RunningEmulator) -> None:
    older = emulator.wait(emulator.trigger(JOB)["id"])
    emulator.wait(emulator.trigger(JOB)["id"])
    assert emulator.run(older["id"])["retry_not_supported_reason"] == "RETRY_NOT_LATEST_RUN"
    details = emulator.data("GET", f"runs/{older['id']}/retry/")
    assert details == {
        "failed_step": "Invoke dbt with `dbt build`",
        "skipped_steps": ["Invoke dbt with `dbt docs generate`"],
    }


def test_the_host_itself_shows_a_page(emulator: RunningEmulator) -> None:
    answer = emulator.client.get("/")
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/html")
