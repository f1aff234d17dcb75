"""A small dbt Cloud on a real socket: runs in memory, artifacts in memory or on disk, and a script of what goes wrong.

It is for the faults of a network, and for what must be faster than any client. What dbt Cloud does is the emulator's.

async with CloudServer() as server:
    server.fault("POST", "/run/", Fault("reset", took_effect=True))
    async with server.client(clock) as client: …
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.redaction import Secret

TOKEN = "dbtc_s3cr3t+/token"
ACCOUNT = 1
JOB = 7
PIECE = 1 << 18  # bytes of a file that are written at once


class FakeClock:
    """A clock whose waits are over at once. `on_sleep` is told of each; `interrupt_after` waits raise `Interrupted`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None
        self.interrupt_after: int | None = None

    def monotonic(self) -> float:
        return self.now

    def utcnow(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now)

    async def sleep(self, seconds: float) -> None:
        if self.interrupt_after is not None and len(self.sleeps) >= self.interrupt_after:
            raise Interrupted(15)
        self.sleeps.append(seconds)
        self.now += seconds
        self.on_sleep()
        await asyncio.sleep(0)


@dataclass
class Fault:
    """What goes wrong with a request: a status code, or one of the names in `CloudServer._answer`."""

    kind: int | str
    took_effect: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    times: float = 1
    said: str = ""  # with a status code: the server's words


