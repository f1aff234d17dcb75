"""One term of a dbt selection (`2+tag:daily`): parsed, and applied to single nodes.

The rules are dbt's (`dbt/graph/selector_spec.py`, `dbt/graph/selector_methods.py`, 1.11). What a manifest alone cannot
decide (`state:`, `result:`, `source_status:`, a method that we do not know) raises `UndecidableError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from dbt_cloud_run.dbt.artifacts import ManifestNode

Predicate = Callable[[ManifestNode], bool]

WILDCARDS = frozenset("*?[]")
RESOURCE_TYPES = frozenset(
    {
        "model",
        "analysis",
        "test",
        "snapshot",
        "operation",
        "seed",
        "source",
        "exposure",
        "metric",
        "saved_query",
        "semantic_model",
        "unit_test",
        "function",
    }
)
NAMED = frozenset({"exposure", "metric", "saved_query", "semantic_model", "unit_test"})
"""Resource types with a method of their own name."""
_CONFIGS = frozenset({"materialized", "enabled", "group", "severity", "access", "tags", "meta", "store_failures"})


class UndecidableError(Exception):
    """The manifest alone does not show what this selects, or dbt would refuse it."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """A method and its value, with the graph operators around it. Depths: None is no operator, -1 is any distance."""

    method: str
    arguments: tuple[str, ...]
    value: str
    parents: int | None = None
    children: int | None = None
    childrens_parents: bool = False


def parse_criterion(term: str) -> Criterion:
    """Take a term apart; raises `UndecidableError` for what dbt refuses."""
    if "$" in term or "`" in term:
        raise UndecidableError(f"`{term}` is filled in by a shell")
    childrens_parents = term.startswith("@")
    rest = term[1:] if childrens_parents else term
    parents = children = None
    if leading := re.match(r"(\d*)\+", rest):
        parents, rest = _depth(leading[1]), rest[leading.end() :]
    if trailing := re.search(r"\+(\d*)\Z", rest):
        children, rest = _depth(trailing[1]), rest[: trailing.start()]
    if childrens_parents and children is not None:
        raise UndecidableError(f"`{term}`: `@` and a trailing `+` exclude each other")
    method, arguments, value = "", (), rest
    if named := re.match(r"([\w.]+):", rest):
        method, *parts = named[1].split(".")
        arguments, value = tuple(parts), rest[named.end() :]
    return Criterion(method or _default_method(value), arguments, value, parents, children, childrens_parents)


def _depth(digits: str) -> int:
    return int(digits) if digits else -1


def _default_method(value: str) -> str:
    if "/" in value:
        return "path"
    return "file" if value.lower().endswith((".sql", ".py", ".csv")) else "fqn"


def matches_fqn(node: ManifestNode, value: str) -> bool:
    """dbt's `fqn:` method for one node: the name, or a prefix of the path with or without its package."""
    return any(_matches_path(fqn, value, is_versioned(node)) for fqn in (node.fqn, node.fqn[1:]) if fqn)


def is_versioned(node: ManifestNode) -> bool:
    return node.resource_type == "model" and node.version is not None


def _matches_path(fqn: list[str], value: str, versioned: bool) -> bool:
    parts = value.split(".")
    if versioned and len(fqn) > 1:
        if fqn[-2] == value or "_".join(fqn[-2:]) == "_".join(parts[-2:]):
            return True
    elif fqn[-1] == value:
        return True
    flat = ".".join(fqn).split(".")
    if len(flat) < len(parts):
        return False
    for position, part in enumerate(parts):
        if not WILDCARDS.isdisjoint(part):
            if fnmatchcase(".".join(flat[position:]), ".".join(parts[position:])):
                return True
            leaf = fqn[-2] if versioned and len(fqn) > 1 else fqn[-1]
            return len(parts) == 1 and fnmatchcase(leaf, value)
        if flat[position] != part:
            return False
    return True


def predicate(criterion: Criterion, project_name: str | None) -> Predicate:
    """The criterion's method as a test of single nodes (`path` excepted, which needs all of them)."""
    method, value = criterion.method, criterion.value
    if method == "config":
        return _config(criterion.arguments, value)
    if method in NAMED:
        return _named(method, value)
    simple = _SIMPLE.get(method)
    if simple is None:
        raise UndecidableError(f"`{method}:` needs more than the manifest")
    if method == "package" and value == "this":
        if project_name is None:
            raise UndecidableError("the manifest does not name its own project")
        value = project_name
    return simple(value)


