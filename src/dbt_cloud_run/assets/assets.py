"""Ledger and manifest to asset materializations: what the run's attempts have put into the warehouse. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from dbt_cloud_run.assets.asset import Asset
from dbt_cloud_run.assets.nodes import Repository, display_name, owners_of, tested_nodes
from dbt_cloud_run.dbt.artifacts import Manifest, ManifestNode
from dbt_cloud_run.dbt.costs import cost_of
from dbt_cloud_run.dbt.manifests import Manifests
from dbt_cloud_run.dbt.statuses import BUILDABLE, is_failure, normalise
from dbt_cloud_run.model import Ledger
from dbt_cloud_run.node_results import BuiltResult, NodeOutcome

_NOT_IN_A_KEY = str.maketrans("", "", "\n\r\t\0 #?&%\"'<>[]{}|\\^`")
_LONGEST_KEY = 512


def asset_key(adapter_type: str, relation_name: str) -> str:
    """`<adapter>://<database>/<schema>/<identifier>`: the form, and the length limit, of Prefect's asset keys."""
    path = relation_name.replace('"', "").replace(".", "/").translate(_NOT_IN_A_KEY)
    return f"{adapter_type}://{path}"[:_LONGEST_KEY]


def materializations(
    ledger: Ledger, manifest: Manifest | Manifests | None, repository: Repository
) -> tuple[Asset, ...]:
    """One asset for each model, seed and snapshot that some attempt built, that is not ephemeral and has a relation.

    The manifest of the step that built a node describes it. Without one nothing is known of relations or kinds, so
    there are none. Order: as the ledger's.
    """
    return _assets(ledger, manifest, repository, lambda outcome: outcome.built)


def failed_materializations(
    ledger: Ledger, manifest: Manifest | Manifests | None, repository: Repository
) -> tuple[Asset, ...]:
    """The same for each model, seed and snapshot whose last result is a failure: what would have been built."""
    return _assets(ledger, manifest, repository, _failed)


def _failed(outcome: NodeOutcome) -> BuiltResult | None:
    if not is_failure(outcome.result.status):
        return None
    where = {"attempt": outcome.attempt, "run_id": outcome.run_id, "step_index": outcome.step_index}
    return BuiltResult(result=outcome.result, **where)


def _assets(
    ledger: Ledger,
    manifest: Manifest | Manifests | None,
    repository: Repository,
    result_of: Callable[[NodeOutcome], BuiltResult | None],
) -> tuple[Asset, ...]:
    known = manifest if isinstance(manifest, Manifests) else Manifests(manifest)
    projects: dict[int, _Project | None] = {}
    assets: list[Asset] = []
    for outcome in ledger.outcomes.values():
        built = result_of(outcome)
        own = known.of(built.run_id, built.step_index) if built is not None else None
        if built is None or own is None:
            continue
        if id(own) not in projects:
            projects[id(own)] = _project(ledger, own)
        project = projects[id(own)]
        node = own.nodes.get(outcome.unique_id)
        if project is None or node is None or node.resource_type not in BUILDABLE:
            continue
        relation = relation_of(node) or built.result.relation_name
        if not relation or node.config.materialized == "ephemeral":
            continue
        covered = project.tests.get(node.unique_id, {})
        assets.append(_asset(node, relation, built, own, repository, project.upstream(node), covered))
    return tuple(assets)


def relation_of(node: ManifestNode) -> str | None:
    """The node's relation; of seeds and snapshots of dbt 1.0 to 1.3, which do not name it, from its parts."""
    if node.relation_name or node.resource_type not in ("seed", "snapshot") or not node.schema:
        return node.relation_name
    parts = (node.database, node.schema, node.alias or node.name)
    return ".".join(f'"{part}"' for part in parts if part)


@dataclass(frozen=True, slots=True)
class _Project:
    """What is derived from one manifest, once."""

    tests: Mapping[str, Mapping[str, int]]
    upstream: Callable[[ManifestNode], tuple[str, ...]]


def _project(ledger: Ledger, manifest: Manifest) -> _Project | None:
    adapter = manifest.metadata.adapter_type
    if not adapter:
        return None
    return _Project(_test_counts(ledger, manifest), _upstream_keys(manifest, adapter))


