"""The lineage as a Mermaid flowchart, within the renderer's limits: what explains a failure first.

Limits: Mermaid's own are 50,000 characters and 500 edges, and a diagram cannot raise them (mermaid.js.org,
`maxTextSize`, `maxEdges`); beyond about a hundred nodes it is not legible.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from dbt_cloud_run.report.markdown import escape
from dbt_cloud_run.report.markdown.layout import Block, Section, size
from dbt_cloud_run.report.remembered import remembered
from dbt_cloud_run.report.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dbt_cloud_run.report.facts import Facts

NODE_LIMIT = 100
EDGE_LIMIT = 400
BYTE_LIMIT = 30_000
_FAILED_FIRST = 40  # at most this many of the nodes are failures: the others are for what explains them

# Fill, stroke and text are all given: the page behind may be light or dark. The signs say the same as the colours.
_CLASSES = {
    "failed": ("fill:#cf222e,stroke:#82071e,color:#ffffff", "✖"),
    "recovered": ("fill:#9a6700,stroke:#633c01,color:#ffffff", "↻"),
    "skipped": ("fill:#6e7781,stroke:#424a53,color:#ffffff,stroke-dasharray:5 4", "»"),
    "materialized": ("fill:#1a7f37,stroke:#044f1e,color:#ffffff", "✔"),
    "other": ("fill:#ddf4ff,stroke:#0969da,color:#0a3069", ""),
}
_SHAPES = {"source": ("[(", ")]"), "test": ("{{", "}}"), "unit_test": ("{{", "}}"), "exposure": ("([", "])")}
_LEGEND = "✖ failed (red) · ↻ recovered (amber) · » skipped (grey) · ✔ materialized (green) · not built here (blue)"


@remembered
def lineage(facts: Facts) -> Section | None:
    """The flowchart with its legend and a note on what it leaves out; None when there is no edge to draw."""
    classes = _classes(facts)
    known = _Graph(facts, classes)
    found = list(_unique(_by_importance(facts, known), NODE_LIMIT))
    chosen = known.without_loners(found)
    chart, drawn, edges = _chart(facts, classes, known, chosen)
    if not edges:
        return None
    shown = sum(1 for uid in chosen[:drawn] if uid in classes)
    loners = len(set(found) & set(known.told)) - sum(1 for uid in chosen if uid in classes)
    text = f"{_LEGEND}.{_left_out(facts, len(known.told), shown, loners)}\n\n{chart}\n\n"
    return Section("Lineage", [Block([text], noun="diagram")], importance=4, title="#### Lineage\n\n")


def _left_out(facts: Facts, told: int, shown: int, loners: int) -> str:
    """What the chart does not show, and why: there was no room for it, or it is tied to nothing that is shown."""
    alone = f"{plural(loners, 'node')} without an edge to another one here {'is' if loners == 1 else 'are'} left out"
    if shown + loners >= told:
        return f" {alone[0].upper()}{alone[1:]}." if loners else ""
    around = "nearest to what recovered first" if facts.recovered else "around those that took longest"
    if facts.failed or facts.stale:
        around = "nearest to what failed first"
    what = f"{shown:,} of {plural(told, 'node')} (tests that passed and hooks are not drawn)"
    return f" Shown are {what}, {around}{f'; {alone}' if loners else ''}."


class _Graph:
    """Parents and children among the nodes that are worth drawing: passed tests and hooks are not."""

    def __init__(self, facts: Facts, classes: Mapping[str, str]) -> None:
        self._facts, self._classes = facts, classes
        self.children = facts.data.edges
        self.told = [uid for uid in classes if self.is_shown(uid)]
        self.parents = facts.parents

    def is_shown(self, uid: str) -> bool:
        if self._classes.get(uid) in ("failed", "recovered"):
            return True
        return self._facts.resource_type(uid) not in ("test", "unit_test", "operation", "sql_operation", "macro")

    def without_loners(self, uids: Sequence[str]) -> list[str]:
        """Those that have an edge to another one of them, and all that failed or recovered."""
        chosen = set(uids)
        tied = {end for uid in uids for child in self.children.get(uid, ()) if child in chosen for end in (uid, child)}
        return [uid for uid in uids if uid in tied or self._classes.get(uid) in ("failed", "recovered")]

    def neighbours(self, uid: str) -> Iterator[str]:
        """Parents, then children; those with a story before those without."""
        found = [*self.parents.get(uid, ()), *self.children.get(uid, ())]
        found.sort(key=lambda other: list(_CLASSES).index(self._classes.get(other, "other")))
        yield from (other for other in found if self.is_shown(other))


def _classes(facts: Facts) -> dict[str, str]:
    """Unique id -> class, for every node with a story."""
    found = {asset.unique_id: "materialized" for asset in facts.data.assets}
    found |= {outcome.unique_id: "skipped" for outcome in facts.skipped}
    found |= {outcome.unique_id: "recovered" for outcome in facts.recovered}
    found |= {row.unique_id: "failed" for row in facts.stale}
    return found | {outcome.unique_id: "failed" for outcome in facts.failed}


def _by_importance(facts: Facts, graph: _Graph) -> Iterator[str]:
    """Unique ids, the most telling first; some more than once."""
    failed = [found.unique_id for found in facts.ranked]
    stale = [row.unique_id for row in facts.stale]
    recovered = [found.unique_id for found in facts.recovered]
    core = [*failed[:_FAILED_FIRST], *stale[:_FAILED_FIRST]]
    yield from core
    for uid in core:  # a part of each failure's neighbourhood before all of one
        yield from graph.parents.get(uid, ())[:3]
        yield from [child for child in facts.skipped_by.get(uid, ()) if graph.is_shown(child)][:3]
    yield from recovered[:_FAILED_FIRST]
    slowest = sorted(facts.data.assets, key=lambda asset: -asset.execution_seconds)[:10]
    start = [*core, *recovered] or [asset.unique_id for asset in slowest]
    yield from _outwards(start, graph)
    if len(graph.told) <= NODE_LIMIT:
        yield from graph.told


def _outwards(start: Sequence[str], graph: _Graph) -> Iterator[str]:
    queue, seen = deque(start), set(start)
    while queue:
        uid = queue.popleft()
        yield uid
        for other in graph.neighbours(uid):
            if other not in seen:
                seen.add(other)
                queue.append(other)


def _unique(uids: Iterable[str], limit: int) -> Iterator[str]:
    seen: set[str] = set()
    for uid in uids:
        if uid not in seen:
            seen.add(uid)
            yield uid
            if len(seen) == limit:
                return


def _chart(facts: Facts, classes: Mapping[str, str], graph: _Graph, chosen: Sequence[str]) -> tuple[str, int, int]:
    """The fenced diagram of as many of the chosen as the limits allow; how many nodes and edges it has."""
    lines = ["flowchart LR", *(f"  classDef {name} {style}" for name, (style, _) in _CLASSES.items())]
    room = BYTE_LIMIT - sum(size(line) + 1 for line in lines)
    numbers: dict[str, int] = {}
    nodes: list[str] = []
    edges: list[str] = []
    for uid in chosen:
        number = len(numbers)
        new = [f"  n{numbers[parent]} --> n{number}" for parent in graph.parents.get(uid, ()) if parent in numbers]
        new += [f"  n{number} --> n{numbers[child]}" for child in graph.children.get(uid, ()) if child in numbers]
        new = list(dict.fromkeys(new))
        node = f"  n{number}{_shape(facts, uid, classes.get(uid, 'other'))}"
        needed = size(node) + 1 + sum(size(edge) + 1 for edge in new)
        if needed > room or len(edges) + len(new) > EDGE_LIMIT:
            break
        room -= needed
        numbers[uid] = number
        nodes.append(node)
        edges += new
    return escape.fence("\n".join([*lines, *nodes, *edges]), "mermaid"), len(nodes), len(edges)


def _shape(facts: Facts, uid: str, class_name: str) -> str:
    info = facts.info(uid)
    sign = _CLASSES[class_name][1]
    label = f'"{sign} {escape.mermaid(info.name)}"' if sign else f'"{escape.mermaid(info.name)}"'
    opening, closing = _SHAPES.get(info.resource_type, ("[", "]"))
    return f"{opening}{label}{closing}:::{class_name}"
