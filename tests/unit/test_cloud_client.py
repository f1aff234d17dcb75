"""Each method of the client: the request that it sends, and the answers that it reads (`respx`, no socket)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
from standins.cloud_server import FakeClock

from dbt_cloud_run import __version__
from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import (
    Ambiguous,
    CloudError,
    Forbidden,
    NotFound,
    RateLimited,
    Redirected,
    Rejected,
    Unauthorized,
    Unreadable,
)
from dbt_cloud_run.model import RunState
from dbt_cloud_run.redaction import Secret

HOST = "https://ab123.us1.dbt.example"
TOKEN = "dbtc_0123456789"
V2, V3 = "/api/v2/accounts/77", "/api/v3/accounts/77"
RUN = {"id": 70_471_823_000_001, "status": 1, "href": f"{HOST}/deploy/77/projects/2/runs/70471823000001/"}
CLONE = "Clone git repository"

Call = Callable[[CloudClient], Awaitable[Any]]


@pytest.fixture
def api() -> Iterator[respx.MockRouter]:
    with respx.mock(base_url=HOST, assert_all_called=True) as router:
        yield router


def ask(call: Call) -> Any:
    """What a call returns, or what it raises."""

    async def body() -> Any:
        async with CloudClient(f"{HOST}/", 77, Secret(TOKEN), FakeClock()) as client:
            return await call(client)

    return asyncio.run(body())


def enveloped(data: object, code: int = 200) -> dict[str, Any]:
    status = {"code": code, "is_success": code < 400, "user_message": "Success!", "developer_message": ""}
    return {"status": status, "data": data}


REQUESTS: dict[str, tuple[Call, str, str, dict[str, str], Any, object]] = {
    "a run": (lambda c: c.get_run(RUN["id"]), "GET", f"{V2}/runs/{RUN['id']}/", {}, None, RUN),
    "a run with what belongs to it": (
        lambda c: c.get_run(RUN["id"], ["run_steps", "trigger", "audit"]),
        "GET",
        f"{V2}/runs/{RUN['id']}/",
        {"include_related": "run_steps,trigger,audit"},
        None,
        RUN,
    ),
    "the newest runs": (
        lambda c: c.list_runs(7),
        "GET",
        f"{V2}/runs/",
        {"job_definition_id": "7", "order_by": "-id", "limit": "100", "include_related": "trigger"},
        None,
        [RUN],
    ),
    "some runs": (
        lambda c: c.list_runs(7, id_gt=12, order_by="id", include=()),
        "GET",
        f"{V2}/runs/",
        {"job_definition_id": "7", "order_by": "id", "limit": "100", "id__gt": "12"},
        None,
        [],
    ),
    "a trigger": (
        lambda c: c.trigger(7, {"cause": "Ünï", "steps_override": ["dbt build"], "threads_override": 4}),
        "POST",
        f"{V2}/jobs/7/run/",
        {},
        {"cause": "Ünï", "steps_override": ["dbt build"], "threads_override": 4},
        RUN,
    ),
    "a native retry": (lambda c: c.retry_run(5), "POST", f"{V2}/runs/5/retry/", {}, None, RUN),
    "a cancel": (lambda c: c.cancel_run(5), "POST", f"{V2}/runs/5/cancel/", {}, None, {"id": 5, "status": 30}),
    "a job": (
        lambda c: c.get_job(7),
        "GET",
        f"{V2}/jobs/7/",
        {},
        None,
        {"id": 7},
    ),
    "all jobs": (
        lambda c: c.list_jobs(),
        "GET",
        f"{V2}/jobs/",
        {"order_by": "id", "limit": "100", "offset": "0"},
        None,
        [],
    ),
    "jobs of a name, second page": (
        lambda c: c.list_jobs(name_contains="a & b", offset=100, include=["environment"]),
        "GET",
        f"{V2}/jobs/",
        {
            "order_by": "id",
            "limit": "100",
            "offset": "100",
            "name__icontains": "a & b",
            "include_related": "environment",
        },
        None,
        [{"id": 7}],
    ),
    "projects": (
        lambda c: c.list_projects(offset=100),
        "GET",
        f"{V3}/projects/",
        {"limit": "100", "offset": "100"},
        None,
        [{"id": 1, "name": "shop"}],
    ),
    "environments": (
        lambda c: c.list_environments(),
        "GET",
        f"{V3}/environments/",
        {"limit": "100", "offset": "0"},
        None,
        [{"id": 1, "name": None}],
    ),
    "artifacts": (lambda c: c.list_artifacts(5), "GET", f"{V2}/runs/5/artifacts/", {}, None, ["manifest.json"]),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_the_request_of_each_method(api: respx.MockRouter, what: str) -> None:
    call, method, path, params, body, data = REQUESTS[what]
    route = api.route(method=method, path=path).mock(return_value=httpx.Response(200, json=enveloped(data)))
    ask(call)
    (sent,) = [recorded.request for recorded in route.calls]
    assert dict(sent.url.params) == params
    assert sent.url.scheme == "https"
    assert sent.headers["authorization"] == f"Token {TOKEN}"
    assert sent.headers["accept"] == "application/json"
    assert sent.headers["user-agent"] == f"dbt-cloud-run/{__version__}"
    assert "gzip" in sent.headers["accept-encoding"]
    if body is None:
        assert sent.content == b""
    else:
        assert json.loads(sent.content) == body
        assert sent.headers["content-type"] == "application/json"


def test_the_answer_of_each_method_is_typed(api: respx.MockRouter) -> None:
    step = {"index": 1, "name": CLONE, "status": 10, "logs": "cloned"}
    run = RUN | {"status": 20, "run_steps": [step], "trigger": {"cause": "x"}, "new_field": {"a": [1]}}
    job = {"id": 7, "name": "Nightly", "execute_steps": ["dbt build"], "environment": {"id": 2, "name": "prod"}}
    api.get(f"{V2}/runs/{RUN['id']}/").respond(json=enveloped(run))
    api.get(f"{V2}/runs/").respond(json=enveloped([run, RUN]))
    api.post(f"{V2}/jobs/7/run/").respond(json=enveloped(RUN))
    api.get(f"{V2}/jobs/7/").respond(json=enveloped(job))
    api.get(f"{V3}/projects/").respond(json=enveloped([{"id": 3, "name": "shop"}]))

    found = ask(lambda c: c.get_run(RUN["id"]))
    assert (found.id, found.state, found.href) == (RUN["id"], RunState.ERROR, RUN["href"])
    assert [(each.index, each.name, each.log) for each in found.steps] == [(1, CLONE, "cloned")]
    assert [each.state for each in ask(lambda c: c.list_runs(7))] == [RunState.ERROR, RunState.QUEUED]
    assert ask(lambda c: c.trigger(7, {"cause": "x"})).state is RunState.QUEUED
    found = ask(lambda c: c.get_job(7))
    assert (found.name, found.execute_steps, found.environment.name) == ("Nightly", ("dbt build",), "prod")
    assert [(each.id, each.name) for each in ask(lambda c: c.list_projects())] == [(3, "shop")]


@pytest.mark.parametrize(
    ("call", "path", "data", "message"),
    [
        (lambda c: c.get_run(5), f"{V2}/runs/5/", None, "run 5"),
        (lambda c: c.get_run(5), f"{V2}/runs/5/", [], "run 5"),
        (lambda c: c.get_run(5), f"{V2}/runs/5/", {"status": 10}, "run 5"),
        (lambda c: c.get_run(6), f"{V2}/runs/6/", {"id": 5, "status": 10}, "run 5 when asked for run 6"),
        (lambda c: c.list_runs(7), f"{V2}/runs/", None, "the list of runs"),
        (lambda c: c.list_runs(7), f"{V2}/runs/", {"id": 5}, "the list of runs"),
        (lambda c: c.list_runs(7), f"{V2}/runs/", [{"id": 5}, {"status": 1}], "the list of runs"),
        (lambda c: c.list_jobs(), f"{V2}/jobs/", "none", "the list of jobs"),
        (lambda c: c.list_projects(), f"{V3}/projects/", [{"name": "no id"}], "the list of projects"),
        (lambda c: c.list_environments(), f"{V3}/environments/", None, "the list of environments"),
        (lambda c: c.list_artifacts(5), f"{V2}/runs/5/artifacts/", {"a": 1}, "run 5"),
    ],
)
def test_data_of_another_form_is_unreadable(
    api: respx.MockRouter, call: Call, path: str, data: object, message: str
) -> None:
    api.get(path).respond(json=enveloped(data))
    with pytest.raises(Unreadable, match=re.escape(message)):
        ask(call)


def test_artifacts_may_be_null_and_may_hold_what_is_no_path(api: respx.MockRouter) -> None:
    route = api.get(f"{V2}/runs/5/artifacts/")
    route.side_effect = [
        httpx.Response(200, json=enveloped(None)),
        httpx.Response(200, json=enveloped(["manifest.json", None, 7, "compiled/a.sql"])),
    ]
    assert ask(lambda c: c.list_artifacts(5)) == ()
    assert ask(lambda c: c.list_artifacts(5)) == ("manifest.json", "compiled/a.sql")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(401, json={"status": {"user_message": "Invalid token."}, "data": None}), Unauthorized),
        (httpx.Response(403, json={"status": {"user_message": "Forbidden: Access denied"}}), Forbidden),
        (httpx.Response(404), NotFound),
        (httpx.Response(400, json={"status": {"user_message": "Invalid."}, "data": {"cause": ["x"]}}), Rejected),
        (httpx.Response(429, headers={"Retry-After": "7"}), RateLimited),
        (httpx.Response(301, headers={"Location": "https://elsewhere.example/"}), Redirected),
        (httpx.Response(408), Ambiguous),
        (httpx.Response(502, html="<title>Bad gateway</title>"), Ambiguous),
        (httpx.Response(200, content=b""), Unreadable),
        (httpx.Response(200, html="<title>Sign in</title>"), Unreadable),
        (httpx.Response(200, json=enveloped("no", code=400)), Rejected),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value.status_code),
)
@pytest.mark.parametrize("what", ["a run", "a trigger", "a native retry", "a cancel", "a job", "the newest runs"])
def test_every_refusal_is_typed_and_names_the_request(
    api: respx.MockRouter, what: str, answer: httpx.Response, error: type[CloudError]
) -> None:
    call, method, path, *_ = REQUESTS[what]
    route = api.route(method=method, path=path).mock(return_value=answer)
    with pytest.raises(error) as caught:
        ask(call)
    assert f"{method} {path}" in str(caught.value)
    assert TOKEN not in f"{caught.value} {caught.value.advice}"
    assert route.call_count == 1


def test_the_server_s_own_words_are_quoted_without_the_token(api: respx.MockRouter) -> None:
    detail = {"cause": [f"{TOKEN} is longer than 255"]}
    api.post(f"{V2}/jobs/7/run/").respond(400, json={"status": {"user_message": "Invalid."}, "data": detail})
    with pytest.raises(Rejected, match="is longer than 255") as caught:
        ask(lambda c: c.trigger(7, {"cause": "x"}))
    assert TOKEN not in str(caught.value)
    assert caught.value.status == 400


def test_a_download_asks_for_one_step_and_takes_any_type(api: respx.MockRouter, tmp_path: Path) -> None:
    path = "compiled/a b/50%?#ü.sql"
    route = api.get(url__regex=rf"{HOST}{V2}/runs/5/artifacts/.*").respond(content=b"select 1", headers={"X": "y"})
    found = ask(lambda c: c.download(5, path, tmp_path / "a.sql", step=4))
    sent = route.calls.last.request
    assert sent.url.raw_path.decode() == f"{V2}/runs/5/artifacts/compiled/a%20b/50%25%3F%23%C3%BC.sql?step=4"
    assert sent.headers["accept"] == "*/*"
    assert sent.headers["authorization"] == f"Token {TOKEN}"
    assert (tmp_path / "a.sql").read_bytes() == b"select 1"
    assert found.size == 8


def test_a_download_without_a_step_asks_for_the_last_one_s(api: respx.MockRouter, tmp_path: Path) -> None:
    route = api.get(f"{V2}/runs/5/artifacts/manifest.json").respond(json={})
    ask(lambda c: c.download(5, "manifest.json", tmp_path / "manifest.json"))
    assert route.calls.last.request.url.query == b""


def test_an_artifact_that_is_not_there_is_none(api: respx.MockRouter, tmp_path: Path) -> None:
    api.get(f"{V2}/runs/5/artifacts/manifest.json").respond(404)
    assert ask(lambda c: c.download(5, "manifest.json", tmp_path / "manifest.json")) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["../../../jobs/1/", "/etc/passwd", "a//b", "a/./b", "..", ""])
def test_an_artifact_s_path_cannot_leave_its_run(tmp_path: Path, path: str) -> None:
    with respx.mock(base_url=HOST) as api, pytest.raises(Rejected):
        ask(lambda c: c.download(5, path, tmp_path / "a"))
    assert not api.calls


def test_a_file_that_the_check_refuses_is_not_kept(api: respx.MockRouter, tmp_path: Path) -> None:
    def refuse(_: Path) -> None:
        raise Unreadable("not what was wanted")

    api.get(f"{V2}/runs/5/artifacts/manifest.json").respond(json={})
    (tmp_path / "manifest.json").write_text("old")
    with pytest.raises(Unreadable, match="not what was wanted"):
        ask(lambda c: c.download(5, "manifest.json", tmp_path / "manifest.json", check=refuse))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
