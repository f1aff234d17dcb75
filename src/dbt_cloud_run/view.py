"""The manifest, narrowed to what the report needs of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from dbt_cloud_run.dbt.artifacts import Manifest
from dbt_cloud_run.nodes import Repository, display_name, owners_of, tested_nodes
from dbt_cloud_run.report.data import NodeInfo


def node_infos(manifest: Manifest, repository: Repository) -> Mapping[str, NodeInfo]:
    """Every node of the manifest as the report sees it, by unique id."""
    root = manifest.metadata.project_name
    infos: dict[str, NodeInfo] = {}
    for node in manifest:
        file = repository.file_of(node, root)
        infos[node.unique_id] = NodeInfo(
            unique_id=node.unique_id,
            name=display_name(node),
            resource_type=node.resource_type or node.unique_id.split(".", 1)[0],
            package_name=node.package_name or None,
            original_file_path=node.original_file_path or None,
            compiled_path=node.compiled_path,
            file=file,
            url=repository.url_of(file),
            materialization=node.config.materialized if node.resource_type in ("model", "seed", "snapshot") else None,
            relation_name=node.relation_name,
            owners=owners_of(node, manifest),
            tested_nodes=tested_nodes(node),
        )
    return infos


def edges_of(manifest: Manifest) -> Mapping[str, tuple[str, ...]]:
    """Parent to children, tests and all."""
    if manifest.child_map is not None:
        return {parent: tuple(children) for parent, children in manifest.child_map.items() if children}
    edges: dict[str, list[str]] = {}
    for node in manifest:
        for parent in node.depends_on.nodes:
            edges.setdefault(parent, []).append(node.unique_id)
    return {parent: tuple(children) for parent, children in edges.items()}
