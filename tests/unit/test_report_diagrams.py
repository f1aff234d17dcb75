"""The diagrams: within the renderer's limits, every line one that Mermaid knows; and the critical path."""

from __future__ import annotations

import re
from itertools import pairwise

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import report_scenarios as scenarios
from tests.support import report_sizes as sizes
from tests.support.line_count import steps_of
from tests.support.report_data import attempt, ledger, step
from tests.support.values import replace

from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Outcome
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.report.facts import Facts
from dbt_cloud_run.report.outputs import output_values
from dbt_cloud_run.report.report import Report
from dbt_cloud_run.report.sections.lineage import BYTE_LIMIT, EDGE_LIMIT, NODE_LIMIT, lineage
from dbt_cloud_run.report.sections.materialized import layer_depths
from dbt_cloud_run.report.sections.timeline import BAR_LIMIT, CriticalPath, critical_path, timeline
from dbt_cloud_run.report.sections.waits import waits

LABEL = r'"(?:[^\W]|[ /,.\-✖↻»✔]|#\d+;)+"'
FLOWCHART = re.compile(
    r"flowchart LR|  classDef \w+ [\w:#,;\- ]+"
    rf"|  n\d+(?:\[{LABEL}\]|\[\({LABEL}\)\]|\{{\{{{LABEL}\}}\}}|\(\[{LABEL}\]\)):::\w+"
    r"|  n\d+ --> n\d+"
)
NAME = r"(?:[^\W]|[ /,.\-]|#\d+;)+"
GANTT = re.compile(
    rf"gantt|  dateFormat [\w :.\-]+|  axisFormat [%\w:]+|  section {NAME}"
    rf"|  \u200b{NAME} :(?:crit, |done, )?\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3}}, \d+ms"
)


def diagram(markdown: str) -> list[str]:
    (found,) = re.findall(r"^```mermaid\n(.*?)\n```$", markdown, re.MULTILINE | re.DOTALL)
    return str(found).split("\n")


def flowchart(data: Report) -> list[str]:
    section = lineage(Facts(data))
    assert section is not None
    return diagram(section.whole())


EVERY = [
    *(scenarios.green(), scenarios.failed(), scenarios.recovered(), scenarios.hostile()),
    *(sizes.large(size, failing=size // 5) for size in (8, 300, 6_000)),
]


@pytest.mark.parametrize("data", EVERY)
def test_every_line_is_one_that_mermaid_knows(data: Report) -> None:
    chart = flowchart(data)
    assert all(FLOWCHART.fullmatch(line) for line in chart)
    section = timeline(Facts(data))
    assert section is not None
    assert all(GANTT.fullmatch(line) for line in diagram(section.whole()))


@pytest.mark.parametrize("data", EVERY)
def test_charts_stay_within_the_limits(data: Report) -> None:
    chart = flowchart(data)
    nodes = [line for line in chart if ":::" in line]
    edges = [line for line in chart if "-->" in line and ":::" not in line]
    assert 1 < len(nodes) <= NODE_LIMIT
    assert 0 < len(edges) <= EDGE_LIMIT
    assert len("\n".join(chart).encode()) <= BYTE_LIMIT
    known = {line.split("[")[0].split("{")[0].split("(")[0].strip() for line in nodes}
    assert {end for line in edges for end in line.split() if end != "-->"} <= known
    section = timeline(Facts(data))
    assert section is not None
    assert sum(", " in line for line in diagram(section.whole())) <= BAR_LIMIT


@pytest.mark.parametrize("name", ["gantt", "title", "section", "click", "call", "excludes weekends", "2024-01-01"])
def test_a_task_named_like_a_statement_is_a_task(name: str) -> None:
    data = scenarios.green()
    named = {uid: replace(info, name=name) for uid, info in data.nodes.items()}
    section = timeline(Facts(replace(data, nodes=named)))
    assert section is not None
    tasks = [line for line in diagram(section.whole()) if line.endswith("ms")]
    assert tasks
    assert not any(re.match(r"\s*[A-Za-z0-9]", line) for line in tasks)


def test_failures_and_their_neighbours_come_first() -> None:
    chart = "\n".join(flowchart(sizes.large(6_000, failing=20)))
    assert chart.count(":::failed") == output_values(sizes.large(6_000, failing=20))["nodes-failed"]
    assert ":::skipped" in chart
    section = lineage(Facts(sizes.large(6_000, failing=20)))
    assert section is not None
    assert re.search(
        r"Shown are \d+ of 6,000 nodes \(tests that passed and hooks are not drawn\), nearest to what failed first",
        section.whole(),
    )


def with_a_recovered_node(data: Report) -> Report:
    outcomes = dict(data.outcome.ledger.outcomes)
    first = next(iter(outcomes))
    outcomes[first] = replace(outcomes[first], recovered=True)
    return replace(data, outcome=replace(data.outcome, ledger=replace(data.outcome.ledger, outcomes=outcomes)))


def without_an_edge_at(data: Report, name: str) -> Report:
    def is_it(uid: str) -> bool:
        return uid.endswith(f".{name}")

    edges = {
        parent: tuple(uid for uid in children if not is_it(uid))
        for parent, children in data.edges.items()
        if not is_it(parent)
    }
    return replace(data, edges=edges)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            sizes.large(6_000, failing=0),
            "of 6,000 nodes (tests that passed and hooks are not drawn), around those that took longest",
        ),
        (
            sizes.large(6_000, failing=9),
            "of 6,000 nodes (tests that passed and hooks are not drawn), nearest to what failed first",
        ),
        (
            with_a_recovered_node(sizes.large(6_000, failing=0)),
            "of 6,000 nodes (tests that passed and hooks are not drawn), nearest to what recovered first",
        ),
        (
            without_an_edge_at(scenarios.green(), "country_codes"),
            "(blue). 1 node without an edge to another one here is left out.",
        ),
        (scenarios.green(), "(blue).\n"),
    ],
)
def test_the_note_says_what_is_left_out_and_why(data: Report, words: str) -> None:
    section = lineage(Facts(data))
    assert section is not None
    assert words in section.whole()


