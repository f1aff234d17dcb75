"""Programs of other projects that our events are sent to, or compared with: each in an environment of its own.

They are installed from the package index on first use, into build/peers, or into the folder that PEERS names.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("PEERS") or ROOT / "build" / "peers")
_PATIENCE = 180.0  # seconds, for a server to start on a busy machine

# Groups of packages, one call of pip each.
PEERS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    # Prefect asks for a fastapi that its own server does not start with.
    "prefect": (("prefect-dbt==0.7.25", "prefect==3.9.1", "dbt-core<1.12"), ("fastapi==0.139.0",)),
    "dagster": (("dagster==1.13.28", "dagster-webserver==1.13.28"),),
    "openlineage-dbt": (("openlineage-dbt==1.54.0", "dbt-core<1.12"),),
}


def peer(name: str) -> Path:
    """The folder with the programs of a peer. The test is skipped where it cannot be installed, and says why."""
    folder = FOLDER / name
    ready, stamp = folder / ".ready", repr(PEERS[name])
    if not ready.is_file() or ready.read_text() != stamp:
        shutil.rmtree(folder, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(folder))
        for group in PEERS[name]:
            try:
                _run(str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *group)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"{name} cannot be installed here: {error.stderr.strip()[-300:]}")
        ready.write_text(stamp)
    return folder / "bin"


@dataclass
class Served:
    """A server of a peer."""

    url: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def post(self, path: str, content: Any) -> Any:
        """The answer to some JSON."""
        answer = httpx.post(f"{self.url}{path}", json=content, timeout=60, trust_env=False)
        assert answer.is_success, answer.text[:1000]
        return answer.json()


@contextlib.contextmanager
def prefect_server(folder: Path) -> Iterator[Served]:
    """`prefect server` on loopback, with a SQLite file in this folder."""
    bin_folder, port = peer("prefect"), _free_port()
    environment = clean_environment(folder) | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder / 'prefect.db'}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "DO_NOT_TRACK": "1",
    }
    command = [str(bin_folder / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with _serving(command, environment, folder, f"http://127.0.0.1:{port}/api/health"):
        yield Served(f"http://127.0.0.1:{port}", environment)


@contextlib.contextmanager
def dagster_server(folder: Path) -> Iterator[Served]:
    """`dagster-webserver` on loopback, with its storage in this folder and no code of its own."""
    bin_folder, port, home = peer("dagster"), _free_port(), folder / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    (folder / "workspace.yaml").write_text("load_from: []\n")
    environment = clean_environment(folder) | {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}
    command = [str(bin_folder / "dagster-webserver"), "-h", "127.0.0.1", "-p", str(port)]
    command += ["-w", str(folder / "workspace.yaml")]
    with _serving(command, environment, folder, f"http://127.0.0.1:{port}/server_info"):
        yield Served(f"http://127.0.0.1:{port}", environment)


def clean_environment(folder: Path) -> dict[str, str]:
    """The environment without what would point a program to another place than loopback."""
    foreign = ("PREFECT_", "DAGSTER_", "OPENLINEAGE", "DBT_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    return {name: text for name, text in os.environ.items() if not name.startswith(foreign)} | {"HOME": str(folder)}


@contextlib.contextmanager
def _serving(command: list[str], environment: Mapping[str, str], folder: Path, health: str) -> Iterator[None]:
    log = folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - the peer's own program
            command, env=environment, cwd=folder, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _until_healthy(health, process, log)
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        if process.poll() is None:
            process.kill()
            process.wait()


def _until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, trust_env=False, timeout=5).is_success:
                return
        time.sleep(0.25)
    raise AssertionError(f"The server did not start:\n{log.read_text(errors='replace')[-3000:]}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _run(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own
    return done.stdout


def run_json(command: list[str], environment: Mapping[str, str], folder: Path) -> Any:
    """The JSON that a program prints on its last line."""
    done = subprocess.run(  # noqa: S603 - a peer's program
        command, env=dict(environment), cwd=folder, check=False, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return json.loads(done.stdout.splitlines()[-1])
