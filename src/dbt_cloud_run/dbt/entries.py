"""A large object of a JSON file, decoded a few megabytes of its entries at a time.

It is found by the places where its entries meet, as dbt and Python's `json` write them. What is taken for such a place
lies between two values: in a text, its quotation mark would have a backslash. Whether it lies on the right level shows
in the piece before it, which is JSON only when its braces are balanced.
"""

from __future__ import annotations

import mmap
import re
from functools import cache
from typing import Any, TypeVar, cast, get_args

import msgspec

PIECE = 1 << 21
"""Bytes. Other threads have their turn between two pieces, and the pages of the file that were read are let go."""

_LONGEST_HEAD = 1 << 20
_LONGEST_PIECE, _LONGEST_REST = 1 << 26, 1 << 28
"""Bytes. Pieces, and what is left without them, are copied; a file that would have larger ones is decoded as it is."""
# Where a node follows another entry. Columns may have dots in their names, too.
_ENTRY = re.compile(
    rb'\},\s?"(?=(?:model|test|seed|snapshot|analysis|operation|sql_operation|function)\.[^"\\]*":\s?\{)'
)
T = TypeVar("T")


def decode_by_entries(content: mmap.mmap, shape: type[T], name: str, following: str) -> T | None:
    """The file as `shape`, its field `name` decoded in pieces; None where the file is not laid out like that.

    `following` is the key after that object. Raises what msgspec raises where a value does not fit.
    """
    view = memoryview(content)
    head = re.search(rb'"%s":(\s?)\{' % name.encode(), view[:_LONGEST_HEAD])
    if head is None:
        return None
    last_end = re.compile(re.escape(b'}},%s"%s":%s{' % (head[1], following.encode(), head[1])))
    decoder = _decoder(cast("Any", shape), name)
    values: dict[str, Any] = {}
    begin, stop = head.end(), 0
    while not stop:
        joint = _ENTRY.search(content, begin + PIECE, begin + _LONGEST_PIECE)
        end = joint.start() + 1 if joint is not None else begin
        found = _decoded(decoder, view[begin:end]) if joint is not None else None
        if found is None:
            # It is the last piece, with what comes after the object, or none at all.
            closing = last_end.search(content, begin, begin + _LONGEST_PIECE)
            stop = end = closing.start() + 1 if closing is not None else begin
            found = _decoded(decoder, view[begin:end]) if closing is not None else None
        if found is None:
            return None
        values |= found
        _let_go(content, begin, end)
        begin = joint.end() - 1 if joint is not None else end
    whole = _without(view, shape, head.end(), stop) if len(content) - stop <= _LONGEST_REST else None
    if whole is None or getattr(whole, name):
        return None
    setattr(whole, name, values)
    return whole


def _decoded(decoder: msgspec.json.Decoder[dict[str, Any]], entries: memoryview) -> dict[str, Any] | None:
    """The entries; None where these are not whole ones."""
    try:
        return decoder.decode(b"".join((b"{", entries, b"}")))
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return None


def _without(content: memoryview, shape: type[T], begin: int, end: int) -> T | None:
    """The file without what is between these places; None where that is not in a field of the whole."""
    try:
        # Closed right after it, the head is only JSON where the object begins on the first level.
        msgspec.json.decode(b"".join((content[:begin], b"}}")))
        return msgspec.json.decode(b"".join((content[:begin], content[end:])), type=shape, strict=False)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return None


@cache
def _decoder(shape: Any, name: str) -> msgspec.json.Decoder[dict[str, Any]]:
    [kind] = (field.type for field in msgspec.structs.fields(shape) if field.name == name)
    return msgspec.json.Decoder(dict[str, get_args(kind)[1]], strict=False)  # type: ignore[misc]


def _let_go(content: mmap.mmap, begin: int, end: int) -> None:
    """Give the pages between these places back: nothing refers to them."""
    begin, end = begin - begin % mmap.PAGESIZE, end - end % mmap.PAGESIZE
    if end > begin:
        content.madvise(mmap.MADV_DONTNEED, begin, end - begin)
