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
_QUOTED_ENTRY = re.compile(rf"{_WORD}(?:(?<=\s)#.*)?$", re.DOTALL)
# A # after a blank and outside of quotes.
_WITH_COMMENT = re.compile(r"""(?P<text>(?:'[^']*'|"(?:[^"\\]|\\.)*"|[^'"\s]|\s+(?!\#))*)\s+\#.*""")
_QUOTES = ('"', "'", "`", "\N{LEFT DOUBLE QUOTATION MARK}", "\N{LEFT SINGLE QUOTATION MARK}")
_COMMENT = "holds a comment, which dbt Cloud would run as a command"
_LIST = 'must be a list such as ["dbt seed", "dbt build"], with every command in quotes'
_SEVERAL_LINES = "holds an entry of several lines; write each command on one line"
_JOINTS = ("&&", "||", ";", "|", "&")


def commands(text: str) -> tuple[str, ...]:
    """One dbt command per line; or a list, as `["dbt seed", "dbt build"]` or one `- dbt build` per line."""
    if text.startswith("["):
        found = list(_listed(text))
    else:
        rows = [row for part in text.splitlines() if (row := part.strip())]
        found = list(_entries(rows)) if rows and _begins_entry(rows[0]) else rows
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
        if _WITH_COMMENT.fullmatch(command):
            yield (
                f"steps-override: command {number} holds a # that begins a comment in a shell; dbt Cloud may take it, "
                "and what follows it, for arguments of dbt. Leave it out, or put it in quotes."
            )


def _begins_entry(row: str) -> bool:
    return row == "-" or row.startswith("- ")


def _entries(rows: Sequence[str]) -> Iterator[str]:
    """The entries of a YAML list, each of one line."""
    for row in rows:
        if _begins_entry(row):
            yield _scalar(row[1:].strip())
        elif row.startswith("#"):
            raise BadValueError(f"{_COMMENT}; leave it out")
        elif row.startswith("-dbt"):
            raise BadValueError("holds an entry without a blank after its -; write each as - dbt build")
        else:
            raise BadValueError(_SEVERAL_LINES)


def _listed(text: str) -> Iterator[str]:
    if not text.endswith("]"):
        raise BadValueError("begins a list with [ that does not end with ]; put every command in quotes")
    inner, position = text[1:-1].rstrip().removesuffix(","), 0
    while position < len(inner):
        match = _ITEM.match(inner, position)
        if match is None:
            is_comment = inner[position:].lstrip().startswith("#")
            raise BadValueError(f"{_COMMENT}; leave it out" if is_comment else _LIST)
        if match["plain"] is not None and position and not match["plain"].startswith("dbt"):
            # `[dbt build --select a,b]` is a list of two for YAML, too.
            raise BadValueError(_LIST)
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
        raise BadValueError(_SEVERAL_LINES)
    if text.startswith(('"', "'")):
        match = _QUOTED_ENTRY.match(text)
        return _unquoted(match) if match is not None else text
    # As in YAML, a comment may follow.
    commented = _WITH_COMMENT.fullmatch(text)
    return commented["text"].rstrip() if commented is not None else text


def _wrong(command: str) -> str | None:
    """What is wrong with a command, as the rest of a sentence that begins with the input's name."""
    if not command:
        return "holds an empty command"
    if command.startswith("#"):
        return _COMMENT
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
