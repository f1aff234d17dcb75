"""A request is on the wire before anything is imported that only a later part of the step needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Plays dbt Cloud within the very process of the step, and tells at the trigger what has been imported by then.
HOST = """
import json, os, runpy, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

asked = []

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(sorted(sys.modules))
        body = json.dumps({"status": {"code": 200, "is_success": True}, "data": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        with open(os.environ["TOLD"], "w") as file:
            json.dump([self.path, asked[0], sorted(sys.modules)], file)
        os._exit(0)

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["INPUT_HOST"] = f"http://127.0.0.1:{server.server_port}"
runpy.run_path("entrypoint.py", run_name="__main__")
"""

LATER = ("collect", "downloads", "publish", "report", "loop", "assets", "ledger", "view", "retry", "commenting")
LATER_PACKAGES = ("msgspec", "github", "requests")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The path of the trigger, and the modules that were imported at the first request and at the trigger."""
    folder = tmp_path_factory.mktemp("start")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("INPUT_", "GITHUB_", "COV"))}
    inputs = {"INPUT_API-TOKEN": "secret-token", "INPUT_ACCOUNT-ID": "1", "INPUT_JOB-ID": "1001"}
    file = folder / "told.json"
    subprocess.run(  # noqa: S603
        [sys.executable, "-c", HOST],
        cwd=ROOT,
        env={**environ, **inputs, "GITHUB_WORKSPACE": str(folder), "TOLD": str(file)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return json.loads(file.read_text())


def test_what_reads_an_answer_is_not_imported_before_the_first_request(told: Any) -> None:
    _, modules, _ = told
    assert "dbt_cloud_run.cloud.client" in modules
    assert not {name for name in modules if name.split(".")[0] in ("pydantic", "pydantic_core")}


def test_nothing_of_what_comes_after_it_is_imported_before_the_trigger(told: Any) -> None:
    path, _, modules = told
    assert path == "/api/v2/accounts/1/jobs/1001/run/"
    assert "dbt_cloud_run.start.once" in modules
    ours = {name.removeprefix("dbt_cloud_run.") for name in modules if name.startswith("dbt_cloud_run.")}
    assert not {name for name in ours if name.split(".")[0] in LATER}
    assert not {name for name in ours if name.startswith(("github.artifacts", "github.comment"))}
    assert not {name for name in modules if name.split(".")[0] in LATER_PACKAGES}
