"""A command line cut into words by the rules of a POSIX shell, and what a shell would change in each. Pure.

Nothing is expanded: a word with `$` or a backtick keeps its spelling, so that it can be written again as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<gone>\\\n)                      # a line that goes on
  | (?P<single>'[^']*')
  | (?P<double>"(?:[^"\\]|\\.)*")
  | (?P<escaped>\\.)
  | (?P<comment>\#[^\n]*)               # at the start of a word only
  | (?P<blank>[ \t\r\n]+)
  | (?P<operator>[;&|<>()])
  | (?P<plain>[^\s'"\\;&|<>()])
    """,
    re.VERBOSE | re.DOTALL,
)
_EXPANDED = frozenset("$`")
_IN_DOUBLE = re.compile(r"\\(?:\n|([$`\"\\]))")

_QUOTED = r"""(?P<blank>[ \t\r\n]+) | (?P<single>'[^']*') | (?P<double>"(?:[^"\\]++|\\.)*+") | (?P<escaped>\\.)"""
_SPLIT = re.compile(rf"""{_QUOTED} | (?P<plain>[^ \t\r\n'"\\]+)""", re.VERBOSE | re.DOTALL)
_SPLIT_AT_OPERATORS = re.compile(
    rf"""{_QUOTED} | (?P<comment>\#[^\n]*) | (?P<operator>[();<>|&]+) | (?P<plain>[^ \t\r\n'"\\\#();<>|&]+)""",
    re.VERBOSE | re.DOTALL,
)
_KEPT_IN_DOUBLE = re.compile(r'\\([\\"])')


class NotACommandError(Exception):
    """The line is not one simple command: its quotes are not closed, or a shell would interpret it."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word: what it says, and how it is written where a shell would put something in its place."""

    value: str
    written: str | None = None  # None: it says the same however it is quoted


def _has_second_command(line: str) -> bool:
    first_words = [part.split(maxsplit=1)[0] for part in line.split("\n") if part.strip()]
    return "dbt" in first_words[1:]


def words_of(line: str) -> tuple[Word, ...]:
    """The words of one simple command, without a comment at its end; raises `NotACommandError`."""
    if _has_second_command(line):
        raise NotACommandError("a second command")
    return tuple(_words(line))


def split(line: str, *, at_operators: bool = False) -> list[str]:
    """The same words as `shlex.split`, in a time that grows with the length of the line and no faster.

    The standard library's lexer copies a word for each character that it adds to it. Names of steps come from outside,
    and may be as long as an answer may be.

    Args:
        at_operators: operators are words of their own, and comments are none, as with `shlex.shlex` whose
            `punctuation_chars` and `whitespace_split` are on.

    Raises:
        ValueError: a quote is not closed, or nothing follows a backslash.
    """
    pattern = _SPLIT_AT_OPERATORS if at_operators else _SPLIT
    words: list[str] = []
    parts: list[str] = []
    position = 0
    while position < len(line):
        found = pattern.match(line, position)
        if found is None:
            raise ValueError("a quote that is not closed")
        position = found.end()
        if found.lastgroup not in ("blank", "comment", "operator"):
            parts.append(_unquoted(str(found.lastgroup), found[0]))
            continue
        if parts:
            words.append("".join(parts))
            parts = []
        if found.lastgroup == "operator":
            words.append(found[0])
    return [*words, "".join(parts)] if parts else words


def _unquoted(kind: str, text: str) -> str:
    if kind == "double":
        return _KEPT_IN_DOUBLE.sub(r"\1", text[1:-1])
    return text[1:-1] if kind == "single" else text[1:] if kind == "escaped" else text


def _words(line: str) -> Iterator[Word]:
    parts: list[tuple[str, str, str]] = []  # kind, as written, as meant
    position = 0
    while position < len(line):
        found = _TOKEN.match(line, position)
        if found is None:
            raise NotACommandError("a quote that is not closed")
        kind, text = str(found.lastgroup), found[0]
        if kind == "comment" and parts:
            kind, text = "plain", "#"
        position += len(text)
        if kind == "operator":
            raise NotACommandError(f"a shell would interpret it (`{text}`)")
        if kind in ("blank", "comment"):
            if parts:
                yield _word(parts)
                parts = []
        elif kind != "gone":
            parts.append((kind, text, _meant(kind, text)))
    if parts:
        yield _word(parts)


def _meant(kind: str, text: str) -> str:
    if kind == "single":
        return text[1:-1]
    if kind == "double":
        return _IN_DOUBLE.sub(lambda found: found[1] or "", text[1:-1])
    return text[1:] if kind == "escaped" else text


def _word(parts: list[tuple[str, str, str]]) -> Word:
    value = "".join(meant for _, _, meant in parts)
    if any(kind == "plain" and text in _EXPANDED for kind, text, _ in parts):
        # Without quotes, a shell may make several words of it, or none.
        raise NotACommandError(f"a shell would replace `{value}`; it needs quotes")
    expands = any(kind == "double" and _has_expansion(text) for kind, text, _ in parts)
    return Word(value, "".join(text for _, text, _ in parts) if expands else None)


def _has_expansion(text: str) -> bool:
    return re.search(r"(?<!\\)(?:\\\\)*[$`]", text) is not None
