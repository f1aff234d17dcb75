"""The outputs: every name on every path, right values, and never over the limit."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support import report_scenarios as scenarios
from tests.support import report_sizes as sizes
from tests.support.values import replace

from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.gates import GateFindings
from dbt_cloud_run.model import Ledger, Outcome
from dbt_cloud_run.node_results import NodeOutcome
from dbt_cloud_run.report.outputs import LIST_OUTPUTS, build_outputs, cut_outputs, output_values
from dbt_cloud_run.report.report import Report

NAMES = {
    "status", "failure-kind", "run-id", "run-url", "git-sha", "run-ids", "attempts", "nodes-total", "nodes-succeeded",
    "nodes-warned", "nodes-failed", "nodes-skipped", "counts", "failed-nodes", "recovered-nodes", "failed-owners",
    "assets", "assets-count", "assets-path", "artifacts-path", "artifact-id", "artifact-url", "artifact-name",
    "duration-seconds", "queued-seconds", "gates-failed", "job-id", "job-name", "sources-warned", "sources-failed",
}  # fmt: skip
NUMBERS = {
    name for name in NAMES if name.startswith(("nodes-", "sources-")) or name.endswith(("-seconds", "-count"))
} | {"attempts"}


@pytest.mark.parametrize(
    "data",
    [
        Report(outcome=Outcome(ending=Ending.SKIPPED)),
        Report(outcome=Outcome(ending=Ending.ERROR, failure_kind=FailureKind.CONFIG)),
        Report(outcome=Outcome(ending=Ending.QUEUED)),
        scenarios.green(),
        scenarios.failed(),
        scenarios.cancelled(),
        scenarios.setup_failed(),
        scenarios.hostile(),
    ],
    ids=["skipped", "config", "queued", "green", "failed", "cancelled", "setup", "hostile"],
)
def test_every_output_is_set_on_every_path(data: Report) -> None:
    outputs = build_outputs(data)
    assert set(outputs) == NAMES
    assert all(outputs[name].isdigit() for name in NUMBERS)
    assert all(isinstance(json.loads(outputs[name]), list) for name in LIST_OUTPUTS)
    assert isinstance(json.loads(outputs["counts"]), dict)


def test_values_of_a_failed_run() -> None:
    values = output_values(scenarios.failed())
    expected: dict[str, Any] = {
        "status": "error",
        "failure-kind": "nodes",
        "run-id": 70404,
        "run-ids": [70403, 70404],
        "attempts": 2,
        "nodes-total": 14,
        "nodes-succeeded": 9,
        "nodes-failed": 2,
        "nodes-skipped": 3,
        "failed-nodes": ["model.shop.dim_customers", "test.shop.unique_fct_orders_order_id.1a2b3c"],
        "recovered-nodes": ["model.shop.fct_orders"],
        "failed-owners": ["Finance analytics"],
        "assets-count": 7,
        "duration-seconds": 324,
    }
    assert {name: values[name] for name in expected} == expected
    assert values["counts"]["test"] == {"fail": 1, "pass": 2, "skipped": 2}


def test_counts_of_what_is_not_known_in_full_are_empty() -> None:
    data = scenarios.green()
    unread = build_outputs(replace(data, outcome=replace(data.outcome, unknown_runs=(70401,))))
    assert unread["status"] == "success"
    numbers = ("nodes-total", "nodes-succeeded", "nodes-warned", "nodes-failed", "nodes-skipped", "assets-count")
    assert {unread[name] for name in numbers} == {""}


def test_sources_whose_freshness_could_not_be_read_are_not_counted() -> None:
    data = scenarios.green()
    known = build_outputs(data)
    assert (known["sources-warned"], known["sources-failed"]) == ("1", "0")
    unread = replace(data.outcome, gates=GateFindings(unread_freshness=(70401,)))
    values = build_outputs(replace(data, outcome=unread))
    assert (values["sources-warned"], values["sources-failed"]) == ("", "")
    assert values["nodes-total"] == known["nodes-total"]


def test_unknown_status_words_are_counted_as_what_they_are() -> None:
    data = scenarios.green()
    first, *_ = data.outcome.ledger.outcomes.values()
    strange: NodeOutcome = replace(first, result=replace(first.result, status="exploded"), step_index=99)
    odd = replace(data.outcome, ledger=Ledger(outcomes={first.unique_id: strange}))
    values = output_values(replace(data, outcome=odd))
    assert values["counts"] == {"seed": {"exploded": 1}}
    assert values["nodes-failed"] == 1


def test_short_outputs_are_not_cut() -> None:
    outputs = build_outputs(scenarios.failed())
    assert cut_outputs(outputs) == (outputs, ())


def test_the_longest_lists_are_cut_and_reported() -> None:
    outputs = build_outputs(sizes.large(20_000, failing=20))
    kept, cuts = cut_outputs(outputs, 100_000)
    assert [cut.name for cut in cuts] == ["assets"]
    assert cuts[0].kept == len(json.loads(kept["assets"])) < cuts[0].total == int(kept["assets-count"])
    assert json.loads(outputs["assets"])[: cuts[0].kept] == json.loads(kept["assets"])
    assert kept["failed-nodes"] == outputs["failed-nodes"]
    assert 95_000 < sum(map(len, kept)) + sum(map(len, kept.values())) <= 100_000
    assert str(cuts[0]).startswith("output `assets` holds the first ")


def test_thousands_of_status_words_and_an_endless_address_are_left_out() -> None:
    outputs = build_outputs(scenarios.green())
    counts = json.dumps({"model": {f"status {number} {'x' * 90}": 1 for number in range(9_000)}})
    kept, cuts = cut_outputs({**outputs, "counts": counts, "run-url": "https://x/" + "y" * 900_000})
    assert (kept["counts"], kept["run-url"], kept["assets"]) == ("{}", "", outputs["assets"])
    assert [str(cut) for cut in cuts] == ["output `run-url` is left out", "output `counts` is left out"]


entries = st.lists(st.text(max_size=30), max_size=60)


@given(st.tuples(entries, entries, entries, entries), st.integers(0, 4000))
@example(([""], [], [], []), 65)
@example(([], [], [], [""]), 65)
def test_cut_lists_are_valid_and_within_the_limit(lists: tuple[list[str], ...], limit: int) -> None:
    names = [name for name in LIST_OUTPUTS if name != "run-ids"]
    outputs = {"status": "error", **{name: json.dumps(found) for name, found in zip(names, lists, strict=True)}}
    kept, cuts = cut_outputs(outputs, limit)
    for name, found in zip(names, lists, strict=True):
        shown = json.loads(kept[name])
        assert shown == found[: len(shown)]
        assert (name in {cut.name for cut in cuts}) == (len(shown) < len(found))
    smallest = sum(map(len, outputs)) + len("error") + 2 * len(names)
    assert sum(map(len, kept)) + sum(map(len, kept.values())) <= max(limit, smallest)
