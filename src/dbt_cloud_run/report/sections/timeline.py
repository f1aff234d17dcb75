"""Where the time went: a Gantt chart of the slowest nodes over the threads, and the critical path."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from dbt_cloud_run.dbt.verbs import verb_named
from dbt_cloud_run.ledger.judgement import has_failed
from dbt_cloud_run.report.markdown import escape
from dbt_cloud_run.report.markdown.layout import Block, Section
from dbt_cloud_run.report.remembered import remembered
from dbt_cloud_run.report.sections.waits import waits
from dbt_cloud_run.report.wording import duration, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbt_cloud_run.model import Attempt, Step
    from dbt_cloud_run.node_results import NodeResult
    from dbt_cloud_run.report.facts import Facts

BAR_LIMIT = 30
_PATH_SHOWN = 14
_NO_KEYWORD = "\u200b"  # before a task's name: as a line of the chart `title x` or `click x` would be a statement


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The chain of nodes, one waiting for the other, that took longest: no number of threads makes the run shorter."""

    nodes: tuple[str, ...]
    seconds: float


def critical_path(results: Mapping[str, float], edges: Mapping[str, Sequence[str]]) -> CriticalPath:
    """The longest path by execution seconds. `results`: unique id -> seconds; `edges`: who is waited for -> who waits.

    Nodes without a result (ephemeral models, sources) take no time but connect; nodes of a circle are passed over.
    """
    waiting = Counter(chain.from_iterable(edges.values()))
    ready = [uid for uid in dict.fromkeys((*edges, *results)) if uid not in waiting]
    longest = {uid: results.get(uid, 0.0) for uid in ready}
    before: dict[str, str] = {}
    arrived: dict[str, float] = {}
    while ready:
        uid = ready.pop()
        seconds = longest[uid]
        for child in edges.get(uid, ()):
            # No node took less than no time.
            if seconds > arrived.get(child, -1.0):
                arrived[child] = seconds
                before[child] = uid
            left = waiting[child] = waiting[child] - 1
            if not left:
                longest[child] = arrived[child] + results.get(child, 0.0)
                ready.append(child)
    if not longest:
        return CriticalPath((), 0.0)
    end: str | None = max(longest, key=lambda uid: longest[uid])
    seconds, path = longest[end or ""], list[str]()
    while end is not None:
        path.append(end)
        end = before.get(end)
    return CriticalPath(tuple(uid for uid in reversed(path) if results.get(uid, 0.0) > 0), seconds)


@remembered
def timeline(facts: Facts) -> Section | None:
    """The critical path, and the chart of the attempt in which most was executed; None when no node took any time."""
    seconds = {
        uid: found.result.execution_seconds
        for uid, found in facts.data.outcome.ledger.outcomes.items()
        if found.result.execution_seconds > 0
    }
    if not seconds:
        return None
    path = critical_path(seconds, waits(facts))
    blocks = [Block([_path_words(facts, path)], noun="note")]
    chart = _gantt(facts, frozenset(path.nodes))
    if chart:
        blocks.append(Block([chart], noun="diagram"))
    return Section("Time", blocks, importance=6, title="#### Time\n\n")


def _path_words(facts: Facts, path: CriticalPath) -> str:
    run = facts.data.outcome.duration_seconds
    executing = sum(
        step.results.elapsed_seconds or 0.0
        for attempt in facts.data.outcome.attempts
        for step in attempt.steps
        if step.results is not None and verb_named(step.results.which).executes
    )
    share = f", {path.seconds / run:.0%} of the {duration(run)} from trigger to end" if run and run > 0 else ""
    dbt = f" (dbt itself was at work for {duration(executing)})" if executing > 0 else ""
    results = facts.data.outcome.ledger.outcomes
    shown = list(path.nodes)
    if len(shown) > _PATH_SHOWN:
        slowest = set(sorted(shown, key=lambda uid: -results[uid].result.execution_seconds)[:_PATH_SHOWN])
        shown = [uid for uid in shown if uid in slowest]
    chain = " → ".join(
        f"{escape.code(facts.info(uid).name, 80)} {duration(results[uid].result.execution_seconds)}" for uid in shown
    )
    gone = f" (the {_PATH_SHOWN} slowest of them)" if len(shown) < len(path.nodes) else ""
    count = plural(len(path.nodes), "node")
    return f"**Critical path:** {duration(path.seconds)} over {count}{share}{dbt}.<br>{chain}{gone}\n\n"


def _gantt(facts: Facts, critical: frozenset[str]) -> str:
    charted = [(_timed(attempt), attempt) for attempt in facts.data.outcome.attempts]
    bars, attempt = max(charted, key=lambda found: sum(node.execution_seconds for node in found[0]))
    if not bars:
        return ""
    failed = {node.unique_id for step in attempt.steps for node in _executed(step) if has_failed(step, node)}
    slowest = sorted(bars, key=lambda node: -node.execution_seconds)[:BAR_LIMIT]
    threads: defaultdict[str, list[NodeResult]] = defaultdict(list)
    for node in slowest:
        threads[node.thread_id.partition(" (")[0] or "main"].append(node)
    lines = ["gantt", "  dateFormat YYYY-MM-DD HH:mm:ss.SSS", "  axisFormat %H:%M:%S"]
    for thread in sorted(threads, key=lambda name: (len(name), name)):
        lines.append(f"  section {escape.mermaid(thread, 24)}")
        for node in sorted(threads[thread], key=lambda found: (found.started_at is None, found.started_at)):
            tag = "crit, " if node.unique_id in failed else "" if node.unique_id in critical else "done, "
            began = f"{node.started_at:%Y-%m-%d %H:%M:%S.%f}"[:-3]
            took = max(round(node.execution_seconds * 1000), 1)
            name = _NO_KEYWORD + escape.mermaid(facts.info(node.unique_id).name, 40)
            lines.append(f"  {name} :{tag}{began}, {took}ms")
    which = f" of attempt {attempt.number}" if len(charted) > 1 else ""
    # A node that ran in two steps has two bars, and is one node.
    count = len({node.unique_id for node in bars})
    of = f"the {len(slowest)} slowest of {plural(count, 'node')}" if len(bars) > len(slowest) else "all nodes"
    of += " that took time"
    legend = "Red: failed; grey: done; the darker bars are the critical path. Times are UTC."
    return f"Threads{which}, {of}. {legend}\n\n{escape.fence(chr(10).join(lines), 'mermaid')}\n\n"


def _timed(attempt: Attempt) -> list[NodeResult]:
    return [
        node
        for step in attempt.steps
        for node in _executed(step)
        if node.started_at is not None and node.execution_seconds > 0
    ]


def _executed(step: Step) -> Sequence[NodeResult]:
    return step.results.nodes if step.results is not None and verb_named(step.results.which).executes else ()
