"""Naming nodes for dbt so that exactly they are selected: there is no method for unique ids.

A node's path (`fqn:package.folder.name`) is also the prefix of others: of a model's unit tests, of the models in a
folder that is named like a model. So each name is tried on the manifest, and narrowed until nothing uninvited comes
along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dbt_cloud_run.dbt.artifacts import ManifestNode
from dbt_cloud_run.dbt.commands import DbtCommand, Selection
from dbt_cloud_run.dbt.criteria import WILDCARDS, UndecidableError
from dbt_cloud_run.dbt.selection import Selector, executed, executed_types, is_ephemeral, model_of

Accept = Callable[[frozenset[str]], bool]

_BY_NAME = frozenset({"unit_test", "exposure", "saved_query"})
_SPECIAL = {"*": "[*]", "?": "[?]", "[": "[[]", "]": "[]]", "+": "[+]", " ": "?", ",": "?", "\t": "?", "\n": "?"}


@dataclass(frozen=True, slots=True)
class ExactSelection:
    """Terms for `--select` and `--exclude`, true with `--indirect-selection` in the given mode."""

    select: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    indirect: str = "empty"

    @property
    def length(self) -> int:
        return sum(len(term) + 1 for term in (*self.select, *self.exclude)) + (len("--exclude ") if self.exclude else 0)


def name_exactly(
    selector: Selector, wanted: frozenset[str], command: DbtCommand, *, indirect: str = "empty"
) -> ExactSelection | None:
    """The shortest selection found that makes `command` execute exactly these nodes; None if there is none."""
    if not wanted or not wanted <= selector.nodes.keys():
        return None
    namer = _Namer(selector, wanted, command, indirect)
    candidates = [selection for selection in (namer.one_by_one(), namer.with_exclusions()) if selection is not None]
    exact = [selection for selection in candidates if _executes(selector, selection, command) == wanted]
    return min(exact, key=lambda selection: selection.length, default=None)


def narrow_exactly(
    selector: Selector,
    wanted: frozenset[str],
    command: DbtCommand,
    *,
    indirect: str = "empty",
    longest: int | None = None,
) -> ExactSelection | None:
    """The command's own selection without what is not wanted; None where that is not exact, or cannot be known.

    `longest`: characters of the exclusions beyond which there is no use for them.
    """
    old = command.selection
    if old.selector:
        return None
    namer = _Namer(selector, wanted, command, indirect)
    for mode in (indirect, old.indirect):
        kept = ExactSelection(old.select, old.exclude, mode)
        try:
            surplus = _executes(selector, kept, command) - wanted
        except UndecidableError:
            return None
        excluded = namer.exclusions(surplus, longest)
        if excluded is None:
            continue
        narrowed = ExactSelection(old.select, (*old.exclude, *excluded), mode)
        if _executes(selector, narrowed, command) == wanted:
            return narrowed
    return None


def _executes(selector: Selector, selection: ExactSelection, command: DbtCommand) -> frozenset[str]:
    selected = selector.select(Selection(selection.select, selection.exclude, None, selection.indirect))
    return executed(selector, selected, command)


class _Namer:
    def __init__(self, selector: Selector, wanted: frozenset[str], command: DbtCommand, indirect: str) -> None:
        self._selector = selector
        self._command = command
        self._indirect = indirect
        self._wanted = wanted
        # Under `build` a unit test runs with its model only: an ephemeral one has no result, but must be selected.
        self._carriers = frozenset(
            model
            for unique_id in wanted
            if command.verb == "build" and selector.nodes[unique_id].resource_type == "unit_test"
            if (model := model_of(selector, unique_id)) is not None
        )
        types = executed_types(command)
        self._executable = frozenset(
            unique_id for unique_id in selector.of_types(types) if not is_ephemeral(selector.nodes[unique_id])
        )

    def one_by_one(self) -> ExactSelection | None:
        """Every node by a term that selects nothing but wanted nodes."""
        terms = [self._first(unique_id, self._is_clean) for unique_id in self._targets()]
        found = [term for term in terms if term is not None]
        return ExactSelection(_unique(found), indirect=self._indirect) if len(found) == len(terms) else None

    def with_exclusions(self) -> ExactSelection | None:
        """Every node by its plain name where that is shorter, without what comes along."""
        select = [self._first(unique_id, lambda _found: True) for unique_id in self._targets()]
        named = [term for term in select if term is not None]
        if len(named) != len(select):
            return None
        selected = frozenset[str]().union(*(self._selector.term(term) for term in named))
        surplus = (selected & self._executable) - self._wanted
        if not self._knows_empty:  # tests come along with what they test
            along = _executes(self._selector, ExactSelection(_unique(named), (), self._indirect), self._command)
            surplus |= along - self._wanted
        excluded = self.exclusions(surplus)
        return None if excluded is None else ExactSelection(_unique(named), excluded, self._indirect)

    def exclusions(self, surplus: frozenset[str], longest: int | None = None) -> tuple[str, ...] | None:
        """Terms that select all of the surplus, and nothing that is wanted; None beyond so many characters."""
        terms: list[str] = []
        types = {self._selector.nodes[unique_id].resource_type for unique_id in surplus}
        for resource_type in sorted(types):
            term = f"resource_type:{resource_type}"
            alike = [
                unique_id for unique_id in surplus if self._selector.nodes[unique_id].resource_type == resource_type
            ]
            if len(alike) > 1 and self._is_harmless(self._selector.term(term)):
                terms.append(term)
                surplus -= frozenset(alike)
        # Two nodes may have one term, which then counts once.
        length, counted = 0, set[str]()
        for unique_id in sorted(surplus):
            term_of_one = self._first(unique_id, self._is_harmless)
            if term_of_one is None:
                return None
            length += 0 if term_of_one in counted else len(term_of_one) + 1
            counted.add(term_of_one)
            if longest is not None and length > longest:
                return None
            terms.append(term_of_one)
        return _unique(terms)

    @property
    def _knows_empty(self) -> bool:
        return self._indirect == "empty"

    def _targets(self) -> list[str]:
        return sorted(self._wanted | self._carriers)

    def _is_clean(self, found: frozenset[str]) -> bool:
        return found & self._executable <= self._wanted

    def _is_harmless(self, found: frozenset[str]) -> bool:
        return found.isdisjoint(self._wanted | self._carriers)

    def _first(self, unique_id: str, accept: Accept) -> str | None:
        """The first way of naming this node that dbt understands, that selects it, and that is accepted."""
        for term in shortest_terms(self._selector, unique_id):
            if not (self._knows_empty or WILDCARDS.isdisjoint(term)):  # patterns came with the mode `empty`
                continue
            if accept(self._selector.term(term)):
                return term
        return None


def shortest_terms(selector: Selector, unique_id: str) -> Iterator[str]:
    """The ways of naming this node that dbt understands and that select it, the simplest first."""
    for term in _terms(selector, selector.nodes[unique_id]):
        try:
            found = selector.term(term)
        except UndecidableError:
            continue
        if unique_id in found:
            yield term


def twins_of(selector: Selector, wanted: frozenset[str]) -> frozenset[str]:
    """Tests that no term separates from one of these: of its name, in its file, on its node."""
    tests = [selector.nodes[one] for one in wanted if one in selector.nodes]
    names = {_identity(node) for node in tests if node.resource_type == "test"}
    if not names:
        return frozenset()
    alike = (one for one in selector.of_types(("test",)) if _identity(selector.nodes[one]) in names)
    return frozenset(alike) - wanted


def _identity(node: ManifestNode) -> tuple[object, ...]:
    return (*node.fqn, node.original_file_path, node.package_name, *sorted(node.depends_on.nodes))


def _terms(selector: Selector, node: ManifestNode) -> Iterator[str]:
    plain = list(_plain_terms(node))
    yield from plain
    narrowing = list(_narrowing_terms(selector, node))
    for count in (1, 2):
        for base in plain:
            for extra in _choices(narrowing, count):
                yield ",".join((base, *extra))
    yield from _closed_terms(node)
    for base in (*plain, *_closed_terms(node)):
        yield ",".join((base, *narrowing))


def _narrowing_terms(selector: Selector, node: ManifestNode) -> Iterator[str]:
    yield f"resource_type:{node.resource_type}"
    if _is_plain(node.package_name) and node.package_name != "this":
        yield f"package:{node.package_name}"
    file = node.original_file_path.rpartition("/")[2]
    if _is_plain(file):
        yield f"file:{file}"
    if _is_plain(node.original_file_path) and node.package_name == selector.manifest.metadata.project_name:
        yield f"path:{node.original_file_path}"
    if node.resource_type in {"test", "unit_test"}:
        # Tests of one name in one file are told apart by what they are attached to.
        for parent in sorted(selector.parents(node.unique_id)):
            yield from (f"{term}+1" for term in _plain_terms(selector.nodes[parent]))


def _plain_terms(node: ManifestNode) -> Iterator[str]:
    path = ".".join(node.fqn)
    if node.resource_type == "source":
        yield f"source:{node.package_name}.{node.source_name}.{node.name}"
    elif node.resource_type in _BY_NAME and _is_plain(node.name) and "." not in node.name:
        yield f"{node.resource_type}:{node.package_name}.{node.name}"
    if node.resource_type == "source" or not path:
        return
    if _is_plain(path):
        yield f"fqn:{path}"
    else:
        yield f"fqn:{_escaped(path)}"


def _closed_terms(node: ManifestNode) -> Iterator[str]:
    """The path as a pattern: with a pattern in its last part dbt compares whole paths, and no longer prefixes."""
    if node.resource_type == "source" or not node.fqn or not node.fqn[-1]:
        return
    *folders, name = node.fqn
    last = name[-1]
    closed = _escaped(name[:-1]) + (_SPECIAL.get(last) or f"[{last}]")
    yield "fqn:" + ".".join((*(_escaped(folder) for folder in folders), closed))


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(character, character) for character in text)


def _is_plain(text: str) -> bool:
    """Whether dbt takes this literally in a term, wherever it stands."""
    return bool(text) and text.isprintable() and _SPECIAL.keys().isdisjoint(text)


def _choices(terms: Sequence[str], count: int) -> Iterator[tuple[str, ...]]:
    if count == 1:
        yield from ((term,) for term in terms)
    else:
        yield from ((one, other) for position, one in enumerate(terms) for other in terms[position + 1 :])


def _unique(terms: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(terms))
