"""`junit.xml`: valid against our schema, read by a reader of others, and red exactly where the step is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import junitparser
import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st
from tests.support import report_scenarios as scenarios
from tests.support import report_sizes as sizes
from tests.support.report_data import attempt, shop, step, unique_id
from tests.support.values import replace

from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.model import FreshnessResult, Outcome, RunState
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.redaction import _hidden, _hidden_bytes, hide
from dbt_cloud_run.report import files
from dbt_cloud_run.report.junit import Case, Problem, cases, junit_xml
from dbt_cloud_run.report.report import Report

XSD = xmlschema.XMLSchema(Path(__file__).parents[2] / "schemas" / "junit.xsd")


def xml_of(data: Report) -> str:
    """The file, validated."""
    text = b"".join(junit_xml(cases(data))).decode()
    XSD.validate(text)
    return text


def read(data: Report) -> dict[str, junitparser.TestCase]:
    """Name -> case, as `junitparser` reads them."""
    return {case.name: case for suite in junitparser.JUnitXml.fromstring(xml_of(data).encode()) for case in suite}


def element(data: Report, name: str) -> ET.Element:
    (found,) = ET.fromstring(xml_of(data)).findall(f".//testcase[@name='{name}']")  # noqa: S314 - our own
    return found


def properties(found: ET.Element) -> dict[str, str]:
    return {one.attrib["name"]: one.attrib["value"] for one in found.iter("property")}


def of_rows(*rows: NodeResult, ending: Ending = Ending.SUCCESS, **changes: object) -> Report:
    return shop(attempt(1, step(4, "dbt build", rows)), ending=ending, **changes)


ENDINGS: list[Callable[[], Report]] = [
    scenarios.green,
    scenarios.recovered,
    scenarios.failed,
    scenarios.cancelled,
    scenarios.setup_failed,
    scenarios.hostile,
    lambda: sizes.large(2_000),
    lambda: Report(outcome=Outcome(ending=Ending.ERROR, failure_kind=FailureKind.API)),
    lambda: of_rows(ending=Ending.TIMED_OUT),
    lambda: of_rows(ending=Ending.SUPERSEDED),
]


@pytest.mark.parametrize("scenario", ENDINGS)
def test_it_is_red_exactly_where_the_step_is(scenario: Callable[[], Report]) -> None:
    data = scenario()
    found = junitparser.JUnitXml.fromstring(xml_of(data).encode())
    assert bool(found.failures + found.errors) is (data.outcome.ending is not Ending.SUCCESS)


def test_the_totals_are_those_of_the_cases() -> None:
    data = scenarios.failed()
    root = ET.fromstring(xml_of(data))  # noqa: S314 - our own
    for suite in root:
        assert int(suite.attrib["tests"]) == len(suite.findall("testcase"))
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.attrib[attribute]) == len(suite.findall(f"testcase/{tag}")), attribute
        seconds = sum(float(case.attrib["time"]) for case in suite)
        assert float(suite.attrib["time"]) == pytest.approx(seconds)
    assert int(root.attrib["tests"]) == len(root.findall(".//testcase"))
    assert [suite.attrib["name"] for suite in root] == ["nodes", "data tests"]


def test_tests_and_failed_nodes_are_cases_and_other_nodes_are_none() -> None:
    names = read(scenarios.failed()).keys()
    tests = {name for name in names if "_fct_" in name or "not_null" in name or "accepted" in name or "assert" in name}
    assert len(tests) == 5
    assert names - tests == {"dim_customers", "fct_orders"}
    assert read(scenarios.green()).keys() == tests


def test_a_failed_test_has_its_file_message_seconds_owner_and_attempts() -> None:
    found = read(scenarios.failed())["unique_fct_orders_order_id"]
    (problem,) = found.result
    assert isinstance(problem, junitparser.Failure)
    assert (problem.type, problem.message) == ("fail", scenarios.BROKEN_CONTRACT)
    assert (found.time, found.classname) == (0.3, "shop.fct_orders")
    raw = element(scenarios.failed(), "unique_fct_orders_order_id")
    assert raw.attrib["file"] == "models/marts/schema.yml"
    assert properties(raw) == {
        "unique_id": unique_id("unique_fct_orders_order_id"),
        "owner": "Finance analytics",
        "attempts": "2",
        "run_id": "70404",
    }


def test_a_failed_model_is_an_error_with_the_whole_message() -> None:
    found = read(scenarios.failed())["dim_customers"]
    (problem,) = found.result
    assert isinstance(problem, junitparser.Error)
    assert problem.message == "Database Error in model dim_customers (models/marts/dim_customers.sql)"
    assert problem.text == scenarios.MISSING_COLUMN
    assert found.classname == "shop.model"


def test_a_recovered_node_passed_and_says_that_it_was_flaky() -> None:
    found = read(scenarios.recovered())["fct_orders"]
    assert found.is_passed
    raw = element(scenarios.recovered(), "fct_orders")
    (flaky,) = raw.findall("flakyFailure")
    assert flaky.attrib["type"] == "failed in attempt 1"
    assert flaky.attrib["message"] == "Database Error in model fct_orders (models/marts/fct_orders.sql)"
    assert flaky.findtext("stackTrace") == scenarios.LOST_CONNECTION
    assert properties(raw)["attempts"] == "2"


def test_a_skipped_test_is_skipped_and_a_warned_one_passed_with_its_message() -> None:
    assert read(scenarios.failed())["assert_revenue_is_positive"].is_skipped
    warned = read(scenarios.green())["accepted_values_stg_orders_status"]
    assert warned.is_passed
    assert warned.system_out == "warn: Got 3 results, configured to warn if != 0"


def test_a_step_that_failed_before_any_node_is_a_case() -> None:
    (found,) = read(scenarios.setup_failed()).values()
    assert (found.name, found.classname) == ("dbt deps", "dbt Cloud.steps")
    (problem,) = found.result
    assert "Max retries exceeded" in (problem.text or "")
    assert "\x1b" not in (problem.text or "")


def test_a_stale_source_that_failed_the_run_is_a_case() -> None:
    row = FreshnessResult(unique_id=unique_id("raw.orders"), status="error", age_seconds=90_000.0)
    freshness = step(4, "dbt source freshness", (), results=None, freshness=(row,), state=RunState.ERROR)
    data = shop(attempt(1, freshness), ending=Ending.ERROR, failure_kind=FailureKind.FRESHNESS)
    (found,) = read(data).values()
    (problem,) = found.result
    assert (found.name, problem.type, problem.text) == ("raw.orders", "error", "last loaded 25h 0m ago")


def test_where_nothing_of_the_run_shows_why_the_run_is_the_case() -> None:
    (found,) = read(of_rows(ending=Ending.TIMED_OUT)).values()
    (problem,) = found.result
    assert (found.name, problem.type) == ("run 70403", "timed-out")
    assert problem.text == "Run 70403 reached dbt Cloud's own time limit."


ANYTHING = st.text(st.characters(codec=None), max_size=60)
CASES = st.builds(
    Case,
    suite=st.sampled_from(["data tests", "nodes"]),
    name=ANYTHING,
    classname=ANYTHING,
    seconds=st.floats(-1, 1e9),
    file=st.none() | ANYTHING,
    properties=st.tuples(st.tuples(st.just("owner"), ANYTHING)),
    problems=st.sampled_from(["failure", "error", "skipped", "flakyFailure", "system-out"]).flatmap(
        lambda tag: st.tuples(st.builds(Problem, tag=st.just(tag), type=ANYTHING, text=ANYTHING))
    ),
)


@given(st.lists(CASES, max_size=4))
def test_no_text_makes_it_invalid(found: list[Case]) -> None:
    text = b"".join(junit_xml(found)).decode()
    XSD.validate(text)
    assert sum(1 for suite in junitparser.JUnitXml.fromstring(text.encode()) for _ in suite) == len(found)


def test_every_character_of_unicode_can_be_in_a_message() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    for start in range(0, len(every), 50_000):
        text = every[start : start + 50_000]
        row = NodeResult(unique_id=unique_id("fct_orders"), status="error", message=f"boom\n{text}")
        data = of_rows(row, ending=Ending.ERROR)
        ET.fromstring(b"".join(junit_xml(cases(data))))  # noqa: S314 - our own


def test_secrets_are_hidden_before_they_are_escaped() -> None:
    before = list(_hidden), list(_hidden_bytes)
    try:
        hide('s3cret<&"value')
        row = NodeResult(unique_id=unique_id("fct_orders"), status="error", message='login s3cret<&"value failed')
        text = xml_of(of_rows(row, ending=Ending.ERROR))
    finally:
        _hidden[:], _hidden_bytes[:] = before
    assert "s3cret" not in text
    assert "login *** failed" in text


def test_two_nodes_without_a_manifest_have_names(tmp_path: Path) -> None:
    rows = (NodeResult(unique_id="odd", status="error"), NodeResult(unique_id="test.p.t.1", status="fail"))
    data = replace(of_rows(*rows, ending=Ending.ERROR), nodes={}, edges={}, assets=())
    assert {(case.classname, name) for name, case in read(data).items()} == {("dbt.node", "odd"), ("p.data tests", "t")}
    files.write_junit(tmp_path / "junit.xml", junit_xml(cases(data)))
    XSD.validate(tmp_path / "junit.xml")
