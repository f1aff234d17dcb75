"""JSON files into typed values, leniently: one value of an unexpected shape costs that value, not the file.

A file is decoded in one go. Only where that fails, it is taken apart level by level, down to the values that do not
fit.
"""

from __future__ import annotations

import contextlib
import mmap
import re
import types
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

from dbt_cloud_run.dbt.entries import decode_by_entries

# An escape of JSON; a half of a surrogate pair without the other one is a group of its own.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
T = TypeVar("T")


class UnreadableArtifactError(Exception):
    """The file is not what its name says: not JSON, cut short, `null`, or of another shape."""


class LargeArtifactError(UnreadableArtifactError):
    """The file may well be what its name says, but is too large to be decoded."""


class NotJsonError(UnreadableArtifactError):
    """The file is of no use to anyone."""


class _OddError(Exception):
    """A value that does not fit, and has no parts that do."""


def decode(path: Path, shape: type[T], *, apart: tuple[str, str] | None = None) -> tuple[T, int]:
    """The file's content, and how many of its values were passed over; raises `UnreadableArtifactError`.

    `apart` names a field with a large object, whose entries are decoded some at a time, and the key that follows it.
    """
    # The file is mapped, not read: the decoder copies what it keeps, and the rest is never in our own memory.
    try:
        with path.open("rb") as file:
            # Not closed by hand: what a decoder left in an error's frames may still refer to it.
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            found = decode_by_entries(content, shape, *apart) if apart is not None else None
            if found is not None:
                return found, 0
        try:
            return _decoded(content, shape)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return _decoded(_with_whole_characters(content), shape)
    except _OddError as error:
        raise UnreadableArtifactError(f"{path.name} cannot be read: {error}") from error
    except RecursionError as error:
        raise UnreadableArtifactError(f"{path.name} cannot be read: {error}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise NotJsonError(f"{path.name} is not JSON: {error}") from error


def _decoded(text: bytes | mmap.mmap, shape: type[T]) -> tuple[T, int]:
    """In one go, or taken apart. Raises what msgspec raises where it is not JSON, and `_OddError`."""
    try:
        return msgspec.json.decode(text, type=shape, strict=False), 0
    except msgspec.ValidationError as whole:
        salvage = _Salvage()
        try:
            # A copy, as what is taken apart refers to it.
            return salvage.value(msgspec.Raw(bytes(text)), shape), salvage.odd
        except _OddError as error:
            raise _OddError(str(whole)) from error


def _with_whole_characters(content: bytes | mmap.mmap) -> bytes:
    """JSON with U+FFFD for half surrogate pairs and bytes that are no UTF-8: one such text must not cost the file.

    dbt writes such texts (Python's `json` does), and the decoder takes none of them.
    """
    whole = _ESCAPE.sub(lambda found: found[0] if found[1] is None else b"\\ufffd", content)
    return whole.decode("utf-8", "replace").encode()


class _Salvage:
    """Takes values apart; counts what does not fit."""

    def __init__(self) -> None:
        self.odd = 0

    def value(self, raw: msgspec.Raw, shape: Any) -> Any:
        try:
            return msgspec.json.decode(raw, type=shape, strict=False)
        except msgspec.ValidationError:
            pass
        if isinstance(shape, type) and issubclass(shape, msgspec.Struct):
            return self._struct(raw, shape)
        origin, inner = get_origin(shape), get_args(shape)
        if origin is dict:
            return dict(self._entries(self._as(raw, dict[str, msgspec.Raw]), inner[1]))
        if origin is list:
            return self._items(self._as(raw, list[msgspec.Raw]), inner[0])
        if origin in (Union, types.UnionType):
            whole = [one for one in inner if one is not type(None)]
            if len(whole) == 1:
                return self.value(raw, whole[0])
        raise _OddError

    def _struct(self, raw: msgspec.Raw, shape: type[msgspec.Struct]) -> Any:
        found = self._as(raw, dict[str, msgspec.Raw])
        fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
        kept: dict[str, Any] = {}
        for name, field in fields.items():
            if name not in found:
                continue
            try:
                kept[field.name] = self.value(found[name], field.type)
            except _OddError:
                self.odd += 1
        if any(field.required and field.name not in kept for field in fields.values()):
            raise _OddError
        return shape(**kept)

    def _entries(self, found: dict[str, msgspec.Raw], shape: Any) -> Any:
        for key, raw in found.items():
            try:
                yield key, self.value(raw, shape)
            except _OddError:
                self.odd += 1

    def _items(self, found: list[msgspec.Raw], shape: Any) -> list[Any]:
        """The items that fit; None in the place of the others, where a list may hold that."""
        kept: list[Any] = []
        keeps_places = type(None) in get_args(shape)
        for raw in found:
            try:
                kept.append(self.value(raw, shape))
            except _OddError:
                self.odd += 1
                kept += [None] if keeps_places else []
        return kept

    @staticmethod
    def _as(raw: msgspec.Raw, shape: Any) -> Any:
        try:
            return msgspec.json.decode(raw, type=shape)
        except msgspec.ValidationError as error:
            raise _OddError from error
