"""What a failure keeps from running (dbt: `GraphRunnableTask._mark_dependent_errors`, `Linker.add_test_edges`)."""

from __future__ import annotations

from collections.abc import Collection

from dbt_cloud_run.dbt.selection import Selector, model_of

_TESTS = frozenset({"test", "unit_test"})


def blocked_by(selector: Selector, failures: Collection[str], verb: str) -> frozenset[str]:
    """The nodes that do not run after these failures: what depends on them; under `build` also what waits for a test.

    A data test holds up the nodes that depend on everything it tests, a unit test its model; what depends on those
    is held up too. The other commands do not stop for tests.
    """
    known = [unique_id for unique_id in failures if unique_id in selector.nodes]
    tests = [unique_id for unique_id in known if selector.nodes[unique_id].resource_type in _TESTS]
    held = set(selector.reach(unique_id for unique_id in known if unique_id not in tests))
    if verb == "build":
        for test in tests:
            first = _held_by_test(selector, test)
            held |= first | selector.reach(first)
    return frozenset(held)


def _held_by_test(selector: Selector, test: str) -> frozenset[str]:
    if selector.nodes[test].resource_type == "unit_test":
        model = model_of(selector, test)
        return frozenset() if model is None else frozenset({model})
    parents = selector.parents(test)
    if not parents:
        return frozenset()
    below = frozenset.intersection(*(selector.reach([parent]) for parent in parents))
    return frozenset(
        node for node in below if node in selector.manifest.nodes and selector.nodes[node].resource_type not in _TESTS
    )
