"""What the manifest says of nodes, for the assets and the report: owners, files in the repository, names. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from dbt_cloud_run.dbt.artifacts import Manifest, ManifestNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Where the dbt project lies in the checked-out repository, and where the repository is on the web."""

    project_directory: str  # relative to the workspace, `.` for its root
    exists: Callable[[str], bool]  # whether this workspace-relative path is a file of the workspace
    web_url: str | None = None  # https://github.com/owner/name
    sha: str | None = None  # the run's commit, where it is of this repository
    _known: dict[str, str | None] = field(
        default_factory=dict, repr=False
    )  # file in the dbt project -> in the workspace
    _urls: dict[str, str] = field(default_factory=dict, repr=False)  # by the file in the workspace

    def file_of(self, node: ManifestNode, root_package: str | None) -> str | None:
        """The node's file, relative to the workspace; None for other packages' nodes and where there is no file."""
        if not node.original_file_path or (root_package and node.package_name != root_package):
            return None
        if node.original_file_path not in self._known:
            self._known[node.original_file_path] = self._look_up(node.original_file_path)
        return self._known[node.original_file_path]

    def _look_up(self, original_file_path: str) -> str | None:
        path = posixpath.normpath(f"{self.project_directory or '.'}/{original_file_path}".replace("\\", "/"))
        is_outside = original_file_path.startswith(("/", "\\")) or path.startswith(("/", ".."))
        return path if not is_outside and self.exists(path) else None

    def url_of(self, file: str | None) -> str | None:
        if not file or not self.web_url or not self.sha:
            return None
        # The tests of a folder are declared in one file.
        if (url := self._urls.get(file)) is None:
            url = self._urls[file] = f"{self.web_url}/blob/{_quoted(self.sha)}/{quote(file)}"
        return url


@lru_cache(maxsize=8)
def _quoted(sha: str) -> str:
    return quote(sha, safe="")


def owners_of(node: ManifestNode, manifest: Manifest) -> tuple[str, ...]:
    """Who answers for a node: its group's owner, then `meta.owner`; names before addresses, each once."""
    group, own = node.group_name, node.all_meta.get("owner")
    if not group and not own and node.resource_type != "exposure":
        return ()
    owners: list[str] = []
    if group:
        found = manifest.groups.get(f"group.{node.package_name}.{group}") or next(
            (other for other in manifest.groups.values() if other.name == group), None
        )
        owners += _owner_names(found.owner) if found else []
    owners += _owner_names(own)
    if node.resource_type == "exposure":
        owners += _owner_names(node.owner)
    return tuple(owners) if len(owners) < 2 else tuple(dict.fromkeys(owners))


def tested_nodes(node: ManifestNode) -> tuple[str, ...]:
    """Of a test or unit test: the nodes it covers. A generic test covers the node that it is attached to."""
    if node.resource_type not in ("test", "unit_test"):
        return ()
    if node.attached_node:
        return (node.attached_node,)
    return tuple(dict.fromkeys(node.depends_on.nodes))


def display_name(node: ManifestNode) -> str:
    """The name as dbt's own log says it: versioned models with `.v2`, sources with their source's name."""
    if node.resource_type == "source" and node.source_name:
        return f"{node.source_name}.{node.name}"
    if node.resource_type == "model" and node.version is not None:
        return f"{node.name}.v{node.version}"
    return node.name or node.unique_id


def _owner_names(owner: Any) -> list[str]:
    if not owner:
        return []
    if isinstance(owner, str):
        return [owner] if owner.strip() else []
    # What JSON is decoded to.
    if isinstance(owner, dict):
        return _owner_names(owner.get("name")) or _owner_names(owner.get("email"))
    if isinstance(owner, list):
        return [name for one in owner for name in _owner_names(one)]
    return []
