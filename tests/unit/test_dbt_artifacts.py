"""dbt's artifact files with values that no dbt should write: decoded to what can be counted with, or to nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dbt_cloud_run.dbt.decoding import UnreadableArtifactError
from dbt_cloud_run.dbt.results import decode_run_results, decode_sources, parse_time


@pytest.mark.parametrize("number", ["1e308", '"inf"', '"nan"', "-5", "null", '"-inf"'])
def test_no_duration_is_endless(tmp_path: Path, number: str) -> None:
    row = f'{{"unique_id": "model.a.b", "status": "success", "execution_time": {number}}}'
    path = tmp_path / "run_results.json"
    path.write_text(f'{{"results": [{row}], "elapsed_time": {number}, "args": {{}}, "metadata": {{}}}}')
    _, results = decode_run_results(path)
    assert results.nodes[0].execution_seconds == 0.0
    assert not results.elapsed_seconds


def test_a_source_that_never_was_loaded_has_an_age(tmp_path: Path) -> None:
    row = {"unique_id": "source.a.b.c", "status": "error", "max_loaded_at": "0001-01-01T00:00:00+05:00"}
    path = tmp_path / "sources.json"
    path.write_text(json.dumps({"results": [row | {"max_loaded_at_time_ago_in_s": 6.4e10}], "metadata": {}}))
    _, (found,) = decode_sources(path)
    assert found.age_seconds == 6.4e10
    assert found.max_loaded_at is None


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "soon", "", None])
def test_what_is_no_time_in_utc_is_none(text: str | None) -> None:
    assert parse_time(text) is None


LONE = r"broken \ud83d, \udc00 and \\ud800, whole \ud83d\ude00"


@pytest.mark.parametrize("message", [LONE.encode(), b"\xff broken", b"\xed\xa0\x80", rb"\ud800"])
def test_a_text_that_is_no_text_costs_not_even_its_row(tmp_path: Path, message: bytes) -> None:
    path = tmp_path / "run_results.json"
    rows = b'{"unique_id": "model.a.b", "status": "error", "message": "' + message + b'"}, '
    path.write_bytes(b'{"results": [' + rows + b'{"unique_id": "model.a.c", "status": "success"}]}')
    _, results = decode_run_results(path)
    assert [node.status for node in results.nodes] == ["error", "success"]
    assert (results.nodes[0].message or "").encode()
    if message == LONE.encode():
        assert results.nodes[0].message == "broken \ufffd, \ufffd and \\ud800, whole \U0001f600"


@pytest.mark.parametrize("content", [b"[1, 2", b"", b'{"results": [{"unique_id": "\\ud800"', b"<html>"])
def test_what_is_no_json_stays_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run_results.json"
    path.write_bytes(content)
    with pytest.raises(UnreadableArtifactError):
        decode_run_results(path)
