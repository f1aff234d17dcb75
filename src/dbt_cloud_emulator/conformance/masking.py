"""What is written of a recorded answer: its form, numbers, times and the API's own words; no name, no SQL, no token.

It is an allowlist: a text is kept where its field is known to hold none of these, and else replaced by its length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from dbt_cloud_emulator.conformance.scene import OUR_CAUSE
from dbt_cloud_emulator.conformance.session import Exchange
from dbt_cloud_emulator.conformance.wording import known_words

# Fields whose text is the API's own.
KEPT = frozenset(
    {"status_humanized", "status_color", "cause_category", "retry_not_supported_reason", "job_type", "type", "plan"}
    | {"dbt_version", "raw_dbt_version", "deployment_type", "order_by", "cron", "dbt_schema_version"}
    | {"created_at", "updated_at", "dequeued_at", "started_at", "finished_at", "last_checked_at", "last_heartbeat_at"}
    | {"should_start_at", "duration", "queued_duration", "run_duration", "duration_humanized", "which"}
    | {"queued_duration_humanized", "run_duration_humanized", "created_at_humanized", "finished_at_humanized"}
)
NAMING_QUERIES = frozenset({"name__icontains", "name", "remote_url"})
KEPT_HEADERS = ("content-type", "content-encoding", "retry-after", "location", "server", "date", "allow")
ITEMS = 3  # of a list that are written; more of the same show nothing new
_COMMAND = re.compile(r"(`dbt [a-z][a-z-]*(?: (?:generate|freshness|validate))?)(?![\w-])[^`]*`")
_SETUP = re.compile(r"(?i)^(clone git repository|create profile from connection)")
MESSAGES = frozenset({"status_message", "user_message", "developer_message"})


class Mask:
    """Replaces the secrets and names that are known, wherever they stand."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        """`secrets`: what each text becomes."""
        self._secrets = sorted(((text, word) for text, word in secrets.items() if text), key=lambda pair: -len(pair[0]))

    def text(self, text: str) -> str:
        for secret, word in self._secrets:
            text = text.replace(secret, word)
        return text

    def value(self, value: Any, field: str = "") -> Any:
        """A decoded value, whose field has this name."""
        if isinstance(value, dict):
            return {self._key(name): self.value(item, name) for name, item in value.items()}
        if isinstance(value, list):
            left = len(value) - ITEMS
            shown = [self.value(item, field) for item in value[:ITEMS]]
            return [*shown, f"<{left} more>"] if left > 0 else shown
        if not isinstance(value, str) or field in KEPT:
            return self.text(value) if isinstance(value, str) else value
        return self._unknown(value, field)

    def _key(self, name: str) -> str:
        return name if re.fullmatch(r"[a-z][a-z0-9_]{0,40}|DBT_CLOUD_[A-Z_]+", name) else "<name>"

    def _unknown(self, text: str, field: str) -> str:
        if not text or text.startswith(OUR_CAUSE):
            return text
        if field == "name" and (_COMMAND.search(text) or _SETUP.match(text)):
            found = _SETUP.match(text)
            return found[0] if found else _COMMAND.sub(r"\1 …`", text[:200])
        if field in MESSAGES:
            return self._message(text)
        return f"<text of {len(text)} characters>"

    def _message(self, text: str) -> str:
        return known_words(self.text(text))

    def _header(self, name: str, text: str) -> str:
        """An address is written by the end of its host: what follows may be a signature."""
        if name != "location":
            return self.text(text)
        return "…" + ".".join((urlsplit(text).hostname or "").split(".")[-2:])

    def _query(self, name: str, value: str) -> str:
        return f"{name}={f'<text of {len(value)} characters>' if name in NAMING_QUERIES else self.text(value)}"

    def exchange(self, exchange: Exchange) -> dict[str, Any]:
        """A request and its answer as they are written."""
        body = exchange.body
        is_artifact = "/artifacts/" in exchange.path and not exchange.path.endswith("/artifacts/")
        shown = f"<{len(exchange.content)} bytes>" if body is None or is_artifact else self.value(body)
        headers = {name: self._header(name, text) for name, text in exchange.headers.items() if name in KEPT_HEADERS}
        return {
            "method": exchange.method,
            "path": self.text(exchange.path),
            "query": "&".join(self._query(name, value) for name, value in parse_qsl(exchange.query, True)),
            "sent": self.value(exchange.sent),
            "status": exchange.status,
            "headers": headers,
            "seconds": round(exchange.seconds, 3),
            "body": shown,
        }
