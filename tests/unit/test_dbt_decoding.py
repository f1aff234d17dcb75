"""Artifacts with values of an unexpected shape: each costs itself, and is counted."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbt_cloud_run.dbt.artifacts import Manifest, decode_manifest
from dbt_cloud_run.dbt.decoding import UnreadableArtifactError, decode
from dbt_cloud_run.dbt.results import decode_run_results, decode_sources

A, B = "model.shop.a", "model.shop.b"


def node(unique_id: str, *parents: str) -> dict[str, Any]:
    return {
        "unique_id": unique_id,
        "name": unique_id[-1],
        "resource_type": "model",
        "package_name": "shop",
        "fqn": ["shop", unique_id[-1]],
        "config": {"materialized": "table", "tags": ["x"]},
        "depends_on": {"nodes": list(parents), "macros": ["macro.shop.m"]},
    }


MANIFEST: dict[str, Any] = {
    "metadata": {"adapter_type": "duckdb", "project_name": "shop"},
    "nodes": {A: node(A), B: node(B, A)},
    "sources": {},
    "groups": {"group.shop.g": {"unique_id": "group.shop.g", "name": "g"}},
}
RESULTS: dict[str, Any] = {
    "metadata": {"invocation_id": "i"},
    "args": {"which": "build"},
    "results": [
        {"unique_id": A, "status": "success", "timing": [{"name": "execute"}], "execution_time": 1.0},
        {"unique_id": B, "status": "error", "message": "reset", "timing": []},
    ],
}


def written(folder: Path, content: Any) -> Path:
    path = folder / "file.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def replaced(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    made = copy.deepcopy(content)
    inner = made
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return made


def places(content: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place for key, value in inner for place in [(*prefix, key), *places(value, (*prefix, key))]]


@pytest.mark.parametrize(
    ("place", "lost"),
    [
        (("nodes", A, "depends_on", "nodes"), {"nodes"}),
        (("nodes", A, "config"), {"config"}),
        (("nodes", A), {"a"}),
        (("sources",), set()),
        (("groups", "group.shop.g"), set()),
        (("nodes", A, "fqn"), set()),
    ],
)
def test_a_null_costs_what_it_stands_for(tmp_path: Path, place: tuple[str, ...], lost: set[str]) -> None:
    manifest = decode_manifest(written(tmp_path, replaced(MANIFEST, place, None)))
    assert manifest.passed_over == 1
    assert (manifest.find(A) is None) is ("a" in lost)
    found = manifest.find(B)
    assert found is not None
    assert found.depends_on.nodes == [A]
    assert found.config.materialized == "table"


def test_a_null_in_a_list_costs_that_item(tmp_path: Path) -> None:
    """Seen in public files, in `macros`: a generic test whose macro cannot be found (dbt-core 9261)."""
    content = replaced(MANIFEST, ("nodes", A, "depends_on", "nodes"), [None, "model.shop.m"])
    manifest = decode_manifest(written(tmp_path, content))
    found = manifest.find(A)
    assert found is not None
    assert found.depends_on.nodes == ["model.shop.m"]
    assert manifest.passed_over == 1


def test_a_file_without_oddities_counts_none(tmp_path: Path) -> None:
    assert decode_manifest(written(tmp_path, MANIFEST)).passed_over == 0
    head, results = decode_run_results(written(tmp_path, RESULTS))
    assert (head.passed_over, results.lost_rows) == (0, 0)


def test_a_row_that_is_none_costs_that_row_and_no_place(tmp_path: Path) -> None:
    for odd in (None, 7, {"status": "error"}, {"unique_id": None}):
        content = replaced(RESULTS, ("results", 0), odd)
        _, results = decode_run_results(written(tmp_path, content))
        assert [(row.unique_id, row.row) for row in results.nodes] == [(B, 1)]
        assert results.lost_rows == 1


def test_an_odd_value_of_a_row_costs_that_value(tmp_path: Path) -> None:
    content = replaced(RESULTS, ("results", 1, "timing"), [None, {"name": "execute", "started_at": 7}])
    content["results"][1]["execution_time"] = "long"
    head, results = decode_run_results(written(tmp_path, content))
    assert [row.status for row in results.nodes] == ["success", "error"]
    assert results.nodes[1].execution_seconds == 0.0
    assert head.passed_over >= 2


@pytest.mark.parametrize("broken", [b"\\ud83d", b"\xff"])
@pytest.mark.parametrize("is_odd_first", [True, False])
def test_an_odd_value_and_a_broken_text_cost_no_more_than_each_of_them(
    tmp_path: Path, *, is_odd_first: bool, broken: bytes
) -> None:
    """Which of them is found first must not matter: dbt writes half of an emoji where it cuts a message."""
    odd, cut = (0, 1) if is_odd_first else (1, 0)
    results = replaced(
        replaced(RESULTS, ("results", odd, "execution_time"), "n/a"), ("results", cut, "message"), "cut @"
    )
    path = written(tmp_path, results)
    path.write_bytes(path.read_bytes().replace(b"@", broken))
    _, found = decode_run_results(path)
    assert [row.unique_id for row in found.nodes] == [A, B]
    assert "cut \ufffd" in (found.nodes[cut].message or "")

    nodes = replaced(replaced(MANIFEST, ("nodes", (A, B)[odd], "fqn"), 7), ("nodes", (A, B)[cut], "description"), "@")
    path = written(tmp_path, nodes)
    path.write_bytes(path.read_bytes().replace(b"@", broken))
    manifest = decode_manifest(path)
    assert (set(manifest.nodes), manifest.passed_over) == ({A, B}, 1)


def test_sources_are_read_as_leniently(tmp_path: Path) -> None:
    rows = [None, {"unique_id": "source.shop.x", "status": "pass", "criteria": {"warn_after": {"count": []}}}]
    head, found = decode_sources(written(tmp_path, {"metadata": {}, "results": rows}))
    assert [row.unique_id for row in found] == ["source.shop.x"]
    assert head.passed_over == 1


@pytest.mark.parametrize("content", [None, [], 7, {"results": 7}, {"results": None}, {}])
def test_what_has_no_results_is_no_file_of_results(tmp_path: Path, content: Any) -> None:
    with pytest.raises(UnreadableArtifactError):
        decode_run_results(written(tmp_path, content))


odd_values = st.sampled_from([None, 7, -0.0, "text", [], {}, [None], {"x": None}, True])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([place for place in places(MANIFEST) if A in place]), odd_values)
def test_whatever_one_node_holds_the_others_stay(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    manifest = decode_manifest(written(tmp_path, replaced(MANIFEST, place, value)))
    assert manifest.find(B) is not None
    assert manifest.nodes[B].depends_on.nodes == [A]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([place for place in places(RESULTS) if place[:2] == ("results", 0)]), odd_values)
def test_whatever_one_row_holds_the_others_stay(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    _, results = decode_run_results(written(tmp_path, replaced(RESULTS, place, value)))
    assert results.nodes[-1].unique_id == B
    assert results.nodes[-1].status == "error"
    assert len(results.nodes) + results.lost_rows == 2


@pytest.mark.parametrize("count", [0, 1, 2_001, 4_000])
def test_nodes_that_are_decoded_one_by_one_are_the_same(tmp_path: Path, count: int) -> None:
    node = next(iter(MANIFEST["nodes"].values()))
    nodes = {f"model.shop.m{number}": {**node, "description": f"é {number}"} for number in range(count)}
    path = written(tmp_path, {**MANIFEST, "nodes": nodes})
    assert decode(path, Manifest, apart=("nodes", "sources")) == decode(path, Manifest)
    assert len(decode(path, Manifest, apart=("nodes", "sources"))[0].nodes) == count