@dataclass
class Request:
    """A request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    answered_at: float | None = None  # of the monotonic clock, which all processes of the machine share


class CloudServer:
    """The server; `runs` are the API's own objects, `files` the artifacts by `(run id, path, step or None)`.

    A file on disk is sent as it is, or by its neighbour with `.gz` at its end where there is one and the client takes
    gzip. `tls` makes it an https server.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.runs: list[dict[str, Any]] = []
        self.files: dict[tuple[int, str, int | None], bytes | Path] = {}
        self.listed_as: dict[int, list[str]] = {}  # run id -> its list of artifacts, where that is not the files'
        self.jobs: list[dict[str, Any]] = []
        self.hidden: dict[int, int] = {}  # run id -> number of lists in which it does not show up yet
        self.requests: list[Request] = []
        self.connections = 0
        self.answer_of_trigger: dict[str, Any] = {}  # what the answer to a trigger or a retry says instead
        self._faults: list[tuple[str, str, Fault]] = []
        self._next_id = 70_471_823_000_001
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.now: Callable[[], datetime] | None = lambda: datetime.now(UTC)  # its `Date`; None: it has none

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def listen(self) -> None:
        """Begin to listen, again on the same port after `close`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse every connection, and end those that are open."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await asyncio.sleep(0.01)

    def client(self, clock: FakeClock, **options: Any) -> CloudClient:
        """A client of this server, impatient unless told otherwise. Both have the same time."""
        self.now = clock.utcnow
        options = {"connect_timeout": 1.0, "read_timeout": 0.2, **options}
        return CloudClient(f"http://127.0.0.1:{self.port}", ACCOUNT, Secret(TOKEN), clock, **options)

    def fault(self, method: str, path: str, fault: Fault) -> None:
        """Let the next `fault.times` requests with this method, whose path matches, go wrong."""
        self._faults.append((method, path, fault))

    def add_run(self, **fields: Any) -> dict[str, Any]:
        """A run of the job that exists already; `cause` and overrides go into its trigger."""
        trigger_fields = ("cause", "git_sha", "schema_override", "steps_override", "github_pull_request_id")
        trigger = {"cause": None, **{name: fields.pop(name) for name in trigger_fields if name in fields}}
        run = {"id": self._next_id, "job_definition_id": JOB, "status": 1, "trigger": trigger, **fields}
        self._next_id = max(self._next_id, run["id"]) + 3
        self.runs.append(run)
        return run

    def count(self, method: str, path: str) -> int:
        """How many requests of this kind came in."""
        return sum(1 for request in self.requests if request.method == method and re.search(path, request.path))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while (request := await _read_request(reader)) is not None:
                    self.requests.append(request)
                    goes_on = await self._answer(request, writer)
                    request.answered_at = time.monotonic()
                    if not goes_on:
                        break
            writer.close()
            # Until it is closed it stays known, so that `close` can abort what no client reads any more.
            with contextlib.suppress(ConnectionError, TimeoutError):
                await writer.wait_closed()
        finally:
            # The loop may end while it serves.
            writer.transport.abort()
            self._writers.discard(writer)

    def _take_fault(self, request: Request) -> Fault | None:
        for method, path, fault in self._faults:
            if fault.times > 0 and request.method == method and re.search(path, request.path):
                fault.times -= 1
                return fault
        return None

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        fault = self._take_fault(request)
        if fault is None:
            status, found = self._handle(request)
            gzipped = "gzip" in request.headers.get("accept-encoding", "")
            if isinstance(found, Path):
                await _send_file(writer, found, gzipped=gzipped)
            else:
                writer.write(self._response(status, found, gzipped=gzipped))
            await writer.drain()
            return True
        is_real = fault.took_effect or fault.kind in ("cut", "trickle")
        status, found = self._handle(request) if is_real else (200, b"")
        content = found.read_bytes() if isinstance(found, Path) else found
        if fault.kind == "reset":
            _reset(writer)
            return False
        if fault.kind == "silence":
            await asyncio.sleep(3)
            return False
        if fault.kind in ("dribble", "trickle"):
            endless = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b" " * 100_000
            await _trickle(self._response(status, content) if fault.kind == "trickle" else endless, writer)
            return False
        if fault.kind == "cut":
            whole = self._response(status, content)
            writer.write(whole[: len(whole) - max(len(whole) // 8, 3)])
            await writer.drain()
            return False
        bodies = {
            "html": b"<html><title>Bad gateway</title></html>",
            "empty": b"",
            "null": json.dumps({"data": None, "status": {"code": 200}}).encode(),
            "truncated": (content or b'{"data": {"id": 1, "status": 10')[:-3],
        }
        if isinstance(fault.kind, int):
            error = {
                "status": {"code": fault.kind, "user_message": fault.said or "Scripted."},
                "data": f"token {TOKEN}",
            }
            writer.write(self._response(fault.kind, json.dumps(error).encode(), headers=fault.headers))
        else:
            writer.write(self._response(status, bodies[fault.kind], headers=fault.headers))
        await writer.drain()
        return True

    def _response(
        self, status: int, content: bytes, *, headers: dict[str, str] | None = None, gzipped: bool = False
    ) -> bytes:
        lines = [f"HTTP/1.1 {status} Scripted", "Content-Type: application/json"]
        if self.now is not None:
            lines.append(f"Date: {format_datetime(self.now(), usegmt=True)}")
        if gzipped and len(content) > 1000:
            content = gzip.compress(content)
            lines.append("Content-Encoding: gzip")
        lines += [f"Content-Length: {len(content)}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        return "\r\n".join([*lines, "", ""]).encode() + content

    def _handle(self, request: Request) -> tuple[int, bytes | Path]:
        path = request.path.removeprefix(f"/api/v2/accounts/{ACCOUNT}")
        if match := re.fullmatch(r"/jobs/(\d+)/run/", path):
            body = json.loads(request.body)
            return enveloped({**self.add_run(job_definition_id=int(match[1]), trigger=body), **self.answer_of_trigger})
        if match := re.fullmatch(r"/runs/(\d+)/retry/", path):
            return enveloped({**self.add_run(retrying_run_id=int(match[1])), **self.answer_of_trigger})
        if match := re.fullmatch(r"/runs/(\d+)/artifacts/", path):
            run_id = int(match[1])
            names = sorted({name for run, name, _ in self.files if run == run_id})
            return enveloped(self.listed_as.get(run_id, names))
        if match := re.fullmatch(r"/runs/(\d+)/artifacts/(.+)", path):
            step = request.query.get("step")
            file = self.files.get((int(match[1]), unquote(match[2]), int(step) if step else None))
            return (404, b"") if file is None else (200, file)
        if match := re.fullmatch(r"/runs/(\d+)/(cancel/)?", path):
            run = next((run for run in self.runs if run["id"] == int(match[1])), None)
            if run is not None and match[2]:
                run["status"] = 30
            return (404, b"") if run is None else enveloped(run)
        if path == "/runs/":
            return enveloped(self._listed(request.query))
        if path == "/jobs/":
            name, offset = request.query.get("name__icontains", "").lower(), int(request.query["offset"])
            jobs = [job for job in self.jobs if name in job["name"].lower()]
            return enveloped(jobs[offset : offset + int(request.query["limit"])])
        return 404, b""

    def _listed(self, query: dict[str, str]) -> list[dict[str, Any]]:
        above, job = int(query.get("id__gt", 0)), int(query["job_definition_id"])
        shown = []
        for run in self.runs:
            if self.hidden.get(run["id"], 0) > 0:
                self.hidden[run["id"]] -= 1
            elif run["id"] > above and run["job_definition_id"] == job:
                shown.append(run)
        shown.sort(key=lambda run: run["id"], reverse=query["order_by"].startswith("-"))
        return shown[: int(query["limit"])]


def enveloped(data: object) -> tuple[int, bytes]:
    return 200, json.dumps({"data": data, "status": {"code": 200, "is_success": True}}).encode()


async def _trickle(answer: bytes, writer: asyncio.StreamWriter) -> None:
    """The head, and then a byte every now and then, as long as the client takes it."""
    head = answer.index(b"\r\n\r\n") + 4
    writer.write(answer[:head])
    for at in range(head, len(answer)):
        if writer.transport.is_closing():
            return
        writer.write(answer[at : at + 1])
        await asyncio.sleep(0.05)


async def _send_file(writer: asyncio.StreamWriter, file: Path, *, gzipped: bool) -> None:
    packed = file.with_name(f"{file.name}.gz")
    is_packed = gzipped and packed.is_file()
    sent = packed if is_packed else file
    encoding = "Content-Encoding: gzip\r\n" if is_packed else ""
    size = sent.stat().st_size
    writer.write(
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{encoding}Content-Length: {size}\r\n\r\n".encode()
    )
    with sent.open("rb") as source:
        while piece := source.read(PIECE):
            writer.write(piece)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readline()
    if not head:
        return None
    method, target, _ = head.decode().split(" ")
    headers: dict[str, str] = {}
    while (line := (await reader.readline()).decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return Request(method, parts.path, query, headers, body)


@contextlib.contextmanager
def refusing(server: CloudServer, clock: FakeClock, sleeps: float) -> Iterator[None]:
    """The server refuses connections until the clock has slept `sleeps` times; to be entered while it is closed."""
    left = sleeps
    tasks: list[asyncio.Task[None]] = []

    def on_sleep() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            tasks.append(asyncio.get_running_loop().create_task(server.listen()))

    clock.on_sleep = on_sleep
    yield
    clock.on_sleep = lambda: None
