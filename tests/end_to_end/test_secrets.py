"""Everything that the action writes anywhere is searched for its secrets; and no redirect carries the token away."""

from __future__ import annotations

import base64
import io
import re
import signal
import socket
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, quote_plus

import pytest
from standins.emulator import RunningEmulator, running_emulator
from standins.results_service import ResultsService, runtime_token
from tests.support.action import ActionJob, FinishedStep
from tests.support.comments_service import TOKEN as COMMENTS_TOKEN
from tests.support.comments_service import CommentsService
from tests.support.replayed import configuration, job_id
from tests.support.told_cloud import build, node, play, row, told

pytestmark = pytest.mark.slow

TOKEN = "dbtc_S3cr3t+/=&%tok~en?0123456789"  # every character that some encoding changes
GITHUB_TOKEN = "ghs_An0ther+S3cret/9876543210"


def forms(secret: str) -> dict[str, bytes]:
    """A secret as it stands, in the three shifts of base64, and URL-encoded."""
    found = {
        "as it is": secret.encode(),
        "URL-encoded": quote(secret, safe="").encode(),
        "URL-encoded as a path": quote(secret).encode(),
        "URL-encoded as a form": quote_plus(secret).encode(),
        "hexadecimal": secret.encode().hex().encode(),
    }
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret.encode())
        # The characters at either end also hold bits of what stands beside it.
        core = encoded[(0, 2, 3)[shift] : len(encoded.rstrip(b"=")) - 1]
        found[f"base64, shift {shift}"] = core
        found[f"base64 for URLs, shift {shift}"] = core.replace(b"+", b"-").replace(b"/", b"_")
    return found


def leaks(content: bytes, secrets: Mapping[str, str]) -> list[str]:
    """Which secrets are in there, and how."""
    return [
        f"{name} ({form})"
        for name, secret in secrets.items()
        for form, text in forms(secret).items()
        if text in content
    ]


SECRETS = {"api-token": TOKEN, "github-token": GITHUB_TOKEN, "the runner's token": runtime_token()}


@dataclass
class Listener:
    """A server that should receive no request; counts and keeps what arrives."""

    connections: int = 0
    heard: bytes = b""
    port: int = 0
    _socket: socket.socket = field(init=False)

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                connection.settimeout(2)
                self.heard += connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


@pytest.fixture(scope="module")
def emulator(recordings: list[Path]) -> Iterator[RunningEmulator]:
    config = configuration(recordings) | {"tokens": [{"token": TOKEN}]}
    with running_emulator(config=config, token=TOKEN) as running:
        yield running


class Scene:
    """One job, and everything that anybody wrote because of it."""

    def __init__(self, emulator: RunningEmulator, results: ResultsService, folder: Path) -> None:
        self.emulator, self.results, self.folder = emulator, results, folder
        self.inputs = {
            "api-token": TOKEN,
            "github-token": GITHUB_TOKEN,
            "account-id": "1",
            "host": emulator.base_url,
            "retry-delay": "0",
            "retry-on": "any",
            "timeout-minutes": "0.2",
        }
        self.job = ActionJob(folder, inputs=self.inputs, results=results, variables={"RUNNER_DEBUG": "1"})

    def run(self, job: str = "bad", **inputs: str) -> FinishedStep:
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        step = self.job.run({"job-id": str(job_id(1, job)), **given})
        self.job.post(step, {"job-id": str(job_id(1, job)), **given})
        return step

    def written(self) -> dict[str, bytes]:
        """By where it is: every file of the job's folder, every artifact, and what the emulator kept for itself."""
        found = {str(path): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        for name in [name for name in found if name.endswith("/log")]:
            lines = found[name].splitlines(keepends=True)  # a mask has to be told to the runner, which hides it
            found[name] = b"".join(line for line in lines if not line.startswith(b"::add-mask::"))
        for artifact in self.results.artifacts.values():
            if artifact.blob:
                with zipfile.ZipFile(io.BytesIO(artifact.blob)) as archive:
                    found |= {f"{artifact.name}:{name}": archive.read(name) for name in archive.namelist()}
            found[f"{artifact.name} as it was announced"] = repr(artifact.fields).encode()
        state = self.emulator.state
        found |= {
            str(path): path.read_bytes() for path in state.rglob("*") if path.is_file() and path.name != "config.json"
        }
        found["the emulator's log of requests"] = self.emulator.client.get("/__emulator__/requests").content
        found["the emulator's runs"] = self.emulator.client.get("/__emulator__/runs").content
        return found

    def check(self) -> None:
        written = self.written()
        assert len(written) > 8
        found = {where: leak for where, content in written.items() if (leak := leaks(content, SECRETS))}
        assert not found


@pytest.fixture
def scene(emulator: RunningEmulator, tmp_path: Path) -> Iterator[Scene]:
    with ResultsService() as results:
        yield Scene(emulator, results, tmp_path)
    emulator.clear_faults()
    emulator.cancel_all()


def test_the_search_finds_every_form() -> None:
    for around in (b"", b"x", b"xy"):
        assert leaks(b"Basic " + base64.b64encode(around + TOKEN.encode() + b"tail"), {"it": TOKEN})
    assert leaks(f"https://x/?token={quote(TOKEN, safe='')}".encode(), {"it": TOKEN})
    assert not leaks(base64.b64encode(b"something else, that is long enough" * 9), {"it": TOKEN})


def test_a_run_that_is_retried_and_published_tells_no_secret(scene: Scene) -> None:
    step = scene.run(step_artifacts="all", artifacts="**", pr_comment="true")
    assert step.status == 0, step.log
    assert step.uploaded()
    scene.check()


ECHO = {"status": {"user_message": f"Bad token {TOKEN}"}, "data": f"{quote(TOKEN, safe='')} and Token {TOKEN}"}
FAULTS: dict[str, dict[str, Any]] = {
    "a refusal that repeats it": {"method": "POST", "path": "/run/$", "status": 400, "body": ECHO},
    "a page that repeats it": {"method": "POST", "path": "/run/$", "status": 418, "body": f"<title>{TOKEN}</title>"},
    "401": {"path": "/runs/$", "status": 401, "body": f"Invalid token {TOKEN}."},
    "a reset": {"method": "POST", "path": "/run/$", "effect": "reset", "took_effect": True},
    "an artifact that is refused": {"path": "run_results", "status": 403, "body": f"No, {TOKEN}.", "times": None},
    "a list that is refused": {"path": "/artifacts/$", "status": 422, "body": ECHO, "times": None},
    "a poll that is refused": {"method": "GET", "path": r"/runs/\d+/$", "status": 403, "body": ECHO, "times": None},
}


@pytest.mark.parametrize("name", FAULTS)
def test_no_failure_tells_a_secret(name: str, scene: Scene) -> None:
    scene.emulator.add_fault(**FAULTS[name])
    scene.run(artifacts="**")
    scene.check()


def test_a_signal_tells_no_secret(scene: Scene) -> None:
    inputs = {"job-id": str(job_id(1, "stuck"))}
    running = scene.job.start(inputs)
    running.wait_for("Attempt 1")
    running.send(signal.SIGTERM)
    step = running.finish()
    assert step.status == 143
    scene.job.post(step, inputs)
    scene.check()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/runs/$"),
        ("POST", "/run/$"),
        ("GET", r"/runs/\d+/$"),
        ("GET", "run_results"),
        ("GET", "manifest"),
        ("GET", "/artifacts/$"),
        ("POST", "/cancel/$"),
    ],
)
def test_no_redirect_is_followed(method: str, path: str, scene: Scene) -> None:
    with Listener() as elsewhere:
        for status in (301, 302, 303, 307, 308):
            location = {"Location": f"http://127.0.0.1:{elsewhere.port}/somewhere?from=dbt"}
            scene.emulator.add_fault(method=method, path=path, effect="redirect", status=status, headers=location)
        is_cancel = path.startswith("/cancel")
        step = scene.run("stuck" if is_cancel else "bad", artifacts="**", timeout_minutes="0.05" if is_cancel else "1")
        time.sleep(0.1)
        assert elsewhere.connections == 0, elsewhere.heard
        assert "redirect" in step.log + step.summary
    scene.check()