def _resource_type(value: str) -> Predicate:
    if value not in RESOURCE_TYPES:
        raise UndecidableError(f"`{value}` is not a resource type")
    return lambda node: node.resource_type == value


def _file(value: str) -> Predicate:
    def matches(node: ManifestNode) -> bool:
        path = PurePosixPath(node.original_file_path)
        return fnmatchcase(path.name, value) or fnmatchcase(path.stem, value)

    return matches


def _test_name(value: str) -> Predicate:
    def matches(node: ManifestNode) -> bool:
        if node.resource_type == "unit_test":
            return fnmatchcase(node.name, value)
        return (
            node.resource_type == "test"
            and node.test_metadata is not None
            and fnmatchcase(node.test_metadata.name, value)
        )

    return matches


def _test_type(value: str) -> Predicate:
    if value not in {"generic", "schema", "singular", "data", "unit"}:
        raise UndecidableError(f"`{value}` is not a test type")

    def matches(node: ManifestNode) -> bool:
        if node.resource_type == "unit_test":
            return value == "unit"
        generic = node.test_metadata is not None
        wanted = {"generic": generic, "schema": generic, "singular": not generic, "data": True, "unit": False}
        return node.resource_type == "test" and wanted[value]

    return matches


def _version(value: str) -> Predicate:
    if value not in {"latest", "none"}:
        raise UndecidableError(f"`version:{value}` compares versions")

    def matches(node: ManifestNode) -> bool:
        if node.resource_type != "model":
            return False
        if value == "none":
            return node.version is None
        return node.version is not None and node.version == node.latest_version

    return matches


def _source(value: str) -> Predicate:
    parts = value.split(".")
    if len(parts) > 3:
        raise UndecidableError(f"`source:{value}` has too many parts")
    package, source, table = {
        1: ("*", parts[0], "*"),
        2: ("*", *parts),
        3: tuple(parts),
    }[len(parts)]
    return lambda node: (
        node.resource_type == "source"
        and fnmatchcase(node.package_name, package)
        and fnmatchcase(node.source_name or "", source)
        and fnmatchcase(node.name, table)
    )


def _named(method: str, value: str) -> Predicate:
    """The methods for one resource type: `name`, or `package.name`."""
    parts = value.split(".")
    if len(parts) > 2:
        raise UndecidableError(f"`{method}:{value}` has too many parts")
    package, name = ("*", parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    return lambda node: (
        node.resource_type == method and fnmatchcase(node.package_name, package) and fnmatchcase(node.name, name)
    )


def _config(path: tuple[str, ...], value: str) -> Predicate:
    if not path or path[0] not in _CONFIGS:
        raise UndecidableError(f"`config.{'.'.join(path)}` is not read from the manifest")

    def matches(node: ManifestNode) -> bool:
        if node.resource_type in NAMED or node.resource_type == "function":
            return False
        found: Any = getattr(node.config, path[0])
        for key in path[1:]:
            found = found.get(key) if isinstance(found, Mapping) else None
        if path == ("severity",) and isinstance(found, str):
            return found.upper() == value.upper()
        boolean = {"true": True, "false": False}.get(value.lower())
        values = found if isinstance(found, list) else [found]
        return value in values or (boolean is not None and any(item is boolean for item in values))

    return matches


_SIMPLE: Mapping[str, Callable[[str], Predicate]] = {
    "fqn": lambda value: lambda node: node.resource_type != "source" and matches_fqn(node, value),
    "tag": lambda value: lambda node: any(fnmatchcase(tag, value) for tag in node.all_tags),
    "group": lambda value: (
        lambda node: (
            node.resource_type not in NAMED - {"metric"}
            and bool(node.config.group)
            and fnmatchcase(str(node.config.group), value)
        )
    ),
    "access": lambda value: lambda node: node.resource_type == "model" and (node.access or "protected") == value,
    "package": lambda value: lambda node: fnmatchcase(node.package_name, value),
    "resource_type": _resource_type,
    "file": _file,
    "test_name": _test_name,
    "test_type": _test_type,
    "version": _version,
    "source": _source,
}
