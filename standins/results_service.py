"""A results service (artifacts of workflow runs) on a real socket: GitHub's manners, or those of `act`, with faults.

Blobs are kept in memory, or elsewhere when `signed_url` says where (an Azure blob server). `folder` also receives each
finished artifact, as `<name>.zip`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import socket
import struct
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

from standins.local_server import LocalHandler, LocalServer

SERVICE = "/twirp/github.actions.results.api.v1.ArtifactService/"
SIGNATURE = "a+b/c==&d"  # needs encoding in several ways
SAS = "sv=2025-11-05&st=2026-11-22T10:00:00Z&sr=b&sp=cw&x=~%7e%3A%3a&sig=a%2Bb/c%3D%3d%26d"


def runtime_token(scopes: str = "Actions.Example Actions.Results:run-backend:job-backend") -> str:
    """A token of the runner's form, without a signature."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, {"scp": scopes, "x": "ÿ?"})]
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "signature-1234"])


@dataclass(frozen=True)
class Fault:
    """What happens instead of an answer: a status with a body, or a reset connection; `after`: the request is done."""

    status: int = 0  # 0: the connection is reset
    body: bytes = b""
    after: bool = False


@dataclass(frozen=True)
class Request:
    kind: str  # the Twirp method, `block`, `blocklist`, `put` or `get`
    target: str  # the request line's, as it came
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded


@dataclass
class StoredArtifact:
    id: int
    name: str
    fields: dict[str, Any]  # as created
    blob: bytes = b""
    is_final: bool = False
    finalized: dict[str, Any] = field(default_factory=dict)


