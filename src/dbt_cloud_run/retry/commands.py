"""A step's command over the nodes that a retry runs, or what stands in its way. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dbt_cloud_run.dbt.blocking import blocked_by
from dbt_cloud_run.dbt.commands import DbtCommand
from dbt_cloud_run.dbt.naming import ExactSelection, name_exactly, narrow_exactly, twins_of
from dbt_cloud_run.dbt.selection import Selector, model_of
from dbt_cloud_run.dbt.verbs import verb_named
from dbt_cloud_run.dbt.versions import KNOWS_EMPTY
from dbt_cloud_run.planned import Window

MAX_COMMAND_LENGTH = 8_000
"""Characters of a rewritten command. dbt Cloud documents no limit for a step; this one is well below those of the
shells, proxies and databases that a step's name passes through."""

MAX_PARTS = 10
"""Commands into which one is divided: each starts dbt once more, and runs only when those before it succeeded."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The commands that run exactly the wanted nodes, in order; none, and why, where there are none."""

    commands: tuple[str, ...] = ()
    obstacle: str = ""
    is_divided: bool = False  # because one command would be too long


def rewrite(
    selector: Selector,
    command: DbtCommand,
    wanted: frozenset[str],
    *,
    version: tuple[int, int] | None = None,
    may_divide: bool = False,
    windows: Mapping[str, tuple[Window, ...]] | None = None,
    due: Mapping[str, Window] | None = None,
) -> Rewritten:
    """`may_divide`: several commands are better than the whole step, because part of it must not be run again. So they
    are wherever there are windows.

    `windows`: the models of which only these windows of time are run, each by a command of its own, before what
    depends on it. `due`: the models that run as they are, and then over this window, too.
    """
    lines: list[str] = []
    is_divided = False
    for nodes, window in _segments(selector, wanted, windows or {}, due or {}):
        part = _over(
            selector, command.over(window), nodes, version=version, may_divide=may_divide or bool(windows or due)
        )
        if not part.commands:
            return part
        is_divided |= len(part.commands) > 1
        lines += part.commands
    return Rewritten(tuple(lines), is_divided=is_divided)


def _segments(
    selector: Selector,
    wanted: frozenset[str],
    windows: Mapping[str, tuple[Window, ...]],
    due: Mapping[str, Window],
) -> Iterator[tuple[frozenset[str], Window | None]]:
    """The nodes in the order of their commands: what a window's model waits for, its windows, what waits for it."""
    rest = wanted
    by_model: dict[str, tuple[Window | None, ...]] = {one: (None, window) for one, window in due.items()}
    by_model |= windows
    while rest:
        filled = rest & by_model.keys()
        behind = selector.reach(filled)
        if ready := rest - filled - behind:
            yield ready, None
        by_windows: dict[tuple[Window | None, ...], set[str]] = defaultdict(set)
        for model in filled - behind:
            by_windows[by_model[model]].add(model)
        for spans, models in sorted(by_windows.items(), key=lambda one: [window for window in one[0] if window]):
            yield from ((frozenset(models), window) for window in spans)
        rest -= ready | (filled - behind)


def fits(line: str) -> bool:
    return len(line) <= MAX_COMMAND_LENGTH


def too_long() -> str:
    return f"the names of its nodes would be longer than {MAX_COMMAND_LENGTH} characters"


def _over(
    selector: Selector,
    command: DbtCommand,
    wanted: frozenset[str],
    *,
    version: tuple[int, int] | None,
    may_divide: bool,
) -> Rewritten:
    is_old = version is not None and version < KNOWS_EMPTY
    indirect = "cautious" if is_old else "empty"
    line = _named(selector, command, wanted, indirect)
    if line is None and (twins := twins_of(selector, wanted)):
        line = _named(selector, command, wanted | twins, indirect)
    if line is None:
        why = "its nodes cannot be named exactly"
        if version is not None and is_old:
            why += f", because dbt {version[0]}.{version[1]} adds tests to what is selected, and knows no patterns"
        return Rewritten(obstacle=why)
    if fits(line):
        return Rewritten((line,))
    narrowed = narrow_exactly(selector, wanted, command, indirect=indirect, longest=MAX_COMMAND_LENGTH)
    if narrowed is not None and narrowed.exclude == command.selection.exclude:
        return Rewritten(obstacle="none of its nodes succeeded")
    shorter = _render(command, narrowed)
    if shorter is not None and fits(shorter):
        return Rewritten((shorter,))
    if may_divide and len(line) <= MAX_COMMAND_LENGTH * MAX_PARTS:
        parts = _divided(selector, command, wanted, indirect)
        if parts:
            return Rewritten(parts)
    return Rewritten(obstacle=too_long())


def _named(selector: Selector, command: DbtCommand, wanted: frozenset[str], indirect: str) -> str | None:
    return _render(command, name_exactly(selector, wanted, command, indirect=indirect))


def _render(command: DbtCommand, exact: ExactSelection | None) -> str | None:
    if exact is None:
        return None
    indirect = exact.indirect if verb_named(command.verb).tests_come_along else None
    return command.with_selection(exact.select, exact.exclude, indirect=indirect).render()


def _divided(selector: Selector, command: DbtCommand, wanted: frozenset[str], indirect: str) -> tuple[str, ...]:
    """The nodes in their order, cut into commands that are each short enough; nothing where that is not possible."""
    rest = _in_order(selector, command, wanted)
    lines: list[str] = []
    while rest:
        count = len(rest)
        while True:
            line = _named(selector, command, frozenset[str]().union(*rest[:count]), indirect)
            if line is None or len(lines) == MAX_PARTS:
                return ()
            if fits(line):
                break
            if count == 1:
                return ()
            count = max(1, count * MAX_COMMAND_LENGTH // len(line))
        lines.append(line)
        rest = rest[count:]
    return tuple(lines)


def _in_order(selector: Selector, command: DbtCommand, wanted: frozenset[str]) -> list[frozenset[str]]:
    """The nodes so that none comes before what would keep it from running; a model together with its unit tests."""
    groups: dict[str, set[str]] = defaultdict(set)
    for one in wanted:
        carrier = model_of(selector, one) if command.verb == "build" and one.startswith("unit_test.") else None
        groups[carrier or one].add(one)
    waits_for: Counter[str] = Counter()
    for one in groups:
        waits_for.update(blocked_by(selector, [one], command.verb) & groups.keys())
    # What waits for a node waits for all that the node waits for, and so for more.
    return [frozenset(groups[one]) for one in sorted(groups, key=lambda one: (waits_for[one], one))]
