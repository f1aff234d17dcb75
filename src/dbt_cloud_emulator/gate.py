"""The door of the server: every request is logged here, and faults are done here, on the real connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from dbt_cloud_emulator.faults import Fault, Faults, merge

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTROL = "/__emulator__/"
TRANSPORT = "dbt_cloud_emulator.transport"
MAX_BODY_LOGGED = 20_000
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # linger for no time: the peer gets a RST


class ConnectionProtocol(H11Protocol):
    """uvicorn's protocol, which also reports to the application which connection a request came by."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        inner = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[TRANSPORT] = transport
            await inner(scope, receive, send)

        self.app = app


class Gate:
    """ASGI middleware: log, then fault or application."""

    def __init__(self, app: ASGIApp, faults: Faults, log: deque[dict[str, Any]]) -> None:
        self._app = app
        self._faults = faults
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(CONTROL):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        query = scope["query_string"].decode("latin-1")
        fault = self._faults.take(scope["method"], scope["path"], query)
        entry = _entry(scope, query, body, fault)
        self._log.append(entry)
        answer = _Answer()
        if fault is None:
            await self._app(scope, _replay(body, receive), answer.passing(send))
        else:
            await self._spoil(fault, scope, body, receive, send, answer)
        entry |= {"status": answer.status, "response_size": answer.size, "seconds": time.time() - entry["time"]}

    async def _spoil(
        self, fault: Fault, scope: Scope, body: bytes, receive: Receive, send: Send, answer: _Answer
    ) -> None:
        real = fault.effect in ("truncated", "trickle", "data_null", "patch", "pass")
        held = _Answer()
        if fault.took_effect and not real:
            await self._app(scope, _replay(body, receive), held.holding)
        if fault.delay and not await _patience(fault.delay, receive):
            return
        if real:
            await self._app(scope, _replay(body, receive), held.holding)
        if fault.effect in ("reset", "close"):
            await _drop(scope, receive, reset=fault.effect == "reset")
        elif fault.effect == "truncated":
            answer.status = held.status
            await _truncate(held, scope, receive, send)
        elif fault.effect == "trickle":
            await _trickle(held, fault.pause, receive, answer.passing(send))
        elif fault.effect in ("data_null", "patch"):
            body = _nulled(held.body) if fault.effect == "data_null" else _patched(held.body, fault.patch)
            await _send(answer.passing(send), held.status or 200, {"content-type": "application/json"}, body)
        elif fault.effect == "pass":
            for message in held.messages:
                await answer.passing(send)(message)
        else:
            await _send(answer.passing(send), *fault.answer())


class _Answer:
    """An answer as it passes, or held back."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.size = 0
        self.messages: list[Message] = []

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.messages if m["type"] == "http.response.body")

    def _note(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.size += len(message.get("body", b""))

    async def holding(self, message: Message) -> None:
        self._note(message)
        self.messages.append(message)

    def passing(self, send: Send) -> Send:
        async def passed(message: Message) -> None:
            self._note(message)
            await send(message)

        return passed


async def _read(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body which was read already, once."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _entry(scope: Scope, query: str, body: bytes, fault: Fault | None) -> dict[str, Any]:
    """What the log keeps of a request: nothing of its authorization but the scheme."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    parsed: Any = None
    if body and len(body) <= MAX_BODY_LOGGED:
        with contextlib.suppress(ValueError):
            parsed = json.loads(body)
    return {
        "time": time.time(),
        "method": scope["method"],
        "path": scope["path"],
        "query": query,
        "body": parsed,
        "body_size": len(body),
        "user_agent": headers.get("user-agent"),
        "authorization_scheme": headers.get("authorization", "").partition(" ")[0] or None,
        "client_port": scope["client"][1] if scope.get("client") else None,
        "fault": fault.id if fault else None,
        "status": None,
        "response_size": 0,
        "seconds": None,
    }


async def _patience(seconds: float, receive: Receive) -> bool:
    """Wait, but not longer than the client does; False when it has gone."""
    gone = asyncio.ensure_future(receive())
    done, _ = await asyncio.wait([gone], timeout=seconds)
    gone.cancel()
    return not done


async def _drop(scope: Scope, receive: Receive, *, reset: bool) -> None:
    transport = scope["extensions"][TRANSPORT]
    raw = transport.get_extra_info("socket")
    if reset and raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    if reset:
        transport.abort()
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _truncate(held: _Answer, scope: Scope, receive: Receive, send: Send) -> None:
    """The headers of the whole answer, half of its body, and the end of the connection."""
    body = held.body
    start = next(m for m in held.messages if m["type"] == "http.response.start")
    headers = [(n, v) for n, v in start["headers"] if n.lower() not in (b"content-length", b"transfer-encoding")]
    headers.append((b"content-length", str(max(len(body), 2)).encode()))
    await send({**start, "headers": headers})
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    await _drop(scope, receive, reset=False)


async def _trickle(held: _Answer, pause: float, receive: Receive, send: Send) -> None:
    """The whole answer, so slowly that no client waits for its end."""
    start = next(m for m in held.messages if m["type"] == "http.response.start")
    await send(start)
    body = held.body
    for at in range(len(body)):
        await send({"type": "http.response.body", "body": body[at : at + 1], "more_body": True})
        if not await _patience(pause, receive):
            return
    await send({"type": "http.response.body", "body": b""})


def _nulled(body: bytes) -> bytes:
    try:
        envelope = json.loads(body)
    except ValueError:
        return b"null"
    # An artifact is no envelope: nothing is left of it.
    is_envelope = isinstance(envelope, dict) and "data" in envelope
    return json.dumps({**envelope, "data": None} if is_envelope else None).encode()


def _patched(body: bytes, patch: dict[str, Any]) -> bytes:
    """The answer with its `data` changed; one that is no envelope, or has no data, stays as it is."""
    try:
        envelope = json.loads(body)
    except ValueError:
        return body
    data = envelope.get("data") if isinstance(envelope, dict) else None
    if isinstance(data, dict):
        data = merge(data, patch)
    elif isinstance(data, list):
        data = [merge(item, patch) if isinstance(item, dict) else item for item in data]
    else:
        return body
    return json.dumps(envelope | {"data": data}).encode()


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
