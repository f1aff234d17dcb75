"""Patterns of artifact paths: `*` and `?` within a folder, `**` over folders. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[[^\]/]+\]|.", re.DOTALL)
_SET_SYNTAX = re.compile(r"[\\\[&~|]")  # means, or may come to mean, more in a set than itself


def is_plain(pattern: str) -> bool:
    """Whether the pattern names one path, without wildcards."""
    return not any(character in pattern for character in "*?[")


def matches(path: str, pattern: str) -> bool:
    """Whether an artifact's path, with `/` between folders, fits the pattern."""
    return _compiled(pattern).fullmatch(path) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = [_translated(token) for token in _TOKEN.findall(pattern)]
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error:  # such as the range [z-a]: then it can only be meant literally
        return re.compile(re.escape(pattern))


def _translated(token: str) -> str:
    known = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if token in known:
        return known[token]
    if token.startswith("[") and len(token) > 1:
        body = _SET_SYNTAX.sub(r"\\\g<0>", token[1:-1]).replace("--", r"-\-")
        return f"[^{body[1:]}]" if body.startswith("!") else f"[{body}]"
    return re.escape(token)
