"""The diagrams: within the renderer's limits, every line one that Mermaid knows; and the critical path."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import report_scenarios as scenarios

from dbt_cloud_run.report.data import ReportData
from dbt_cloud_run.report.facts import Facts
from dbt_cloud_run.report.lineage import BYTE_LIMIT, EDGE_LIMIT, NODE_LIMIT, lineage
from dbt_cloud_run.report.materialized import layer_depths
from dbt_cloud_run.report.outputs import output_values
from dbt_cloud_run.report.timeline import BAR_LIMIT, critical_path, timeline

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


def flowchart(data: ReportData) -> list[str]:
    section = lineage(Facts(data))
    assert section is not None
    return diagram(section.whole())


EVERY = [
    *(scenarios.green(), scenarios.failed(), scenarios.recovered(), scenarios.hostile()),
    *(scenarios.large(size, failing=size // 5) for size in (8, 300, 6_000)),
]


@pytest.mark.parametrize("data", EVERY)
def test_every_line_is_one_that_mermaid_knows(data: ReportData) -> None:
    chart = flowchart(data)
    assert all(FLOWCHART.fullmatch(line) for line in chart)
    section = timeline(Facts(data))
    assert section is not None
    assert all(GANTT.fullmatch(line) for line in diagram(section.whole()))


@pytest.mark.parametrize("data", EVERY)
def test_charts_stay_within_the_limits(data: ReportData) -> None:
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
    chart = "\n".join(flowchart(scenarios.large(6_000, failing=20)))
    assert chart.count(":::failed") == output_values(scenarios.large(6_000, failing=20))["nodes-failed"]
    assert ":::skipped" in chart
    section = lineage(Facts(scenarios.large(6_000, failing=20)))
    assert section is not None
    assert re.search(r"Shown are \d+ of 6,000 nodes, nearest to what failed first", section.whole())


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
