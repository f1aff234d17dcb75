"""What is asked: envelope, permissions, strictness of bodies and queries, filters."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from standins.emulator import RunningEmulator
from tests.support.emulated_jobs import CI_JOB, JOB, OTHER_JOB

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00")


def test_a_run_has_what_the_description_lists_and_its_types(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    assert run["id"] > 2**32
    assert run["status"] == 20
    assert (run["is_complete"], run["is_error"], run["is_success"], run["is_running"]) == (True, True, False, None)
    assert TIMESTAMP.fullmatch(run["finished_at"])
    assert re.fullmatch(r"\d\d:\d\d:\d\d", run["run_duration"])
    assert run["href"] == f"{emulator.base_url}/deploy/1/projects/10/runs/{run['id']}/"
    assert run["trigger"]["cause_category"] == "api"
    assert run["audit"]["cancellation"] is None
    assert [step["index"] for step in run["run_steps"]] == [1, 2, 3, 4, 5]
    assert run["run_steps"][3]["name"] == "Invoke dbt with `dbt build`"
    assert "\x1b[" in run["run_steps"][3]["logs"]
    assert run["run_steps"][4]["status_humanized"] == "Skipped"


def test_what_was_not_asked_for_is_not_there(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    bare = emulator.run(run["id"], include="")
    assert bare["run_steps"] == []
    assert bare["trigger"] is bare["job"] is bare["environment"] is bare["audit"] is None
    listed = emulator.data("GET", "runs/", params={"pk": run["id"], "include_related": "trigger"})[0]
    assert listed["run_steps"] == []
    assert listed["trigger"]["cause"] == "test"


@pytest.mark.parametrize("name", ["run_steps", "environment", "repository", "run_retries"])
def test_a_list_gives_less_than_a_run_and_refuses_what_it_does_not_give(
    emulator: RunningEmulator, run: dict[str, Any], name: str
) -> None:
    assert emulator.api("GET", f"runs/{run['id']}/", params={"include_related": name}).status_code == 200
    refused = emulator.api("GET", "runs/", params={"include_related": f"trigger,{name}"})
    assert refused.status_code == 400
    assert name in refused.json()["data"]
    allowed = {"include_related": "trigger,job,audit,debug_logs", "limit": 1}
    assert emulator.api("GET", "runs/", params=allowed).status_code == 200


def test_the_envelope_of_one_and_of_many(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    success = {"code": 200, "is_success": True, "user_message": "Success!", "developer_message": ""}
    assert emulator.api("GET", f"runs/{run['id']}/").json()["status"] == success
    page = emulator.api("GET", "runs/", params={"limit": 1, "order_by": "-id"}).json()
    assert page["extra"]["pagination"]["count"] == 1
    assert page["extra"]["pagination"]["total_count"] >= 1
    assert page["extra"]["order_by"] == "-id"


@pytest.mark.parametrize("scheme", ["Token", "Bearer", "token"])
def test_both_schemes_of_authorization(emulator: RunningEmulator, scheme: str) -> None:
    response = emulator.api("GET", "jobs/", headers={"Authorization": f"{scheme} demo-token"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("token", "method", "path", "code", "message"),
    [
        ("Token wrong", "GET", "jobs/", 401, "Invalid token."),
        ("Basic demo-token", "GET", "jobs/", 401, "Invalid token."),
        ("Token blocked", "GET", "jobs/", 403, "Forbidden: Access denied"),
        ("Token reader", "POST", f"jobs/{JOB}/run/", 403, "You do not have permission"),
        ("Token narrow", "GET", f"jobs/{JOB}/", 404, "proper permissions"),
        ("Token second", "GET", f"jobs/{JOB}/", 404, "proper permissions"),
        ("Token runner", "GET", "projects/", 404, "proper permissions"),
        ("Token demo-token", "GET", f"jobs/{OTHER_JOB}/", 404, "proper permissions"),
        ("Token demo-token", "GET", "runs/1/", 404, "proper permissions"),
        ("Token demo-token", "GET", "/runs/", 404, "proper permissions"),
        ("Token demo-token", "DELETE", f"jobs/{JOB}/", 405, "Method Not Allowed"),
    ],
)
def test_who_may_not_is_told_so(
    emulator: RunningEmulator, token: str, method: str, path: str, code: int, message: str
) -> None:
    response = emulator.api(method, path, headers={"Authorization": token})
    assert response.status_code == code
    assert response.json()["status"]["code"] == code
    assert message in response.json()["status"]["user_message"]


@pytest.mark.parametrize(("method", "path"), [("GET", "runs/1?limit=2"), ("POST", f"jobs/{JOB}/run")])
def test_a_path_that_lacks_its_last_slash_is_redirected(emulator: RunningEmulator, method: str, path: str) -> None:
    response = emulator.api(method, path)
    assert response.status_code == 301
    name, _, query = path.partition("?")
    assert response.headers["location"].endswith(f"/api/v2/accounts/1/{name}/" + (f"?{query}" if query else ""))


def test_an_ip_restriction_has_its_own_body(emulator: RunningEmulator) -> None:
    data = emulator.api("GET", "jobs/", headers={"Authorization": "Token blocked"}).json()["data"]
    assert data["account_access_denied"] is True


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (
            b'{"cause": "c", "step_override": []}',
            "Additional properties are not allowed ('step_override' was unexpected)",
        ),
        (b'{"cause": "c", "threads_override": "4"}', "threads_override"),
        (b"{", "JSON parse error"),
        (b"[]", "not of type 'object'"),
        (b"", "JSON parse error"),
    ],
)
def test_a_bad_trigger_starts_nothing(emulator: RunningEmulator, body: bytes, detail: str) -> None:
    before = len(emulator.runs())
    response = emulator.api("POST", f"jobs/{JOB}/run/", content=body)
    assert response.status_code == 400
    assert detail in str(response.json()["data"])
    assert "double check the provided data" in response.json()["status"]["user_message"]
    assert len(emulator.runs()) == before


@pytest.mark.parametrize("is_multipart", [False, True])
def test_a_form_is_taken_too(emulator: RunningEmulator, *, is_multipart: bool) -> None:
    fields = [
        ("cause", "fünf"),
        ("threads_override", "3"),
        ("generate_docs_override", "false"),
        ("steps_override", "dbt run"),
        ("steps_override", "dbt test"),
    ]
    form: dict[str, Any] = {
        "content": urlencode(fields),
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    }
    if is_multipart:
        form = {"files": [(name, (None, value)) for name, value in fields]}
    run_id = emulator.data("POST", f"jobs/{JOB}/run/", **form)["id"]
    trigger = emulator.run(run_id)["trigger"]
    assert (trigger["cause"], trigger["threads_override"], trigger["generate_docs_override"]) == ("fünf", 3, False)
    assert trigger["steps_override"] == ["dbt run", "dbt test"]


def test_endpoints_without_a_body_refuse_one(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    assert emulator.api("POST", f"runs/{run['id']}/retry/", json={"cause": "x"}).status_code == 400


@pytest.mark.parametrize(
    "query", [{"created_at__gte": "x"}, {"limit": 101}, {"include_related": "steps"}, {"status": [10, 20]}]
)
def test_unknown_query_parameters_are_400(emulator: RunningEmulator, query: dict[str, Any]) -> None:
    assert emulator.api("GET", "runs/", params=query).status_code == 400


def test_writes_take_no_query_parameter(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    before = len(emulator.runs())
    for path in (f"jobs/{JOB}/rerun/", f"runs/{run['id']}/retry/", f"runs/{run['id']}/cancel/"):
        assert emulator.api("POST", path, params={"step": 4}).status_code == 400
    assert emulator.api("POST", f"jobs/{JOB}/run/", json={"cause": "c"}, params={"step": 4}).status_code == 400
    assert len(emulator.runs()) == before


def test_every_filter_of_the_run_list(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    newer = emulator.wait(emulator.trigger(CI_JOB, git_sha="a" * 40, github_pull_request_id=1)["id"])

    def ids(**query: Any) -> list[int]:
        return [found["id"] for found in emulator.data("GET", "runs/", params={"order_by": "-id", **query})]

    assert ids(limit=1) == [newer["id"]]
    assert ids(limit=1, offset=1) == [run["id"]]
    assert ids(id__gt=run["id"]) == [newer["id"]]
    assert newer["id"] not in ids(job_definition_id=JOB)
    assert ids(job_definition_id=CI_JOB)[0] == newer["id"]
    assert ids(pk__in=f"[{run['id']},{newer['id']}]") == [newer["id"], run["id"]]
    assert set(ids(status=20)) >= {run["id"], newer["id"]}
    assert ids(status__in="[10,30]", id__gt=run["id"] - 1) == []
    assert ids(pk__in=[run["id"], newer["id"]]) == [newer["id"], run["id"]]  # the parameter once for each
    assert ids(project_id=11) == ids(environment_id=22) == ids(project_id__in="[12]") == []
    moments = json.dumps([newer["created_at"], "2100-01-01"])
    assert ids(created_at__range=moments) == [newer["id"]]
    assert ids(finished_at__range='["2000-01-01T00:00:00Z","2000-01-02T00:00:00Z"]') == []
    assert ids(has_docs_generated="true", pk=run["id"]) == []
    both = {"id__gt": run["id"] - 1}  # of many runs, a page without it holds the oldest alone
    ascending = [found["id"] for found in emulator.data("GET", "runs/", params={"order_by": "finished_at", **both})]
    assert ascending.index(run["id"]) < ascending.index(newer["id"])


def test_jobs_are_found_by_name_and_projects_and_environments_by_v3(emulator: RunningEmulator) -> None:
    found = emulator.data("GET", "jobs/", params={"name__icontains": "BUILD", "project_id": 10, "order_by": "-id"})
    assert [job["name"] for job in found] == ["CI build", "Nightly build"]
    assert emulator.data("GET", "jobs/", params={"state": "deleted"})[0]["name"] == "gone"
    job = emulator.data("GET", f"jobs/{JOB}/", params={"include_related": "environment,most_recent_run"})
    assert job["environment"]["name"] == "Production"
    assert job["execution"] == {"timeout_seconds": 0}
    v3 = "/api/v3/accounts/1"
    assert emulator.client.get(f"{v3}/projects/").json()["data"][0]["name"] == "Shop"
    environments = emulator.client.get(f"{v3}/environments/", params={"project_id": 12}).json()["data"]
    assert [environment["id"] for environment in environments] == [22]
    assert emulator.client.get(f"{v3}/projects/12/environments/22/").json()["data"]["name"] == "Staging"
    assert emulator.client.get("/api/v2/whoami/").status_code == 200
