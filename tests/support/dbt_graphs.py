"""Projects as a `manifest.json`, given to dbt-core's own node selector and to ours."""

from __future__ import annotations

import hashlib
import shlex
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from dbt.artifacts.schemas.manifest import WritableManifest
from dbt.cli.flags import args_to_context
from dbt.compilation import Linker
from dbt.contracts.graph.manifest import Manifest as DbtManifest
from dbt.contracts.graph.nodes import GenericTestNode
from dbt.flags import set_flags
from dbt.graph import Graph, NodeSelector, ResourceTypeSelector, SelectionCriteria, SelectionSpec, parse_difference
from dbt.node_types import NodeType
from dbt_common.events.contextvars import task_contextvars

from dbt_cloud_run.dbt.artifacts import Manifest

ROOT = "shop"

_EXECUTED = {
    "build": ["model", "snapshot", "seed", "test", "unit_test", "saved_query", "exposure", "function"],
    "run": ["model"],
    "test": ["test", "unit_test"],
    "seed": ["seed"],
    "snapshot": ["snapshot"],
}
_ROOMS = (
    "nodes",
    "sources",
    "macros",
    "docs",
    "exposures",
    "metrics",
    "groups",
    "selectors",
    "saved_queries",
    "semantic_models",
    "unit_tests",
    "functions",
    "disabled",
    "group_map",
)
_SUFFIX = {"model": "sql", "seed": "csv", "snapshot": "sql", "test": "sql"}
_FOLDER = {"model": "models", "seed": "seeds", "snapshot": "snapshots", "test": "tests"}


def node(
    kind: str,
    package: str,
    folders: Sequence[str],
    name: str,
    *,
    version: int | None = None,
    latest: int | None = None,
    parents: Iterable[str] = (),
    tags: Sequence[str] = (),
    materialized: str | None = None,
) -> dict[str, Any]:
    """A model, seed, snapshot or singular test, as dbt writes it into a manifest."""
    parts = [kind, package, name] if version is None else [kind, package, name, f"v{version}"]
    fqn = [package, *folders, name] if version is None else [package, *folders, name, f"v{version}"]
    file = "/".join([_FOLDER[kind], *folders, ".".join([*parts[2:], _SUFFIX[kind]])])
    defaults = {"model": "view", "seed": "seed", "snapshot": "snapshot", "test": "test"}
    body: dict[str, Any] = {
        "unique_id": ".".join(parts),
        "name": name,
        "resource_type": kind,
        "package_name": package,
        "path": file.partition("/")[2],
        "original_file_path": file,
        "fqn": fqn,
        "alias": name,
        "database": "db",
        "schema": "main",
        "checksum": {"name": "none", "checksum": ""},
        "raw_code": "select 1",
        "language": "sql",
        "tags": list(tags),
        "config": {"materialized": materialized or defaults[kind], "enabled": True, "tags": list(tags)},
        "depends_on": {"nodes": list(parents), "macros": []},
    }
    if version is not None:
        body |= {"version": version, "latest_version": latest or version}
    if kind == "snapshot":
        body["config"] |= {"unique_key": "id", "strategy": "check", "check_cols": "all"}
    if kind == "seed":
        body["depends_on"] = {"macros": []}
        body.pop("language")
    return body


def generic_test(
    package: str, folders: Sequence[str], name: str, attached: str, *, kind: str = "not_null", also: Iterable[str] = ()
) -> dict[str, Any]:
    """A generic test, whose unique id ends in a hash, and whose file is the yml of its node."""
    body = node("test", package, folders, name, parents=[attached, *also])
    body["unique_id"] += "." + hashlib.md5(f"{name}{attached}".encode()).hexdigest()[:10]  # noqa: S324 -- no secret
    body["original_file_path"] = "/".join(["models", *folders, "schema.yml"])
    return body | {
        "test_metadata": {"name": kind, "kwargs": {}},
        "attached_node": attached,
        "file_key_name": "models.x",
    }


