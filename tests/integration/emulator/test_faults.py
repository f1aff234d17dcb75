"""What goes wrong on demand, over real sockets; and the log of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from standins.emulator import RunningEmulator, running_emulator
from tests.support.dbt_project import write_tiny_project
from tests.support.emulated_jobs import JOB

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
        ({"effect": "trickle", "pause": 60}, httpx.ReadTimeout, True),
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
