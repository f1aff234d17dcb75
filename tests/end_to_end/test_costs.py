"""Costs from the adapter's answer in dbt Cloud's artifacts to files, summary and log, for BigQuery and Athena."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import xmlschema
from tests.support.loop import PlayedStep
from tests.support.told_cloud import Told, build, node, play, row, told
from tests.support.told_scene import LOST, ToldScene, in_told_scene

ROOT = Path(__file__).parents[2]
A, B, T = "model.shop.a", "model.shop.b", "test.shop.t"
NODES = [node(A, fqn=["shop", "a"]), node(B, A, fqn=["shop", "b"]), node(T, A, fqn=["shop", "t"])]
MEBIBYTE = 2**20


def bigquery(read: int, slot_ms: int) -> dict[str, Any]:
    """As dbt-bigquery 1.12 reports a statement."""
    return {
        "_message": f"CREATE TABLE (3.0 rows, {read} processed)",
        "code": "CREATE TABLE",
        "rows_affected": 3,
        "bytes_processed": read,
        "bytes_billed": max(read, 10 * MEBIBYTE),
        "location": "EU",
        "project_id": "acme",
        "job_id": "5f0c",
        "slot_ms": slot_ms,
    }


def answered(name: str, response: dict[str, Any], status: str = "success", message: str = "OK") -> Told:
    return row(name, status, message) | {"adapter_response": response}


def file(step: PlayedStep, name: str) -> Any:
    """A JSON file that the step wrote, validated."""
    content = json.loads((step.workspace / "dbt-cloud/7" / name).read_text(encoding="utf-8"))
    schema = ROOT / "schemas" / name.replace(".json", "-v1.schema.json")
    jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8"))).validate(content)
    return content


def test_a_retry_that_recovers_is_billed_for_both_attempts_and_says_what_it_saved(tmp_path: Path) -> None:
    first = [
        answered(A, bigquery(300 * MEBIBYTE, 61_000)),
        answered(B, {}, "error", LOST),
        answered(T, bigquery(0, 500), "pass"),
    ]
    second = [answered(B, bigquery(20 * MEBIBYTE, 2_000))]
    runs = [told(20, build(first, NODES, status=20)), told(10, build(second, NODES))]
    step = play(tmp_path, runs, retry_delay="0")
    assert step.outputs["status"] == "success", step.log
    result = file(step, "result.json")
    assert result["cost"] == {
        "bytes_processed": 320 * MEBIBYTE,
        "bytes_billed": 330 * MEBIBYTE,
        "slot_ms": 63_500,
        "is_complete": True,
    }
    assert result["saved"] == {
        "nodes": 2,
        "node_seconds": 2.0,
        "cost": {"bytes_processed": 300 * MEBIBYTE, "bytes_billed": 310 * MEBIBYTE, "slot_ms": 61_500},
    }
    costs = {asset["name"]: asset["cost"] for asset in file(step, "assets.json")["assets"]}
    assert costs["a"] == {"bytes_processed": 300 * MEBIBYTE, "bytes_billed": 300 * MEBIBYTE, "slot_ms": 61_000}
    assert costs["b"]["bytes_billed"] == 20 * MEBIBYTE
    whole = "330 MiB billed, 320 MiB processed, 1m 4s slot time (attempt 1: 310 MiB billed; attempt 2: 20 MiB billed)"
    assert f"#### Cost\n\n{whole}.\n" in step.summary
    assert f"cost: {whole}" in step.log
    kept = "2 nodes not repeated (2.0 s node time, added up over all threads; 310 MiB billed; 1m 2s slot time)"
    assert kept in step.summary
    assert "| 300&nbsp;MiB<br>1m&nbsp;1s |" in step.summary


def test_athena_reports_what_it_scanned(tmp_path: Path) -> None:
    rows = [answered(A, {"_message": "OK 5", "rows_affected": 5, "data_scanned_in_bytes": 7_000})]
    step = play(tmp_path, [told(10, build(rows, NODES))])
    assert file(step, "result.json")["cost"] == {
        "bytes_processed": 7_000,
        "bytes_billed": None,
        "slot_ms": None,
        "is_complete": True,
    }
    assert "#### Cost\n\n6.8 KiB processed.\n" in step.summary


def test_a_warehouse_that_reports_none_shows_none(tmp_path: Path) -> None:
    snowflake = {"_message": "SUCCESS 4", "code": "SUCCESS", "rows_affected": 4, "query_id": "01b7", "rows_inserted": 4}
    step = play(tmp_path, [told(10, build([answered(A, snowflake)], NODES))])
    assert file(step, "result.json")["cost"] is None
    assert [asset["cost"] for asset in file(step, "assets.json")["assets"]] == [None]
    assert "Cost" not in step.summary
    assert "cost:" not in step.log


@pytest.mark.parametrize("value", [None, "10.0 MiB", -1, True, 10**30, 1.5, [1], {"a": 1}])
def test_a_hostile_value_costs_that_value_only(value: Any, tmp_path: Path) -> None:
    rows = [answered(A, bigquery(MEBIBYTE, 100) | {"bytes_billed": value}), answered(B, bigquery(0, 23))]
    step = play(tmp_path, [told(10, build(rows, NODES))])
    assert (step.status, step.outputs["status"], step.outputs["nodes-total"]) == (0, "success", "2"), step.log
    cost = file(step, "result.json")["cost"]
    assert (cost["bytes_processed"], cost["bytes_billed"], cost["slot_ms"]) == (MEBIBYTE, 10 * MEBIBYTE, 123)
    assets = {asset["name"]: asset["cost"] for asset in file(step, "assets.json")["assets"]}
    assert assets["a"] == {"bytes_processed": MEBIBYTE, "bytes_billed": None, "slot_ms": 100}


def test_after_a_signal_the_files_are_there_and_the_cost_is_at_least_what_is_known(tmp_path: Path) -> None:
    rows = [answered(A, bigquery(MEBIBYTE, 100)), answered(B, {}, "error", LOST)]

    async def interrupted(scene: ToldScene) -> None:
        def waits_for_the_second() -> bool:
            runs = scene.server.runs
            return len(runs) == 2 and scene.server.count("GET", f"/runs/{runs[1]['id']}/$") > 0

        step = await scene.play(retry_delay="0", interrupt=waits_for_the_second)
        assert step.status == 143
        cost = file(step, "result.json")["cost"]
        assert (cost["bytes_billed"], cost["is_complete"]) == (10 * MEBIBYTE, False)
        assert "#### Cost\n\nat least 10 MiB billed" in step.summary
        report = step.workspace / "dbt-cloud/7/junit.xml"
        xmlschema.XMLSchema(ROOT / "schemas/junit.xsd").validate(report)
        assert LOST in report.read_text(encoding="utf-8")

    in_told_scene(tmp_path, [told(20, build(rows, NODES, status=20)), told(3)], interrupted)
