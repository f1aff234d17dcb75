"""Reading dbt's console log: the lines that say why a step failed that ran no nodes. Pure.

A log of dbt Cloud holds what git, dbt, dbt's semantic layer or a driver printed, with colours and times of day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dbt_cloud_run.text import shortened

MOST_LINES = 12
LONGEST_LINE = 400
"""Characters."""

RAN_NODES = ("Done. PASS=", "Finished running")
"""Words of a log that dbt writes when it has run nodes, whether they succeeded or not."""

# Characters of a log's end that are read. Every repetition below has a bound: a log may be long.
_TAIL = 40_000
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]{0,20}[ -/]?[@-~]|\][^\x07\x1b\n]{0,300}(?:\x07|\x1b\\)|[@-_])")
_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_QUOTES = re.compile(r"[\"`\[\]]")
_TIMES = re.compile(
    r"^(?:\x1b\[0m)?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?[ \t]{1,4}(?:\[(?:error|warn|info) ?\]:? )?", re.MULTILINE
)
# A remote's address may hold a token.
_USER_OF_URL = re.compile(r"(?<=://)[^\s/@'\"]{1,400}@")

_ENCOUNTERED = re.compile(r"^[ \t]{0,20}Encountered an error(?:(?P<alone>:[ \t]{0,20})| while )")
_KIND = re.compile(r"^[ \t]{0,20}(?:[A-Z][A-Za-z]{1,30} ){1,3}Error\b(?: in \w{1,40} .{1,600})?:?[ \t]{0,20}$")
_TRACEBACK = re.compile(r"^[ \t]{0,20}Traceback \(most recent call last\)")
_AFTER_ERROR = re.compile(
    r"^(?:Done\. PASS=|Completed (?:with|successfully)|Finished running|\[?(?:WARNING|INFO)\b|Error encountered in )"
)
_MARKED = re.compile(
    # git, and what the other side of a clone says
    r"^[ \t]{0,20}(?:fatal|error|remote|ssh):[ \t]{1,20}\S"
    r"|^(?:host key verification failed|permission denied \()"
    # dbt's semantic layer
    r"|^[ \t]{0,20}(?:\u2716|\u2718|\u274c)[ \t]|^[ \t]{0,20}[\u2022*-][ \t]{1,4}(?:ERROR|FATAL)\b"
    r"|\bsemantic (?:manifest )?validation failed\b"
    # dbt Cloud itself, dbt 2, click and Python
    r"|\bfailed to (?:clone|fetch|check ?out|generate|create|connect|install|load|parse|find|access|authenticate)\b"
    r"|^[ \t]{0,20}\[?error\b\]?:?[ \t]{1,20}\S|^\[?dbt\d{4}\]?:"
    r"|^[A-Za-z_][\w.]{0,100}(?:Error|Exception)(?::|$)",
    re.IGNORECASE,
)
_CHATTER = re.compile(
    r"^remote:[ \t]{1,20}(?:enumerating|counting|compressing|total|resolving|finding|processing)\b|\b0 errors?\b",
    re.IGNORECASE,
)
_POINTER = re.compile(r"^[ \t]{1,20}--> \S")


def without_colours(log: str) -> str:
    """The log without the codes of colours."""
    return _COLOURS.sub("", log)


def relation_in_log(relation_name: str | None) -> str:
    """A relation's name as a log writes it, without quotes, in lower case."""
    return _QUOTES.sub("", relation_name or "").lower()


def failure_lines(log: str) -> tuple[str, ...]:
    """The lines of a failed step's log that say why it failed, in their order; none where no line is known to.

    At most `MOST_LINES`, each of at most `LONGEST_LINE` characters, without colours, times and the users of addresses.
    The text is untrusted all the same: whoever shows it escapes it.
    """
    lines = _readable(log[-_TAIL:]).split("\n")
    found = _report(lines) or list(_marked(lines))
    kept = [line for line in dict.fromkeys(line.rstrip() for line in found) if line.strip()]
    short = [shortened(line, LONGEST_LINE) for line in kept]
    if len(short) <= MOST_LINES:
        return tuple(short)
    more = len(short) - MOST_LINES + 1
    return (*short[: MOST_LINES - 1], f"[… {more:,} more lines in the log …]")


def _readable(log: str) -> str:
    text = _TIMES.sub("", _ESCAPES.sub("", log.replace("\r\n", "\n")))
    # A carriage return alone overwrites the line, as git's progress does.
    return _USER_OF_URL.sub("***@", text.replace("\r", "\n"))


def _report(lines: Sequence[str]) -> list[str]:
    """What dbt prints after its last `Encountered an error:`, or below each `… Error` where it does not."""
    starts = [number for number, line in enumerate(lines) if _ENCOUNTERED.match(line)]
    if starts:
        first, *rest = lines[starts[-1] :]
        match = _ENCOUNTERED.match(first)
        first = first[match.end() :] if match and match["alone"] else first
        return _without_traceback([first, *_until_end(rest)])
    found: list[str] = []
    for number, line in enumerate(lines):
        if _KIND.match(line):
            found += [line, *_indented(lines[number + 1 :])]
    return found


def _until_end(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if _AFTER_ERROR.match(line):
            return
        yield line


def _indented(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if line.strip() and not line[:1].isspace():
            return
        yield line


def _without_traceback(lines: list[str]) -> list[str]:
    """A traceback's frames say where dbt failed; its last line says why."""
    start = next((number for number, line in enumerate(lines) if _TRACEBACK.match(line)), None)
    if start is None:
        return lines
    below = [line for line in lines[start + 1 :] if line.strip() and not line[:1].isspace()]
    return [*lines[:start], *below[-1:]]


def _marked(lines: Sequence[str]) -> Iterator[str]:
    """The lines with a word that marks an error, each with the place that dbt 2 names below it."""
    is_marked = False
    for line in lines:
        if is_marked and _POINTER.match(line):
            yield line
        is_marked = bool(_MARKED.search(line)) and not _CHATTER.search(line)
        if is_marked:
            yield line
