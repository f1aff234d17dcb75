"""A step's own selection, united with what failed, without what is done: where its nodes cannot be named one by one.

The manifest does not decide every selection (`state:`, `result:`, `source_status:`), results may not list every node,
and some nodes have no name of their own. The step then runs what it would run as a whole, except for what succeeded
and can be named: everything that may not be repeated, and as much of the rest as one command holds. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from dbt_cloud_run.dbt.commands import DbtCommand, Selection
from dbt_cloud_run.dbt.criteria import WILDCARDS, UndecidableError
from dbt_cloud_run.dbt.naming import shortest_terms
from dbt_cloud_run.dbt.repeating import may_repeat
from dbt_cloud_run.dbt.selection import Selector, executed_types
from dbt_cloud_run.dbt.selectors import default_selector, selection_of
from dbt_cloud_run.dbt.versions import KNOWS_EMPTY
from dbt_cloud_run.model import StepResults
from dbt_cloud_run.retry.commands import Rewritten, fits, too_long
from dbt_cloud_run.retry.deferral import favors_state, may_favor_state

_MOST_TRIED = 400
"""Nodes whose exclusion is tried: one command does not hold more names."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What a step had done, and what it still needs as far as that is known."""

    wanted: frozenset[str]
    done: Mapping[str, float]  # the nodes that succeeded, with the seconds that each took in the step
    results: StepResults | None
    full_refresh: bool
    version: tuple[int, int] | None


def rest_of(selector: Selector, command: DbtCommand, rest: Rest) -> Rewritten:
    """The command over the rest of its step, or the obstacle to it."""
    try:
        selection = written_out(selector, command, rest.results)
    except UndecidableError as error:
        return Rewritten(obstacle=str(error))
    names = _names(selector, rest) if selection.select else ()
    if names is None:
        return Rewritten(obstacle="its nodes have no names that dbt understands")
    exclusions = _Exclusions(selector, command, rest, selection.indirect)
    if exclusions.appending and favors_state(command, rest.results):
        return Rewritten(
            obstacle=f"with `--favor-state`, without {min(exclusions.appending)} its nodes would read that from "
            "production"
        )
    fixed = exclusions.of(exclusions.appending)
    if fixed is None:
        return Rewritten(obstacle=f"{min(exclusions.appending)} cannot be excluded by itself")
    select = tuple(dict.fromkeys((*selection.select, *names)))
    line = command.with_selection(select, (*selection.exclude, *fixed)).render()
    if not fits(line):
        return Rewritten(obstacle=too_long())
    excluded = list(fixed)
    for term in exclusions.optional():
        longer = command.with_selection(select, (*selection.exclude, *excluded, term)).render()
        if not fits(longer):
            break
        excluded.append(term)
        line = longer
    if not excluded and (not names or _is_decided(selector, selection)):
        return Rewritten(obstacle="nothing that it has done can be excluded")
    return Rewritten((line,))


def written_out(selector: Selector, command: DbtCommand, results: StepResults | None) -> Selection:
    """The selection in force as terms: selectors written out, and with the mode that the environment set."""
    selection = command.selection
    if command.flag("--indirect-selection") is None and results is not None and results.indirect_selection:
        selection = replace(selection, indirect=results.indirect_selection.lower())
    selectors = selector.manifest.selectors
    if not command.is_fixed((*selection.select, *selection.exclude, selection.selector or "")):
        raise UndecidableError("its selection is filled in by a shell")
    name = selection.selector or (None if selection.is_given else default_selector(selectors))
    return selection if name is None else selection_of(name, selectors, indirect=selection.indirect)


def _is_decided(selector: Selector, selection: Selection) -> bool:
    try:
        selector.select(selection)
    except UndecidableError:
        return False
    return True


def _terms(selector: Selector, unique_id: str, rest: Rest) -> Iterable[str]:
    is_old = rest.version is not None and rest.version < KNOWS_EMPTY
    return (term for term in shortest_terms(selector, unique_id) if not is_old or WILDCARDS.isdisjoint(term))


def _names(selector: Selector, rest: Rest) -> tuple[str, ...] | None:
    found = [next(iter(_terms(selector, one, rest)), None) for one in sorted(rest.wanted)]
    named = [term for term in found if term is not None]
    return tuple(named) if len(named) == len(found) else None


class _Exclusions:
    """Terms for what is done, each of which takes nothing away that may still be needed."""

    def __init__(self, selector: Selector, command: DbtCommand, rest: Rest, mode: str) -> None:
        self._selector = selector
        self._rest = rest
        self._mode = mode
        types = executed_types(command)
        known = [one for one in rest.done if one in selector.nodes and selector.nodes[one].resource_type in types]
        self.appending = frozenset(
            one for one in known if not may_repeat(selector.nodes[one], full_refresh=rest.full_refresh)
        )
        favors = may_favor_state(command, rest.results, rest.version)
        self._optional = [
            one
            for one in known
            if one not in self.appending and (not favors or selector.nodes[one].resource_type in ("test", "unit_test"))
        ]
        self._executable = selector.of_types(types)

    def of(self, nodes: Collection[str]) -> tuple[str, ...] | None:
        """A term for each of these nodes; None where one has none."""
        terms = [self._term(one) for one in sorted(nodes)]
        found = [term for term in terms if term is not None]
        return tuple(found) if len(found) == len(terms) else None

    def optional(self) -> Iterable[str]:
        """Terms for the nodes that need not run again, those first that took longest."""
        longest = sorted(self._optional, key=lambda one: (-self._rest.done[one], one))
        terms = (self._term(one) for one in longest[:_MOST_TRIED])
        return dict.fromkeys(term for term in terms if term is not None)

    def _term(self, unique_id: str) -> str | None:
        for term in _terms(self._selector, unique_id, self._rest):
            # Excluding a model excludes its tests as well, in most modes: they must be done, too.
            taken = self._selector.united((term,), self._mode) & self._executable
            if taken <= self._rest.done.keys():
                return term
        return None
