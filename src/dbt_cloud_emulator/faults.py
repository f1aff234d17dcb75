"""Faults on demand: which request is hit, and what happens to it."""

from __future__ import annotations

import itertools
import json
import re
import time
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

HTML = (
    "<!DOCTYPE html><html><head><title>{status}</title></head><body><h1>{status}</h1><p>edge proxy</p></body></html>\n"
)

Effect = Literal[
    "status", "reset", "close", "truncated", "html", "empty", "data_null", "patch", "redirect", "pass", "trickle"
]


def _is_pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Pattern = Annotated[str, AfterValidator(_is_pattern)]


class Fault(BaseModel):
    """One fault. The first one that matches a request and is not used up decides.

    `took_effect`: the request is carried out, and only its answer is lost or replaced. `truncated`, `trickle`,
    `data_null` and `patch` spoil the real answer, so there it always is.
    """

    model_config = ConfigDict(extra="forbid")

    id: int = 0
    method: str | None = Field(None, description="GET, POST; any when left out")
    path: Pattern = Field("", description="regular expression, searched in the path")
    query: Pattern = Field("", description="regular expression, searched in the query string as it was sent")
    after: int = Field(0, ge=0, description="number of matching requests that are let through first")
    times: int | None = Field(1, ge=1, description="how many are hit; null: for ever")
    seconds: float | None = Field(None, gt=0, description="how long it lasts from its first hit; null: as `times` says")
    effect: Effect = Field("status", description="pass: nothing but the delay; trickle: a byte every now and then")
    pause: float = Field(0.1, gt=0, description="for trickle: seconds between two bytes of the body")
    took_effect: bool = False
    delay: float = Field(0, ge=0, description="seconds before the answer; a large number never answers")
    status: int = Field(500, ge=200, le=599, description="for status, html, empty and redirect")
    body: Any = Field(None, description="for status: text, or an object that is sent as JSON")
    patch: dict[str, Any] = Field(
        default_factory=dict, description="for patch: a JSON merge patch of `data`, or of each item where it is a list"
    )
    headers: dict[str, str] = Field(default_factory=dict, description="such as Retry-After, or Location for redirect")
    hits: int = Field(0, ge=0)
    seen: int = Field(0, ge=0)
    first_hit: float | None = Field(None, description="of the monotonic clock")

    @property
    def is_spent(self) -> bool:
        lasts = self.seconds is None or self.first_hit is None or time.monotonic() < self.first_hit + self.seconds
        return not lasts or (self.times is not None and self.hits >= self.times)

    def matches(self, method: str, path: str, query: str) -> bool:
        return (
            (self.method is None or self.method.upper() == method)
            and re.search(self.path, path) is not None
            and re.search(self.query, query) is not None
        )

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer that replaces the real one."""
        if self.effect == "html":
            return self.status, {"content-type": "text/html", **self.headers}, HTML.format(status=self.status).encode()
        if self.effect in ("empty", "redirect"):
            return self.status, self.headers, b""
        if isinstance(self.body, str):
            return self.status, {"content-type": "text/plain", **self.headers}, self.body.encode()
        body = self.body
        if body is None:
            status = {
                "code": self.status,
                "is_success": False,
                "user_message": "Emulated fault",
                "developer_message": "",
            }
            body = {"status": status, "data": None}
        return self.status, {"content-type": "application/json", **self.headers}, json.dumps(body).encode()


def merge(target: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396), but that null is a value and removes nothing."""
    if not isinstance(patch, dict) or not isinstance(target, dict):
        return patch
    return target | {name: merge(target.get(name), value) for name, value in patch.items()}


class Faults:
    """The faults that are set, in order."""

    def __init__(self, faults: list[Fault]) -> None:
        self._ids = itertools.count(1)
        self._faults: list[Fault] = []
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> Fault:
        fault = fault.model_copy(update={"id": next(self._ids), "hits": 0, "seen": 0, "first_hit": None})
        self._faults.append(fault)
        return fault

    def remove(self, fault_id: int | None = None) -> int:
        """Remove one, or all; returns how many."""
        before = len(self._faults)
        self._faults = [fault for fault in self._faults if fault_id is not None and fault.id != fault_id]
        return before - len(self._faults)

    def __iter__(self) -> itertools.chain[Fault]:
        return itertools.chain(self._faults)

    def take(self, method: str, path: str, query: str) -> Fault | None:
        """The fault that hits this request, counted as a hit."""
        for fault in self._faults:
            if fault.is_spent or not fault.matches(method, path, query):
                continue
            fault.seen += 1
            if fault.seen > fault.after:
                fault.hits += 1
                fault.first_hit = fault.first_hit or time.monotonic()
                return fault
        return None