DBTS_OWN = ("/manifest.json", "/runs/")  # served by dbt Cloud, and kept as they are


def test_what_dbt_reports_may_quote_the_token_and_we_do_not(tmp_path: Path) -> None:
    encoded = [base64.b64encode(b"x" * shift + TOKEN.encode() + b"tail").decode() for shift in range(3)]
    quoted = quote(TOKEN, safe="")
    every = [TOKEN, quoted, re.sub("%..", lambda found: found.group().lower(), quoted), quote(TOKEN), quote_plus(TOKEN)]
    said = "Database Error\n" + "\n".join([*every, *encoded, f"\x1b[31m{TOKEN}\x1b[0m", *map(_url_safe, encoded)])
    models = [f"model.shop.{name}" for name in "ab"]
    nodes = [node(uid, description=said, meta={"owner": TOKEN}, tags=[TOKEN], alias=TOKEN) for uid in models]
    rows = [row(models[0], message=said) | {"adapter_response": {"_message": said}}, row(models[1], "error", said)]
    run = told(20, build(rows, nodes, status=20, logs=said), status_message=said, git_branch=TOKEN)
    ends = {end: {"sha": "a" * 40, "repo": {"full_name": "org/repo"}} for end in ("head", "base")}
    event = {"number": 5, "pull_request": {"number": 5, "state": "open", **ends}}
    with ResultsService() as results, CommentsService() as comments:
        step = play(
            tmp_path,
            [run],
            results=results,
            event=("pull_request", event),
            variables={"GITHUB_API_URL": comments.url, "GITHUB_REPOSITORY": "org/repo", "RUNNER_DEBUG": "1"},
            api_token=TOKEN,
            github_token=COMMENTS_TOKEN,
            pr_comment="true",
            pull_request="off",
            targeted_retries="0",
        )
        bodies = [comment.body for comment in comments.comments]
    assert "#### Failures (1)" in step.summary
    assert "***" in step.summary
    assert len(bodies) == 1
    log = "\n".join(line for line in step.log.splitlines() if not line.startswith("::add-mask::"))
    written = {"the log": log.encode(), "the comment": bodies[0].encode()}
    written |= {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ours = {where: content for where, content in written.items() if not any(part in where for part in DBTS_OWN)}
    names = {Path(where).name for where in ours}
    assert {
        "assets.json",
        "junit.xml",
        "result.json",
        "summary.md",
        "run_results.json",
        "output",
        "step_summary",
    } <= names
    assert {where: found for where, content in ours.items() if (found := leaks(content, {"it": TOKEN}))} == {}


def _url_safe(encoded: str) -> str:
    return encoded.replace("+", "-").replace("/", "_")
