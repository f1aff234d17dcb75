"""The one place where other people's text is made fit for markdown, HTML, Mermaid and links.

Model names, messages, logs, branch names and API bodies are untrusted. What comes out of here shows the text as it was
(without terminal colours and control characters) and can neither end what it stands in nor begin something else.

Rules: GitHub Flavored Markdown 0.29 with GitHub's own filters for mentions (`@name`), references (`#1`, `GH-1`,
`owner/repo#1`), bare addresses, emoji names and `$` formulas, which also look into escaped characters. Against those a
hair space is put between the characters that would form one.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from dbt_cloud_run.redaction import redact

_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links
    r"|\x1b[ -/]*[0-~]"
)
_LINE_END = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Control characters, and the invisible ones that change the direction of what follows or hide text.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANKS = re.compile(r"\s+")

# `plain` leaves no control character, so three of them mark what depends on the surroundings.
_BREAK = "\x00"
_UNDERSCORE = "\x01"
_ESCAPED = "\x02"  # the character after it loses its power to begin a block
_HAIR_SPACE = "&#8202;"
_BREAKS = re.compile(
    r"@|/(?=/)|\#(?=\w)|(?i:GH-)(?=\d)|(?i:www)(?=\.)|:(?=(?:[0-9_+-]*[A-Za-z][\w+-]*|[+-]1|100|1234):)",
)
_LONE_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_LINE_START = re.compile(r"(?:\d+(?=[.)])|(?=[-+=:]))")

_MARKDOWN = str.maketrans(
    {
        **{char: f"\\{char}" for char in "\\`*[]~#"},
        "|": "&#124;",
        "<": "&lt;",
        ">": "&gt;",
        "&": "&amp;",
        "$": "<span>$</span>",  # the form that GitHub documents for a dollar that is no formula
        _BREAK: _HAIR_SPACE,
        _UNDERSCORE: "\\_",
        _ESCAPED: "\\",
    }
)
_HTML = str.maketrans(
    {
        **{char: f"&#{ord(char)};" for char in "\\`*[]~#|$"},
        "<": "&lt;",
        ">": "&gt;",
        "&": "&amp;",
        '"': "&quot;",
        "'": "&#39;",
        _BREAK: _HAIR_SPACE,
        _UNDERSCORE: "&#95;",
    }
)
_PLAIN_CODE = re.compile(r"[^`|\\\s]+(?: [^`|\\\s]+)*\Z")
_NARROW = 36  # characters for which every column has room
_PIECES = re.compile(r"[^._/-]*[._/-]+|[^._/-]+")
_CHUNK = re.compile(r".{1,24}")
_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,.()]*\Z")
_ORDERED = re.compile(r"\d+[.)]|(?i:www)\.")
_MERMAID_KEPT = re.compile(r"[^\W_]|(?<=[A-Za-z0-9])_(?=[A-Za-z0-9])|[ /,]|\.(?! |$)|(?<=\w)-(?=\w)")
# What needs neither to be taken apart nor to be quoted.
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9][A-Za-z0-9.-]*(?:/[A-Za-z0-9/._~-]*)?\Z")
_URL_SAFE = ":/?#@!$+,;=%~.-_"


def plain(value: str) -> str:
    """Without colours, control and direction characters, and secrets; line ends are newlines. Encodable as UTF-8."""
    if value.isascii() and value.isprintable():
        return redact(value)
    shown = _LINE_END.sub("\n", _ANSI.sub("", value))
    return redact(_SURROGATE.sub("\ufffd", _UNSEEN.sub("", shown)))


def one_line(value: str, limit: int | None = None) -> str:
    """`plain` text with every run of blanks and line ends as one space; at most `limit` characters."""
    shown = plain(value)
    # Of all blanks, the space alone is printable.
    line = (shown if shown.isprintable() and "  " not in shown else _BLANKS.sub(" ", shown)).strip()
    return line if limit is None or len(line) <= limit else line[: max(limit - 1, 0)].rstrip() + "…"


def text(value: str, limit: int | None = None) -> str:
    """Markdown text for anywhere within a line: paragraph, list item, heading, link label, table cell."""
    line = one_line(value, limit)
    if _HARMLESS.match(line) and not _ORDERED.match(line):
        return line
    return _start(_marked(line)).translate(_MARKDOWN)


def code(value: str, limit: int | None = None) -> str:
    """Inline code, also in a table cell; an empty value becomes an empty string."""
    line = one_line(value, limit)
    if _PLAIN_CODE.match(line):
        return f"`{line}`"
    # A backtick or a pipe cannot be written in a code span of a table cell; in the HTML element every character can.
    return f"<code>{_marked(line).translate(_HTML)}</code>" if line else ""


def narrow_code(value: str, limit: int) -> str:
    """Inline code for a narrow column of a table: a long name may be broken after its dots, dashes and underscores."""
    line = one_line(value, limit)
    if len(line) <= _NARROW:
        return code(line)
    parts = [part for piece in _PIECES.findall(line) for part in _CHUNK.findall(piece)]
    return f"<code>{'<wbr>'.join(_marked(part).translate(_HTML) for part in parts)}</code>"


def html(value: str, limit: int | None = None) -> str:
    """HTML text, or the inside of a double-quoted attribute; also where the markdown around it is still parsed."""
    return _marked(one_line(value, limit)).translate(_HTML)


def fence(value: str, info: str = "text") -> str:
    """A fenced block, its fence longer than any run of backticks inside. `info` is ours, never untrusted."""
    body = plain(value).strip("\n")
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}{info}\n{body}\n{marks}"


def url(value: str | None) -> str | None:
    """An absolute http(s) address for the destination of a markdown link or an attribute; None for anything else."""
    if value is not None and _PLAIN_URL.match(value) and redact(value) == value:
        return value
    if value is None or _UNSEEN.search(value) or redact(value) != value:
        return None
    try:
        parts = urlsplit(value.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            return None  # what stands before an `@` looks like the host, and is not
        return quote(value.strip(), safe=_URL_SAFE + "&").replace("&", "&amp;")
    except ValueError:  # a malformed host, or a lone surrogate
        return None


def link(label: str, address: str | None) -> str:
    """A markdown link around an already escaped `label`; the label alone when the address is no http(s) address."""
    target = url(address)
    return f"[{label}]({target})" if target and label else label


def mermaid(value: str, limit: int = 60) -> str:
    """The inside of a quoted Mermaid label, or a task's or section's name; every special character as `#<code>;`."""
    line = one_line(value, limit)
    shown = "".join(
        char if _MERMAID_KEPT.match(line, position) else f"#{ord(char)};" for position, char in enumerate(line)
    )
    return shown or "#8203;"


def _marked(line: str) -> str:
    broken = _BREAKS.sub(lambda found: found.group() + _BREAK, line)
    return _LONE_UNDERSCORE.sub(_UNDERSCORE, broken)


def _start(line: str) -> str:
    """Take the first characters' power to begin a list, a heading's underline or a table's delimiter row."""
    found = _LINE_START.match(line)
    return line if found is None else line[: found.end()] + _ESCAPED + line[found.end() :]
