"""Nodes that a step had to run, and of which its results say nothing. Pure.

A step that is cut off leaves the results of what it had done. Of a step that failed, dbt lists every node, with two
exceptions: before 1.6 `--fail-fast` left out what had not started, and the new engine left out nodes that failed or
were skipped (dbt-core #7785, dbt-fusion #1130). To take such a list for the whole would turn a retry green that has
run only part of the step.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from dbt_cloud_run.dbt.commands import INDIRECT_SELECTION, DbtCommand, Flag
from dbt_cloud_run.dbt.criteria import UndecidableError
from dbt_cloud_run.dbt.selection import Selector, executed, executed_types, is_ephemeral
from dbt_cloud_run.dbt.versions import NEW_ENGINE
from dbt_cloud_run.model import RunState, Step, StepResults

_ALWAYS_LISTED = frozenset({"model", "seed", "snapshot", "test", "unit_test"})
"""Resource types that dbt lists in every version; the others came to be listed one by one."""
_LISTS_UNSTARTED = (1, 6)
_INTERRUPTED = "Exited because of keyboard interrupt"


def was_cut_off(step: Step) -> bool:
    """Whether the step was ended before its time, so that its results hold only what it had done by then.

    dbt-core that receives a signal also writes what it has, and ends with an error (`dbt/task/runnable.py`).
    """
    if step.state in (RunState.ERROR, RunState.SUCCESS):
        return step.state is RunState.ERROR and _INTERRUPTED in step.log
    return True


def is_always_listed(unique_id: str) -> bool:
    """Whether every dbt that executes such a node also lists it in its results."""
    return unique_id.partition(".")[0] in _ALWAYS_LISTED


def not_reported(
    selector: Selector, command: DbtCommand, results: StepResults, reported: Collection[str]
) -> frozenset[str] | None:
    """What the command executes, without what is reported; None where the manifest alone does not show it."""
    if not command.is_node_command:
        return None
    command = _as_it_ran(command, results)
    try:
        due = executed(selector, selector.select(command.selection), command)
    except UndecidableError:
        return None
    # What has run, or the lack of anything to run, shows that the selection meant something else.
    return due - frozenset(reported) if due and _work(selector, command, reported) <= due else None


def is_listed_in_full(step: Step | None, version: tuple[int, int] | None) -> bool:
    """Whether the step came to its end, and its dbt lists every node that it had selected."""
    if step is None or was_cut_off(step) or step.results is None or step.results.lost_rows:
        return False
    return version is not None and _LISTS_UNSTARTED <= version < NEW_ENGINE


def lost(
    selector: Selector,
    command: DbtCommand,
    results: StepResults,
    reported: Collection[str],
    version: tuple[int, int] | None,
) -> frozenset[str] | None:
    """What is missing in the results of a step in which nodes failed; nothing of a dbt that lists every node.

    None where something may be missing, and the manifest does not show what.
    """
    stops_early = results.selected_fail_fast or command.has("--fail-fast")
    if version is None or not (version >= NEW_ENGINE or (version < _LISTS_UNSTARTED and stops_early)):
        return frozenset()
    missing = not_reported(selector, command, results, reported)
    if missing is None:
        return None if command.is_node_command else frozenset()
    return frozenset(one for one in missing if selector.nodes[one].resource_type in _ALWAYS_LISTED)


def _as_it_ran(command: DbtCommand, results: StepResults) -> DbtCommand:
    """The command with what the environment or the project set, which the results show."""
    in_force = (
        (INDIRECT_SELECTION, (results.indirect_selection,) if results.indirect_selection else ()),
        ("--resource-types", results.resource_types),
        ("--exclude-resource-types", results.exclude_resource_types),
    )
    added = [Flag(name, values, name=name) for name, values in in_force if values and command.flag(name) is None]
    return replace(command, parts=(*command.parts, *added))


def _work(selector: Selector, command: DbtCommand, reported: Collection[str]) -> frozenset[str]:
    """The reported nodes that the command executes by itself."""
    types = executed_types(command)
    return frozenset(
        one
        for one in reported
        if (node := selector.nodes.get(one)) is None or (node.resource_type in types and not is_ephemeral(node))
    )
