"""The columns of relations, as `catalog.json` and `manifest.json` have them; they are read only where asked for.

The catalog lists every column in the warehouse with its type; the manifest lists only those that a file describes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from dbt_cloud_run.dbt.decoding import UnreadableArtifactError, decode


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `type` and `description` are None where nothing says them."""

    name: str
    type: str | None = None
    description: str | None = None


class _Column(msgspec.Struct, kw_only=True, gc=False):
    name: str | None = None
    type: str | None = None  # in the catalog
    data_type: str | None = None  # in the manifest
    description: str | None = None
    index: Any = None


class _Table(msgspec.Struct, kw_only=True, gc=False):
    columns: dict[str, _Column | None] = {}


class _Tables(msgspec.Struct, kw_only=True, gc=False):
    nodes: dict[str, _Table | None] = {}
    sources: dict[str, _Table | None] = {}


def read_columns(manifest: Path | None, catalog: Path | None) -> Mapping[str, tuple[Column, ...]]:
    """The columns by unique id: the catalog's, with the manifest's descriptions, else those of the manifest alone.

    A file that cannot be read is passed over: no verdict depends on it.
    """
    described, found = _read(manifest), _read(catalog)
    columns = {unique_id: _described(table) for unique_id, table in described.items()}
    for unique_id, table in found.items():
        columns[unique_id] = _in_catalog(table, described.get(unique_id) or _Table())
    return {unique_id: known for unique_id, known in columns.items() if known}


def _read(path: Path | None) -> dict[str, _Table]:
    if path is None:
        return {}
    try:
        tables, _ = decode(path, _Tables)
    except (UnreadableArtifactError, OSError):
        return {}
    return {unique_id: table for unique_id, table in (tables.nodes | tables.sources).items() if table is not None}


def _described(table: _Table) -> tuple[Column, ...]:
    return tuple(
        Column(column.name or key, column.data_type or None, column.description or None)
        for key, column in table.columns.items()
        if column is not None
    )


def _in_catalog(table: _Table, described: _Table) -> tuple[Column, ...]:
    # Some warehouses turn names into upper case.
    words = {key.lower(): column.description for key, column in described.columns.items() if column is not None}
    found = [(column.index, column.name or key, column) for key, column in table.columns.items() if column is not None]
    if all(isinstance(index, int) for index, *_ in found):
        found.sort(key=lambda entry: entry[0])
    return tuple(Column(name, column.type or None, words.get(name.lower()) or None) for _, name, column in found)
