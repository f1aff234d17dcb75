"""Secrets, in every form in which they may be quoted, taken out of what we write."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote, quote_plus

HIDDEN: Final = "***"
SHORTEST: Final = 8  # characters; a shorter mask would hide ordinary words and numbers
_ESCAPE = re.compile("%[0-9A-F]{2}")
_hidden: list[str] = []  # of this process, the longest first
_hidden_bytes: list[bytes] = []


class Secret:
    """A text that no log and no error shows by accident: it has to be asked for."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return f"Secret('{HIDDEN}')"

    def __bool__(self) -> bool:
        return bool(self._text)

    def reveal(self) -> str:
        """The text itself."""
        return self._text


@lru_cache(maxsize=64)
def forms(secret: str) -> tuple[str, ...]:
    """The secret as it stands, URL-encoded, within JSON, and in base64 wherever it may begin; the longest first."""
    urls = [quote(secret, safe=""), quote(secret), quote_plus(secret)]
    urls += [_ESCAPE.sub(lambda found: found.group().lower(), url) for url in urls]
    found = {secret, json.dumps(secret)[1:-1], *urls, *_base64(secret.encode())}
    return tuple(sorted((form for form in found if len(form) >= SHORTEST), key=len, reverse=True))


def _base64(secret: bytes) -> Iterable[str]:
    for before, dropped in enumerate((0, 2, 3)):  # bytes before it, and characters that hold bits of them
        encoded = base64.b64encode(b"\0" * before + secret).decode()
        core = encoded[dropped:] if (before + len(secret)) % 3 == 0 else encoded.rstrip("=")[dropped:-1]
        yield core
        yield core.replace("+", "-").replace("/", "_")


def hide(secret: str) -> None:
    """From now on `redact` hides this secret."""
    _hidden[:] = sorted({*_hidden, *forms(secret)}, key=len, reverse=True)
    _hidden_bytes[:] = [form.encode() for form in _hidden]


def redact(text: str, hidden: Sequence[str] | None = None) -> str:
    """The text without these forms, the longest first; by default without those of every secret of this process."""
    wanted = _hidden if hidden is None else hidden
    if not wanted or len(text) < len(wanted[-1]):  # most texts are names, and shorter than any secret
        return text
    for form in wanted:
        if form in text:
            text = text.replace(form, HIDDEN)
    return text


def redact_bytes(data: bytes) -> bytes:
    """The same for what is encoded already."""
    for form in _hidden_bytes:
        if form in data:
            data = data.replace(form, HIDDEN.encode())
    return data
