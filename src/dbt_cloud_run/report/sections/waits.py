"""What waits for what: the manifest's edges, and within a `build` step those that dbt adds for tests.

As `dbt build` does it (`Linker.add_test_edges`, `BuildTask`): what builds on all that a data test depends on waits for
the test, and a model waits for its unit tests, which wait for what the model builds on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dbt_cloud_run.report.facts import Facts

_SEARCH_LIMIT = 300_000  # edges followed for all tests together; beyond them, tests hold up less than they did
_TEST_IDS = ("test.", "unit_test.")

_Place = tuple[int, int]  # run, step


def waits(facts: Facts) -> Mapping[str, Sequence[str]]:
    """Who is waited for -> who waits. Of tests that wait for, and hold up, the same, only the slowest is there."""
    edges = facts.data.edges
    built = _built(facts)
    tests = [uid for uid in built if uid.startswith(_TEST_IDS)]
    return _Waits(facts, edges, built).with_tests(tests) if tests else edges


def _built(facts: Facts) -> dict[str, _Place]:
    """The nodes whose last result is of a `build` step -> which one."""
    places = {
        (attempt.run_id, step.index)
        for attempt in facts.data.outcome.attempts
        for step in attempt.steps
        if step.results is not None and step.results.which == "build"
    }
    return {
        uid: place
        for uid, one in facts.data.outcome.ledger.outcomes.items()
        if (place := (one.run_id, one.step_index)) in places
    }


class _Waits:
    """The edges, while those of tests are added."""

    def __init__(self, facts: Facts, edges: Mapping[str, Sequence[str]], built: Mapping[str, _Place]) -> None:
        self._built = built
        self._edges = {parent: list(children) for parent, children in edges.items()}
        self._plain = edges
        self._parents = facts.parents
        self._outcomes = facts.data.outcome.ledger.outcomes
        self._left = _SEARCH_LIMIT

    def with_tests(self, tests: Iterable[str]) -> Mapping[str, Sequence[str]]:
        alike: dict[tuple[_Place, tuple[str, ...]], list[str]] = {}
        for test in tests:
            if test.startswith("unit_test."):
                self._before_its_model(test)
            elif parents := self._parents.get(test):
                tested = tuple(sorted(set(parents)) if len(parents) > 1 else parents)
                alike.setdefault((self._built[test], tested), []).append(test)
        quicker: set[str] = set()
        for (place, tested), found in alike.items():
            slowest = max(found, key=self._seconds) if len(found) > 1 else found[0]
            quicker.update(test for test in found if test is not slowest and test not in self._plain)
            self._before_what_builds_on(slowest, tested, place)
        for parent in {uid for _, tested in alike for uid in tested} if quicker else ():
            self._edges[parent] = [uid for uid in self._edges[parent] if uid not in quicker]
        return self._edges

    def _seconds(self, uid: str) -> float:
        return self._outcomes[uid].result.execution_seconds

    def _before_its_model(self, test: str) -> None:
        place = self._built[test]
        models = [uid for uid in self._parents.get(test, ()) if self._built.get(uid) == place]
        if len(models) != 1:  # what a unit test is about is the one node that it depends on
            return
        model = models[0]
        self._edges[model].remove(test)
        self._edges.setdefault(test, []).append(model)
        for parent in self._parents.get(model, ()):
            if not parent.startswith(_TEST_IDS):
                self._edges[parent].append(test)

    def _before_what_builds_on(self, test: str, tested: tuple[str, ...], place: _Place) -> None:
        found = self._plain.get(tested[0], ()) if len(tested) == 1 else self._first_below_all(tested)
        below = [uid for uid in found if not uid.startswith(_TEST_IDS)]
        # What has no result of its own, an ephemeral model, passes the waiting on.
        waiting = [uid for uid in below if self._built.get(uid, place) == place]
        if len(waiting) < len(below):
            waiting = self._first_of_step(below, place)
        if waiting:
            self._edges.setdefault(test, []).extend(waiting)

    def _first_of_step(self, below: Sequence[str], place: _Place) -> list[str]:
        """The first nodes of this step from here on: what another step has built passes the waiting on, too."""
        first: list[str] = []
        stack, seen = list(below), set(below)
        while stack and self._left > 0:
            uid = stack.pop()
            if self._built.get(uid, place) == place:
                first.append(uid)
                continue
            children = [child for child in self._plain.get(uid, ()) if not child.startswith(_TEST_IDS)]
            self._left -= len(children)
            stack += [child for child in children if child not in seen]
            seen.update(children)
        return first

    def _first_below_all(self, tested: Sequence[str]) -> list[str]:
        """The nodes that are below every one of these, and none of whose parents is."""
        common: set[str] | None = None
        for uid in tested:
            reached = self._below(uid)
            common = reached if common is None else common & reached
            if not common:
                return []
        found = common or set()
        return [uid for uid in found if found.isdisjoint(self._parents[uid])]

    def _below(self, start: str) -> set[str]:
        reached: set[str] = set()
        stack = [start]
        while stack and self._left > 0:
            children = self._plain.get(stack.pop(), ())
            self._left -= len(children)
            new = [uid for uid in children if uid not in reached]
            reached.update(new)
            stack += new
        return reached if self._left > 0 else set()
