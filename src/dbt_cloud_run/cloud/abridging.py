"""JSON as it streams past, with long strings cut to their end: a run's answer holds logs without a limit.

Of a step's log only the last part is of use. What is not kept never is in memory, and the rest stays valid JSON.
"""

from __future__ import annotations

import re

_SHARE = 64  # a string keeps this part of the room that is left …
_LEAST = 4096  # … and at least so many bytes
_LONGEST_ESCAPE = 6
# Whole characters and escapes within a string; an escape that is cut, or is none, ends it.
_TEXT = re.compile(rb'(?:[^"\\]++|\\u[0-9a-fA-F]{4}|\\[^u])*+', re.DOTALL)


class Abridging:
    """Takes bytes of JSON and keeps about `room` of them: of each string no more than its share, its end.

    Only strings are cut: `size` exceeds `room` where there is that much besides.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._kept = bytearray()
        self._string: bytearray | None = None  # the end of the string that is being read
        self._rest = b""  # an escape whose end has not come

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
        quote = data.find(b'"', position)
        if quote < 0:
            self._kept += data[position:]
            return len(data)
        self._kept += data[position : quote + 1]
        self._string = bytearray()
        return quote + 1

    def _inside(self, data: bytes, position: int) -> int:
        assert self._string is not None  # noqa: S101 - by the caller
        match = _TEXT.match(data, position)
        end = match.end() if match else position
        self._string += memoryview(data)[position:end]
        share = max((self._room - len(self._kept)) // _SHARE, _LEAST)
        if end == len(data):
            if len(self._string) > 2 * share:
                self._string = _end_of(self._string, share)
        elif data[end : end + 1] == b'"':
            self._kept += _end_of(self._string, share) + b'"'
            self._string = None
            end += 1
        elif len(data) - end < _LONGEST_ESCAPE:
            self._rest, end = data[end:], len(data)
        else:  # no escape that JSON knows: whoever reads it will say so
            self._string += data[end : end + 2]
            end += 2
        return end


def _end_of(text: bytearray, share: int) -> bytearray:
    """The last `share` bytes of a string, or a few more: never from the middle of an escape or of a character."""
    if len(text) <= share:
        return text
    match = _TEXT.match(text, 0, len(text) - share)
    begin = match.end() if match else 0
    while begin < len(text) and text[begin] & 0xC0 == 0x80:
        begin += 1
    return text[begin:]
