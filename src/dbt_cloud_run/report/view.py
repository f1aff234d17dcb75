"""The manifests, narrowed to what the report needs of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dbt_cloud_run.assets.nodes import Repository, display_name, owners_of, tested_nodes
from dbt_cloud_run.dbt.artifacts import Manifest, ManifestNode
from dbt_cloud_run.dbt.manifests import Manifests
from dbt_cloud_run.report.report import NodeInfo


class NodeInfos(Mapping[str, NodeInfo]):
    """Every node of the manifests as the report sees it, by unique id; made when it is asked for, since few are."""

    def __init__(self, manifests: Manifests, repository: Repository) -> None:
        newest = [manifests.newest] if manifests.newest is not None else []
        # The newest first: what it says of a node is what the checkout says now.
        self._manifests: list[Manifest] = newest
        self._manifests += [one for one in manifests.by_step.values() if all(one is not known for known in newest)]
        self._repository = repository
        self._known: dict[str, NodeInfo] = {}

    def __getitem__(self, unique_id: str) -> NodeInfo:
        info = self._known.get(unique_id)
        if info is None:
            info = self._known[unique_id] = self._made(unique_id)
        return info

    def _made(self, unique_id: str) -> NodeInfo:
        for manifest in self._manifests:
            if (node := manifest.find(unique_id)) is not None:
                return self._info(node, manifest)
        raise KeyError(unique_id)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(node.unique_id for manifest in self._manifests for node in manifest))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _info(self, node: ManifestNode, manifest: Manifest) -> NodeInfo:
        file = self._repository.file_of(node, manifest.metadata.project_name)
        return NodeInfo(
            unique_id=node.unique_id,
            name=display_name(node),
            resource_type=node.resource_type or node.unique_id.split(".", 1)[0],
            package_name=node.package_name or None,
            original_file_path=node.original_file_path or None,
            compiled_path=node.compiled_path,
            file=file,
            url=self._repository.url_of(file),
            materialization=node.config.materialized if node.resource_type in ("model", "seed", "snapshot") else None,
            relation_name=node.relation_name,
            owners=owners_of(node, manifest),
            tested_nodes=tested_nodes(node),
        )


def edges_of(manifest: Manifest) -> Mapping[str, tuple[str, ...]]:
    """Parent to children, tests and all."""
    edges: dict[str, list[str]] = {}
    for node in manifest:
        for parent in node.depends_on.nodes:
            edges.setdefault(parent, []).append(node.unique_id)
    return {parent: tuple(children) for parent, children in edges.items()}
