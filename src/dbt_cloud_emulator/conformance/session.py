"""The requests of the checks: plain httpx, every exchange recorded, nothing followed, nothing repeated."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

import httpx

from dbt_cloud_emulator.conformance.wording import known_words

Params = Mapping[str, str] | Sequence[tuple[str, str]]


class NotThereError(Exception):
    """The server does not have what a check needs; the message says what was asked and answered."""


@dataclass(frozen=True)
class Exchange:
    """A request and its answer. `path` is below the host; `seconds` is how long the answer took."""

    method: str
    path: str
    query: str
    sent: Any
    status: int
    headers: Mapping[str, str]
    content: bytes
    seconds: float
    scheme: str = "Token"

    @property
    def body(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.content)
        except ValueError:
            return None

    @property
    def data(self) -> Any:
        """`data` of the envelope; None where there is none."""
        return self.body.get("data") if isinstance(self.body, dict) else None

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def words(self) -> str:
        """What a refusal says to its reader: the user's message, and `data`."""
        state = self.body.get("status") if isinstance(self.body, dict) else None
        message = state.get("user_message") if isinstance(state, dict) else None
        data = self.data
        return " ".join(text if isinstance(text, str) else json.dumps(text) for text in (message, data) if text)

    @property
    def shown_words(self) -> str:
        """The same as it may be written: without names."""
        return known_words(self.words)

    def __str__(self) -> str:
        # A value of the query can be a name.
        names = "&".join(name for name, _ in parse_qsl(self.query, keep_blank_values=True))
        return f"{self.method} {self.path}{'?' + names if names else ''}: {self.status}"


@dataclass
class Session:
    """Requests to one account of one server; use as a context manager. Raises NotThereError where no server answers."""

    base_url: str
    account_id: int
    token: str
    verify: Any = True
    timeout: float = 60.0
    transport: httpx.BaseTransport | None = None  # in place of the network
    exchanges: list[Exchange] = field(default_factory=list)

    def __enter__(self) -> Self:
        is_plain = self.base_url.startswith("http://")
        self._http = httpx.Client(
            base_url=self.base_url,
            headers={"Accept": "application/json", "User-Agent": "dbt-cloud-conformance"},
            timeout=self.timeout,
            verify=self.verify,
            trust_env=not is_plain,
            transport=self.transport,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        body: Any = None,
        *,
        version: int = 2,
        scheme: str = "Token",
        token: str | None = None,
        account_id: int | None = None,
    ) -> Exchange:
        """One request below the account, or below the host where `path` begins with a slash."""
        below = f"/api/v{version}/accounts/{account_id or self.account_id}/"
        value = self.token if token is None else token
        headers = {"Authorization": f"{scheme} {value}"} if value else {}
        url = path if path.startswith("/") else below + path
        began = time.monotonic()
        query: Any = list(params.items()) if isinstance(params, Mapping) else params
        try:
            answer = self._http.request(method, url, params=query, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise NotThereError(f"{method} {path}: {type(error).__name__}: {error}") from error
        seconds = time.monotonic() - began
        found = Exchange(
            method,
            answer.request.url.path,
            answer.request.url.query.decode(),
            body,
            answer.status_code,
            dict(answer.headers),
            answer.content,
            seconds,
            scheme if value else "",
        )
        self.exchanges.append(found)
        return found

    def data(self, method: str, path: str, params: Params | None = None, body: Any = None, *, version: int = 2) -> Any:
        """`data` of a success. Raises NotThereError for any other answer."""
        answer = self.ask(method, path, params, body, version=version)
        if not answer.is_success or not isinstance(answer.body, dict) or "data" not in answer.body:
            raise NotThereError(f"{answer}, {answer.shown_words or 'no envelope'}")
        return answer.data

    def one(self, path: str, params: Params | None = None) -> dict[str, Any]:
        """An object. Raises NotThereError."""
        found = self.data("GET", path, params)
        if not isinstance(found, dict):
            raise NotThereError(f"GET {path}: `data` is no object")
        return found

    def many(self, path: str, params: Params | None = None, *, version: int = 2) -> list[dict[str, Any]]:
        """A list of objects. Raises NotThereError."""
        found = self.data("GET", path, params, version=version)
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise NotThereError(f"GET {path}: `data` is no list of objects")
        return found
