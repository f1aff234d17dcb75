"""What a retry reads from production although its own run built it, where `--favor-state` is in force. Pure.

With `--favor-state`, dbt reads every node that the command does not select from the deferred state
(`dbt/context/providers.py`, `create_relation`). A command over the failed nodes alone selects less than the step did.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from dbt_cloud_run.dbt.commands import FAVOR_STATE, DbtCommand
from dbt_cloud_run.dbt.repeating import may_repeat
from dbt_cloud_run.dbt.selection import Selector, executed_types, is_ephemeral
from dbt_cloud_run.dbt.versions import NEW_ENGINE
from dbt_cloud_run.model import StepResults

_DEFERRED = frozenset({"model", "seed", "snapshot", "function"})


@dataclass(frozen=True, slots=True)
class Reading:
    """How the retried nodes come to read what their run built, or why they cannot."""

    along: frozenset[str] = frozenset()  # selected, and so run, although they succeeded
    turns_off: bool = False  # `--no-favor-state`
    obstacle: str = ""


def reading_of(
    selector: Selector,
    command: DbtCommand,
    results: StepResults | None,
    wanted: frozenset[str],
    *,
    built: Collection[str],
    version: tuple[int, int] | None,
    takes_all: bool,
    full_refresh: bool,
) -> Reading:
    """`built`: the nodes whose relation this run built, in any of its steps."""
    if not may_favor_state(command, results, version):
        return Reading()
    reads = _reads(selector, wanted)
    own = reads & frozenset(built)
    if not own:
        return Reading()
    if own == reads:
        return Reading(turns_off=True)
    if not favors_state(command, results):
        return Reading()
    along = own
    while more := (_reads(selector, wanted | along) & frozenset(built)) - along:
        along |= more
    types = executed_types(command)
    if any(selector.nodes[one].resource_type not in types for one in along):
        return Reading(obstacle="with `--favor-state` its nodes would read from production what this run built")
    kept = [one for one in along if not takes_all and not may_repeat(selector.nodes[one], full_refresh=full_refresh)]
    if kept:
        return Reading(
            obstacle="with `--favor-state` its nodes read what this run built only where that is rebuilt, "
            f"and {min(kept)} may not be repeated"
        )
    return Reading(along=along)


def may_favor_state(command: DbtCommand | None, results: StepResults | None, version: tuple[int, int] | None) -> bool:
    """Whether the step ran with `--favor-state`, or may have: the new engine does not report it."""
    favors = favors_state(command, results)
    return favors or (favors is None and version is not None and version >= NEW_ENGINE)


def favors_state(command: DbtCommand | None, results: StepResults | None) -> bool | None:
    """Whether the step ran with `--favor-state`, its own or its environment's; None where that is not known."""
    if command is not None and (flag := command.flag(FAVOR_STATE)) is not None:
        return not flag.negated
    return results.favor_state if results is not None else None


def _reads(selector: Selector, nodes: frozenset[str]) -> frozenset[str]:
    """What these nodes refer to beyond themselves, through ephemeral models; the inputs of unit tests are made up."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [one for one in nodes if not one.startswith("unit_test.")]
    while waiting:
        for parent in selector.parents(waiting.pop()) - seen:
            seen.add(parent)
            if is_ephemeral(selector.nodes[parent]):
                waiting.append(parent)
            elif selector.nodes[parent].resource_type in _DEFERRED and parent not in nodes:
                found.add(parent)
    return frozenset(found)
