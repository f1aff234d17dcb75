"""The written files: whole or not at all, and one truthful set of run results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.support import report_scenarios as scenarios
from tests.support.report_data import attempt, ledger, step
from tests.support.values import replace

from dbt_cloud_run import redaction
from dbt_cloud_run.assets.asset import Asset
from dbt_cloud_run.dbt.results import decode_run_results
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Attempt, Ledger, Outcome
from dbt_cloud_run.report import files
from dbt_cloud_run.report.report import Report
from dbt_cloud_run.report.result import about, result_values

SCHEMA = json.loads((Path(__file__).parents[1] / "schemas" / "run-results-v6.schema.json").read_text())


def row(unique_id: str, status: str, **extra: Any) -> dict[str, Any]:
    return {
        "status": status, "timing": [], "thread_id": "Thread-1", "execution_time": 1.5, "adapter_response": {},
        "message": None, "failures": None, "unique_id": unique_id, "compiled": True, "compiled_code": "select 1",
        "relation_name": None, **extra,
    }  # fmt: skip


def run_results(path: Path, rows: list[dict[str, Any]], *, which: str = "build", invocation: str = "i") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json",
            "dbt_version": "1.11.0",
            "generated_at": "2026-11-20T06:00:00Z",
            "invocation_id": invocation,
            "env": {"DBT_CLOUD_RUN_ID": "1"},
        },
        "results": rows,
        "elapsed_time": 10.0,
        "args": {"which": which, "invocation_command": f"dbt {which}"},
    }
    path.write_text(json.dumps(content))
    return path


def decoded_attempt(number: int, *paths: Path) -> Attempt:
    steps = (
        replace(step(4 + index, "dbt build", ()), results=decode_run_results(path)[1])
        for index, path in enumerate(paths)
    )
    return attempt(number, *steps)


@pytest.fixture
def two_attempts(tmp_path: Path) -> tuple[Attempt, Attempt]:
    seeds = run_results(tmp_path / "1" / "rr.json", [row("seed.p.s", "success")], which="seed", invocation="one")
    first = run_results(
        tmp_path / "2" / "rr.json",
        [row("model.p.a", "success"), row("model.p.b", "error", message='x "]}'), row("model.p.c", "skipped")],
        invocation="two",
    )
    again = [row("model.p.c", "success"), row("model.p.b", "success", batch_results=None)]
    second = run_results(tmp_path / "3" / "rr.json", again, invocation="three")
    return decoded_attempt(1, seeds, first), decoded_attempt(2, second)


def test_each_node_once_by_its_last_result(tmp_path: Path, two_attempts: tuple[Attempt, Attempt]) -> None:
    target = tmp_path / "out" / "run_results.json"
    assert files.write_merged_run_results(target, ledger(two_attempts), two_attempts) == 4
    merged = json.loads(target.read_text())
    jsonschema.validate(merged, SCHEMA)
    assert {found["unique_id"]: found["status"] for found in merged["results"]} == {
        "seed.p.s": "success",
        "model.p.a": "success",
        "model.p.c": "success",
        "model.p.b": "success",
    }
    assert len(merged["results"]) == 4
    assert row("model.p.b", "success", batch_results=None) in merged["results"]


def test_it_says_that_it_is_merged_and_from_what(tmp_path: Path, two_attempts: tuple[Attempt, Attempt]) -> None:
    target = tmp_path / "run_results.json"
    files.write_merged_run_results(target, ledger(two_attempts), two_attempts)
    merged = json.loads(target.read_text())
    assert merged["elapsed_time"] == 30.0
    assert merged["args"]["which"] == "build"
    assert merged["args"]["merged"] is True
    shown = [
        (found["run_id"], found["step"], found["invocation_id"], found["results"], found["of"])
        for found in merged["args"]["merged_from"]
    ]
    assert shown == [(70403, 4, "one", 1, 1), (70403, 5, "two", 1, 3), (70404, 4, "three", 2, 2)]
    assert merged["args"]["merged_from"][0]["invocation_command"] == "dbt seed"
    assert merged["metadata"]["invocation_id"] == "three"
    assert merged["metadata"]["env"] == {
        "DBT_CLOUD_RUN_ID": "1",
        files.MERGED_FROM_VARIABLE: "70403/4,70403/5,70404/4",
    }
    assert [node.status for node in decode_run_results(target)[1].nodes] == ["success"] * 4


def test_rows_of_a_file_that_vanished_are_made_from_what_was_read(
    tmp_path: Path, two_attempts: tuple[Attempt, Attempt]
) -> None:
    (tmp_path / "2" / "rr.json").unlink()
    (tmp_path / "3" / "rr.json").write_text('{"results": [{"unique_id": "model.p.other"}], "metadata": null}')
    target = tmp_path / "run_results.json"
    assert files.write_merged_run_results(target, ledger(two_attempts), two_attempts) == 4
    merged = json.loads(target.read_text())
    jsonschema.validate(merged, SCHEMA)
    assert {found["unique_id"] for found in merged["results"]} == {"seed.p.s", "model.p.a", "model.p.b", "model.p.c"}


def test_a_file_that_holds_every_node_is_copied_as_it_is(tmp_path: Path) -> None:
    rows = [row("model.p.b", "success", adapter_response={"a": [1.50, "é"]}), row("model.p.a", "error", message="x")]
    path = run_results(tmp_path / "1" / "rr.json", rows)
    run, target = decoded_attempt(1, path), tmp_path / "run_results.json"
    assert files.write_merged_run_results(target, ledger((run,)), (run,)) == 2
    assert json.dumps(rows)[1:-1] in target.read_text()
    jsonschema.validate(json.loads(target.read_text()), SCHEMA)


def test_a_secret_in_a_file_that_is_copied_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_hidden_bytes", [b"s3cr3t-token"])
    path = run_results(tmp_path / "1" / "rr.json", [row("model.p.a", "error", message="by s3cr3t-token")])
    run, target = decoded_attempt(1, path), tmp_path / "run_results.json"
    files.write_merged_run_results(target, ledger((run,)), (run,))
    assert json.loads(target.read_text())["results"][0]["message"] == "by ***"


def test_documentation_steps_are_no_source(tmp_path: Path) -> None:
    built = run_results(tmp_path / "1" / "rr.json", [row("model.p.a", "error")])
    docs = run_results(tmp_path / "2" / "rr.json", [row("model.p.a", "success")], which="generate")
    run = decoded_attempt(1, built, docs)
    truth = ledger((replace(run, steps=run.steps[:1]),))
    target = tmp_path / "run_results.json"
    files.write_merged_run_results(target, truth, (run,))
    merged = json.loads(target.read_text())
    assert [found["status"] for found in merged["results"]] == ["error"]
    assert len(merged["args"]["merged_from"]) == 1


def test_without_results_nothing_is_written(tmp_path: Path) -> None:
    target = tmp_path / "run_results.json"
    assert files.write_merged_run_results(target, Ledger(), (attempt(1),)) == 0
    assert not target.exists()


def test_no_results_at_all_in_the_files_is_still_a_file(tmp_path: Path) -> None:
    run = decoded_attempt(1, run_results(tmp_path / "1" / "rr.json", []))
    target = tmp_path / "run_results.json"
    assert files.write_merged_run_results(target, Ledger(), (run,)) == 0
    jsonschema.validate(json.loads(target.read_text()), SCHEMA)


def test_assets_are_objects_with_iso_times(tmp_path: Path) -> None:
    assets = scenarios.green().assets
    files.write_assets(tmp_path / "assets.json", assets, about(scenarios.green()))
    written = json.loads((tmp_path / "assets.json").read_text())["assets"]
    assert [found["key"] for found in written] == [asset.key for asset in assets]
    assert set(written[0]) == set(type(assets[0]).__slots__)
    assert written[0]["started_at"] == "2026-11-20T06:00:02Z"
    files.write_assets(tmp_path / "none.json", (), about(scenarios.green()))
    assert json.loads((tmp_path / "none.json").read_text())["assets"] == []


def test_result_has_real_types(tmp_path: Path) -> None:
    files.write_result(tmp_path / "result.json", result_values(scenarios.failed()))
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["run-ids"] == [70403, 70404]
    assert written["nodes-failed"] == 2
    unknown = result_values(Report(outcome=Outcome(ending=Ending.ERROR)))
    files.write_result(tmp_path / "result.json", unknown)
    assert json.loads((tmp_path / "result.json").read_text())["run-id"] is None


def test_a_failure_while_writing_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "assets.json"
    target.write_text("before")

    def broken() -> Iterator[Asset]:
        yield from scenarios.green().assets
        raise OSError("no space left on device")

    endless: Any = broken()
    with pytest.raises(OSError, match="no space"):
        files.write_assets(target, endless, about(scenarios.green()))
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["assets.json"]


def test_text_that_is_no_unicode_is_written(tmp_path: Path) -> None:
    files.write_text(tmp_path / "summary.md", "a\ud800b")
    assert (tmp_path / "summary.md").read_text() == "a?b"
