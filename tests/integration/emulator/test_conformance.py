"""The list of beliefs against the emulator, on both of its engines; and against a server that has half of the API."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from standins.emulator import TOKEN, RunningEmulator, running_emulator
from tests.support.belief_changes import CHANGES
from tests.support.conversation import Answer, Change, Conversation
from tests.support.dbt_project import write_tiny_project
from tests.support.recordings import project_recordings, written_recording

from dbt_cloud_emulator.conformance.__main__ import examine
from dbt_cloud_emulator.conformance.beliefs import BELIEFS
from dbt_cloud_emulator.conformance.outcome import CHECKS, Outcome, Verdict, run_check
from dbt_cloud_emulator.conformance.runs import COMMANDS, FAILING, OVERRIDES, PHASES, start_runs
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
    request: pytest.FixtureRequest, recordings: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningEmulator]:
    """An emulator whose job has built once, and has failed and been retried; then it plays what the checks start."""
    cache, folder = request.config.cache, tmp_path_factory.mktemp("recordings")
    assert cache is not None
    project = write_tiny_project(tmp_path_factory.mktemp("green"))
    [built] = project_recordings(cache, "built", project, ["--job", "1005", "--runs", "2"])
    broken, retried = recordings
    failed = written_recording(folder / "failed", list(zip(FAILING, (10, 20, None), strict=True)))
    listed = written_recording(folder / "listed", [(command, 10) for command in COMMANDS])
    replay = [built, broken, retried, retried, listed, built, failed, listed]
    with running_emulator(config=configuration(project, replay), strict=False) as emulator:
        give_history(emulator)
        yield emulator


def give_history(emulator: RunningEmulator) -> None:
    emulator.wait(emulator.trigger(7)["id"])
    failed = emulator.wait(emulator.trigger(7, steps_override=list(BROKEN), **OVERRIDES)["id"])
    assert failed["status"] == 20
    emulator.wait(emulator.data("POST", f"runs/{failed['id']}/retry/")["id"])


def checked(
    emulator: RunningEmulator, start_runs: int = 0, transport: httpx.BaseTransport | None = None
) -> list[Outcome]:
    with Session(emulator.base_url, 1, emulator.token, transport=transport) as session:
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


@dataclass(frozen=True)
class Talk:
    """What was said and found, first without a run that is started, then with all of them."""

    read: Conversation
    written: Conversation
    read_outcomes: list[Outcome]
    written_outcomes: list[Outcome]
    started: int


@pytest.fixture(scope="module")
def talk(replayed: RunningEmulator) -> Talk:
    read, written = Conversation(), Conversation()
    read_outcomes = checked(replayed, transport=read.recording())
    before = len(replayed.runs())
    written_outcomes = checked(replayed, ALL, transport=written.recording())
    return Talk(read, written, read_outcomes, written_outcomes, len(replayed.runs()) - before)


def test_the_emulator_is_as_believed_on_recorded_runs(talk: Talk) -> None:
    assert {each.seen for each in talk.read_outcomes if each.is_as_believed is None} == {"needs --start-runs"}
    assert [each.belief.id for each in talk.read_outcomes if each.is_as_believed is False] == []
    assert differences(talk.written_outcomes) == []
    assert talk.started <= ALL


def as_changed(talk: Talk, belief: str, change: Change) -> Outcome:
    """The check of one belief, with the answers changed on their way."""
    conversation = talk.written if belief.startswith("write.") else talk.read
    transport = conversation.replaying(change)
    with Session("http://127.0.0.1", 1, TOKEN, transport=transport) as session:
        scene = Scene(session, 7)
        if belief.startswith("write."):
            start_runs(scene, ALL, lambda _: None)
        if belief == "client.reads":
            # It looks at what was recorded before.
            for path in ("jobs/7/", "runs/"):
                session.ask("GET", path, {"job_definition_id": "7", "limit": "1"} if path == "runs/" else None)
        return run_check(BELIEFS[belief], scene)


def test_every_belief_has_a_change_that_its_check_must_notice() -> None:
    assert list(CHANGES) == list(BELIEFS)


@pytest.mark.parametrize("belief", BELIEFS)
def test_each_change_of_a_belief_fails_its_check(belief: str, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(10_000))
    clock = SimpleNamespace(monotonic=lambda: next(seconds), sleep=lambda _: None)
    monkeypatch.setattr("dbt_cloud_emulator.conformance.runs.time", clock)
    monkeypatch.setattr("dbt_cloud_emulator.conformance.runs.SECONDS", 100)
    assert as_changed(talk, belief, lambda answer: answer).is_as_believed is True
    found = [as_changed(talk, belief, change) for change in CHANGES[belief]]
    assert [each.is_as_believed for each in found] == [False] * len(found), [each.seen for each in found]


def test_no_status_makes_a_check_raise(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbt_cloud_emulator.conformance.runs.time.sleep", lambda _: None)

    def cancelled(answer: Answer) -> Answer:
        return replace(answer, content=re.sub(rb'"status": ?(10|20)\b', b'"status":30', answer.content))

    for belief in BELIEFS:
        assert as_changed(talk, belief, cancelled).seen


@pytest.mark.slow
def test_the_emulator_is_as_believed_on_real_dbt(project: Path) -> None:
    with running_emulator(config=configuration(project), strict=False) as emulator:
        give_history(emulator)
        assert differences(checked(emulator, ALL)) == []


@pytest.mark.parametrize(
    ("belief", "switches"),
    [
        ("artifacts.missing", {"missing_artifact_status": 200}),
        ("steps.logs", {"logs_delay": 1e9}),
        ("query.account", {"strict": True}),
        ("query.repeated", {"strict": True}),
        ("run.audit", {"audit": False}),
        ("steps.ended", {"step_end_delay": 1e9}),
    ],
)
def test_what_the_emulator_can_be_told_fails_its_check(
    replayed: RunningEmulator, belief: str, switches: Mapping[str, Any]
) -> None:
    before = replayed.client.get("/__emulator__/behaviour").json()
    replayed.behave(**switches)
    try:
        with Session(replayed.base_url, 1, replayed.token) as session:
            outcome = run_check(BELIEFS[belief], Scene(session, 7))
    finally:
        replayed.behave(**before)
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