def unit_test(package: str, folders: Sequence[str], name: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """A unit test; for a versioned model dbt makes one for each version, of one name and one path."""
    suffix = "" if model.get("version") is None else f"_v{model['version']}"
    return {
        "unique_id": f"unit_test.{package}.{model['name']}.{name}{suffix}",
        "name": name,
        "resource_type": "unit_test",
        "package_name": package,
        "path": "/".join([*folders, "schema.yml"]),
        "original_file_path": "/".join(["models", *folders, "schema.yml"]),
        "fqn": [package, *folders, model["name"], name],
        "model": model["name"],
        "given": [],
        "expect": {"rows": []},
        "version": model.get("version"),
        "config": {"enabled": True, "tags": []},
        "depends_on": {"nodes": [model["unique_id"]], "macros": []},
    }


def exposure(package: str, folders: Sequence[str], name: str, parents: Iterable[str]) -> dict[str, Any]:
    return {
        "unique_id": f"exposure.{package}.{name}",
        "name": name,
        "resource_type": "exposure",
        "package_name": package,
        "path": "/".join([*folders, "schema.yml"]),
        "original_file_path": "/".join(["models", *folders, "schema.yml"]),
        "fqn": [package, *folders, name],
        "type": "dashboard",
        "owner": {"name": "an owner"},
        "config": {"enabled": True},
        "depends_on": {"nodes": list(parents), "macros": []},
    }


def source(package: str, source_name: str, table: str) -> dict[str, Any]:
    return {
        "unique_id": f"source.{package}.{source_name}.{table}",
        "name": table,
        "source_name": source_name,
        "resource_type": "source",
        "package_name": package,
        "path": "models/sources.yml",
        "original_file_path": "models/sources.yml",
        "fqn": [package, source_name, table],
        "source_description": "",
        "loader": "",
        "identifier": table,
        "database": "db",
        "schema": "raw",
        "config": {"enabled": True},
    }


def manifest_of(nodes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """All of a project as the content of a `manifest.json`."""
    rooms = {"source": "sources", "unit_test": "unit_tests", "exposure": "exposures"}
    content: dict[str, Any] = {name: {} for name in (*_ROOMS, "parent_map", "child_map")}
    content["metadata"] = {"project_name": ROOT, "adapter_type": "duckdb"}
    for body in nodes:
        content[rooms.get(body["resource_type"], "nodes")][body["unique_id"]] = dict(body)
        content["parent_map"][body["unique_id"]] = list(body.get("depends_on", {}).get("nodes", []))
        content["child_map"].setdefault(body["unique_id"], [])
    for child, parents in content["parent_map"].items():
        for parent in parents:
            content["child_map"].setdefault(parent, []).append(child)
    return content


def ours(content: Mapping[str, Any]) -> Manifest:
    """The manifest as this project reads it."""
    return msgspec.convert(content, Manifest, strict=False)


def _mentions_path(spec: SelectionSpec) -> bool:
    if isinstance(spec, SelectionCriteria):
        return str(spec.method) == "path"
    return any(_mentions_path(component) for component in spec)


class DbtItself:
    """dbt-core's own manifest, graph and node selector over the same content."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        set_flags(Namespace(INDIRECT_SELECTION="eager", WARN_ERROR=False, USE_FAST_TEST_EDGES=False))
        self.manifest = DbtManifest.from_writable_manifest(WritableManifest.from_dict(dict(content)))
        for unique_id, body in content["nodes"].items():
            if "test_metadata" in body:  # read back from a file, a generic test would be taken for a singular one
                self.manifest.nodes[unique_id] = GenericTestNode.from_dict(body)
        self.manifest.build_parent_and_child_maps()
        linker = Linker()
        linker.link_graph(self.manifest)
        self.graph = Graph(linker.graph)
        self._files = {
            body["original_file_path"]
            for room in ("nodes", "sources", "exposures", "unit_tests")
            for body in content[room].values()
            if body["package_name"] == ROOT
        }

    def select(self, select: Sequence[str], exclude: Sequence[str], indirect: str) -> set[str]:
        set_flags(Namespace(INDIRECT_SELECTION=indirect, WARN_ERROR=False))
        spec = parse_difference(tuple(select), tuple(exclude) or None)
        return self._selected(NodeSelector(self.graph, self.manifest), spec)

    def executes(self, line: str) -> set[str]:
        """What this command line would execute, its options read by dbt's own command line."""
        context = args_to_context([*shlex.split(line)[1:], "--profiles-dir", "."])
        verb, options = context.info_name, dict(context.params)
        indirect = options["indirect_selection"]
        if (
            context.parent is not None
            and context.parent.get_parameter_source("indirect_selection").name == "COMMANDLINE"
        ):
            indirect = context.parent.params["indirect_selection"]
        set_flags(Namespace(INDIRECT_SELECTION=indirect, WARN_ERROR=False))
        types = set(_EXECUTED[verb])
        if given := set(options.get("resource_types") or ()):
            types &= given
        types -= set(options.get("exclude_resource_types") or ())
        spec = parse_difference(options["select"], options["exclude"])
        selector = ResourceTypeSelector(self.graph, self.manifest, None, [NodeType(name) for name in types])
        selected = self._selected(selector, spec)
        return {unique_id for unique_id in selected if self._runs(unique_id, verb, selected)}

    def _selected(self, selector: NodeSelector, spec: SelectionSpec) -> set[str]:
        """`path:` looks at files, so the root project's are there while dbt selects."""
        with TemporaryDirectory() as folder, task_contextvars(project_root=folder):
            if _mentions_path(spec):
                for file in self._files:
                    path = Path(folder, file)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
            return set(selector.get_selected(spec, warn_on_no_nodes=False))

    def _runs(self, unique_id: str, verb: str, selected: set[str]) -> bool:
        if unique_id in self.manifest.unit_tests:
            # `dbt build` hands unit tests out with their model (`BuildTask.handle_job_queue`).
            return verb != "build" or self.manifest.unit_tests[unique_id].depends_on.nodes[0] in selected
        found = self.manifest.nodes.get(unique_id)
        return found is None or not found.is_ephemeral_model
