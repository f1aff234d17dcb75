"""Lines for the log while a run goes on, and at its end: progress, the plan of a retry, the result."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbt_cloud_run.dbt.statuses import Kind, kind
from dbt_cloud_run.planned import StepAction, saving
from dbt_cloud_run.report.facts import Facts
from dbt_cloud_run.report.gates import quiet_line, source_name
from dbt_cloud_run.report.markdown.escape import one_line, plain
from dbt_cloud_run.report.sections.costs import cost_words
from dbt_cloud_run.report.wording import again, duration, ending_words, listed, plural, saves, sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbt_cloud_run.planned import PlannedStep, RetryPlan
    from dbt_cloud_run.report.report import Report

# dbt's console: `12:01:02  5 of 21 START sql table model dev.orders ... [RUN]`, later `5 of 21 OK created ... [OK]`.
# `Batch 2 of 3` counts the batches of one model, and `1 of 1 START hook:` the hooks: both are numbers of their own.
_NODE_LINE = re.compile(
    r"^(?:.*\]: |\S+ +| *)(?P<number>\d{1,7}) of (?P<total>\d{1,7}) (?P<word>[A-Z]\S*) (?!.*\bhook: )(?P<rest>.*)"
)
_NEW_INVOCATION = re.compile(r"Running with dbt|\bConcurrency: \d+ threads")
_DOTS = re.compile(r"(?<!\s)\s*\.{2,}.*|(?<!\s)\s*\[[^\]]*\]\s*$")
_RUNNING_SHOWN = 3
_NAME_SEEN = 500  # characters of a line that are searched for a node's name


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step is, as its log shows: nodes done of nodes known, and the names of those that are running."""

    done: int
    total: int
    running: tuple[str, ...] = ()


def read_progress(log: str) -> Progress | None:
    """Progress from the log of a running step, or from the end of it; None when it shows none.

    Nodes are numbered in the order of their start: those that have started and are not running are done. Of a node
    whose start is above the part of the log at hand nothing is known, and it counts as done.
    """
    running: dict[int, str] = {}
    last = total = 0
    for line in plain(log).split("\n"):
        if _NEW_INVOCATION.search(line):
            running, last, total = {}, 0, 0
            continue
        found = _NODE_LINE.search(line)
        if found is None:
            continue
        number = int(found["number"])
        last, total = max(last, number), int(found["total"])
        if found["word"] == "START":
            running[number] = _name(found["rest"])
        else:
            running.pop(number, None)
    if not total or last > total:
        return None
    return Progress(last - len(running), total, tuple(running.values()))


def progress_line(step: int, name: str, elapsed: float | None, progress: Progress | None) -> str:
    """One line for the log: `step 4 “dbt build”: 5 of 21 nodes done, running orders, customers (1m 20s)`.

    Without `elapsed` it does not end with the time.
    """
    where = f"step {step} “{one_line(name, 100)}”"
    took = f" ({duration(elapsed)})" if elapsed is not None else ""
    if progress is None:
        return f"{where}: running{took}"
    names = [one_line(running, 60) for running in progress.running]
    now = f", running {listed(names, _RUNNING_SHOWN)}" if names else ""
    return f"{where}: {progress.done:,} of {plural(progress.total, 'node')} done{now}{took}"


def plan_lines(plan: RetryPlan) -> list[str]:
    """The plan as a table of text: for each step what becomes of it, then the nodes, then what is left out."""
    if not plan.commands and plan.stop_reason:
        return [f"No retry: {one_line(plan.stop_reason, 500)}", *_notes(plan)]
    rows = [("step", "action", "command", "saves", "why")]
    rows += [
        (
            str(step.index) if step.index is not None else "-",
            step.action.value,
            one_line(_command(step), 160),
            saves(saving(step.saved)),
            one_line(sentence(step.reason), 160),
        )
        for step in plan.steps
    ]
    lines = _table(rows)
    for step in plan.steps:
        lines += [f"  re-run:    {one_line(node.unique_id, 200)} ({one_line(node.reason, 200)})" for node in step.nodes]
        lines += [
            f"  left out:  {one_line(node.unique_id, 200)} ({one_line(node.reason, 200)})" for node in step.left_out
        ]
    if words := again(plan):
        lines.append(f"  re-run in all: {words}")
    if plan.saved.nodes:
        lines.append(f"  not repeated: {saves(plan.saved)} (added up over all threads)")
    return lines + _notes(plan)


def _command(step: PlannedStep) -> str:
    if step.action is not StepAction.NODES or not step.new_command:
        return step.command
    return f"({1 + len(step.more_commands)} commands) {step.new_command}" if step.more_commands else step.new_command


def result_lines(data: Report, *, with_reason: bool = True) -> list[str]:
    """The last lines of the log: how it ended, the counts, what failed, and why unless that is said elsewhere."""
    facts, outcome = Facts(data), data.outcome
    icon, word = ending_words(facts.ending)
    took = f" after {duration(outcome.duration_seconds)}" if outcome.duration_seconds is not None else ""
    tried = f", {plural(len(outcome.attempts), 'attempt')}" if outcome.attempts else ""
    lines = [f"{icon} {word}{took}{tried}"]
    if facts.counts:
        counts = ", ".join(f"{facts.counts[judged]:,} {judged.value}" for judged in Kind if facts.counts[judged])
        lines.append(
            f"{plural(facts.counts.total(), 'node')}: {counts}; {plural(len(data.assets), 'asset')} materialized"
        )
    if words := cost_words(facts):
        lines.append(f"cost: {words}")
    lines += _source_lines(facts)
    lines += [one_line(words, 1_000) for words in (quiet_line(outcome), facts.emptiness) if words]
    for title, nodes in (("failed", facts.ranked), ("recovered", facts.recovered)):
        lines += [f"  {title}: {one_line(found.unique_id, 200)}" for found in nodes[:20]]
        if len(nodes) > 20:
            lines.append(f"  … and {len(nodes) - 20:,} more {title}")
    if with_reason:
        lines += [one_line(words, 1_000) for words in facts.reason if words]
    return lines


def _source_lines(facts: Facts) -> list[str]:
    """How many sources were checked, and which of them are not fresh; no line where none were checked."""
    checked = facts.data.outcome.ledger.freshness
    runs = facts.data.outcome.gates.unread_freshness
    lines = [f"the freshness of sources in run {', '.join(map(str, runs))} could not be read"] if runs else []
    if not checked:
        return lines
    failed, warned = facts.sources_failed, facts.sources_warned
    fresh = sum(kind(row.status) is Kind.SUCCEEDED for row in checked)
    words = ((fresh, "fresh"), (len(warned), "past warn_after"), (len(failed), "stale"))
    counts = ", ".join(f"{count:,} {word}" for count, word in words if count)
    lines.append(f"{plural(len(checked), 'source')} checked: {counts}")
    for title, rows in (("stale", failed), ("past warn_after", warned)):
        lines += [f"  {title}: {one_line(source_name(row.unique_id), 200)}" for row in rows[:20]]
        if len(rows) > 20:
            lines.append(f"  … and {len(rows) - 20:,} more {title}")
    return lines


def _name(rest: str) -> str:
    """`sql table model dev.orders .... [RUN]` -> `orders`; a test's name has no schema, a unit test's its model."""
    words = _DOTS.sub("", rest[:_NAME_SEEN]).split()
    return words[-1].rpartition(".")[2] or words[-1] if words else ""


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]


def _notes(plan: RetryPlan) -> list[str]:
    return [f"  note: {one_line(note, 500)}" for note in plan.notes]