def test_classes_tell_what_became_of_a_node() -> None:
    chart = "\n".join(flowchart(scenarios.failed()))
    for label, name in (
        ("✖ dim_customers", "failed"),
        ("✖ unique_fct_orders_order_id", "failed"),
        ("↻ fct_orders", "recovered"),
        ("» fct_revenue", "skipped"),
        ("✔ stg_orders", "materialized"),
        ("raw.orders", "other"),
    ):
        assert re.search(rf'"{label}"\S+:::{name}$', chart, re.MULTILINE)
    assert "not_null_fct_orders_order_id" not in chart


graphs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=25).map(
    lambda pairs: [(f"n{min(pair)}", f"n{max(pair)}") for pair in pairs if pair[0] != pair[1]]
)
times = st.dictionaries(st.integers(0, 9).map("n{}".format), st.integers(1, 50).map(float), min_size=1)


@settings(deadline=None)
@given(graphs, times)
def test_the_critical_path_is_the_longest(pairs: list[tuple[str, str]], seconds: dict[str, float]) -> None:
    graph = networkx.DiGraph(pairs)
    graph.add_nodes_from(seconds)
    for node in graph:
        graph.nodes[node]["took"] = seconds.get(node, 0.0)
    # As weights of edges, with a start that takes no time before everything.
    weighted = networkx.DiGraph()
    for node in graph:
        weighted.add_edge("start", node, weight=graph.nodes[node]["took"])
    for parent, child in graph.edges:
        weighted.add_edge(parent, child, weight=graph.nodes[child]["took"])
    edges: dict[str, list[str]] = {}
    for parent, child in graph.edges:
        edges.setdefault(parent, []).append(child)
    path = critical_path(seconds, edges)
    assert path.seconds == networkx.dag_longest_path_length(weighted)
    assert path.seconds == sum(seconds[node] for node in path.nodes)
    assert all(networkx.has_path(graph, first, second) for first, second in pairwise(path.nodes))


def test_the_critical_path_goes_through_what_has_no_result_and_past_circles() -> None:
    edges = {"a": ["ephemeral"], "ephemeral": ["b"], "x": ["y"], "y": ["x"]}
    path = critical_path({"a": 2.0, "b": 3.0, "c": 4.0, "x": 90.0}, edges)
    assert (path.nodes, path.seconds) == (("a", "b"), 5.0)
    assert critical_path({}, {}).nodes == ()


def test_layers_are_found_by_lineage_not_by_name() -> None:
    depths = layer_depths(scenarios.green().assets)
    by_name = {key.rpartition("/")[2]: depth for key, depth in depths.items()}
    assert by_name["country_codes"] == by_name["stg_orders"] == 0
    assert by_name["stg_customers"] == 1
    assert by_name["fct_revenue"] == 3


