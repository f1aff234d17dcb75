"""Random dbt projects: two packages, and few names that are used again, for folders, kinds and versions alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from tests.support.dbt_graphs import exposure, generic_test, manifest_of, node, source, unit_test

NAMES = (
    "orders",
    "staging",
    "shop",
    "a.b",
    "or ders",
    "x[1]",
    "a+1",
    "v1",
    "orders_v1",
    "pay*",
    "2",
    "a,b",
    "this",
    "q?",
)
names = st.sampled_from(NAMES)
folders = st.lists(st.sampled_from(["staging", "orders", "shop", "v1"]), max_size=2)

Node = dict[str, Any]


class _Project:
    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self.nodes: dict[str, Node] = {}

    def add(self, *nodes: Node) -> None:
        for body in nodes:
            self.nodes.setdefault(body["unique_id"], body)

    def few(self, least: int, most: int) -> list[str]:
        return self._draw(st.lists(names, min_size=least, max_size=most, unique=True))

    def place(self) -> list[str]:
        return self._draw(folders)

    def parents(self) -> list[str]:
        kinds = {"model", "seed", "snapshot", "source"}
        known = sorted(unique_id for unique_id, body in self.nodes.items() if body["resource_type"] in kinds)
        return self._draw(st.lists(st.sampled_from(known), max_size=3, unique=True)) if known else []

    def is_taken(self, package: str, name: str) -> bool:
        return any(f"{kind}.{package}.{name}" in self.nodes for kind in ("model", "seed", "snapshot"))

    def models(self, package: str, name: str) -> Iterator[Node]:
        versions: list[int | None] = self._draw(st.sampled_from([[None], [None], [1, 2]]))
        place, materialized = self.place(), self._draw(st.sampled_from(["view", "table", "ephemeral"]))
        tags = self._draw(st.lists(st.sampled_from(["daily", "hourly"]), max_size=1))
        for version in versions:
            yield node(
                "model",
                package,
                place,
                name,
                version=version,
                latest=2,
                parents=self.parents(),
                tags=tags,
                materialized=materialized,
            )

    def relations(self, package: str) -> None:
        for name in self.few(0, 2):
            self.add(source(package, "staging", name))
        for name in self.few(0, 2):
            self.add(node("seed", package, self.place(), name))
        for name in self.few(1, 5):
            if not self.is_taken(package, name):
                self.add(*self.models(package, name))
        for name in self.few(0, 1):
            if not self.is_taken(package, name):
                self.add(node("snapshot", package, self.place(), name, parents=self.parents()))

    def tests(self, package: str) -> None:
        models = [body for body in self.nodes.values() if body["resource_type"] == "model"]
        for model in [body for body in models if body["package_name"] == package]:
            self.add(*(unit_test(package, self.place(), name, model) for name in self.few(0, 2)))
            for name in self.few(0, 2):
                attached = model["unique_id"]
                self.add(generic_test(package, self.place(), f"not_null_{name}", attached, also=self.parents()[:1]))
        for name in self.few(0, 2):
            self.add(node("test", package, self.place(), f"assert_{name}", parents=self.parents()))
        for name in self.few(0, 1):
            self.add(exposure(package, self.place(), name, self.parents()))


@st.composite
def projects(draw: st.DrawFn) -> dict[str, Any]:
    """The content of a project's `manifest.json`."""
    project = _Project(draw)
    for package in ("shop", "lib")[: draw(st.integers(1, 2))]:
        project.relations(package)
        project.tests(package)
    return manifest_of(project.nodes.values())
