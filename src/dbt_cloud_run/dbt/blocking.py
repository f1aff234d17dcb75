"""What a failure keeps from running (dbt: `GraphRunnableTask._handle_result`, `Linker.add_test_edges`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from dbt_cloud_run.dbt.selection import Selector, model_of
from dbt_cloud_run.dbt.versions import KNOWS_ON_ERROR, NEW_ENGINE, version_of

_TESTS = frozenset({"test", "unit_test"})


def blocked_by(selector: Selector, failures: Collection[str], verb: str) -> frozenset[str]:
    """The nodes that do not run after these failures: what depends on them; under `build` also what waits for a test.

    A data test holds up the nodes that depend on everything it tests, a unit test its model; what depends on those
    is held up too. The other commands do not stop for tests.
    """
    return frozenset(causes_of(selector, failures, verb))


def causes_of(selector: Selector, failures: Iterable[str], verb: str) -> dict[str, str]:
    """Each node that `blocked_by` returns, with the first of these failures that holds it up.

    Every node is gone through once, however many failures there are: what lies below a node that is held up already
    is so, too.
    """
    causes: dict[str, str] = {}
    tested: set[str] = set()  # nodes of which all that is below was gone through
    for failure in failures:
        waiting = list(_held_first(selector, failure, verb, tested))
        while waiting:
            node = waiting.pop()
            if node not in causes:
                causes[node] = failure
                waiting += selector.children(node) - causes.keys()
    return causes


def holds_nothing(selector: Selector, failure: str) -> bool:
    """Whether the children of this model run although it has failed, on what it was before."""
    node = selector.nodes.get(failure)
    if node is None or node.resource_type != "model" or node.config.on_error != "continue":
        return False
    version = version_of(selector.manifest.metadata.dbt_version)
    return version is not None and KNOWS_ON_ERROR <= version < NEW_ENGINE


def _held_first(selector: Selector, failure: str, verb: str, tested: set[str]) -> Collection[str]:
    """The nodes from which all that the failure holds up is reached, those included."""
    if failure not in selector.nodes or holds_nothing(selector, failure):
        return ()
    if selector.nodes[failure].resource_type not in _TESTS:
        return selector.children(failure)
    if verb != "build":
        return ()
    parents = selector.parents(failure)
    if len(parents) != 1 or selector.nodes[failure].resource_type == "unit_test":
        return _held_by_test(selector, failure)
    (parent,) = parents
    if parent in tested:
        return ()
    tested.add(parent)
    return [node for node in selector.children(parent) if _is_held(selector, node)]


def _held_by_test(selector: Selector, test: str) -> frozenset[str]:
    if selector.nodes[test].resource_type == "unit_test":
        model = model_of(selector, test)
        return frozenset() if model is None else frozenset({model})
    parents = selector.parents(test)
    if not parents:
        return frozenset()
    below = frozenset.intersection(*(selector.reach([parent]) for parent in parents))
    return frozenset(node for node in below if _is_held(selector, node))


def _is_held(selector: Selector, node: str) -> bool:
    return node in selector.manifest.nodes and selector.nodes[node].resource_type not in _TESTS