def timed(which: str, seconds: dict[str, float], edges: dict[str, tuple[str, ...]]) -> CriticalPath:
    """The critical path of a run with one step of this command."""
    rows = tuple(
        NodeResult(unique_id=uid, status="pass" if "test" in uid else "success", execution_seconds=took)
        for uid, took in seconds.items()
    )
    found = attempt(1, step(4, f"dbt {which}", rows))
    outcome = Outcome(ending=Ending.SUCCESS, attempts=(found,), ledger=ledger((found,)))
    return critical_path(seconds, waits(Facts(Report(outcome=outcome, edges=edges))))


A, B, C, TEST, UNIT = "model.s.a", "model.s.b", "model.s.c", "test.s.t.1", "unit_test.s.b.u"


def test_what_is_built_on_a_tested_node_waits_for_the_test_in_a_build() -> None:
    edges: dict[str, tuple[str, ...]] = {A: (B, TEST, "model.s.ephemeral"), "model.s.ephemeral": (C,)}
    seconds = {A: 10.0, TEST: 100.0, B: 60.0, C: 70.0}
    assert timed("build", seconds, edges) == CriticalPath((A, TEST, C), 180.0)
    assert timed("run", seconds, edges) == CriticalPath((A, TEST), 110.0)


def test_of_tests_that_hold_up_the_same_the_slowest_counts() -> None:
    quick, slow, last = "test.s.quick.1", "test.s.slow.2", "test.s.last.3"
    edges: dict[str, tuple[str, ...]] = {A: (quick, slow, last, B), B: ()}
    seconds = {A: 1.0, quick: 2.0, slow: 30.0, last: 4.0, B: 5.0}
    assert timed("build", seconds, edges) == CriticalPath((A, slow, B), 36.0)
    # Nothing in dbt builds on a test; a manifest that says so is believed.
    assert timed("build", seconds | {C: 90.0}, edges | {quick: (C,)}) == CriticalPath((A, quick, C), 93.0)


def test_what_another_step_has_built_passes_the_waiting_on() -> None:
    edges: dict[str, tuple[str, ...]] = {A: (B, TEST), B: ("model.s.b2",), "model.s.b2": (C,)}
    seconds = {A: 10.0, TEST: 100.0, C: 20.0, B: 5.0, "model.s.b2": 6.0}
    steps = [
        step(
            number,
            command,
            tuple(NodeResult(unique_id=uid, status="success", execution_seconds=seconds[uid]) for uid in ids),
        )
        for number, command, ids in ((4, "dbt build", (B, "model.s.b2")), (5, "dbt build", (A, TEST, C)))
    ]
    found = attempt(1, *steps)
    outcome = Outcome(ending=Ending.SUCCESS, attempts=(found,), ledger=ledger((found,)))
    path = critical_path(seconds, waits(Facts(Report(outcome=outcome, edges=edges))))
    assert path == CriticalPath((A, TEST, C), 130.0)


def test_a_test_of_two_nodes_holds_up_what_builds_on_both() -> None:
    edges: dict[str, tuple[str, ...]] = {A: (C, TEST, "model.s.d"), B: (C, TEST), C: ("model.s.e",)}
    seconds = {A: 1.0, B: 2.0, TEST: 50.0, C: 3.0, "model.s.e": 4.0, "model.s.d": 9.0}
    assert timed("build", seconds, edges) == CriticalPath((B, TEST, C, "model.s.e"), 59.0)


def test_a_unit_test_runs_before_its_model_and_after_what_that_builds_on() -> None:
    edges: dict[str, tuple[str, ...]] = {A: (B,), B: (UNIT, C)}
    seconds = {A: 1.0, B: 2.0, UNIT: 30.0, C: 4.0}
    assert timed("build", seconds, edges) == CriticalPath((A, UNIT, B, C), 37.0)
    assert timed("test", seconds, edges) == CriticalPath((A, B, UNIT), 33.0)


def chain(half: int) -> tuple[dict[str, float], dict[str, tuple[str, ...]]]:
    """Models that build on one another, and tests of two models each."""
    edges: dict[str, tuple[str, ...]] = {
        f"model.s.m{number}": (f"model.s.m{number + 1}", f"test.s.t{number}.x", f"test.s.t{number // 2}.x")
        for number in range(half)
    }
    seconds = {f"model.s.m{number}": 1.0 for number in range(half)} | {f"test.s.t{n}.x": 1.0 for n in range(half)}
    return seconds, edges


def test_what_waits_for_what_takes_steps_in_proportion_to_the_nodes() -> None:
    small, large = chain(500), chain(2_000)
    assert steps_of(lambda: timed("build", *large)) < 5 * steps_of(lambda: timed("build", *small))


def test_what_waits_for_what_is_found_for_twenty_thousand_nodes() -> None:
    assert timed("build", *chain(10_000)).seconds > 10_000
