"""A `manifest.json`, decoded into the few fields that we need; others are passed over, missing ones have defaults.

Schemas: v7 to v12 (schemas.getdbt.com). The number does not show the fields (they grow within a version), so nothing is
checked against it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from dbt_cloud_run.dbt.decoding import decode


class _Lenient(msgspec.Struct, kw_only=True, gc=False):
    pass


class NodeConfig(_Lenient):
    materialized: str | None = None
    enabled: Any = True
    group: Any = None
    severity: Any = None
    access: Any = None
    tags: Any = None
    meta: Any = None
    store_failures: Any = None
    incremental_strategy: Any = None
    unique_key: Any = None
    full_refresh: Any = None
    begin: Any = None
    batch_size: Any = None
    lookback: Any = None
    on_error: Any = None


class DependsOn(_Lenient):
    nodes: list[str] = []


class TestMetadata(_Lenient):
    name: str = ""
    namespace: str | None = None
    kwargs: Any = None


class ManifestNode(_Lenient):
    """A node of any kind; the fields of kinds that a node is not stay at their defaults."""

    unique_id: str = ""
    name: str = ""
    resource_type: str = ""
    package_name: str = ""
    path: str = ""
    original_file_path: str = ""
    fqn: list[str] = []
    relation_name: str | None = None
    database: str | None = None
    schema: str | None = None
    alias: str | None = None
    version: Any = None
    latest_version: Any = None
    config: NodeConfig = msgspec.field(default_factory=NodeConfig)
    tags: Any = None
    meta: Any = None
    group: Any = None
    access: Any = None
    description: str | None = None
    patch_path: str | None = None
    compiled_path: str | None = None
    depends_on: DependsOn = msgspec.field(default_factory=DependsOn)
    attached_node: str | None = None
    test_metadata: TestMetadata | None = None
    source_name: str | None = None
    owner: Any = None  # of an exposure or a group

    @property
    def all_tags(self) -> tuple[str, ...]:
        """Tags, where newer versions keep them (`config.tags`) and where older ones did."""
        found = self.config.tags or self.tags
        if isinstance(found, str):
            return (found,)
        return tuple(str(tag) for tag in found) if isinstance(found, list) else ()

    @property
    def all_meta(self) -> dict[str, Any]:
        """`meta`, where newer versions keep it (`config.meta`) and where older ones did."""
        found = self.config.meta or self.meta
        return found if isinstance(found, dict) else {}

    @property
    def group_name(self) -> str | None:
        found = self.group or self.config.group
        return str(found) if found else None


class ManifestMetadata(_Lenient):
    adapter_type: str | None = None
    project_name: str | None = None
    dbt_version: str | None = None
    invocation_id: str | None = None
    generated_at: str | None = None
    env: Any = None


class Manifest(_Lenient):
    """The parts of a `manifest.json` that selection, assets and the report are made of."""

    metadata: ManifestMetadata = msgspec.field(default_factory=ManifestMetadata)
    nodes: dict[str, ManifestNode] = {}
    sources: dict[str, ManifestNode] = {}
    exposures: dict[str, ManifestNode] = {}
    unit_tests: dict[str, ManifestNode] = {}
    saved_queries: dict[str, ManifestNode] = {}
    semantic_models: dict[str, ManifestNode] = {}
    metrics: dict[str, ManifestNode] = {}
    functions: dict[str, ManifestNode] = {}
    groups: dict[str, ManifestNode] = {}
    selectors: dict[str, Any] = {}
    passed_over: int = 0  # values of an unexpected shape

    def find(self, unique_id: str) -> ManifestNode | None:
        """The node with this unique id, whatever its kind."""
        # Most are among the nodes.
        if (node := self.nodes.get(unique_id)) is not None:
            return node
        return next((kind[unique_id] for kind in self._kinds() if unique_id in kind), None)

    def __iter__(self) -> Iterator[ManifestNode]:
        for kind in self._kinds():
            yield from kind.values()

    def _kinds(self) -> tuple[dict[str, ManifestNode], ...]:
        return (
            self.nodes,
            self.sources,
            self.unit_tests,
            self.exposures,
            self.saved_queries,
            self.semantic_models,
            self.metrics,
            self.functions,
        )

    def parents(self, unique_id: str) -> list[str]:
        """What this node depends on directly. The manifest's `parent_map` says the same once more."""
        node = self.find(unique_id)
        return node.depends_on.nodes if node is not None else []


def decode_manifest(path: Path) -> Manifest:
    """Decode a `manifest.json`; raises `UnreadableArtifactError`."""
    manifest, odd = decode(path, Manifest, apart=("nodes", "sources"))
    manifest.passed_over = odd
    # Each id is said by its key, its node, its children and its result: kept once, it is found by being the same.
    for node in manifest.nodes.values():
        node.unique_id = sys.intern(node.unique_id)
        node.depends_on.nodes = [*map(sys.intern, node.depends_on.nodes)]
    manifest.nodes = {sys.intern(unique_id): node for unique_id, node in manifest.nodes.items()}
    return manifest