class ResultsService(LocalServer):
    """Use as a context manager; `url` is what ACTIONS_RESULTS_URL would be."""

    def __init__(
        self,
        *,
        like_act: bool = False,
        signed_url: Callable[[str, str], str] | None = None,
        folder: Path | None = None,
    ) -> None:
        super().__init__(_Handler)
        self.like_act = like_act
        self._folder = folder
        self._signed_url = signed_url
        self.requests: list[Request] = []
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.artifacts: dict[str, StoredArtifact] = {}
        self._staged: dict[str, dict[str, bytes]] = defaultdict(dict)
        self._lock = threading.Lock()
        self.url = f"{self.origin}/"

    @property
    def variables(self) -> dict[str, str]:
        """What the runner tells a step of this service."""
        return {"ACTIONS_RESULTS_URL": self.url, "ACTIONS_RUNTIME_TOKEN": runtime_token()}

    def kinds(self) -> list[str]:
        return [request.kind for request in self.requests]

    def of_kind(self, kind: str) -> list[Request]:
        return [request for request in self.requests if request.kind == kind]

    def signed(self, name: str, verb: str) -> str:
        if self._signed_url is not None:
            return self._signed_url(name, verb)
        return f"{self.url}blob/{name.encode().hex()}?{SAS}"

    # -- what is asked

    def answer(self, request: Request) -> tuple[int, bytes]:
        with self._lock:
            if request.target.startswith(SERVICE):
                status, fields = self._twirp(request)
                return status, json.dumps(_camel(fields) if self.like_act else fields).encode()
            return self._blob(request)

    def _twirp(self, request: Request) -> tuple[int, dict[str, Any]]:
        if request.headers.get("authorization") != f"Bearer {runtime_token()}":
            return 401, {"code": "unauthenticated", "msg": "bad token"}
        body = request.json
        if (body.get("workflow_run_backend_id"), body.get("workflow_job_run_backend_id")) != (
            "run-backend",
            "job-backend",
        ):
            return 400, {"code": "invalid_argument", "msg": "unknown backend ids"}
        known = {
            "CreateArtifact": self._create,
            "FinalizeArtifact": self._finalize,
            "ListArtifacts": self._list,
            "GetSignedArtifactURL": lambda body: (200, {"signed_url": self.signed(body["name"], "get")}),
            "DeleteArtifact": self._delete,
        }
        return known[request.kind](body)

    def _create(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if body["name"] in self.artifacts:
            return 409, {"code": "already_exists", "msg": "an artifact with this name already exists"}
        self.artifacts[body["name"]] = StoredArtifact(1000 + len(self.artifacts), body["name"], body)
        return 200, {"ok": True, "signed_upload_url": self.signed(body["name"], "put")}

    def _finalize(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        artifact = self.artifacts.get(body["name"])
        if artifact is None or artifact.is_final:
            return 404, {"code": "not_found", "msg": "no such upload"}
        if self._signed_url is None:
            digest = f"sha256:{hashlib.sha256(artifact.blob).hexdigest()}"
            if (body["size"], body["hash"]) != (str(len(artifact.blob)), digest):
                return 400, {"code": "invalid_argument", "msg": "size or hash are not the blob's"}
        artifact.is_final = True
        artifact.finalized = body
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{artifact.name}.zip").write_bytes(artifact.blob)
        return 200, {"ok": True, "artifact_id": str(artifact.id)}

    def _list(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        found = [
            {
                "workflow_run_backend_id": "run-backend",
                "workflow_job_run_backend_id": "job-backend",
                "database_id": str(artifact.id),
                "name": artifact.name,
                "size": artifact.finalized["size"],
                "created_at": "2026-11-22T10:00:00Z",
                "digest": artifact.finalized["hash"],
            }
            for artifact in self.artifacts.values()
            if artifact.is_final
            and body.get("name_filter", artifact.name) == artifact.name
            and str(body.get("id_filter", artifact.id)) == str(artifact.id)
        ]
        return 200, {"artifacts": found}

    def _delete(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        artifact = self.artifacts.pop(body["name"], None)
        return (200, {"ok": True, "artifact_id": str(artifact.id)}) if artifact else (404, {"msg": "not found"})

    def _blob(self, request: Request) -> tuple[int, bytes]:
        parts = urlsplit(request.target)
        name = bytes.fromhex(parts.path.rpartition("/")[2]).decode()
        artifact = self.artifacts[name]
        query = parse_qs(parts.query)
        if query["sig"] != [SIGNATURE] or "authorization" in request.headers:
            return 403, b"AuthenticationFailed"
        if request.kind == "get":
            return 200, artifact.blob
        if request.kind == "put" and not self.like_act:
            artifact.blob = request.body
        if request.kind == "block":
            if self.like_act:
                artifact.blob += request.body
            else:
                self._stage(name, query["blockid"][0], request.body)
        if request.kind == "blocklist" and not self.like_act:
            wanted = [element.text or "" for element in ElementTree.fromstring(request.body)]  # noqa: S314
            if not set(wanted) <= set(self._staged[name]):
                return 400, b"InvalidBlockList"
            artifact.blob = b"".join(self._staged[name][block_id] for block_id in wanted)
        return 201, b""

    def _stage(self, name: str, block_id: str, content: bytes) -> None:
        lengths = {len(base64.b64decode(known)) for known in (*self._staged[name], block_id)}
        if len(lengths) > 1:
            raise binascii.Error("block ids must have one length")
        self._staged[name][block_id] = content


class _Handler(LocalHandler):
    service: ResultsService

    def _kind(self) -> str:
        if self.command == "POST":
            return self.path.rpartition("/")[2]
        if self.command == "GET":
            return "get"
        comp = parse_qs(urlsplit(self.path).query).get("comp", ["put"])[0]
        return "block" if comp == "appendBlock" else comp

    def answer(self) -> None:
        kind = self._kind()
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(kind, self.path, headers, self.body())
        self.service.requests.append(request)
        faults = self.service.faults[kind]
        fault = faults.popleft() if faults else None
        if fault is None or fault.after:
            status, content = self.service.answer(request)
        if fault is not None:
            if fault.status == 0:
                self._reset()
                return
            status, content = fault.status, fault.body
        self.reply(status, content)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            self.close_connection = True


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {re.sub(r"_(\w)", lambda match: match[1].upper(), key): _camel(item) for key, item in value.items()}
    return [_camel(item) for item in value] if isinstance(value, list) else value
