"""JSON files into typed values, leniently: one value of an unexpected shape costs that value, not the file.

A file is decoded in one go. Only where that fails, it is taken apart level by level, down to the values that do not
fit.
"""

from __future__ import annotations

import mmap
import types
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

T = TypeVar("T")


class UnreadableArtifactError(Exception):
    """The file is not what its name says: not JSON, cut short, `null`, or of another shape."""


class NotJsonError(UnreadableArtifactError):
    """The file is of no use to anyone."""


class _OddError(Exception):
    """A value that does not fit, and has no parts that do."""


def decode(path: Path, shape: type[T]) -> tuple[T, int]:
    """The file's content, and how many of its values were passed over; raises `UnreadableArtifactError`."""
    # The file is mapped, not read: the decoder copies what it keeps, and the rest is never in our own memory.
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                return msgspec.json.decode(content, type=shape, strict=False), 0
            except msgspec.ValidationError as error:
                whole = error
            salvage = _Salvage()
            # A copy, as what is taken apart refers to it.
            return salvage.value(msgspec.Raw(bytes(content)), shape), salvage.odd
    except _OddError as error:
        raise UnreadableArtifactError(f"{path.name} cannot be read: {whole}") from error
    except RecursionError as error:
        raise UnreadableArtifactError(f"{path.name} cannot be read: {error}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise NotJsonError(f"{path.name} is not JSON: {error}") from error


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
