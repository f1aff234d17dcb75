"""What the reports derive from the outcome once: which nodes failed, recovered, were skipped, and why."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from dbt_cloud_run.dbt.statuses import BUILDABLE, Kind, is_failure, kind
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.gates import Gate
from dbt_cloud_run.ledger.costs import Spent, spent
from dbt_cloud_run.ledger.judgement import failed_without_nodes, has_failed, is_empty, judged
from dbt_cloud_run.ledger.ledger import result_steps
from dbt_cloud_run.model import RunState
from dbt_cloud_run.node_results import NodeOutcome
from dbt_cloud_run.report.reasons import reason
from dbt_cloud_run.report.remembered import remembered
from dbt_cloud_run.report.report import NodeInfo, Report
from dbt_cloud_run.unknown import step_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbt_cloud_run.model import Attempt, FreshnessResult, Step

_SEARCH_LIMIT = (
    300_000  # nodes looked at for all failures together; beyond it a skipped node counts for one failure only
)


@dataclass(frozen=True)
class Facts:
    """Derived from a `Report`, each computed when first asked for."""

    data: Report

    @property
    def ending(self) -> Ending:
        """How the whole ended."""
        return self.data.outcome.ending

    @cached_property
    def reason(self) -> tuple[str, str]:
        """Why it ended so, and what the user should do next; both empty where there is nothing to say."""
        return reason(self.data.outcome)

    @property
    def message(self) -> str:
        """Why it ended so."""
        return self.reason[0]

    @cached_property
    def kinds(self) -> Mapping[str, Kind]:
        """Unique id -> judgement of the last result."""
        return _kinds(self)

    def of_kind(self, wanted: Kind) -> tuple[NodeOutcome, ...]:
        """The nodes whose last result is of this kind, in the ledger's order."""
        return tuple(self._by_kind[wanted])

    @cached_property
    def _by_kind(self) -> Mapping[Kind, list[NodeOutcome]]:
        return _by_kind(self)

    @cached_property
    def failed(self) -> tuple[NodeOutcome, ...]:
        return self.of_kind(Kind.FAILED)

    @cached_property
    def ranked(self) -> tuple[NodeOutcome, ...]:
        """What failed, causes first: tests come after what is built, and what held up most before the rest."""

        def rank(found: NodeOutcome) -> tuple[bool, int]:
            is_test = self.resource_type(found.unique_id) in ("test", "unit_test")
            return is_test, -len(self.skipped_by.get(found.unique_id, ()))

        return tuple(sorted(self.failed, key=rank))

    @cached_property
    def skipped(self) -> tuple[NodeOutcome, ...]:
        return self.of_kind(Kind.SKIPPED)

    @cached_property
    def warned(self) -> tuple[NodeOutcome, ...]:
        return self.of_kind(Kind.WARNED)

    @cached_property
    def recovered(self) -> tuple[NodeOutcome, ...]:
        return _recovered(self)

    @cached_property
    def counts(self) -> Counter[Kind]:
        """How many nodes ended as what."""
        return Counter({kind: len(found) for kind, found in self._by_kind.items() if found})

    def info(self, unique_id: str) -> NodeInfo:
        """The manifest's view of a node, or what its unique id (`<type>.<package>.<name>…`) shows."""
        found = self._infos.get(unique_id)
        if found is None:
            found = self.data.nodes.get(unique_id) or _named_by_id(unique_id)
            name = self.shown_name(unique_id, found.name)
            found = self._infos[unique_id] = found if name == found.name else msgspec.structs.replace(found, name=name)
        return found

    @cached_property
    def _infos(self) -> dict[str, NodeInfo]:
        return _infos(self)

    def shown_name(self, unique_id: str, name: str) -> str:
        """A node's name, with its package where two packages have one of that name."""
        is_shared = self._shared_names and _name_in_package(unique_id) in self._shared_names
        return f"{unique_id.split('.')[1]}.{name}" if is_shared else name

    @cached_property
    def _shared_names(self) -> frozenset[str]:
        return _shared_names(self)

    def resource_type(self, unique_id: str) -> str:
        """The same as `info` says, by the unique id alone: there may be tens of thousands to count."""
        kind, dot, _ = unique_id.partition(".")
        return kind if dot else "node"

    def owners(self, unique_id: str) -> tuple[str, ...]:
        """A node's owners; of a test without its own: those of the nodes that it tests."""
        info = self.info(unique_id)
        if info.owners:
            return info.owners
        return tuple(dict.fromkeys(owner for tested in info.tested_nodes for owner in self.info(tested).owners))

    @cached_property
    def failed_attempts(self) -> Mapping[str, tuple[int, ...]]:
        """Unique id -> numbers of the attempts in which it failed."""
        found: dict[str, list[int]] = {}
        for attempt in self.data.outcome.attempts:
            for step in attempt.steps:
                for node in step.results.nodes if step.results is not None else ():
                    numbers = found.setdefault(node.unique_id, []) if has_failed(step, node) else []
                    if attempt.number not in numbers:
                        numbers.append(attempt.number)
        return {unique_id: tuple(numbers) for unique_id, numbers in found.items()}

    @cached_property
    def executions(self) -> Counter[str]:
        """In how many attempts each node has a result."""
        counted = Counter[str]()
        for attempt in self.data.outcome.attempts:
            counted.update({node.unique_id for _, results in result_steps(attempt) for node in results.nodes})
        return counted

    @cached_property
    def first_failures(self) -> Mapping[str, tuple[int, str | None]]:
        """Unique id -> number of the attempt in which it failed first, and what dbt said then."""
        found: dict[str, tuple[int, str | None]] = {}
        for attempt in self.data.outcome.attempts:
            for step in attempt.steps:
                for node in step.results.nodes if step.results is not None else ():
                    if has_failed(step, node):
                        found.setdefault(node.unique_id, (attempt.number, node.message))
        return found

    @cached_property
    def skipped_by(self) -> Mapping[str, tuple[str, ...]]:
        """Failed node -> the nodes that were skipped because of it, nearest first.

        A failed test stands in the way of what builds on the nodes that it tests, as in `dbt build`.
        """
        skipped = {found.unique_id for found in self.skipped}
        left, claimed = _SEARCH_LIMIT, set[str]()
        found: dict[str, tuple[str, ...]] = {}
        for failure in self.failed:
            known = claimed if left <= 0 else set[str]()
            reached = self._reach(failure.unique_id, skipped, known)
            left -= len(reached) + 1
            claimed.update(reached)
            found[failure.unique_id] = reached
        return found

    def _reach(self, start: str, skipped: set[str], known: set[str]) -> tuple[str, ...]:
        reached: dict[str, None] = {}
        queue = deque((start, *self.info(start).tested_nodes))
        while queue:
            for child in self.data.edges.get(queue.popleft(), ()):
                if child in skipped and child not in reached and child not in known:
                    reached[child] = None
                    queue.append(child)
        return tuple(reached)

    @cached_property
    def failed_steps(self) -> tuple[tuple[Attempt, Step], ...]:
        """Steps of the last attempt that failed without a failed node to show for it: clone, profile, deps, compile."""
        last = self.data.outcome.last
        return () if last is None or last.ending is Ending.SUCCESS else self._steps_without_results(last)

    @cached_property
    def tolerated_steps(self) -> tuple[tuple[Attempt, Step], ...]:
        """The same, where dbt Cloud calls the run a success in spite of them: those that it adds itself."""
        last = self.data.outcome.last
        return () if last is None or last.ending is not Ending.SUCCESS else self._steps_without_results(last)

    def _steps_without_results(self, attempt: Attempt) -> tuple[tuple[Attempt, Step], ...]:
        return tuple((attempt, step) for step in failed_without_nodes(attempt))

    @cached_property
    def emptiness(self) -> str:
        """That assets hold no rows because their step ran with `--empty`; empty where none do."""
        steps = {
            (attempt.run_id, step.index)
            for attempt in self.data.outcome.attempts
            for step in attempt.steps
            if is_empty(step)
        }
        count = sum((asset.run_id, asset.step) in steps for asset in self.data.assets)
        if not count:
            return ""
        which = "The" if count == len(self.data.assets) else f"{count:,} of the {len(self.data.assets):,}"
        return (
            f"{which} assets were built with --empty, which reads no rows of their inputs, so they are empty; only "
            "incremental models and snapshots keep the rows that they had."
        )

    @cached_property
    def sources_failed(self) -> tuple[FreshnessResult, ...]:
        """The sources that are past `error_after`, or whose freshness could not be checked."""
        return tuple(row for row in self.data.outcome.ledger.freshness if is_failure(row.status))

    @cached_property
    def sources_warned(self) -> tuple[FreshnessResult, ...]:
        """The sources that are past `warn_after`."""
        return tuple(row for row in self.data.outcome.ledger.freshness if kind(row.status) is Kind.WARNED)

    @cached_property
    def spent(self) -> Spent:
        """What the attempts cost, as far as the adapter reports it."""
        return _spent(self)

    @cached_property
    def parents(self) -> Mapping[str, list[str]]:
        """Child -> parents: the manifest's edges, read the other way round."""
        return _parents(self)

    @cached_property
    def stale(self) -> tuple[FreshnessResult, ...]:
        """The sources that are not fresh; none where that was no reason for the run to fail."""
        outcome = self.data.outcome
        has_run_failed = outcome.last is not None and outcome.last.ending is not Ending.SUCCESS
        is_reason = has_run_failed or outcome.gates.has_failed(Gate.STALE_SOURCES)
        return self.sources_failed if is_reason and self.ending is not Ending.SUCCESS else ()

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What was missing or not trusted on the way, each once."""
        own = (warning for attempt in self.data.outcome.attempts for warning in attempt.warnings)
        distrusted = (
            f"Results of {step_words(step.index)} of run {attempt.run_id} are not used: {step.distrusted}"
            for attempt in self.data.outcome.attempts
            for step in attempt.steps
            if step.distrusted
        )
        return tuple(dict.fromkeys((*self.data.warnings, *own, *distrusted)))


@remembered
def _kinds(facts: Facts) -> Mapping[str, Kind]:
    attempts = facts.data.outcome.attempts
    states = {(attempt.run_id, step.index): step.state for attempt in attempts for step in attempt.steps}
    return {
        unique_id: judged(found.result.status, states.get((found.run_id, found.step_index), RunState.UNKNOWN))
        for unique_id, found in facts.data.outcome.ledger.outcomes.items()
    }


@remembered
def _by_kind(facts: Facts) -> Mapping[Kind, list[NodeOutcome]]:
    found: dict[Kind, list[NodeOutcome]] = {kind: [] for kind in Kind}
    for judgement, outcome in zip(facts.kinds.values(), facts.data.outcome.ledger.outcomes.values(), strict=True):
        found[judgement].append(outcome)
    return found


@remembered
def _recovered(facts: Facts) -> tuple[NodeOutcome, ...]:
    return tuple(found for found in facts.data.outcome.ledger.outcomes.values() if found.recovered)


@remembered
def _infos(_: Facts) -> dict[str, NodeInfo]:
    """Those that were asked for so far."""
    return {}


@remembered
def _shared_names(facts: Facts) -> frozenset[str]:
    unique_ids = {**facts.data.outcome.ledger.outcomes, **facts.data.edges}
    if len({package for unique_id in unique_ids for package in unique_id.split(".", 2)[1:2]}) < 2:
        return frozenset()
    packages: dict[str, str] = {}
    shared = set()
    for unique_id in unique_ids:
        name, package = _name_in_package(unique_id), unique_id.split(".", 2)[1:2]
        if name and package and packages.setdefault(name, package[0]) != package[0]:
            shared.add(name)
    return frozenset(shared)


@remembered
def _spent(facts: Facts) -> Spent:
    return spent(facts.data.outcome.attempts)


@remembered
def _parents(facts: Facts) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for parent, children in facts.data.edges.items():
        for child in children:
            known = found.get(child)
            if known is None:
                found[child] = [parent]
            else:
                known.append(parent)
    return found


def _name_in_package(unique_id: str) -> str:
    """What a node is called within its package, by its unique id; what is built shares one set of names."""
    kind, _, rest = unique_id.partition(".")
    name = rest.partition(".")[2]
    if kind in ("test", "operation"):
        name = name.partition(".")[0]
    return f"{'' if kind in BUILDABLE else kind}.{name}" if name else ""


def _named_by_id(unique_id: str) -> NodeInfo:
    parts = unique_id.split(".")
    name = ".".join(parts[2:3]) or unique_id
    return NodeInfo(unique_id=unique_id, name=name, resource_type=parts[0] if len(parts) > 1 else "node")
