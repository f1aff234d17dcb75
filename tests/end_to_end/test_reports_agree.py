"""One nightly run of the shop, with hooks, a flaky model and a retry, on real dbt: every report says the same of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import junitparser
import pytest
import xmlschema
from standins.emulator import running_emulator
from tests.support.action import ActionJob, FinishedStep, inputs_for

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NOT_EXECUTED = ("deps", "source freshness", "docs generate")


class Nightly:
    """The step, and the unique ids that each of its runs has results for, as dbt wrote them."""

    def __init__(self, step: FinishedStep, runs: list[dict[str, Any]], results: list[dict[str, str]]) -> None:
        self.step, self.runs, self.results = step, runs, results


@pytest.fixture(scope="module")
def nightly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nightly]:
    with running_emulator() as emulator:
        workflow = ActionJob(tmp_path_factory.mktemp("nightly"), inputs_for(emulator) | {"upload-artifact": "false"})
        step = workflow.run({"job-id": "1002", "project-directory": "warehouse"}, seconds=280)
        assert (step.status, step.outputs["attempts"]) == (0, "2"), step.log
        runs = emulator.runs()
        results = []
        for run in runs:
            found: dict[str, str] = {}
            for one in emulator.run(run["id"])["run_steps"]:
                command = re.search("`dbt (.*)`", one["name"])
                if command and one["status"] in (10, 20) and not command[1].startswith(NOT_EXECUTED):
                    rows = emulator.artifact(run["id"], "run_results.json", step=one["index"])["results"]
                    found |= {row["unique_id"]: row["status"] for row in rows}
            results.append(found)
        yield Nightly(step, runs, results)


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, pattern
    return int(found[1].replace(",", ""))


def test_hooks_count_as_nodes_everywhere(nightly: Nightly) -> None:
    first, second = nightly.results
    hooks = {unique_id for unique_id in first if unique_id.startswith("operation.")}
    assert hooks
    assert hooks <= second.keys(), "every command runs them"
    step = nightly.step
    total = len(first.keys() | second.keys())
    assert int(step.outputs["nodes-total"]) == total == len(step.json("run_results.json")["results"])
    assert sum(count for kinds in step.value("counts").values() for count in kinds.values()) == total
    assert number(r"\d+ of ([\d,]+) nodes succeeded", step.summary) == total
    assert number(r"(?m)^([\d,]+) nodes: ", step.text) == total


def test_what_the_plan_counts_is_what_ran_and_what_did_not(nightly: Nightly) -> None:
    first, second = nightly.results
    assert number(r"(\d+) nodes re-run", nightly.step.summary) == len(second)
    assert number(r"re-run in all: (\d+) nodes", nightly.step.text) == len(second)
    kept = first.keys() - second.keys()
    assert number(r"(\d+) nodes not repeated", nightly.step.summary) == len(kept)
    assert number(r"not repeated: (\d+) nodes", nightly.step.text) == len(kept)
    assert nightly.step.json("result.json")["saved"]["nodes"] == len(kept)
    reason = re.search(r"(\d+) of its (\d+) nodes did not succeed", nightly.step.summary)
    assert reason
    failed = sum(status in ("error", "fail", "skipped") for status in first.values())
    assert int(reason[1]) == failed


def test_saved_time_is_called_node_time(nightly: Nightly) -> None:
    saved = nightly.step.json("result.json")["saved"]
    assert saved["node_seconds"] > 0
    assert re.search(r"not repeated \([\d.]+ m?s node time, added up over all threads\)", nightly.step.summary)
    assert saved["cost"] is None, "DuckDB reports none"
    assert nightly.step.json("result.json")["cost"] is None
    assert "Cost" not in nightly.step.summary


def test_the_junit_report_has_every_test_once_and_the_flaky_model(nightly: Nightly) -> None:
    file = nightly.step.folder / "junit.xml"
    xmlschema.XMLSchema(ROOT / "schemas" / "junit.xsd").validate(file)
    report = junitparser.JUnitXml.fromfile(str(file))
    merged = nightly.step.merged
    tests = [name for name in merged if name.startswith(("test.", "unit_test."))]
    assert (report.tests, report.failures, report.errors) == (len(tests) + 1, 0, 0)
    found = ET.parse(file).iter("property")  # noqa: S314 - our own
    ids = [prop.attrib["value"] for prop in found if prop.attrib["name"] == "unique_id"]
    assert sorted(ids) == sorted([*tests, "model.shop.orders"])
    assert {suite.name for suite in report} == {"data tests", "unit tests", "nodes"}
    text = file.read_text(encoding="utf-8")
    assert text.count("<flakyFailure ") == 1
    assert '<property name="attempts" value="2" />' in text


def test_the_files_for_programs_say_what_the_run_was_about(nightly: Nightly) -> None:
    contents = {}
    for name in ("result", "assets"):
        schema = json.loads((ROOT / "schemas" / f"{name}-v1.schema.json").read_text(encoding="utf-8"))
        contents[name] = nightly.step.json(f"{name}.json")
        jsonschema.Draft202012Validator(schema).validate(contents[name])
    result, assets = contents["result"], contents["assets"]
    run = nightly.runs[-1]
    assert result["job"] == {"id": 1002, "name": "Nightly build"}
    assert (result["project"]["id"], result["environment"]["id"]) == (run["project_id"], run["environment_id"])
    assert (result["branch"], result["adapter"]) == (run["git_branch"], "duckdb")
    assert re.fullmatch(r"1\.\d+\.\d+.*", result["versions"]["dbt"])
    shared = result.keys() & assets.keys() - {"assets"}
    assert {name: assets[name] for name in shared} == {name: result[name] for name in shared}
    outputs = nightly.step.outputs
    for name, text in outputs.items():
        value = "" if result[name] is None else result[name]
        assert text == (value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))), name
