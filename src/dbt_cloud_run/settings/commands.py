"""The text of `steps-override`, as people write it: one dbt command per line, or a list in YAML or JSON."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence

from dbt_cloud_run.settings.parsing import BadValueError, line

_EXAMPLE = "such as dbt build --select staging"
# A list on one line, as YAML and JSON write it: quoted words (in JSON's or YAML's way), or plain ones without commas.
_WORD = r"""\s*(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^']|'')*)'|(?P<plain>[^\s,\[\]{}"'#][^,\[\]{}]*?))\s*"""
_ITEM = re.compile(rf"{_WORD}(?P<end>,|$)", re.DOTALL)
_QUOTES = ('"', "'", "`", "\N{LEFT DOUBLE QUOTATION MARK}", "\N{LEFT SINGLE QUOTATION MARK}")
_JOINTS = ("&&", "||", ";", "|", "&")


def commands(text: str) -> tuple[str, ...]:
    """One dbt command per line; or a list, as `["dbt seed", "dbt build"]` or one `- dbt build` per line."""
    if text.startswith("["):
        found = list(_listed(text))
    else:
        rows = [row for part in text.splitlines() if (row := part.strip())]
        is_list = bool(rows) and all(row == "-" or row.startswith("- ") for row in rows)
        found = [_scalar(row[1:].strip()) if is_list else row for row in rows]
    for number, command in enumerate(found, start=1):
        if (wrong := _wrong(command)) is not None:
            raise BadValueError(
                f"{wrong} (command {number} of {len(found)}); write one dbt command per line, {_EXAMPLE}"
            )
        line(command)
    return tuple(found)


def odd_commands(found: Sequence[str]) -> Iterator[str]:
    """Sentences on what dbt Cloud may not take: it runs dbt's commands, not a shell's."""
    for number, command in enumerate(found, start=1):
        for joint in _joints(command):
            yield (
                f"steps-override: command {number} holds `{joint}`, which joins commands in a shell and which dbt "
                "Cloud may not take. Write each dbt command on a line of its own."
            )


def _listed(text: str) -> Iterator[str]:
    if not text.endswith("]"):
        raise BadValueError("begins a list with [ that does not end with ]; put every command in quotes")
    inner, position = text[1:-1].rstrip().removesuffix(","), 0
    while position < len(inner):
        match = _ITEM.match(inner, position)
        if match is None:
            raise BadValueError('must be a list such as ["dbt seed", "dbt build"], with every command in quotes')
        yield _unquoted(match)
        position = match.end()


def _unquoted(match: re.Match[str]) -> str:
    if match["double"] is not None:
        try:
            return str(json.loads(f'"{match["double"]}"', strict=False)).strip()
        except ValueError:
            raise BadValueError('holds a command in " whose \\ means nothing in JSON') from None
    if match["single"] is not None:
        return match["single"].replace("''", "'").strip()
    return match["plain"].strip()


def _scalar(text: str) -> str:
    """One entry of a YAML list, of one line."""
    if text in (">", "|", ">-", "|-", ">+", "|+"):
        raise BadValueError("holds an entry of several lines; write each command on one line")
    match = _ITEM.fullmatch(text) if text.startswith(('"', "'")) else None
    return _unquoted(match) if match is not None and match["plain"] is None else text


def _wrong(command: str) -> str | None:
    """What is wrong with a command, as the rest of a sentence that begins with the input's name."""
    if not command:
        return "holds an empty command"
    if command.startswith("#"):
        return "holds a comment, which dbt Cloud would run as a command"
    if command.endswith("\\"):
        return "holds a command that goes on after a \\ at the end of its line"
    if command.startswith(_QUOTES):
        return "holds a command with quotes around it"
    if command.split()[0] != "dbt":
        return "must hold one dbt command per line, each beginning with dbt"
    return None


def _joints(command: str) -> list[str]:
    """What a shell would take for the joint of two commands: outside of quotes, as a word or at its end."""
    try:
        words = list(shlex.shlex(command, posix=True, punctuation_chars=";&|"))
    except ValueError:
        # A quote that is not closed: dbt Cloud will say so.
        return []
    return [joint for joint in _JOINTS if joint in words]
