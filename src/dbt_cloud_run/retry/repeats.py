"""What a step would repeat, run again as a whole, although it may not be repeatable. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from itertools import dropwhile

from dbt_cloud_run.dbt.artifacts import ManifestNode
from dbt_cloud_run.dbt.commands import DbtCommand
from dbt_cloud_run.dbt.console_log import relation_in_log, without_colours
from dbt_cloud_run.dbt.criteria import UndecidableError
from dbt_cloud_run.dbt.repeating import may_repeat
from dbt_cloud_run.dbt.selection import Selector, executed
from dbt_cloud_run.dbt.verbs import verbs_of
from dbt_cloud_run.model import LONGEST_LOG, RunState, Step
from dbt_cloud_run.retry.alignment import AskedStep
from dbt_cloud_run.retry.nodes import executed_rows, is_over
from dbt_cloud_run.retry.situation import Situation
from dbt_cloud_run.retry.unreported import was_cut_off
from dbt_cloud_run.retry.windows import refreshes_fully

_RAN = re.compile(
    r"\b\d+ of \d+ (?:OK|WARN|PASS|PARTIALLY)\b.*? (?P<name>[\w$]+\.\S+) \.\.\.|Succeeded \[.*?\] \w+ (?P<other>\S+)"
)
_NUMBERED = re.compile(
    r"(?<!Batch )\b(?P<number>\d{1,7}) of \d+ (?P<word>START|SKIP|NO-OP|OK|ERROR|WARN|PASS|FAIL|PARTIAL)\b"
)
_BEGUN = re.compile(r"\b\d{1,7} of \d{1,7} START\b.*? (?P<name>[\w$]+\.\S+) \.\.\.")
_BEGINS = frozenset({"START", "SKIP", "NO-OP"})


def repeats_of(asked: AskedStep, command: DbtCommand | None, situation: Situation) -> frozenset[str]:
    """The nodes that succeeded in the step, or may have, and may not be repeated; none where a person asked for all."""
    step, selector = asked.step, situation.selector
    if step is None or situation.takes_all or selector is None:
        return frozenset()
    # A second `dbt clone` replaces relations, or leaves them as they are.
    if command is not None and command.verb == "clone":
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
    known |= under_way(step, appending.values())
    return known if _shows_all(asked.command, step) else known | _by_log(step, appending.values(), selector, command)


def under_way(step: Step, nodes: Iterable[ManifestNode]) -> frozenset[str]:
    """Those of the nodes that had begun when the step was cut off, and have no result.

    The warehouse may have finished what dbt did not wait for.
    """
    if not was_cut_off(step):
        return frozenset()
    rows = executed_rows(step)
    begun = {found["name"] for found in _BEGUN.finditer(without_colours(step.log))}
    open_ones = (node for node in nodes if node.unique_id not in rows)
    return frozenset(node.unique_id for node in open_ones if any(_is_named(node, name) for name in begun))


def _shows_all(line: str, step: Step) -> bool:
    """Whether the step's results list all that it has built, and no earlier command of its line built more."""
    if step.results is None:
        return step.state is RunState.SUCCESS
    names = [verb.name for verb in dropwhile(lambda verb: not verb.builds, verbs_of(line))]
    later, which = names[1:], step.results.which
    # The results of `dbt retry` are named after the command that it continues, and hold only what it ran itself.
    return not later or (which == names[0] and names[0] not in later and "retry" not in later)


def _by_log(
    step: Step, appending: Collection[ManifestNode], selector: Selector, command: DbtCommand | None
) -> frozenset[str]:
    """Those of the nodes that the log shows as built; all that the command selects, where the log lacks lines."""
    log = without_colours(step.log)
    if log.strip() and not _lacks_lines(log, command):
        built = {found["name"] or found["other"] for found in _RAN.finditer(log)}
        return frozenset(node.unique_id for node in appending if any(_is_named(node, name) for name in built))
    return _selected({node.unique_id for node in appending}, selector, command)


def _lacks_lines(log: str, command: DbtCommand | None) -> bool:
    """Whether nodes may have succeeded of which the log shows nothing: its beginning is cut off, or dbt was quiet.

    dbt-core numbers its nodes, and prints a line when each of them starts or is skipped.
    """
    if len(log) >= LONGEST_LOG or (command is not None and command.has("--quiet")):
        return True
    lines = list(_NUMBERED.finditer(log))
    begun = {int(line["number"]) for line in lines if line["word"] in _BEGINS}
    return any(number not in begun for number in range(1, 1 + max((int(line["number"]) for line in lines), default=0)))


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
