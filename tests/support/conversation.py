"""The requests of the conformance checks with their answers, recorded once, and answered again from memory, changed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import httpx


@dataclass(frozen=True)
class Answer:
    """An answer of the server. `method` and `path` are the request's, without the account; `query` is decoded."""

    method: str
    path: str
    query: dict[str, str]
    asked_by: str  # the Authorization header
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)

    def with_body(self, body: Any) -> Answer:
        return replace(self, content=json.dumps(body).encode())


Change = Callable[[Answer], Answer]


@dataclass
class Conversation:
    """What was asked and answered, in order, by request."""

    answers: dict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))

    def recording(self) -> httpx.BaseTransport:
        """The network, with everything that goes over it kept here."""
        return _Recording(self)

    def replaying(self, change: Change) -> httpx.BaseTransport:
        """The answers once more, each through `change`; the last one of a request is repeated."""
        return _Replaying(self, change)


class _Recording(httpx.BaseTransport):
    def __init__(self, conversation: Conversation) -> None:
        self._conversation, self._network = conversation, httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._network.handle_request(request)
        content = response.read()
        path = request.url.path.partition("/accounts/1/")[2] or request.url.path
        found = Answer(
            method=request.method,
            path=path,
            query=dict(request.url.params),
            asked_by=request.headers.get("authorization", ""),
            status=response.status_code,
            headers=dict(response.headers),
            content=content,
        )
        self._conversation.answers[_key(request)].append(found)
        return httpx.Response(response.status_code, headers=response.headers, content=content)

    def close(self) -> None:
        self._network.close()


class _Replaying(httpx.BaseTransport):
    def __init__(self, conversation: Conversation, change: Change) -> None:
        self._left = {key: list(answers) for key, answers in conversation.answers.items()}
        self._change = change

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        # An answer that was changed can lead to a question that was not asked before.
        unknown = Answer(request.method, request.url.path, {}, "", 404, {}, b"{}")
        answers = self._left.get(_key(request), [unknown])
        answer = self._change(answers.pop(0) if len(answers) > 1 else answers[0])
        headers = {name: text for name, text in answer.headers.items() if name != "content-length"}
        # What a header says of an encoding is for the checks alone: the content is there as it is.
        response = httpx.Response(answer.status, content=answer.content)
        response.headers.update(headers)
        return response


def _key(request: httpx.Request) -> str:
    return " ".join(
        (request.method, str(request.url.raw_path), request.headers.get("authorization", ""), str(request.content))
    )
