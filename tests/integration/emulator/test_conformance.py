"""The list of beliefs against the emulator, on both of its engines; and against a server that has half of the API."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standins.emulator import TOKEN, RunningEmulator, running_emulator
from tests.support.dbt_project import write_tiny_project
from tests.support.recordings import project_recordings

from dbt_cloud_emulator.conformance.__main__ import examine
from dbt_cloud_emulator.conformance.beliefs import BELIEFS
from dbt_cloud_emulator.conformance.outcome import CHECKS, Outcome, Verdict, run_check
from dbt_cloud_emulator.conformance.runs import COMMANDS, FAILING, OVERRIDES, PHASES
from dbt_cloud_emulator.conformance.scene import Scene
from dbt_cloud_emulator.conformance.session import Session

JOB, PROJECT, ENVIRONMENT, ACCOUNT = "Secret nightly job", "Secret project", "Secret environment", "Secret account"
ALL = len(PHASES)
BROKEN = ("dbt build --vars '{broken: true}'", "dbt list")
MODEL = "select n {{ 'from nowhere' if var('broken', false) else 'from ' ~ ref('numbers') }}\n"


def configuration(project: Path, replay: Sequence[Path] = ()) -> dict[str, Any]:
    job = {"id": 7, "name": JOB, "execute_steps": ["dbt build"], "generate_docs": True, "environment_id": 20}
    # Replayed runs are over at once: a while in the queue lets them be cancelled.
    behaviour = {"replay_speed": 0, "queued_seconds": 1} if replay else {}
    return {
        "accounts": [{"id": 1, "name": ACCOUNT}],
        "projects": [{"id": 10, "name": PROJECT, "path": str(project)}],
        "environments": [{"id": 20, "project_id": 10, "name": ENVIRONMENT, "schema": "analytics"}],
        "jobs": [{**job, "replay": list(map(str, replay)), "replay_order": "sequence"}],
        "behaviour": behaviour,
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_project(tmp_path_factory.mktemp("project"), {"models/first.sql": MODEL})


@pytest.fixture(scope="module")
def replayed(
    request: pytest.FixtureRequest, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningEmulator]:
    """An emulator whose job has built once, and has failed and been retried; then it plays what the checks start."""
    cache = request.config.cache
    assert cache is not None
    job = ["--job", "1001"]

    def steps(commands: Sequence[str]) -> list[str]:
        return [word for command in commands for word in ("--steps", command)]

    [built] = project_recordings(cache, "built", project, ["--job", "1005", "--runs", "2"])
    broken, retried = project_recordings(cache, "broken", project, [*job, "--runs", "2", *steps(BROKEN)])
    [failed] = project_recordings(cache, "failing", project, [*job, "--runs", "2", *steps(FAILING)])
    [listed] = project_recordings(cache, "listing", project, [*job, "--runs", "2", *steps(COMMANDS)])
    replay = [built, broken, retried, retried, listed, built, failed, listed]
    with running_emulator(config=configuration(project, replay), strict=False) as emulator:
        give_history(emulator)
        yield emulator


def give_history(emulator: RunningEmulator) -> None:
    emulator.wait(emulator.trigger(7)["id"])
    failed = emulator.wait(emulator.trigger(7, steps_override=list(BROKEN), **OVERRIDES)["id"])
    assert failed["status"] == 20
    emulator.wait(emulator.data("POST", f"runs/{failed['id']}/retry/")["id"])


def checked(emulator: RunningEmulator, start_runs: int = 0) -> list[Outcome]:
    with Session(emulator.base_url, 1, emulator.token) as session:
        return examine(Scene(session, 7), start_runs)


def differences(outcomes: Sequence[Outcome]) -> list[str]:
    return [f"{each.belief.id}: {each.seen}" for each in outcomes if each.is_as_believed is not True]


def test_every_belief_has_a_check_and_a_source() -> None:
    assert set(CHECKS) == set(BELIEFS)
    assert len(BELIEFS) > 100
    for belief in BELIEFS.values():
        assert re.fullmatch(r"[a-z]+\.[a-z0-9_]+", belief.id)
        assert belief.says.endswith((".", ".`"))
        assert belief.source


def test_the_emulator_is_as_believed_on_recorded_runs(replayed: RunningEmulator) -> None:
    without = checked(replayed)
    assert {each.seen for each in without if each.is_as_believed is None} == {"needs --start-runs"}
    assert [each.belief.id for each in without if each.is_as_believed is False] == []
    before = len(replayed.runs())
    assert differences(checked(replayed, ALL)) == []
    assert len(replayed.runs()) - before <= ALL


def test_the_emulator_is_as_believed_on_real_dbt(project: Path) -> None:
    with running_emulator(config=configuration(project), strict=False) as emulator:
        give_history(emulator)
        assert differences(checked(emulator, ALL)) == []


def patched(path: str = r"/runs/\d+/$", **patch: Any) -> dict[str, Any]:
    return {"path": path, "effect": "patch", "patch": patch, "times": None, "method": "GET"}


@pytest.mark.parametrize(
    ("belief", "switches", "fault"),
    [
        ("artifacts.missing", {"missing_artifact_status": 200}, {}),
        ("steps.logs", {"logs_delay": 1e9}, {}),
        ("query.account", {"strict": True}, {}),
        ("query.repeated", {"strict": True}, {}),
        ("run.audit", {"audit": False}, {}),
        ("steps.ended", {"step_end_delay": 1e9}, {}),
        ("artifacts.saved", {}, patched(artifacts_saved=False)),
        ("run.href", {}, patched(href=None)),
        ("run.status", {}, patched("/runs/$", status=41)),
        ("run.flags", {}, patched("/runs/$", is_success=False)),
        ("run.times", {}, patched(created_at="yesterday")),
        ("run.durations", {}, patched(duration="7")),
        ("run.fields", {}, patched(blocked_by=["7"])),
        ("run.related", {}, patched(run_steps=[])),
        ("run.bare", {}, patched(environment={"id": 1})),
        ("runs.job", {}, patched("/runs/$", job_definition_id=8)),
        ("runs.no_steps", {}, patched("/runs/$", run_steps=[{"index": 1}])),
        ("retry.reason", {}, patched(can_retry=True, retry_not_supported_reason=None)),
        ("retry.known", {}, patched("/runs/$", retry_not_supported_reason="RETRY_TOO_LATE")),
        ("retry.chain", {}, patched(job_definition_id=8)),
        ("refusal.job", {}, {"path": "/jobs/9", "status": 403, "times": None}),
        ("refusal.run", {}, {"path": "/runs/9", "status": 404, "body": "nothing", "times": None}),
        ("auth.wrong", {}, {"path": "/jobs/7/$", "status": 403, "times": None}),
        ("artifacts.inline", {}, {"path": "/artifacts/run", "query": "step=", "effect": "redirect", "times": None}),
        ("job.fields", {}, patched("/jobs/7/$", execute_steps="dbt build")),
        ("client.reads", {}, patched("/runs/$", id=None)),
    ],
)
def test_whatever_is_changed_fails_its_check(
    replayed: RunningEmulator, belief: str, switches: Mapping[str, Any], fault: dict[str, Any]
) -> None:
    before = replayed.client.get("/__emulator__/behaviour").json()
    replayed.behave(**switches)
    if fault:
        replayed.add_fault(**fault)
    try:
        with Session(replayed.base_url, 1, replayed.token) as session:
            scene = Scene(session, 7)
            session.ask("GET", "runs/", {"job_definition_id": "7"})
            outcome = run_check(BELIEFS[belief], scene)
    finally:
        replayed.behave(**before)
        replayed.clear_faults()
    assert outcome.is_as_believed is False, outcome.seen
    unsure = BELIEFS[belief].sureness == "unsure"
    assert outcome.verdict is (Verdict.SEEN if unsure else Verdict.NOT_HELD)


def conformance(url: str, output: Path, *options: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dbt_cloud_emulator.conformance", "--host", url]
    command += ["--job-id", "7", "--output", str(output), *options]
    env = {name: value for name, value in os.environ.items() if not name.startswith("DBT_")}
    return subprocess.run(  # noqa: S603 - our own
        command, env=env | {"DBT_CLOUD_API_TOKEN": token}, capture_output=True, text=True, timeout=240, check=False
    )


def test_the_command_shows_a_table_and_writes_a_file_without_names(replayed: RunningEmulator, tmp_path: Path) -> None:
    before = len(replayed.runs())
    done = conformance(replayed.base_url, tmp_path / "found.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(replayed.runs()) == before
    assert "No run is started" in done.stdout.split("envelope.one")[0]
    written = (tmp_path / "found.json").read_text()
    content = json.loads(written)
    assert [entry["id"] for entry in content["beliefs"]] == list(BELIEFS)
    assert content["counts"]["not held"] == 0
    assert content["counts"]["not checked"] == sum(name.startswith("write.") for name in BELIEFS)
    assert all(entry["method"] == "GET" for entry in content["exchanges"])
    for text in (written, done.stdout):
        for secret in (
            "demo-token",
            JOB,
            PROJECT,
            ENVIRONMENT,
            ACCOUNT,
            "analytics",
            "select n",
            "nowhere",
            replayed.host,
        ):
            assert secret.lower() not in text.replace(f"at {replayed.base_url}", "").lower(), secret
    runs = [entry for entry in content["exchanges"] if re.search(r"/runs/\d+/$", entry["path"])]
    run = next(entry for entry in runs if entry["status"] == 200)
    assert isinstance(run["body"]["data"]["id"], int)
    assert run["body"]["data"]["status_humanized"] in ("Success", "Error", "Cancelled")


class HalfAnApi(BaseHTTPRequestHandler):
    """A server that has a job and a list of runs, knows nothing else, and is odd in several ways."""

    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        if path == "/api/v2/accounts/1/jobs/7/":
            self._send(200, {"data": {"id": 7, "name": "half"}})
        elif path == "/api/v2/accounts/1/runs/":
            self._send(200, {"data": [{"id": 5, "status": 10}, {"id": "x", "trigger": [None]}]})
        elif path == "/api/v2/accounts/1/runs/5/":
            self._send(200, {"data": {"id": 5, "run_steps": [{"index": "one", "name": None}, {}]}})
        elif path == "/api/v2/accounts/1/jobs/":
            self._send(200, [1, 2])
        elif path == "/api/v3/accounts/1/projects/":
            self.close_connection = True
            self.connection.close()
        elif self.command == "POST":
            self._send(501, {"status": None, "data": {"id": "none"}})
        else:
            self._send(404, None)

    def _send(self, status: int, body: Any) -> None:
        content = b"<html>not here</html>" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _handle  # noqa: N815 - the base class's names

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def half() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), HalfAnApi)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_half_an_api_is_said_to_be_half(half: str, tmp_path: Path) -> None:
    done = conformance(half, tmp_path / "found.json", "--account-id", "1", "--start-runs", str(ALL))
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr == ""
    content = json.loads((tmp_path / "found.json").read_text())
    found = {entry["id"]: entry for entry in content["beliefs"]}
    assert list(found) == list(BELIEFS)
    assert found["job.id"]["verdict"] == "held"
    assert found["account.fields"]["seen"].startswith("not there: GET /api/v2/accounts/1/: 404")
    assert found["projects.v3"]["seen"].startswith("not there: GET projects/")
    assert found["write.trigger"]["seen"].startswith("not there: POST /api/v2/accounts/1/jobs/7/run/: 501")
    assert "of another form" in found["jobs.order"]["seen"] or "not there" in found["jobs.order"]["seen"]
    assert found["client.reads"]["verdict"] == "not held"
    assert sum(entry["verdict"] == "not held" for entry in found.values()) > 30
    assert any(entry["method"] == "POST" and entry["status"] == 501 for entry in content["exchanges"])


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("http://dbt.example", "http is for loopback only"),
        ("https://", "is no host"),
        ("http://127.0.0.1:9", "ConnectError"),
    ],
)
def test_what_cannot_be_asked_is_said(host: str, words: str, tmp_path: Path) -> None:
    done = conformance(host, tmp_path / "found.json", token="s3cret-token")
    assert (done.returncode, words in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr
    assert "s3cret-token" not in done.stderr + done.stdout


def test_what_is_missing_is_named() -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("DBT_")}
    command = [sys.executable, "-m", "dbt_cloud_emulator.conformance", "--account-id", "1"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert (done.returncode, done.stderr) == (2, "Not given: DBT_CLOUD_API_TOKEN, --job-id\n")
