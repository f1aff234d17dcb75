"""A server on loopback that keeps the JSON that is posted to it, and answers as a test says."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class EventsServer:
    """What was posted: path, headers and content of each request, in order."""

    port: int = 0
    answers: list[int] = field(default_factory=list)  # of the next requests; 204 where none is left
    seconds: float = 0.0  # before each answer
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    accepted: list[Any] = field(default_factory=list)  # the bodies that were answered with success

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def events_server(answers: Sequence[int] = (), *, seconds: float = 0.0) -> Iterator[EventsServer]:
    kept, lock = EventsServer(answers=list(answers), seconds=seconds), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            content = gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content
            with lock:
                status = kept.answers.pop(0) if kept.answers else 204
                kept.paths.append(self.path)
                kept.headers.append(dict(self.headers.items()))
                kept.bodies.append(json.loads(content))
                if status < 300:
                    kept.accepted.append(kept.bodies[-1])
            time.sleep(kept.seconds)
            body = b"" if status == 204 else b'{"detail": "no such thing"}'
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
