"""Text from outside, made harmless for the runner's log.

The runner reads commands from every line it is given: `::name::` at the start, after white space, and `##[name]`
anywhere. It compares by culture, so characters without weight (zero-width, format, most control characters) may stand
in between (`ActionCommand.cs` of actions/runner). What is inserted here is a plain space, which has weight.
"""

from __future__ import annotations

import re
from typing import Final

MESSAGE_LIMIT: Final = 4096
"""UTF-16 code units of an annotation's message that the runner keeps."""

# Compiled by `re` when they are first needed, which is after the first request.
_LINE_END = "\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]"
_SGR = r"\x1b\[[0-9;:]*m"
_ESCAPE = (
    rf"({_SGR})"  # colours: kept
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # other control sequences: cursor, erase
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # operating system commands, such as links and titles
    r"|\x1b[ -/]*[0-~]?"  # two-character sequences
    # Control characters but the tab; marks that reorder what a reader sees; byte order marks; lone surrogates.
    r"|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SKIPPED = rf"(?:{_SGR}|[^\x00-\x7f])*"  # what may be weightless: more than that is broken up, never less
# One set of characters: two that overlap would be tried in every combination, on a line of foreign blanks for ever.
_COMMAND_START = rf"(?:{_SGR}|[\s\x80-\U0010ffff])*:(?={_SKIPPED}:)"
# `##vso[…]` and the like are commands of other services, whose logs this program's lines may stand in.
_COMMAND_ANYWHERE = rf"#(?={_SKIPPED}#(?:{_SGR}|[A-Za-z\x80-\U0010ffff])*\[)"


def split_lines(text: str) -> list[str]:
    """The lines of a text by everything that the runner, a terminal or a browser takes for a line's end."""
    lines = re.split(_LINE_END, text)
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    return lines


def clean(text: str, *, colours: bool = False) -> str:
    """The text without control characters (tabs and line ends stay), with ANSI colours only if asked."""
    return re.sub(_ESCAPE, lambda match: (match[1] or "") if colours else "", text.replace("\r\n", "\n"))


def harmless_line(line: str) -> str:
    """One cleaned line that the runner cannot take for a command."""
    if "#" in line:
        line = re.sub(_COMMAND_ANYWHERE, "# ", line)
    if ":" in line and (start := re.match(_COMMAND_START, line)):
        line = f"{line[: start.end()]} {line[start.end() :]}"
    return line


def harmless_lines(text: str) -> list[str]:
    """The lines of a text from anywhere, ready for the log; ANSI colours are kept."""
    return [harmless_line(clean(line, colours=True)) for line in split_lines(text)]


def harmless_message(text: str) -> str:
    """Text for the data of a command: lines kept, without colours, within `MESSAGE_LIMIT`."""
    lines = (re.sub(_COMMAND_ANYWHERE, "# ", clean(line)) for line in split_lines(text))
    return cut("\n".join(lines).strip(), MESSAGE_LIMIT)


def one_line(text: str, limit: int = 500) -> str:
    """The text on one line, without colours: for titles and names."""
    return cut(" ".join(harmless_line(clean(line)) for line in split_lines(text)).strip(), limit)


def cut(text: str, limit: int) -> str:
    """The text within `limit` UTF-16 code units, ended by `…` at a line's or word's end where one is near."""
    if len(text) * 2 <= limit or _units(text) <= limit:
        return text
    kept = text[: limit - 1]
    while _units(kept) > limit - 1:
        kept = kept[: -max(1, (_units(kept) - limit + 1) // 2)]
    near = max(kept.rfind("\n"), kept.rfind(" "))
    if near >= len(kept) - 200 and near > len(kept) // 2:
        kept = kept[:near]
    return kept.rstrip() + "…"


def _units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)
