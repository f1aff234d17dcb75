"""A small threaded HTTP server on loopback: the base of the stand-ins that blocking clients reach.

class Greeter(LocalServer):
    def __init__(self) -> None:
        super().__init__(_Handler)

with Greeter() as greeter:
    httpx.get(greeter.origin)
"""

from __future__ import annotations

import abc
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class LocalHandler(abc.ABC, BaseHTTPRequestHandler):
    """One connection. `service` is the server that it belongs to."""

    service: Any
    protocol_version = "HTTP/1.1"

    @abc.abstractmethod
    def answer(self) -> None:
        """Answer the request, whose method is `command`."""

    def do_GET(self) -> None:
        self.answer()

    do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815

    def body(self) -> bytes:
        """The request's body; to be read before it is answered."""
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def reply(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Answer with JSON that is encoded already."""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json; charset=utf-8", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


class LocalServer:
    """Use as a context manager. It has a port from the beginning, and answers inside the context."""

    def __init__(self, handler: type[LocalHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (handler,), {"service": self}))
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
