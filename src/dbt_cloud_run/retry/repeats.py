"""What a step would repeat, run again as a whole, although it may not be repeatable. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

from dbt_cloud_run.dbt.artifacts import ManifestNode
from dbt_cloud_run.dbt.commands import DbtCommand
from dbt_cloud_run.dbt.console_log import relation_in_log, without_colours
from dbt_cloud_run.dbt.criteria import UndecidableError
from dbt_cloud_run.dbt.repeating import may_repeat
from dbt_cloud_run.dbt.selection import Selector, executed
from dbt_cloud_run.model import RunState, Step
from dbt_cloud_run.retry.alignment import AskedStep
from dbt_cloud_run.retry.needs import Situation
from dbt_cloud_run.retry.nodes import executed_rows, is_over
from dbt_cloud_run.retry.windows import refreshes_fully

_RAN = re.compile(
    r"\b\d+ of \d+ (?:OK|WARN|PASS|PARTIALLY)\b.*? (?P<name>[\w$]+\.\S+) \.\.\.|Succeeded \[.*?\] \w+ (?P<other>\S+)"
)
_SHOWS_NODES = re.compile(r"\b\d+ of \d+ (?:START|OK|ERROR|SKIP)\b|(?:Succeeded|Failed|Skipped) \[")


def repeats_of(asked: AskedStep, command: DbtCommand | None, situation: Situation) -> frozenset[str]:
    """The nodes that succeeded in the step, or may have, and may not be repeated; none where a person asked for all."""
    step, selector = asked.step, situation.selector
    if step is None or situation.takes_all or selector is None:
        return frozenset()
    refreshes = refreshes_fully(command, step)
    appending = {
        unique_id: node for unique_id, node in selector.nodes.items() if not may_repeat(node, full_refresh=refreshes)
    }
    if not appending:
        return frozenset()
    rows = executed_rows(step)
    known = frozenset(one for one in appending if one in rows and is_over(rows[one].status))
    if step.results is not None and step.results.lost_rows:
        return known | _selected(appending.keys() - rows.keys(), selector, command)
    if rows:
        return known
    if step.results is not None or step.state is RunState.SUCCESS:
        return frozenset()
    return _by_log(step, appending.values(), selector, command)


def _by_log(
    step: Step, appending: Collection[ManifestNode], selector: Selector, command: DbtCommand | None
) -> frozenset[str]:
    """Of a step without results: those that its log shows as built; where it shows nothing, all that it selects."""
    log = without_colours(step.log)
    if _SHOWS_NODES.search(log):
        built = {found["name"] or found["other"] for found in _RAN.finditer(log)}
        return frozenset(node.unique_id for node in appending if any(_is_named(node, name) for name in built))
    if log.strip():
        return frozenset()
    return _selected({node.unique_id for node in appending}, selector, command)


def _selected(names: Collection[str], selector: Selector, command: DbtCommand | None) -> frozenset[str]:
    """Those of the nodes that the command runs, as far as that is known; where it is not, all of them."""
    if command is None:
        return frozenset(names)
    if not command.is_node_command:
        return frozenset()
    try:
        return executed(selector, selector.select(command.selection), command).intersection(names)
    except UndecidableError:
        return frozenset(names)


def _is_named(node: ManifestNode, name: str) -> bool:
    relation = relation_in_log(node.relation_name)
    return bool(relation) and f".{relation}".endswith(f".{name.lower()}")
