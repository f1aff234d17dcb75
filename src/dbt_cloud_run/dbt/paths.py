"""The `path:` method. dbt looks at the files of the root project; a manifest lists those that its nodes come from."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from dbt_cloud_run.dbt.artifacts import ManifestNode
from dbt_cloud_run.dbt.criteria import WILDCARDS, UndecidableError


def nodes_under(pattern: str, nodes: Collection[ManifestNode], project_name: str | None) -> frozenset[str]:
    """The unique ids of the nodes defined, or described, in a file or folder that matches the pattern (a glob).

    A node of another package is matched by its path inside that package, if the root project has the same path: a quirk
    of dbt. Where that cannot be known, `UndecidableError` is raised.
    """
    if project_name is None:
        raise UndecidableError("the manifest does not name its own project")
    parts = PurePosixPath(pattern).parts
    if not parts or ".." in parts or pattern.startswith("/"):
        raise UndecidableError(f"`path:{pattern}` leaves the project")
    files = {node.unique_id: _files(node) for node in nodes}
    roots = {node.unique_id for node in nodes if node.package_name == project_name}
    known = {path for unique_id in roots for path in _with_folders(files[unique_id])}
    exact = {path for path in known if _matches(path.parts, parts)}
    possible = {path for paths in files.values() for path in _with_folders(paths) if _matches(path.parts, parts)}
    found = frozenset(unique_id for unique_id, paths in files.items() if _touches(paths, exact))
    if WILDCARDS.isdisjoint(pattern) and exact:
        return found
    if found != frozenset(unique_id for unique_id, paths in files.items() if _touches(paths, possible)):
        raise UndecidableError(f"`path:{pattern}` depends on files that no node of the project comes from")
    return found


def _files(node: ManifestNode) -> tuple[PurePosixPath, PurePosixPath | None]:
    """Where a node is defined, and where it is described (`package://models/schema.yml`)."""
    described = node.patch_path.partition("://")[2] if node.patch_path else ""
    return PurePosixPath(node.original_file_path), PurePosixPath(described) if described else None


def _with_folders(paths: tuple[PurePosixPath, PurePosixPath | None]) -> set[PurePosixPath]:
    folders = {folder for path in paths if path is not None for folder in path.parents}
    return {path for path in paths if path is not None} | folders


def _touches(paths: tuple[PurePosixPath, PurePosixPath | None], matched: set[PurePosixPath]) -> bool:
    defined, described = paths
    return defined in matched or described in matched or any(folder in matched for folder in defined.parents)


def _matches(path: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_matches(path[skipped:], pattern[1:]) for skipped in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])
