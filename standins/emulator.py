"""The emulator as a process of its own.

with running_emulator(projects=[folder], config={...}) as emulator:
    httpx.get(f"{emulator.base_url}/api/v2/accounts/1/jobs/", headers=emulator.headers)
    emulator.add_fault(path=r"/run/$", method="POST", effect="reset", took_effect=True)
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

TOKEN = "demo-token"
START_SECONDS = 30.0
TERMINAL = (10, 20, 30)


@dataclass
class RunningEmulator:
    """A started emulator: where it is, and its control paths."""

    base_url: str
    state: Path
    process: subprocess.Popen[str]
    ca_file: Path | None = None
    token: str = TOKEN
    account_id: int = 1
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        verify: Any = ssl.create_default_context(cafile=str(self.ca_file)) if self.ca_file else True
        self.client = httpx.Client(
            base_url=self.base_url, headers=self.headers, timeout=30, verify=verify, trust_env=False
        )

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.token}"}

    @property
    def host(self) -> str:
        return self.base_url.split("//")[1]

    def api(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """A request below the account: `api("GET", "runs/")`."""
        return self.client.request(method, f"/api/v2/accounts/{self.account_id}/{path}", **arguments)

    def data(self, method: str, path: str, **arguments: Any) -> Any:
        """`data` of a successful answer."""
        response = self.api(method, path, **arguments)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text[:500]}"
        return response.json()["data"]

    def trigger(self, job_id: int, **overrides: Any) -> dict[str, Any]:
        """Trigger a run; returns it."""
        run: dict[str, Any] = self.data("POST", f"jobs/{job_id}/run/", json={"cause": "test", **overrides})
        return run

    def run(self, run_id: int, include: str = "run_steps,trigger,job,audit") -> dict[str, Any]:
        run: dict[str, Any] = self.data(
            "GET", f"runs/{run_id}/", params={"include_related": include} if include else {}
        )
        return run

    def wait(self, run_id: int, timeout: float = 120) -> dict[str, Any]:
        """The run when it is complete, with its steps."""
        return self.wait_for(run_id, TERMINAL, timeout)

    def wait_for(self, run_id: int, statuses: Sequence[int], timeout: float = 120) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            run = self.run(run_id, include="")
            if run["status"] in statuses:
                return self.run(run_id)
            assert run["status"] not in TERMINAL, f"run {run_id} ended with {run['status']}: {run['status_message']}"
            time.sleep(0.05)
        raise AssertionError(f"run {run_id} did not reach {statuses} in {timeout} s")

    def artifact(self, run_id: int, path: str, step: int | None = None) -> Any:
        """A JSON artifact, decoded."""
        response = self.api("GET", f"runs/{run_id}/artifacts/{path}", params={"step": step} if step else {})
        assert response.is_success, f"{path}: {response.status_code}"
        return response.json()

    def add_fault(self, **fault: Any) -> int:
        """Set a fault (see `dbt_cloud_emulator.faults.Fault`); returns its id."""
        response = self.client.post("/__emulator__/faults", json=fault)
        assert response.is_success, response.text
        return int(response.json()[0]["id"])

    def faults(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get("/__emulator__/faults").json()
        return found

    def clear_faults(self) -> None:
        self.client.delete("/__emulator__/faults")

    def plan_cancellation(self, kind: str, **plan: Any) -> None:
        """Let the next run end as cancelled (see `dbt_cloud_emulator.cancellations.Cancellation`)."""
        response = self.client.post("/__emulator__/cancellations", json={"kind": kind, **plan})
        assert response.is_success, response.text

    def clear_cancellations(self) -> None:
        self.client.delete("/__emulator__/cancellations")

    def requests(self, method: str | None = None, path: str = "") -> list[dict[str, Any]]:
        """The log of requests, those whose path contains `path`."""
        log: list[dict[str, Any]] = self.client.get("/__emulator__/requests").json()
        return [entry for entry in log if method in (None, entry["method"]) and path in entry["path"]]

    def clear_requests(self) -> None:
        self.client.delete("/__emulator__/requests")

    def runs(self) -> list[dict[str, Any]]:
        """Every run that exists, oldest first."""
        found: list[dict[str, Any]] = self.client.get("/__emulator__/runs").json()
        return found

    def behave(self, **switches: Any) -> None:
        """Change switches (see `dbt_cloud_emulator.config.Behaviour`)."""
        response = self.client.patch("/__emulator__/behaviour", json=switches)
        assert response.is_success, response.text

    def cancel_all(self) -> None:
        self.client.post("/__emulator__/cancel")


@contextlib.contextmanager
def running_emulator(
    *,
    projects: Sequence[Path] = (),
    config: Mapping[str, Any] | None = None,
    state: Path | None = None,
    tls: bool = False,
    strict: bool = True,
    own_session: bool = False,
    replay: Path | None = None,
    token: str = TOKEN,
    account_id: int = 1,
) -> Iterator[RunningEmulator]:
    """Start it on a free port, and stop it by its pid. Paths in `config` are absolute, or relative to `state`.

    In a session of its own it does not get the terminal's Ctrl-C, and outlives whatever else that ends.
    """
    with contextlib.ExitStack() as stack:
        if state is None:
            state = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        state.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "dbt_cloud_emulator", "--port", "0", "--state", str(state)]
        for project in projects:
            command += ["--project", str(project)]
        if config is not None:
            file = state / "config.json"
            file.write_text(json.dumps(config, default=str), encoding="utf-8")
            command += ["--config", str(file)]
        if tls:
            command.append("--tls")
        if strict:
            command.append("--strict")
        if replay is not None:
            command += ["--replay", str(replay)]
        log = stack.enter_context((state / "emulator.log").open("w+", encoding="utf-8"))
        process = subprocess.Popen(  # noqa: S603 - our own
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=_environment(), start_new_session=own_session
        )
        stack.callback(_stop, process)
        lines = _lines(process)
        url = _expect(lines, "listening on ", process, state / "emulator.log")
        ca_file = Path(_expect(lines, "CA certificate: ", process, state / "emulator.log")) if tls else None
        emulator = RunningEmulator(url, state, process, ca_file, token, account_id)
        stack.callback(emulator.client.close)
        yield emulator


def _environment() -> dict[str, str]:
    hidden = ("INPUT_", "GITHUB_", "ACTIONS_", "RUNNER_", "DBT_", "COV_")
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}


def _lines(process: subprocess.Popen[str]) -> queue.Queue[str | None]:
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _expect(lines: queue.Queue[str | None], prefix: str, process: subprocess.Popen[str], log: Path) -> str:
    try:
        line = lines.get(timeout=START_SECONDS)
    except queue.Empty:
        line = None
    if line is None or not line.startswith(prefix):
        raise AssertionError(
            f"the emulator did not start ({process.poll()}): {line!r}\n{log.read_text(encoding='utf-8')}"
        )
    return line.removeprefix(prefix)


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
