"""Text for people, whatever it is about."""

from __future__ import annotations


def shortened(text: str, limit: int) -> str:
    """The text in at most `limit` characters; the last one is an ellipsis where something was cut."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def in_one_line(text: str, limit: int) -> str:
    """The words of a text in one line of at most `limit` characters."""
    return shortened(" ".join(text.split()), limit)
