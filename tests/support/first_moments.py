"""A step that is told to stop in its first moments, and the server that sees whether it starts a run all the same."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

RUN = {"id": 5, "status": 3, "job_definition_id": 1, "account_id": 1, "href": None}


class Witness:
    """A dbt Cloud whose only run never ends; `triggers` are the times (monotonic) at which one was asked for."""

    def __init__(self) -> None:
        self.triggers: list[float] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"witness": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def inputs(self) -> dict[str, str]:
        """The inputs that make a step ask here."""
        given = {"api-token": "dbtc_0123456789", "account-id": "1", "job-id": "1", "host": self.url}
        return given | {"poll-interval": "1", "upload-artifact": "false"}


class _Handler(BaseHTTPRequestHandler):
    witness: Witness
    protocol_version = "HTTP/1.1"

    def _answer(self, data: Any) -> None:
        body = json.dumps({"data": data, "status": {"code": 200, "is_success": True}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._answer([] if self.path.partition("?")[0].endswith("/runs/") else RUN)

    def do_POST(self) -> None:
        now = time.monotonic()
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        is_cancel = "/cancel/" in self.path
        if not is_cancel:
            self.witness.triggers.append(now)
        self._answer(RUN | ({"status": 30} if is_cancel else {}))

    def log_message(self, *_: object) -> None:
        """Say nothing."""
