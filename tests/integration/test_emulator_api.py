"""The emulator over real sockets, with runs that are replayed: envelope, strictness, permissions, filters, faults."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from tests.support.dbt_project import write_tiny_project
from tests.support.emulator import RunningEmulator, running_emulator
from tests.support.recordings import project_recordings

JOB, CI_JOB, SLOW_JOB, SEQUENCE_JOB, OTHER_JOB = 7, 8, 9, 11, 77
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00")


@pytest.fixture(scope="module")
def recordings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run that fails in its data test, and its retry, which fails again."""
    project = write_tiny_project(tmp_path_factory.mktemp("tiny"), {"seeds/numbers.csv": 'n\n1\n""\n'})
    assert request.config.cache is not None
    return project_recordings(request.config.cache, "tiny", project, ["--job", "1005", "--runs", "2"])


@pytest.fixture(scope="module")
def server(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    project = write_tiny_project(tmp_path_factory.mktemp("project"))
    replay = [str(folder) for folder in recordings]
    steps = {"execute_steps": ["dbt build"], "generate_docs": True, "replay": replay}
    config = {
        "accounts": [{"id": 1}, {"id": 2, "name": "Another"}],
        "tokens": [
            {"token": "demo-token"},
            {"token": "reader", "permission": "job_viewer"},
            {"token": "runner", "permission": "job_runner"},
            {"token": "blocked", "ip_blocked": True},
            {"token": "narrow", "project_ids": [12]},
            {"token": "second", "account_ids": [2]},
        ],
        "projects": [
            {"id": 10, "name": "Shop", "path": str(project)},
            {"id": 11, "account_id": 2, "name": "Far", "path": str(project)},
            {"id": 12, "name": "Near", "path": str(project)},
        ],
        "environments": [
            {"id": 20, "project_id": 10, "name": "Production"},
            {"id": 21, "project_id": 11, "name": "Production"},
            {"id": 22, "project_id": 12, "name": "Staging"},
        ],
        "jobs": [
            {"id": JOB, "name": "Nightly build", **steps},
            {"id": CI_JOB, "name": "CI build", "job_type": "ci", **steps},
            {"id": SLOW_JOB, "name": "slow", "deactivated": True, **steps},
            {"id": 10, "name": "gone", "state": 2, **steps},
            {"id": SEQUENCE_JOB, "name": "by turns", "replay_order": "sequence", **steps},
            {"id": OTHER_JOB, "name": "Elsewhere", "environment_id": 21, **steps},
        ],
        "behaviour": {"replay_speed": 0},
    }
    with running_emulator(config=config, state=tmp_path_factory.mktemp("state")) as emulator:
        yield emulator


@pytest.fixture
def emulator(server: RunningEmulator) -> Iterator[RunningEmulator]:
    server.clear_requests()
    yield server
    server.clear_faults()
    server.behave(hidden_requests=0, hidden_seconds=0, artifacts_delay=0, can_retry_delay=0, cancel_delay=0)
    server.cancel_all()


@pytest.fixture
def run(emulator: RunningEmulator) -> dict[str, Any]:
    return emulator.wait(emulator.trigger(JOB)["id"])


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
    listed = emulator.data("GET", "runs/", params={"pk": run["id"], "include_related": "run_steps,trigger"})[0]
    assert listed["run_steps"] == []
    assert listed["trigger"]["cause"] == "test"


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
    ascending = [found["id"] for found in emulator.data("GET", "runs/", params={"order_by": "finished_at"})]
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


def test_artifacts_by_step_and_of_the_last_step_without(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    paths = emulator.data("GET", f"runs/{run['id']}/artifacts/")
    assert {"manifest.json", "run_results.json"} <= set(paths)
    assert emulator.data("GET", f"runs/{run['id']}/artifacts/", params={"step": 1}) == paths
    of_last = emulator.artifact(run["id"], "run_results.json")
    assert of_last == emulator.artifact(run["id"], "run_results.json", step=4)
    assert of_last["metadata"]["env"]["DBT_CLOUD_RUN_ID"] == str(run["id"])
    assert of_last["metadata"]["env"]["DBT_CLOUD_JOB_ID"] == str(JOB)
    assert of_last["metadata"]["generated_at"] >= run["run_steps"][3]["started_at"].replace(" ", "T").removesuffix(
        "+00:00"
    )
    for path, step in (("run_results.json", 1), ("run_results.json", 9), ("nothing.json", 4), ("../console.log", 4)):
        assert emulator.api("GET", f"runs/{run['id']}/artifacts/{path}", params={"step": step}).status_code == 404
    newest = emulator.api("GET", f"jobs/{JOB}/artifacts/run_results.json").json()
    assert newest["metadata"]["env"]["DBT_CLOUD_RUN_ID"] == str(run["id"])


def test_two_runs_of_one_recording_have_different_invocations(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    other = emulator.wait(emulator.trigger(JOB)["id"])
    first, second = (emulator.artifact(r["id"], "manifest.json")["metadata"]["invocation_id"] for r in (run, other))
    assert first != second


def test_a_step_is_read_by_its_id(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    step = emulator.data("GET", f"steps/{run['run_steps'][3]['id']}/", params={"include_related": "debug_logs"})
    assert step["run_step_command"]["dbt_command"] == "dbt build"
    assert "[debug]" in step["debug_logs"]
    assert emulator.api("GET", "steps/1/").status_code == 404


def test_native_retry_plays_the_next_recording_and_names_the_retried_run(
    emulator: RunningEmulator, run: dict[str, Any]
) -> None:
    details = emulator.data("GET", f"runs/{run['id']}/retry/")
    assert details["failed_step"] == "Invoke dbt with `dbt build`"
    assert details["skipped_steps"] == ["Invoke dbt with `dbt docs generate`"]
    retry = emulator.wait(emulator.data("POST", f"runs/{run['id']}/retry/")["id"])
    assert retry["retrying_run_id"] == run["id"]
    assert retry["trigger"]["cause_category"] == "rerun"
    assert retry["git_sha"] == run["git_sha"]
    assert retry["run_steps"][3]["name"] == "Invoke dbt with `dbt retry`"
    assert emulator.run(run["id"], include="run_retries")["run_retries"] == [retry["id"]]
    refused = emulator.api("POST", f"runs/{run['id']}/retry/")
    assert (refused.status_code, refused.json()["data"]) == (400, "RETRY_NOT_LATEST_RUN")


def test_recordings_by_turns_or_by_attempt(emulator: RunningEmulator) -> None:
    def fourth_step(run: dict[str, Any]) -> str:
        name: str = emulator.wait(run["id"])["run_steps"][3]["name"]
        return name.removeprefix("Invoke dbt with ")

    by_turns = [fourth_step(emulator.trigger(SEQUENCE_JOB)) for _ in range(3)]
    assert by_turns == ["`dbt build`", "`dbt retry`", "`dbt build`"]
    own = emulator.trigger(JOB, steps_override=["dbt build --select fqn:tiny.first"])
    assert fourth_step(own) == "`dbt build --select fqn:tiny.first`"
    assert emulator.artifact(own["id"], "run_results.json")["args"]["invocation_command"] == "dbt retry"


def test_a_rerun_of_the_job_retries_what_failed_and_starts_anew_otherwise(
    emulator: RunningEmulator, run: dict[str, Any]
) -> None:
    retried = emulator.wait(emulator.data("POST", f"jobs/{JOB}/rerun/")["id"])
    assert retried["retrying_run_id"] == run["id"]
    emulator.behave(can_retry_delay=60)
    emulator.wait(emulator.trigger(JOB, schema_override="x")["id"])
    anew = emulator.data("POST", f"jobs/{JOB}/rerun/")
    assert anew["retrying_run_id"] is None
    assert anew["trigger"]["schema_override"] is None


def test_a_run_that_has_just_failed_may_not_be_retried_yet(emulator: RunningEmulator) -> None:
    emulator.behave(can_retry_delay=0.5)
    run = emulator.wait(emulator.trigger(JOB)["id"])
    assert (run["can_retry"], run["retry_not_supported_reason"]) == (False, "RETRY_NO_RUN_RESULTS")
    time.sleep(0.6)
    assert emulator.run(run["id"])["can_retry"] is True


def test_artifacts_that_come_late(emulator: RunningEmulator) -> None:
    emulator.behave(artifacts_delay=0.5)
    run = emulator.wait(emulator.trigger(JOB)["id"])
    assert run["artifacts_saved"] is False
    assert emulator.data("GET", f"runs/{run['id']}/artifacts/") is None
    assert emulator.api("GET", f"runs/{run['id']}/artifacts/manifest.json").status_code == 404
    time.sleep(0.6)
    assert emulator.run(run["id"])["artifacts_saved"] is True
    assert emulator.artifact(run["id"], "manifest.json")


def test_a_new_run_may_be_hidden_at_first(emulator: RunningEmulator) -> None:
    emulator.behave(hidden_requests=2)
    run_id = emulator.trigger(JOB)["id"]
    assert [emulator.api("GET", f"runs/{run_id}/").status_code for _ in range(3)] == [404, 404, 200]


def test_a_run_of_a_deactivated_job_stays_in_the_queue_until_it_is_cancelled(emulator: RunningEmulator) -> None:
    first, second = emulator.trigger(SLOW_JOB), emulator.trigger(SLOW_JOB)
    waiting = emulator.run(second["id"])
    assert (waiting["status"], waiting["blocked_by"], waiting["in_progress"]) == (1, [first["id"]], True)
    cancelled = emulator.data("POST", f"runs/{second['id']}/cancel/")
    assert cancelled["status"] == 30
    assert cancelled["audit"]["cancellation"]["actor"]["name"] == "service token"
    assert emulator.run(second["id"])["retry_not_supported_reason"] == "RETRY_NOT_FAILED_RUN"


def test_a_cancel_of_a_complete_run_changes_nothing(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    assert emulator.data("POST", f"runs/{run['id']}/cancel/")["status"] == 20


def test_a_ci_job_wants_a_pull_request_and_a_commit(emulator: RunningEmulator) -> None:
    for body in ({"git_sha": "a"}, {"github_pull_request_id": 1}):
        assert emulator.api("POST", f"jobs/{CI_JOB}/run/", json={"cause": "c", **body}).status_code == 400


SPOILED = [
    ({"effect": "status", "status": 503}, 503, False),
    ({"effect": "status", "status": 502, "took_effect": True}, 502, True),
    ({"effect": "status", "status": 429, "headers": {"Retry-After": "7"}}, 429, False),
    ({"effect": "html", "status": 200, "took_effect": True}, 200, True),
    ({"effect": "empty", "status": 200}, 200, False),
    ({"effect": "data_null"}, 200, True),
    ({"effect": "redirect", "status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}, 302, False),
    ({"effect": "pass", "delay": 0.2}, 200, True),
]


@pytest.mark.parametrize(("fault", "status", "exists"), SPOILED)
def test_an_answer_that_is_replaced(
    emulator: RunningEmulator, fault: dict[str, Any], status: int, exists: bool
) -> None:
    before = len(emulator.runs())
    emulator.add_fault(method="POST", path=r"/run/$", **fault)
    response = emulator.api("POST", f"jobs/{JOB}/run/", json={"cause": "c"})
    assert response.status_code == status
    for name, value in fault.get("headers", {}).items():
        assert response.headers[name] == value
    if fault["effect"] == "data_null":
        assert response.json()["data"] is None
    if fault["effect"] == "html":
        assert response.text.startswith("<!DOCTYPE html>")
    assert len(emulator.runs()) - before == int(exists)
    assert emulator.api("POST", f"jobs/{JOB}/run/", json={"cause": "c"}).status_code == 200


@pytest.mark.parametrize(
    ("fault", "error", "exists"),
    [
        ({"effect": "reset"}, httpx.ReadError, False),
        ({"effect": "reset", "took_effect": True}, httpx.ReadError, True),
        ({"effect": "close", "took_effect": True}, httpx.RemoteProtocolError, True),
        ({"effect": "truncated"}, httpx.RemoteProtocolError, True),
        ({"effect": "pass", "delay": 60}, httpx.ReadTimeout, False),
        ({"effect": "status", "status": 200, "delay": 60, "took_effect": True}, httpx.ReadTimeout, True),
    ],
)
def test_a_connection_that_breaks(
    emulator: RunningEmulator, fault: dict[str, Any], error: type[Exception], exists: bool
) -> None:
    before = len(emulator.runs())
    emulator.add_fault(method="POST", path=r"/run/$", **fault)
    with pytest.raises(error):
        emulator.api("POST", f"jobs/{JOB}/run/", json={"cause": "c"}, timeout=0.5)
    assert len(emulator.runs()) - before == int(exists)
    assert emulator.faults()[0]["hits"] == 1


def test_a_truncated_artifact_says_its_whole_length(emulator: RunningEmulator, run: dict[str, Any]) -> None:
    whole = len(emulator.api("GET", f"runs/{run['id']}/artifacts/manifest.json").content)
    emulator.add_fault(path="/artifacts/", effect="truncated")
    with emulator.client.stream("GET", f"/api/v2/accounts/1/runs/{run['id']}/artifacts/manifest.json") as response:
        assert response.headers["content-length"] == str(whole)
        with pytest.raises(httpx.RemoteProtocolError):
            response.read()


def test_the_log_has_every_request_and_never_the_token(emulator: RunningEmulator) -> None:
    emulator.add_fault(path="/jobs/", status=500)
    emulator.api("GET", "jobs/", params={"limit": 1})
    emulator.trigger(JOB)
    first, second = emulator.requests()
    assert (first["method"], first["path"], first["query"], first["status"]) == (
        "GET",
        "/api/v2/accounts/1/jobs/",
        "limit=1",
        500,
    )
    assert second["body"] == {"cause": "test"}
    assert second["response_size"] > 0
    assert second["authorization_scheme"] == "Token"
    assert emulator.token not in json.dumps([first, second])


def test_a_fault_that_is_not_as_described_is_refused(emulator: RunningEmulator) -> None:
    assert emulator.client.post("/__emulator__/faults", json={"effect": "explode"}).status_code == 400
    assert emulator.client.patch("/__emulator__/behaviour", json={"nonsense": 1}).status_code == 400


def test_tls_with_a_certificate_of_its_own(recordings: list[Path], tmp_path: Path) -> None:
    project = write_tiny_project(tmp_path / "project")
    with running_emulator(projects=[project], replay=recordings[0], tls=True) as emulator:
        assert emulator.base_url.startswith("https://127.0.0.1:")
        emulator.behave(replay_speed=0)
        assert emulator.wait(emulator.trigger(1001)["id"])["status"] == 20
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{emulator.base_url}/api/v2/whoami/", trust_env=False)
        emulator.add_fault(effect="reset")
        with pytest.raises(httpx.TransportError):
            emulator.api("GET", "jobs/")


def test_many_replayed_runs_are_quick(emulator: RunningEmulator) -> None:
    started = time.monotonic()
    ids = [emulator.trigger(JOB)["id"] for _ in range(300)]
    emulator.wait(ids[-1])
    assert time.monotonic() - started < 30
    assert all(run["status"] == 20 for run in emulator.runs() if run["id"] in set(ids))
