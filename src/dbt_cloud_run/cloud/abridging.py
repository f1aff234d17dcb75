"""JSON as it streams past, with long strings cut to their end: a run's answer holds logs without a limit.

Of a step's log only the last part is of use. What is not kept never is in memory, and the rest stays valid JSON.
"""

from __future__ import annotations

import re

_SHARE = 64  # a string keeps this part of the room that is left …
_LEAST = 4096  # bytes of a string that are kept in any case
_BACKSLASH, _QUOTE = 0x5C, 0x22
# Step by step, an answer of short strings, or of escapes, would keep the event loop busy, and deaf to a signal, for
# minutes. Nothing here is tried twice. What lies in a string up to its end, to that of the data, or to half an escape:
_CONTENT = re.compile(rb"(?:[^\"\\]++|\\.)*+", re.DOTALL)
# Strings that are kept whole in any case, being no longer than `_LEAST`, and what lies between them. At most so many,
# and not `*+`: before 3.11.5, that ends within what did not match (python/cpython#106052).
_SHORT_STRINGS = re.compile(rb'(?:[^"]*+"(?:[^"\\]{1,6}+|\\.){0,682}+"){0,50000}', re.DOTALL)
_LONGEST_ESCAPE = 6  # \\uXXXX


class Abridging:
    """Takes bytes of JSON and keeps about `room` of them: of each string no more than its share, its end.

    Only strings are cut: `size` exceeds `room` where there is that much besides.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._kept = bytearray()
        self._string: bytearray | None = None  # the end of the string that is being read
        self._rest = b""  # a backslash, until it has come what it stands before

    @property
    def size(self) -> int:
        """Bytes kept by now, without those of a string that has not ended."""
        return len(self._kept)

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the JSON text."""
        data, position = self._rest + chunk, 0
        self._rest = b""
        while position < len(data):
            step = self._outside if self._string is None else self._inside
            position = step(data, position)

    def finish(self) -> bytes:
        """What was kept; the text is at its end."""
        if self._string is not None:
            self._kept += self._string + self._rest
            self._string, self._rest = None, b""
        return bytes(self._kept)

    def _outside(self, data: bytes, position: int) -> int:
        found = _SHORT_STRINGS.match(data, position)
        quote = data.find(b'"', found.end() if found else position)
        if quote < 0:
            self._kept += data[position:]
            return len(data)
        self._kept += data[position : quote + 1]
        self._string = bytearray()
        return quote + 1

    def _inside(self, data: bytes, position: int) -> int:
        assert self._string is not None  # noqa: S101 - by the caller
        found = _CONTENT.match(data, position)
        end = found.end() if found else position
        share = max((self._room - len(self._kept)) // _SHARE, _LEAST)
        if end < len(data) and data[end] == _QUOTE:
            self._string += memoryview(data)[position:end]
            self._kept += _end_of(self._string, share) + b'"'
            self._string = None
            return end + 1
        self._rest = data[end:]
        self._string += memoryview(data)[position:end]
        if len(self._string) > 2 * share:
            self._string = _end_of(self._string, share)
        return len(data)


def _ends_escaped(text: bytearray, end: int) -> bool:
    """Whether the backslash before `end` is not itself the second one of an escape."""
    return (end - len(text[:end].rstrip(b"\\"))) % 2 == 1


def _end_of(text: bytearray, share: int) -> bytearray:
    """The last `share` bytes of a string, or a few less: never from the middle of an escape or of a character."""
    if len(text) <= share:
        return text
    cut = len(text) - share
    for begin in range(cut - 1, max(cut - _LONGEST_ESCAPE, -1), -1):
        if text[begin] == _BACKSLASH:
            if _ends_escaped(text, begin + 1):
                cut = max(cut, begin + (_LONGEST_ESCAPE if text[begin + 1 : begin + 2] == b"u" else 2))
            break
    while cut < len(text) and text[cut] & 0xC0 == 0x80:
        cut += 1
    return text[cut:]
