"""An independent port of how actions/runner reads a step: its lines, commands and environment files.

Written from `ActionCommand.cs`, `ActionCommandManager.cs` and `FileCommandManager.cs`; shares nothing with the action.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REGISTERED = frozenset(
    {"stop-commands", "add-mask", "add-matcher", "remove-matcher", "add-path", "set-env", "set-output", "save-state"}
    | {"debug", "warning", "error", "notice", "group", "endgroup", "echo"}
)

# Char.IsWhiteSpace of .NET: members of Zs, Zl and Zp, and these controls.
NET_WHITE_SPACE = "\t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000 " + "".join(map(chr, range(0x2000, 0x200B)))


@dataclass(frozen=True)
class ParsedCommand:
    name: str
    properties: dict[str, str]
    data: str


@dataclass
class Reading:
    """What the runner made of a step's stream: `log` are the lines that were no commands."""

    commands: list[ParsedCommand] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    stopped: bool = False

    def named(self, name: str) -> list[ParsedCommand]:
        return [command for command in self.commands if command.name == name]


def read_lines(stream: str) -> list[str]:
    """StreamReader.ReadLine: ends at LF, CR or CR LF, and nothing else."""
    lines = stream.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def weightless(character: str) -> bool:
    """Whether a comparison by culture may skip this character; generous."""
    if character in NET_WHITE_SPACE:
        return False
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Me"}


def parse_line(line: str, registered: frozenset[str] = REGISTERED) -> ParsedCommand | None:
    return _parse_v2(line, registered) or _parse_v1(line, registered)


def parse_line_by_culture(line: str) -> ParsedCommand | None:
    """As `parse_line` where the comparison skips characters without weight, anywhere in the line."""
    return parse_line(line) or parse_line("".join(character for character in line if not weightless(character)))


def _parse_v2(line: str, registered: frozenset[str]) -> ParsedCommand | None:
    message = line.lstrip(NET_WHITE_SPACE)
    if not message.startswith("::"):
        return None
    end = message.find("::", 2)
    if end < 0:
        return None
    name, _, properties = message[2:end].partition(" ")
    if name.lower() not in registered:
        return None
    escapes = (("%0D", "\r"), ("%0A", "\n"), ("%25", "%"))
    property_escapes = (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%"))
    parsed = _properties(properties.strip(NET_WHITE_SPACE), ",", property_escapes)
    return ParsedCommand(name.lower(), parsed, _unescape(message[end + 2 :], escapes))


def _parse_v1(line: str, registered: frozenset[str]) -> ParsedCommand | None:
    start = line.find("##[")
    end = line.find("]", start)
    if start < 0 or end < 0:
        return None
    name, _, properties = line[start + 3 : end].partition(" ")
    if name.lower() not in registered:
        return None
    escapes = (("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%25", "%"))
    return ParsedCommand(name.lower(), _properties(properties, ";", escapes), _unescape(line[end + 1 :], escapes))


def _properties(text: str, separator: str, escapes: tuple[tuple[str, str], ...]) -> dict[str, str]:
    pairs = (part.split("=", 1) for part in text.split(separator) if part)
    return {pair[0]: _unescape(pair[1], escapes) for pair in pairs if len(pair) == 2 and pair[0] and pair[1]}


def _unescape(text: str, escapes: tuple[tuple[str, str], ...]) -> str:
    for escaped, plain in escapes:
        text = text.replace(escaped, plain)
    return text


class LogReader:
    """Reads a step's stream line by line as the runner does, `stop-commands` included."""

    def __init__(self) -> None:
        self._token = ""

    @property
    def is_stopped(self) -> bool:
        """Whether commands are off: every line but the one that turns them on again is log."""
        return bool(self._token)

    def read(self, line: str) -> ParsedCommand | None:
        """The command that a line is; None for a line of the log."""
        command = parse_line(line, REGISTERED | {self._token.lower()} if self._token else REGISTERED)
        if command is None or (self._token and command.name != self._token.lower()):
            return None
        if self._token:
            self._token = ""
        elif command.name == "stop-commands":
            if not command.data or command.data.lower() in REGISTERED:
                raise ValueError(f"{command.data!r} cannot be the token that turns commands on again")
            self._token = command.data
        return command


def read_stream(stream: str) -> Reading:
    """Read a whole stream. The line that turns commands on again is neither a command nor log."""
    reading, reader = Reading(), LogReader()
    for line in read_lines(stream):
        was_stopped, command = reader.is_stopped, reader.read(line)
        if command is None:
            reading.log.append(line)
        elif not was_stopped:
            reading.commands.append(command)
    reading.stopped = reader.is_stopped
    return reading


def read_environment_file(path: Path) -> dict[str, str]:
    """The pairs of a GITHUB_OUTPUT or GITHUB_STATE file; raises ValueError where the step would fail."""
    return dict(_pairs(path.read_bytes().decode("utf-8-sig")))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    lines = text.split("\n")
    terminated = len(lines) - 1  # the last one has no line feed
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if not line:
            continue
        equals, heredoc = line.find("="), line.find("<<")
        if equals >= 0 and (heredoc < 0 or equals < heredoc):
            name, _, value = line.partition("=")
            yield name, value
            continue
        if heredoc < 0:
            raise ValueError(f"invalid format {line!r}")
        name, _, delimiter = line.partition("<<")
        if not name or not delimiter:
            raise ValueError(f"invalid format {line!r}: name and delimiter must not be empty")
        value_lines = []
        while position < len(lines) and lines[position] != delimiter:
            if position >= terminated:
                raise ValueError(f"matching delimiter not found: {delimiter!r}")
            value_lines.append(lines[position])
            position += 1
        if position >= len(lines):
            raise ValueError(f"matching delimiter not found: {delimiter!r}")
        position += 1
        yield name, "\n".join(value_lines)
