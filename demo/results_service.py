"""GitHub's store of workflow artifacts, on loopback: two calls of the results service, and blobs."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

_SERVICE = "/twirp/github.actions.results.api.v1.ArtifactService/"


@dataclass
class Upload:
    """An artifact on its way."""

    name: str
    blocks: dict[str, bytes] = field(default_factory=dict)
    content: bytes | None = None


@dataclass
class ResultsService:
    """What the action is told (`url`, `token`), and where finished artifacts lie: `folder/<name>.zip`."""

    url: str
    folder: Path
    uploads: list[Upload] = field(default_factory=list)

    @property
    def token(self) -> str:
        """A runtime token such as GitHub's: its claim `scp` names workflow run and job; nobody checks a signature."""
        parts = ({"alg": "none"}, {"scp": "Actions.ExampleScope Actions.Results:demo-run:demo-job"})
        encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
        return ".".join((*encoded, ""))

    def create(self, request: dict[str, str]) -> dict[str, object]:
        self.uploads.append(Upload(request["name"]))
        return {"ok": True, "signed_upload_url": f"{self.url}blob/{len(self.uploads) - 1}?sig=demo"}

    def finalize(self, request: dict[str, str]) -> dict[str, object]:
        number = max(n for n, upload in enumerate(self.uploads) if upload.name == request["name"])
        content = self.uploads[number].content
        if content is None or len(content) != int(request["size"]):
            return {"ok": False}
        if "hash" in request and request["hash"] != f"sha256:{hashlib.sha256(content).hexdigest()}":
            return {"ok": False}
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{request['name']}.zip").write_bytes(content)
        return {"ok": True, "artifact_id": str(number + 1)}

    def put(self, number: int, query: dict[str, list[str]], body: bytes) -> None:
        upload = self.uploads[number]
        if query.get("comp") == ["block"]:
            upload.blocks[query["blockid"][0]] = body
        elif query.get("comp") == ["blocklist"]:
            ids = (element.text or "" for element in ElementTree.fromstring(body))  # noqa: S314 - our own client's
            upload.content = b"".join(upload.blocks[block] for block in ids)
        else:
            upload.content = body


@contextmanager
def serve(folder: Path) -> Iterator[ResultsService]:
    """Run the service in a thread until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            calls = {"CreateArtifact": service.create, "FinalizeArtifact": service.finalize}
            call = calls.get(self.path.removeprefix(_SERVICE))
            body = self._body()
            if call is None:
                self._answer(404, b"{}")
            else:
                self._answer(200, json.dumps(call(json.loads(body))).encode())

        def do_PUT(self) -> None:
            parts = urlsplit(self.path)
            service.put(int(parts.path.removeprefix("/blob/")), parse_qs(parts.query), self._body())
            self._answer(201, b"")

        def log_message(self, *_: object) -> None:
            """Say nothing: the log belongs to the action."""

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = ResultsService(url=f"http://127.0.0.1:{server.server_port}/", folder=folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
