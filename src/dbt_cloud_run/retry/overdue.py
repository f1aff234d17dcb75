"""A step that runs whole, and holds microbatch models that had run their batches at another time. Pure.

A plain run of such a model fills the batches of its own time. A step that never started, or that is cut off before the
model's turn, would leave out those that were due then, and what is built from the model would lack them, too. So the
model runs as it is (which makes the table where there is none), then over the window that was due, then with what
depends on it. The parts are cut out of the step's own selection, which need not be known: no node is lost that only
the step itself finds, such as one that its `--vars` enable.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dbt_cloud_run.dbt.batches import is_microbatch
from dbt_cloud_run.dbt.commands import DbtCommand, Selection
from dbt_cloud_run.dbt.criteria import UndecidableError
from dbt_cloud_run.dbt.naming import shortest_terms
from dbt_cloud_run.dbt.repeating import is_full_refresh
from dbt_cloud_run.dbt.selection import Selector, executed, executed_types
from dbt_cloud_run.dbt.verbs import verb_named
from dbt_cloud_run.planned import Window
from dbt_cloud_run.retry.commands import Rewritten, fits, too_long
from dbt_cloud_run.retry.rest import written_out
from dbt_cloud_run.retry.windows import due_window, sets_times


@dataclass(frozen=True, slots=True)
class Overdue:
    """The microbatch models that a step may hold, each with the window that was due; or why they are not filled.

    `is_certain`: the step does hold them.
    """

    windows: Mapping[str, Window] = field(default_factory=dict)
    selection: Selection = field(default_factory=Selection)
    obstacle: str = ""
    is_certain: bool = False


def overdue_of(
    selector: Selector | None,
    command: DbtCommand | None,
    *,
    ran: Collection[str],
    span: tuple[datetime, datetime] | None,
    now: datetime | None,
    full_refresh: bool,
    favors_state: bool,
) -> Overdue:
    """`ran`: the models whose batches are known. `span`: when the step ran, or would have begun to.

    `favors_state`: a part of the step would read from production what another part has built.
    """
    if selector is None or command is None or span is None or full_refresh or sets_times(command):
        return Overdue()
    if "model" not in executed_types(command):
        return Overdue()
    windows = {
        unique_id: due
        for unique_id, node in selector.nodes.items()
        if is_microbatch(node) and unique_id not in ran and not is_full_refresh(node, full_refresh=False)
        if (due := due_window(node, *span, now)) is not None
    }
    if not windows:
        return Overdue()
    try:
        # How tests are selected does not matter: no test has batches.
        selection = written_out(selector, command, None)
    except UndecidableError as error:
        return Overdue(windows, obstacle=str(error))
    obstacle = _obstacle(command, favors_state=favors_state)
    try:
        found = executed(selector, selector.select(selection), command)
    except UndecidableError:
        return Overdue(windows, selection, obstacle)
    return Overdue({one: due for one, due in windows.items() if one in found}, selection, obstacle, is_certain=True)


def _obstacle(command: DbtCommand, *, favors_state: bool) -> str:
    """What would go wrong in parts of the step, and not in the whole."""
    if favors_state:
        return "with `--favor-state` its parts would read from production what this run built"
    if command.has("--warn-error") or command.flag("--warn-error-options") is not None:
        return "with `--warn-error` a part of it that selects nothing would fail"
    return ""


def in_turn(selector: Selector, command: DbtCommand, overdue: Overdue) -> Rewritten:
    """The step in parts: what waits for none of the models, and then each of them, its window, what depends on it."""
    terms = {one: _term(selector, one) for one in overdue.windows}
    names = {one: term for one, term in terms.items() if term is not None}
    if len(names) < len(terms):
        return Rewritten(obstacle=f"{min(terms.keys() - names.keys())} cannot be named by itself")
    lines = tuple(part.render() for part in _parts(selector, command, overdue, names))
    return Rewritten(lines) if all(map(fits, lines)) else Rewritten(obstacle=too_long())


def _parts(selector: Selector, command: DbtCommand, overdue: Overdue, names: Mapping[str, str]) -> Iterator[DbtCommand]:
    select, exclude = overdue.selection.select, overdue.selection.exclude
    comes_along = verb_named(command.verb).tests_come_along
    waiting = set(names)

    def within(terms: Collection[str]) -> tuple[str, ...]:
        return tuple(f"{one},{term}" for one in select for term in terms) if select else tuple(terms)

    def behind(models: Collection[str]) -> tuple[str, ...]:
        return tuple(f"{names[one]}+" for one in sorted(models))

    yield command.with_selection(select, (*exclude, *behind(waiting)))
    while waiting:
        ready = waiting - selector.reach(waiting)
        by_window: dict[Window, list[str]] = defaultdict(list)
        for model in sorted(ready):
            by_window[overdue.windows[model]].append(names[model])
        # Tests wait until the window is filled.
        mode = "empty" if comes_along else None
        yield command.with_selection(within([names[one] for one in sorted(ready)]), exclude, indirect=mode)
        for window, models in sorted(by_window.items()):
            yield command.over(window).with_selection(within(models), exclude, indirect=mode)
        waiting -= ready
        done = () if comes_along else tuple(names[one] for one in sorted(ready))
        # To exclude a model is to exclude its tests, so under `dbt build` it runs once more with what depends on it.
        yield command.with_selection(within(behind(ready)), (*exclude, *done, *behind(waiting)))


def _term(selector: Selector, unique_id: str) -> str | None:
    """A term for this node alone to which a graph operator can be added."""
    return next(
        (
            term
            for term in shortest_terms(selector, unique_id)
            if "," not in term and selector.term(term) == frozenset({unique_id})
        ),
        None,
    )
