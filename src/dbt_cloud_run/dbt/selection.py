"""What a dbt command selects: a selection evaluated over a manifest by dbt's rules (`dbt/graph/selector.py`, 1.11)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from dbt_cloud_run.dbt.artifacts import Manifest, ManifestNode
from dbt_cloud_run.dbt.commands import DbtCommand, Selection
from dbt_cloud_run.dbt.criteria import (
    NAMED,
    WILDCARDS,
    Criterion,
    is_versioned,
    parse_criterion,
    predicate,
)
from dbt_cloud_run.dbt.paths import nodes_under
from dbt_cloud_run.dbt.selectors import default_selector, selection_of
from dbt_cloud_run.dbt.verbs import verb_named

DEFAULT_TERMS = ("fqn:*", "source:*", "exposure:*", "metric:*", "semantic_model:*")

_TESTS = frozenset({"test", "unit_test"})


def executed_types(command: DbtCommand) -> frozenset[str]:
    """The resource types that a node command executes, its `--resource-type` and `--exclude-resource-type` applied."""
    default = verb_named(command.verb).types
    given = {term for term in command.terms("--resource-types") if term}
    types = frozenset(given - {"all", "default"}) | (
        default if given & {"all", "default"} or not given else frozenset()
    )
    return (types - set(command.terms("--exclude-resource-types"))) & default


@dataclass(frozen=True, slots=True)
class _Found:
    """Nodes that are in, and tests that would be in if all of their parents were."""

    direct: frozenset[str]
    waiting: frozenset[str] = frozenset()


class Selector:
    """A manifest, indexed for selections. The unique ids that it answers are of every kind that dbt's graph has."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.nodes: dict[str, ManifestNode] = {
            node.unique_id: node for node in manifest if node.unique_id and node.config.enabled is not False
        }
        self._parents: dict[str, frozenset[str]] = {}
        self._children: dict[str, set[str]] = defaultdict(set)
        self._by_type: dict[str, list[str]] = defaultdict(list)
        for unique_id, node in self.nodes.items():
            self._by_type[node.resource_type].append(unique_id)
            parents = frozenset(manifest.parents(unique_id)) & self.nodes.keys()
            self._parents[unique_id] = parents
            for parent in parents:
                self._children[parent].add(unique_id)
        self._terms: dict[str, frozenset[str]] = {}
        self._matches: dict[tuple[str, tuple[str, ...], str], frozenset[str]] = {}

    def parents(self, unique_id: str) -> frozenset[str]:
        return self._parents.get(unique_id, frozenset())

    def children(self, unique_id: str) -> frozenset[str]:
        return frozenset(self._children.get(unique_id, ()))

    def of_types(self, types: Collection[str]) -> frozenset[str]:
        return frozenset(unique_id for resource_type in types for unique_id in self._by_type[resource_type])

    def select(self, selection: Selection) -> frozenset[str]:
        """The selected unique ids; raises `UndecidableError` where the manifest alone does not show them."""
        selectors = self.manifest.selectors
        name = selection.selector or (None if selection.is_given else default_selector(selectors))
        if name is not None:
            selection = selection_of(name, selectors, indirect=selection.indirect)
        included = self._union(selection.select or DEFAULT_TERMS, selection.indirect)
        excluded = self._union(selection.exclude, selection.indirect)
        return included.direct - excluded.direct

    def united(self, terms: Sequence[str], indirect: str) -> frozenset[str]:
        """What these terms select together, with the tests that come along in this mode."""
        return self._union(terms, indirect).direct

    def term(self, term: str) -> frozenset[str]:
        """What one term (or an intersection, `a,b`) selects, without the tests that would come along."""
        if term not in self._terms:
            self._terms[term] = self._intersection(term, "empty").direct
        return self._terms[term]

    def reach(self, start: Iterable[str], depth: int = -1, *, upstream: bool = False) -> frozenset[str]:
        """What is reachable from these nodes in at most `depth` steps (-1: any); they belong to it only if reached."""
        neighbours: Callable[[str], Collection[str]] = self.parents if upstream else self.children
        found: set[str] = set()
        layer = set(start)
        while layer and depth != 0:
            layer = {neighbour for node in layer for neighbour in neighbours(node)} - found
            found |= layer
            depth -= 1
        return frozenset(found)

    def _union(self, terms: Sequence[str], indirect: str) -> _Found:
        return self._combined([self._intersection(term, indirect) for term in terms], frozenset.union, indirect)

    def _intersection(self, term: str, indirect: str) -> _Found:
        found = [self._criterion(parse_criterion(part), indirect) for part in term.split(",")]
        return self._combined(found, frozenset.intersection, indirect)

    def _combined(
        self,
        found: Sequence[_Found],
        combine: Callable[..., frozenset[str]],
        indirect: str,
    ) -> _Found:
        if not found:
            return _Found(frozenset())
        # All at once: one after the other, each step would copy what the steps before it found.
        direct = combine(*(part.direct for part in found))
        if not any(part.waiting for part in found):
            return _Found(direct, direct)
        waiting = combine(*(part.direct | part.waiting for part in found))
        return _Found(direct | self._complete(direct, waiting, indirect), waiting)

    def _complete(self, direct: frozenset[str], waiting: frozenset[str], indirect: str) -> frozenset[str]:
        """The waiting data tests whose parents are all there by now."""
        if indirect not in {"cautious", "buildable"} or direct == waiting:
            return frozenset()
        there = direct | self.reach(direct, upstream=True) if indirect == "buildable" else direct
        return frozenset(
            test for test in waiting if self._requires(test) <= there and self.nodes[test].resource_type != "unit_test"
        )

    def _requires(self, unique_id: str) -> frozenset[str]:
        return frozenset(self.manifest.parents(unique_id))

    def _criterion(self, criterion: Criterion, indirect: str) -> _Found:
        found = self._matching(criterion)
        selected = found
        if criterion.childrens_parents:
            below = self.reach(found) | found
            selected |= self.reach(below, upstream=True) | below
        if criterion.parents is not None:
            selected |= self.reach(found, criterion.parents, upstream=True)
        if criterion.children is not None:
            selected |= self.reach(found, criterion.children)
        return self._with_tests(selected, indirect)

    def _with_tests(self, selected: frozenset[str], indirect: str) -> _Found:
        if indirect == "empty":
            return _Found(selected)
        there = selected
        if indirect == "buildable":
            there = selected | self.reach(selected, upstream=True) | self.manifest.sources.keys()
        tests = {child for node in selected for child in self.children(node) if self._is_test(child)}
        if indirect == "eager":
            return _Found(selected | tests)
        complete = {test for test in tests if self._requires(test) <= there}
        return _Found(selected | complete, frozenset(tests - complete))

    def _is_test(self, unique_id: str) -> bool:
        return self.nodes[unique_id].resource_type in _TESTS

    def _matching(self, criterion: Criterion) -> frozenset[str]:
        key = (criterion.method, criterion.arguments, criterion.value)
        if key not in self._matches:
            self._matches[key] = self._search(criterion)
        return self._matches[key]

    def _search(self, criterion: Criterion) -> frozenset[str]:
        if criterion.method == "file" and WILDCARDS.isdisjoint(criterion.value):
            return frozenset(self._file_index.get(criterion.value, ()))
        if criterion.method == "fqn" and WILDCARDS.isdisjoint(criterion.value):
            return self._by_fqn(criterion.value)
        if criterion.method == "path":
            return nodes_under(criterion.value, self.nodes.values(), self.manifest.metadata.project_name)
        matches = predicate(criterion, self.manifest.metadata.project_name)
        candidates = self._by_type[criterion.method] if criterion.method in NAMED else self.nodes.keys()
        return frozenset(unique_id for unique_id in candidates if matches(self.nodes[unique_id]))

    def _by_fqn(self, value: str) -> frozenset[str]:
        leaves, pairs, prefixes = self._fqn_index
        return frozenset(
            leaves.get(value, set()) | pairs.get("_".join(value.split(".")[-2:]), set()) | prefixes.get(value, set())
        )

    @cached_property
    def _file_index(self) -> dict[str, set[str]]:
        """`file:` without wildcards, by look-up: file names, with and without their suffix."""
        names: dict[str, set[str]] = defaultdict(set)
        for unique_id, node in self.nodes.items():
            path = PurePosixPath(node.original_file_path)
            names[path.name].add(unique_id)
            names[path.stem].add(unique_id)
        return names

    @cached_property
    def _fqn_index(self) -> tuple[dict[str, set[str]], dict[str, set[str]], dict[str, set[str]]]:
        """`fqn:` without wildcards, by look-up: names, names with version, and every prefix of every path."""
        leaves: dict[str, set[str]] = defaultdict(set)
        pairs: dict[str, set[str]] = defaultdict(set)
        prefixes: dict[str, set[str]] = defaultdict(set)
        for unique_id, node in self.nodes.items():
            if node.resource_type == "source" or not node.fqn:
                continue
            if is_versioned(node) and len(node.fqn) > 1:
                leaves[node.fqn[-2]].add(unique_id)
                pairs["_".join(node.fqn[-2:])].add(unique_id)
            else:
                leaves[node.fqn[-1]].add(unique_id)
            for fqn in (node.fqn, node.fqn[1:]):
                flat = ".".join(fqn).split(".") if fqn else []
                for length in range(1, len(flat) + 1):
                    prefixes[".".join(flat[:length])].add(unique_id)
        return leaves, pairs, prefixes


def executed(selector: Selector, selected: frozenset[str], command: DbtCommand) -> frozenset[str]:
    """What a command does of what it selects: of its types, no ephemeral models; under `build`, unit tests run with
    their model only (`dbt/task/build.py`)."""
    types = executed_types(command)
    there = frozenset(unique_id for unique_id in selected if selector.nodes[unique_id].resource_type in types)
    found = frozenset(unique_id for unique_id in there if not is_ephemeral(selector.nodes[unique_id]))
    if command.verb != "build":
        return found
    return frozenset(
        unique_id
        for unique_id in found
        if selector.nodes[unique_id].resource_type != "unit_test" or model_of(selector, unique_id) in there
    )


def is_ephemeral(node: ManifestNode) -> bool:
    return node.resource_type == "model" and node.config.materialized == "ephemeral"


def model_of(selector: Selector, unit_test: str) -> str | None:
    """The model that a unit test is about: the first that it depends on; its inputs may follow."""
    return next((parent for parent in selector.manifest.parents(unit_test) if parent in selector.nodes), None)