def _asset(
    node: ManifestNode,
    relation: str,
    built: BuiltResult,
    manifest: Manifest,
    repository: Repository,
    upstream: tuple[str, ...],
    tests: Mapping[str, int],
) -> Asset:
    file = repository.file_of(node, manifest.metadata.project_name)
    result = built.result
    return Asset(
        key=asset_key(manifest.metadata.adapter_type or "", relation),
        unique_id=node.unique_id,
        name=display_name(node),
        resource_type=node.resource_type,
        # The new engine leaves a seed's materialization out.
        materialization=node.config.materialized or (node.resource_type if node.resource_type != "model" else None),
        relation_name=relation,
        status=result.status,
        description=node.description or "",
        owners=owners_of(node, manifest),
        group=node.group_name,
        tags=node.all_tags,
        upstream=upstream,
        run_id=built.run_id,
        step=built.step_index,
        attempt=built.attempt,
        started_at=result.started_at,
        completed_at=result.completed_at,
        execution_seconds=result.execution_seconds,
        rows_affected=rows_affected(result.adapter_response),
        adapter_response=result.adapter_response,
        cost=cost_of(result.adapter_response) or None,
        tests=tests,
        file=file,
        url=repository.url_of(file),
    )


def rows_affected(response: Mapping[str, Any]) -> int | None:
    """The rows that a result has written, as the adapter says; None where it does not."""
    rows = response.get("rows_affected")
    if isinstance(rows, bool) or not isinstance(rows, int | float | str):
        return None
    try:
        count = int(rows)
    except (ValueError, OverflowError):
        return None
    return count if count >= 0 else None  # drivers say -1 for `not known`


def _test_counts(ledger: Ledger, manifest: Manifest) -> Mapping[str, Mapping[str, int]]:
    """For each node, how many of the tests that cover it ended with which status."""
    counts: dict[str, Counter[str]] = {}
    for outcome in ledger.outcomes.values():
        test = manifest.nodes.get(outcome.unique_id) or manifest.unit_tests.get(outcome.unique_id)
        for covered in tested_nodes(test) if test else ():
            if covered not in counts:
                counts[covered] = Counter()
            counts[covered][normalise(outcome.result.status)] += 1
    return {unique_id: dict(sorted(counter.items())) for unique_id, counter in counts.items()}


_UPSTREAM = frozenset((*BUILDABLE, "source"))


def _known_parents(manifest: Manifest, adapter: str) -> Callable[[str], tuple[ManifestNode, str] | None]:
    """A function from a unique id to a node that others are built from, and its key: empty without a relation."""

    @cache
    def known(unique_id: str) -> tuple[ManifestNode, str] | None:
        node = manifest.nodes.get(unique_id) or manifest.sources.get(unique_id)
        if node is None or node.resource_type not in _UPSTREAM:
            return None
        relation = relation_of(node) if node.config.materialized != "ephemeral" else None
        return node, asset_key(adapter, relation) if relation else ""

    return known


def _upstream_keys(manifest: Manifest, adapter: str) -> Callable[[ManifestNode], tuple[str, ...]]:
    """A function from a node to the keys of what it is built from, traced through ephemeral models."""
    traced: dict[str, tuple[str, ...]] = {}  # of each ephemeral model, so that none is gone through twice

    known = _known_parents(manifest, adapter)

    def parents(node: ManifestNode) -> list[tuple[ManifestNode, str]]:
        return [parent for parent in map(known, node.depends_on.nodes) if parent is not None]

    def keys_of(found: list[tuple[ManifestNode, str]]) -> tuple[str, ...]:
        keys: dict[str, None] = {}
        for parent, key in found:
            if key:
                keys[key] = None
            else:
                keys.update(dict.fromkeys(traced.get(parent.unique_id, ())))
        return tuple(keys)

    def trace(waiting: list[ManifestNode]) -> None:
        begun: set[str] = set()
        while waiting:  # a stack, so that no chain is too long; a circle ends where it was begun
            one = waiting[-1]
            found = parents(one)
            before = [parent for parent, key in found if not key]
            before = [parent for parent in before if not (parent.unique_id in traced or parent.unique_id in begun)]
            if one.unique_id in begun or one.unique_id in traced or not before:
                traced.setdefault(one.unique_id, keys_of(found))
                waiting.pop()
            else:
                begun.add(one.unique_id)
                waiting += before[::-1]

    def upstream(node: ManifestNode) -> tuple[str, ...]:
        found = parents(node)
        if ephemeral := [parent for parent, key in found if not key]:
            trace(ephemeral)
        return keys_of(found)

    return upstream
