"""The summary as it is written: snapshots of it in every ending, its order, its budget, its closing of what it opens.

A snapshot that has to change is written again by `UPDATE_SNAPSHOTS=1 pytest tests/unit/test_report_summary.py`; the
difference is then read in the commit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import report_scenarios as scenarios
from tests.support import report_sizes as sizes
from tests.support.line_count import steps_of
from tests.support.rendering import render
from tests.support.report_data import START, attempt, ledger, shop, step
from tests.support.values import replace

from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.model import FreshnessResult, Outcome, RunState, StepError
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import StepAction
from dbt_cloud_run.report.annotations import annotate
from dbt_cloud_run.report.gates import gate_words
from dbt_cloud_run.report.progress import result_lines
from dbt_cloud_run.report.report import Report
from dbt_cloud_run.report.summary import (
    COMMENT_LIMIT,
    SUMMARY_LIMIT,
    render_comment,
    render_full,
    render_summary,
    summary_budget,
)

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"
BUDGET = summary_budget(0)
TITLES = [
    "Failures",
    "Retries",
    "Recovered",
    "Cost",
    "Assets materialized",
    "Lineage",
    "Time",
    "Tests and source freshness",
    "Warnings",
]


def check(name: str, content: str) -> None:
    path = SNAPSHOTS / f"{name}.md"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(content, encoding="utf-8")
    assert content == path.read_text(encoding="utf-8")


def assert_closed(markdown: str) -> None:
    page = render(markdown)
    assert not page.misnested
    assert not page.open
    assert page.tags[-2:] != ["pre", "code"], "what comes last is no fence, unless one was not closed"


def titles(markdown: str) -> list[str]:
    return [re.sub(r" \([\d,]+\)$", "", title) for title in re.findall(r"^#### (.*)$", markdown, re.MULTILINE)]


@pytest.mark.parametrize(
    "scenario",
    [
        scenarios.green,
        scenarios.gated,
        scenarios.nothing_selected,
        scenarios.recovered,
        scenarios.billed,
        scenarios.failed,
        scenarios.cancelled,
        scenarios.setup_failed,
        scenarios.hostile,
    ],
)
def test_snapshots(scenario: Callable[[], Report]) -> None:
    summary = render_summary(scenario(), BUDGET)
    check(scenario.__name__, summary)
    assert_closed(summary)
    assert titles(summary) == [title for title in TITLES if title in titles(summary)]


def test_snapshot_of_five_thousand_nodes() -> None:
    summary = render_summary(sizes.large(5_000), BUDGET)
    assert len(summary.encode()) <= BUDGET
    assert_closed(summary)
    shown = [line for line in summary.split("\n") if not line.startswith("| ✅ |")]
    rows = summary.count("\n| ✅ |")
    check("large", "\n".join([f"<!-- without the {rows} rows of assets -->", *shown]))


def test_snapshot_of_the_comment() -> None:
    comment = render_comment(scenarios.failed())
    check("comment", comment)
    assert_closed(comment)
    assert titles(comment) == ["Failures", "Retries"]
    big = render_comment(sizes.large(5_000, failing=500))
    assert len(big.encode()) <= COMMENT_LIMIT
    assert_closed(big)


def test_all_sections_in_their_order_for_success_and_failure_alike() -> None:
    failed = replace(scenarios.failed(), warnings=("run_results.json of step 5 is missing",))
    assert titles(render_summary(failed, BUDGET)) == [title for title in TITLES if title != "Cost"]
    recovered = replace(scenarios.recovered(), warnings=("x",))
    assert titles(render_summary(recovered, BUDGET)) == [title for title in TITLES[1:] if title != "Cost"]
    billed = replace(scenarios.billed(), warnings=("x",))
    assert titles(render_summary(billed, BUDGET)) == TITLES[1:]


def test_the_first_line_has_it_all() -> None:
    first = render(render_summary(scenarios.failed(), BUDGET).split("\n")[0])
    assert first.text.strip() == "❌ Failed · Nightly build · run 70404 · Production · 5m 24s · 2 attempts · 4f1c0de"
    assert len(first.links()) == 3


def test_hardly_anything_is_known() -> None:
    data = Report(
        outcome=Outcome(
            ending=Ending.ERROR,
            failure_kind=FailureKind.API,
            error=StepError(kind=FailureKind.API, message="No answer."),
        )
    )
    assert render_summary(data, BUDGET).strip() == "### ❌ Failed\n\nNo answer."
    one = sizes.large(1, failing=0)
    summary = render_summary(one, BUDGET)
    assert_closed(summary)
    assert "Assets materialized (1)" in summary
    assert "#### Lineage" not in summary


def test_hostile_text_makes_nothing_of_its_own() -> None:
    data = scenarios.hostile()
    tame = render(render_full(scenarios.failed()))
    for markdown in (render_full(data), render_summary(data, BUDGET), render_comment(data)):
        page = render(markdown)
        assert_closed(markdown)
        assert not page.filtered()
        assert set(page.tags) <= set(tame.tags) | {"span", "strong", "li", "ul", "br", "wbr"}
        assert {name for _, name, _ in page.attributes} <= {"href", "class", "open", "style"}
        assert all(link.startswith(("https://cloud.getdbt.com/", "https://github.com/acme/")) for link in page.links())
        assert "h1" not in page.tags


def test_messages_are_cut_in_the_summary_and_whole_in_the_report() -> None:
    message = "\n".join(
        ["Database Error in model fct_orders", *(f"row {number}" for number in range(90)), "compiled at x"]
    )
    rows = scenarios.shop_results(failing={"fct_orders": ("error", message)})
    data = shop(attempt(1, step(4, "dbt build", rows)), ending=Ending.ERROR)
    summary, full = render_summary(data, BUDGET), render_full(data)
    assert "row 60" in full
    assert "row 60" not in summary
    assert "compiled at x" in summary
    assert "[… 69 lines left out …]" in summary
    assert message in full


def test_a_stale_source_and_an_odd_status_are_failures() -> None:
    stale = FreshnessResult(
        unique_id="source.shop.raw.orders", status="error", age_seconds=90_000, criteria="error after 1 day"
    )
    checked = step(3, "dbt source freshness", (), results=None, state=RunState.ERROR, freshness=(stale,))
    rows = scenarios.shop_results(failing={"fct_orders": ("vaporised", "gone")})
    summary = render_summary(shop(attempt(1, checked, step(4, "dbt build", rows)), ending=Ending.ERROR), BUDGET)
    assert "#### Failures (2)" in summary
    assert "vaporised" in summary
    assert "last loaded 25h 0m ago · error after 1 day" in summary


def test_the_first_error_of_a_recovered_node_can_be_read() -> None:
    message = "Database Error\n" + "\n".join(f"  line {number}" for number in range(600)) + "\n  the real reason"
    first = scenarios.shop_results(failing={"fct_orders": ("error", message)})
    second = scenarios.shop_results(only=("fct_orders",))
    data = shop(
        attempt(1, step(4, "dbt build", first)), attempt(2, step(4, "dbt build", second)), ending=Ending.SUCCESS
    )
    summary = render_summary(data, BUDGET)
    assert "<b>fct_orders</b> failed in attempt 1, succeeded in attempt 2" in summary
    assert "the real reason" in summary
    assert "line 300" not in summary
    assert message in render_full(data)


def test_no_row_of_the_assets_is_wider_than_the_page() -> None:
    """Where the browser may break a cell; what that makes of it is seen by `make preview`."""
    summary = render_summary(sizes.wide(), BUDGET)
    (table,) = re.findall(r"^\|  \| Asset .*?\n\n", summary, re.MULTILINE | re.DOTALL)
    rows = [
        [re.sub(r"\]\([^)]*\)|[`\[]|</?code>|&\S+?;", "", cell) for cell in row.split(" | ")]
        for row in table.split("\n")[2:]
        if row
    ]
    widths = [max(len(part) for row in rows for part in re.split(r"<\w+>| |-|…", row[column])) for column in range(7)]
    assert sum(widths) < 95, widths
    assert "+1 |" in summary


def test_causes_come_before_what_they_caused() -> None:
    failing = {
        "country_codes": ("error", "x"),  # nothing was skipped because of it alone
        "unique_fct_orders_order_id": ("fail", "x"),
        "fct_orders": ("error", "x"),
        "stg_orders": ("error", "x"),
    }
    rows = scenarios.shop_results(failing=failing, skipping=("int_order_payments", "orders_snapshot", "fct_revenue"))
    data = shop(attempt(1, step(4, "dbt build", rows)), ending=Ending.ERROR)
    names = re.findall(r"^❌ \*\*\[`(\w+)`\]", render_summary(data, BUDGET), re.MULTILINE)
    assert names == ["stg_orders", "fct_orders", "country_codes", "unique_fct_orders_order_id"]
    titles = [one.title for one in annotate(data, project_directory=".", exists=lambda _: True, read=lambda _: None)]
    assert [str(title).split()[-2].rstrip(":") for title in titles] == names


def test_names_that_two_packages_share_are_told_apart() -> None:
    rows = tuple(
        NodeResult(unique_id=uid, status="error", execution_seconds=1.0, started_at=START, message="x")
        for uid in ("model.shop.orders", "model.other.orders", "model.shop.customers")
    )
    found = attempt(1, step(4, "dbt build", rows))
    outcome = Outcome(ending=Ending.ERROR, attempts=(found,), ledger=ledger((found,)))
    edges = {"model.shop.customers": ("model.shop.orders", "model.other.orders")}
    summary = render_summary(Report(outcome=outcome, edges=edges), BUDGET)
    for name in ("shop.orders", "other.orders", "customers"):
        assert f"❌ **`{name}`**" in summary
        assert f"\u200b{name} :crit" in summary
        assert f"✖ {name}" in summary


def test_room_is_what_is_left_in_the_file() -> None:
    assert summary_budget(0) < SUMMARY_LIMIT
    assert summary_budget(500_000) == summary_budget(0) - 500_000
    assert summary_budget(2_000_000) == 0
    assert render_summary(scenarios.failed(), 0) == ""


LARGE = {size: sizes.large(size, failing=size // 3) for size in (1, 40, 900)}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(LARGE)), st.integers(0, 400_000))
def test_any_budget_is_kept_and_everything_closed(nodes: int, budget: int) -> None:
    summary = render_summary(LARGE[nodes], budget)
    assert len(summary.encode()) <= budget
    assert_closed(summary)
    if budget > 5_000:
        assert summary.startswith("### ")
    if summary and summary != render_summary(LARGE[nodes], BUDGET) and budget > 3_000:
        assert "Left out to stay within GitHub's limit: " in summary
        assert "`dbt-cloud-run-12345-70403`" in summary


@pytest.mark.parametrize("budget", [1_000, 3_000, 8_000, 20_000])
def test_hostile_text_is_cut_as_well(budget: int) -> None:
    summary = render_summary(scenarios.hostile(), budget)
    assert len(summary.encode()) <= budget
    assert_closed(summary)


def test_failures_do_not_push_out_the_assets() -> None:
    summary = render_summary(sizes.large(9_000, failing=3_000), 200_000)
    assert {"Failures", "Assets materialized", "Lineage", "Time"} <= set(titles(summary))
    assert re.search(r"Left out here: [\d,]+ failures\.", summary)
    assert re.search(r"Left out here: [\d,]+ assets\.", summary)


def test_a_summary_takes_steps_in_proportion_to_the_nodes() -> None:
    small, large = sizes.large(1_000, failing=100), sizes.large(4_000, failing=400)
    assert steps_of(lambda: render_summary(large, BUDGET)) < 5 * steps_of(lambda: render_summary(small, BUDGET))


def test_a_summary_of_twenty_thousand_nodes_keeps_its_budget() -> None:
    assert len(render_summary(sizes.large(20_000, failing=2_000), BUDGET).encode()) <= BUDGET


def test_nodes_of_whole_steps_are_counted_as_run_again() -> None:
    data = scenarios.recovered()
    first, second = data.outcome.attempts
    assert first.plan is not None
    step = first.plan.steps[0]
    whole = replace(step, action=StepAction.WHOLE, again=frozenset(data.outcome.ledger.outcomes), nodes=step.nodes[:1])
    first = replace(first, plan=replace(first.plan, steps=(whole, replace(step, index=5))))
    text = render_summary(replace(data, outcome=replace(data.outcome, attempts=(first, second))), BUDGET)
    assert ": 14 nodes re-run · 🔁" in text, "each once, in however many steps, and none of them is kept"
    assert "Why 5 of the 14 nodes were re-run" in text


def test_the_conditions_that_held_are_in_the_headline_of_the_comment_and_in_the_last_lines_of_the_log() -> None:
    data = scenarios.gated()
    sentences = [gate_words(found) for found in data.outcome.gates.failed]
    assert len(sentences) == 3
    comment, log = render_comment(data), "\n".join(result_lines(data))
    head = comment.split("####")[0].replace("\\", "")
    assert all(sentence in head and sentence in log for sentence in sentences)
    assert "3 sources checked: 1 fresh, 1 past warn_after, 1 stale" in log
    assert "  stale: raw.customers" in log
