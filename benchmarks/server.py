"""A finished run of a synthetic project, served as dbt Cloud would: only what is needed, and faster than any client.

    python -m benchmarks.server FOLDER

serves the artifacts of FOLDER over https on loopback, compressed on the wire (by files made beforehand, where the
client takes gzip), and prints `listening on <URL>` and the path of its certificate authority. `/__log__` tells every
request, with times of the monotonic clock that all processes of the machine share.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import ssl
import tempfile
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme

from benchmarks.shapes import NOW

ACCOUNT, JOB, RUN, DBT_STEP = 1, 1001, 500001, 4
TOKEN = "benchmark-token"  # noqa: S105 - of a server on loopback
API = f"/api/v2/accounts/{ACCOUNT}"
LOG_LINES = 400


def compress(folder: Path) -> None:
    """Make the bodies for the wire, once."""
    for path in folder.glob("*.json"):
        packed = path.with_suffix(".json.gz")
        if not packed.exists() or packed.stat().st_mtime < path.stat().st_mtime:
            with path.open("rb") as source, gzip.open(packed, "wb", compresslevel=6) as target:
                shutil.copyfileobj(source, target, 1 << 20)


def run(related: frozenset[str]) -> dict[str, Any]:
    """The run, as it stands at its end."""
    begun = NOW - timedelta(minutes=30)
    found: dict[str, Any] = {
        "id": RUN, "account_id": ACCOUNT, "project_id": 1, "environment_id": 1, "job_definition_id": JOB,
        "trigger_id": 1, "status": 10, "status_humanized": "Success", "status_message": None,
        "dbt_version": "1.11.0", "git_branch": "main", "git_sha": "0" * 40,
        "in_progress": False, "is_complete": True, "is_success": True, "is_error": False, "is_cancelled": False,
        "created_at": str(begun), "started_at": str(begun), "finished_at": str(NOW), "dequeued_at": str(begun),
        "duration": "00:30:00", "queued_duration": "00:00:00", "run_duration": "00:30:00",
        "artifacts_saved": True, "has_docs_generated": False, "has_sources_generated": False,
        "href": f"https://cloud.example/deploy/{ACCOUNT}/projects/1/runs/{RUN}/",
        "trigger": None, "job": None, "environment": None, "run_steps": [], "can_retry": False,
    }  # fmt: skip
    if "run_steps" in related:
        names = ("Clone git repository", "Create profile from connection ACME", "Invoke dbt with `dbt deps`")
        found["run_steps"] = [_step(n, name, "") for n, name in enumerate((*names, "Invoke dbt with `dbt build`"), 1)]
        found["run_steps"][-1]["logs"] = "\n".join(f"04:0{n % 10}:00  {n} of 400 OK" for n in range(LOG_LINES))
    if "trigger" in related:
        found["trigger"] = {"id": 1, "cause": "benchmark", "steps_override": None}
    if "job" in related:
        found["job"] = {"id": JOB, "name": "Nightly", "execute_steps": ["dbt build"], "generate_docs": False}
    return found


def _step(index: int, name: str, logs: str) -> dict[str, Any]:
    begun = NOW - timedelta(minutes=30)
    return {
        "id": index, "run_id": RUN, "index": index, "name": name, "status": 10, "status_humanized": "Success",
        "logs": logs, "debug_logs": "", "started_at": str(begun), "finished_at": str(NOW), "duration": "00:30:00",
    }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """One connection; answers about one run."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder: Path
    log: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._data({**run(frozenset()), "status": 1, "status_humanized": "Queued", "is_complete": False})

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = parts.path.removeprefix(API)
        related = frozenset(query.get("include_related", "").strip("[]").replace('"', "").split(","))
        if parts.path == "/__log__":
            self._send(json.dumps(self.log).encode())
            self.log.clear()
        elif path == "/runs/":
            self._data([])
        elif path == f"/runs/{RUN}/":
            self._data(run(related))
        elif path == f"/runs/{RUN}/artifacts/":
            self._data(sorted(path.name for path in self.folder.glob("*.json")))
        elif path.startswith(f"/runs/{RUN}/artifacts/"):
            self._artifact(path.rpartition("/")[2], query.get("step", str(DBT_STEP)))
        else:
            self._data(None, status=404)

    def log_message(self, *_: object) -> None:
        """Say nothing: `log` has it all."""

    def _artifact(self, name: str, step: str) -> None:
        file = self.folder / name
        if step != str(DBT_STEP) or not file.is_file():
            self._data(None, status=404)
            return
        packed = "gzip" in self.headers.get("Accept-Encoding", "")
        body = file.with_suffix(".json.gz") if packed else file
        size = body.stat().st_size
        self._head(200, size, {"Content-Encoding": "gzip"} if packed else {})
        with body.open("rb") as source:
            shutil.copyfileobj(source, self.wfile, 1 << 18)
        self._note(200, size)

    def _data(self, data: object, status: int = 200) -> None:
        message = "Success!" if status == 200 else "The requested resource was not found"
        state = {"code": status, "is_success": status == 200, "user_message": message, "developer_message": ""}
        self._send(json.dumps({"status": state, "data": data}).encode(), status)

    def _send(self, body: bytes, status: int = 200) -> None:
        self._head(status, len(body), {})
        self.wfile.write(body)
        self._note(status, len(body))

    def _head(self, status: int, size: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(size), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _note(self, status: int, size: int) -> None:
        self.log.append(
            {"at": time.monotonic(), "method": self.command, "path": self.path, "status": status, "bytes": size}
        )


def serve(folder: Path) -> None:
    """Serve until standard input ends: whoever has started this process has then gone."""
    compress(folder)
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    handler = type("BoundHandler", (Handler,), {"folder": folder, "log": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        authority.cert_pem.write_to_path(file.name)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"listening on https://127.0.0.1:{server.server_port}\n{file.name}", flush=True)
        with open(0) as stdin:
            stdin.read()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    serve(parser.parse_args().folder)
