"""Manifests whose nodes are decoded some at a time: the same as if they were decoded at once, however they are cut."""

from __future__ import annotations

import json
import mmap
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_dbt_decoding import MANIFEST, A, B, node, written

from dbt_cloud_run.dbt.artifacts import Manifest, decode_manifest
from dbt_cloud_run.dbt.decoding import decode
from dbt_cloud_run.dbt.entries import decode_by_entries

C, TEST = "model.shop.c", "test.shop.not_null.1"
NODES = {A: node(A), B: node(B, A), C: node(C, A, B), TEST: {**node(TEST, C), "resource_type": "test"}}
WHOLE: dict[str, Any] = {**MANIFEST, "nodes": NODES, "functions": {"function.shop.f": {"name": "f"}}}


@pytest.fixture(autouse=True, params=[1, 400, 1 << 21], ids=["each node", "some nodes", "all nodes"])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("dbt_cloud_run.dbt.entries.PIECE", request.param)
    return int(request.param)


def mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def by_entries(path: Path) -> Manifest | None:
    return decode_by_entries(mapped(path), Manifest, "nodes", "sources")


@pytest.mark.parametrize("separators", [None, (",", ":")], ids=["as dbt writes it", "compact"])
def test_the_nodes_are_the_same_as_at_once_and_in_their_order(
    tmp_path: Path, separators: tuple[str, str] | None
) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(WHOLE, separators=separators), encoding="utf-8")
    found = by_entries(path)
    assert found == decode(path, Manifest)[0]
    assert found is not None
    assert list(found.nodes) == list(NODES)
    assert "function.shop.f" in found.functions


TRAPS: dict[str, Any] = {
    "a text that looks like the next node": {"description": '}, "model.shop.x": {"unique_id": "no"}'},
    "a text that looks like the end": {"description": '}}, "sources": {}'},
    "a text that ends in a backslash": {"description": 'x\\"}, "model.shop.x": {\\'},
    "columns with dots in their names": {"columns": {"address": {}, "address.city": {"name": "c"}, "a.b": {}}},
    "a column named like a node": {"columns": {"a": {}, "model.shop.b": {"name": "c"}, "z": {}}},
    "sources within a node": {"config": {"meta": {"a": {"b": {}}, "sources": {"x": {}}}}},
    "nodes within a node": {"config": {"meta": {"nodes": {"model.shop.x": {"name": "no"}}}}},
}


@pytest.mark.parametrize("trap", TRAPS.values(), ids=TRAPS)
@pytest.mark.parametrize("where", [A, C, TEST])
def test_no_value_of_a_node_changes_what_is_found(tmp_path: Path, where: str, trap: dict[str, Any]) -> None:
    path = written(tmp_path, {**WHOLE, "nodes": {**NODES, where: {**NODES[where], **trap}}})
    assert decode(path, Manifest, apart=("nodes", "sources")) == decode(path, Manifest)


LAYOUTS: dict[str, Any] = {
    "without nodes": {"metadata": {}, "sources": {}},
    "without a node": {**WHOLE, "nodes": {}},
    "nodes at the end": {"metadata": {}, "sources": {}, "nodes": NODES},
    "something else after them": {"metadata": {}, "nodes": NODES, "macros": {}, "sources": {}},
    "nodes of something else before": {"metadata": {"env": {"nodes": {A: {}}}}, "nodes": NODES, "sources": {}},
    "nodes of something else alone": {"metadata": {"env": {"nodes": {A: {}}, "sources": {}}}, "sources": {}},
    "nodes that are not named like nodes": {"nodes": {"a": {}, "b": {}}, "sources": {}},
    "a value that does not fit": {**WHOLE, "nodes": {**NODES, B: {**NODES[B], "name": [7]}}},
    "nodes that are none": {"metadata": {}, "nodes": {A: 7, B: NODES[B]}, "sources": {}},
}


@pytest.mark.parametrize("content", LAYOUTS.values(), ids=LAYOUTS)
def test_another_layout_is_decoded_all_the_same(tmp_path: Path, content: Any) -> None:
    path = written(tmp_path, content)
    assert decode(path, Manifest, apart=("nodes", "sources")) == decode(path, Manifest)


@pytest.mark.parametrize("limit", ["_LONGEST_PIECE", "_LONGEST_REST"])
def test_what_is_too_large_to_be_copied_is_decoded_at_once(
    tmp_path: Path, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, {**WHOLE, "docs": {"doc.a": {"block_contents": "x" * 5_000}}})
    monkeypatch.setattr(f"dbt_cloud_run.dbt.entries.{limit}", 200)
    assert by_entries(path) is None
    assert list(decode_manifest(path).nodes) == list(NODES)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.99])
def test_a_file_that_was_cut_is_not_taken_for_a_smaller_one(tmp_path: Path, share: float) -> None:
    path = written(tmp_path, WHOLE)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert by_entries(path) is None


def test_a_text_that_is_no_utf_8_costs_itself(tmp_path: Path) -> None:
    path = written(tmp_path, {**WHOLE, "nodes": {**NODES, B: {**NODES[B], "description": "?!"}}})
    path.write_bytes(path.read_bytes().replace(b"?!", b"\xff\xfe"))
    found = decode_manifest(path)
    assert list(found.nodes) == list(NODES)
    assert found.nodes[B].description == "\ufffd\ufffd"


def test_each_id_is_kept_once(tmp_path: Path) -> None:
    found = decode_manifest(written(tmp_path, WHOLE))
    [key] = (key for key in found.nodes if key == B)
    assert found.nodes[B].unique_id is key
    assert found.nodes[C].depends_on.nodes[1] is key
