"""The conditions of `fail-on` in words, and what is said of a run that selected nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbt_cloud_run.gates import Gate
from dbt_cloud_run.report.wording import listed, plural
from dbt_cloud_run.text import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbt_cloud_run.gates import FailedGate, NothingSelected
    from dbt_cloud_run.model import Outcome

_MOST_NAMES = 10
_LONGEST_COMMAND = 200
_UNREAD = {
    Gate.NO_NODES: "Whether any node was selected is not known: not every result of run {runs} could be read",
    Gate.STALE_SOURCES: "Whether sources are stale is not known: their freshness in run {runs} could not be read",
    Gate.SOURCE_WARNINGS: "Whether sources are stale is not known: their freshness in run {runs} could not be read",
    Gate.WARNINGS: "Whether a node ended with a warning is not known: not every result of run {runs} could be read",
    Gate.OTHER_COMMIT: "Which commit run {runs} built is not known: dbt Cloud does not say",
}
_IDLE = {
    Gate.STALE_SOURCES: "no step of the run checked the freshness of sources",
    Gate.SOURCE_WARNINGS: "no step of the run checked the freshness of sources",
    Gate.OTHER_COMMIT: "no input names a commit, and neither does the event",
}


def gate_words(found: FailedGate) -> str:
    """One sentence: what held, with the names, and the condition that it failed."""
    return f"{_what(found)} (fail-on: {found.gate.value})."


def _what(found: FailedGate) -> str:
    if found.unread:
        return _UNREAD[found.gate].format(runs=", ".join(map(str, found.unread)))
    count = len(found.nodes)
    is_one = count == 1
    if found.gate is Gate.NO_NODES:
        return f"Nothing was selected by {_commands(found.commands)}" if found.commands else "The run executed no node"
    if found.gate is Gate.STALE_SOURCES:
        what = f"{plural(count, 'source')} {'is' if is_one else 'are'} past error_after or could not be checked"
        return f"{what}: {_sources(found.nodes)}"
    if found.gate is Gate.SOURCE_WARNINGS:
        return f"{plural(count, 'source')} {'is' if is_one else 'are'} past warn_after: {_sources(found.nodes)}"
    if found.gate is Gate.WARNINGS:
        return f"{plural(count, 'node')} ended with a warning: {listed(found.nodes, _MOST_NAMES)}"
    wanted, built = found.commits or ("", "")
    return f"The run built commit {built}, not {wanted}"


def cautions(outcome: Outcome) -> tuple[str, ...]:
    """What is worth a warning and a line: nothing was selected, or a condition had nothing to be about."""
    findings = outcome.gates
    nothing = findings.nothing_selected
    found = []
    if nothing is not None and not nothing.is_by_state and not findings.has_failed(Gate.NO_NODES):
        found.append(_nothing_selected(nothing))
    found += [f"fail-on: {gate.value} has nothing to check: {_IDLE[gate]}." for gate in findings.idle]
    return tuple(found)


def quiet_line(outcome: Outcome) -> str:
    """That a selection by state selected nothing, which is a usual result; empty where that is not so."""
    nothing = outcome.gates.nothing_selected
    is_quiet = nothing is not None and nothing.is_by_state and not outcome.gates.has_failed(Gate.NO_NODES)
    return _nothing_selected(nothing) if nothing is not None and is_quiet else ""


def source_name(unique_id: str) -> str:
    """`source.shop.raw.orders` -> `raw.orders`."""
    parts = unique_id.split(".", 2)
    return parts[2] if len(parts) == 3 else unique_id


def _nothing_selected(nothing: NothingSelected) -> str:
    return f"Nothing was selected by {_commands(nothing.commands)}, so no node was executed."


def _commands(commands: Sequence[str]) -> str:
    shown = [shortened(one, _LONGEST_COMMAND) for one in commands]
    return listed([f"`{one}`" for one in shown], _MOST_NAMES)


def _sources(unique_ids: Sequence[str]) -> str:
    return listed([source_name(unique_id) for unique_id in unique_ids], _MOST_NAMES)
