"""Synthetic dbt projects, as the artifacts of a run that built all of them: true to the schemas, and of real weight.

    python -m benchmarks.generate FOLDER --models 10000

writes `manifest.json` and `run_results.json` (manifest v12, run-results v6) into FOLDER, with `--catalog` a
`catalog.json`, too. The fields, their order and their share of the bytes are those of dbt-core 1.11; names and SQL are
drawn from a fixed seed.
A model has 12 to 40 columns, two to four tests, one to five parents in the layer below it, a group and an owner.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import md5
from pathlib import Path
from typing import Any, TextIO

from benchmarks.result_shapes import catalog_table, result_row, run_args
from benchmarks.shapes import (
    EXECUTED,
    NOW,
    SHOP,
    exposure_node,
    group_node,
    invocation,
    macro_node,
    metadata,
    model_node,
    source_node,
    test_node,
)

LAYERS = (("staging", 0.35), ("intermediate", 0.3), ("marts", 0.25), ("reporting", 0.1))
WORDS = [
    "account",
    "address",
    "amount",
    "approved",
    "basket",
    "billing",
    "booking",
    "branch",
    "brand",
    "budget",
    "campaign",
    "carrier",
    "category",
    "channel",
    "city",
    "claim",
    "click",
    "contract",
    "country",
    "coupon",
    "created",
    "credit",
    "currency",
    "customer",
    "daily",
    "delivery",
    "department",
    "device",
    "discount",
    "due",
    "email",
    "employee",
    "event",
    "exchange",
    "expected",
    "fee",
    "first",
    "forecast",
    "gross",
    "group",
    "hour",
    "import",
    "invoice",
    "item",
    "kind",
    "label",
    "language",
    "last",
    "ledger",
    "level",
    "line",
    "loaded",
    "location",
    "margin",
    "market",
    "medium",
    "merchant",
    "month",
    "net",
    "number",
    "offer",
    "order",
    "origin",
    "owner",
    "paid",
    "parent",
    "partner",
    "payment",
    "period",
    "plan",
    "price",
    "priority",
    "product",
    "promotion",
    "quantity",
    "quarter",
    "rate",
    "reason",
    "received",
    "refund",
    "region",
    "rental",
    "request",
    "returned",
    "revenue",
    "review",
    "role",
    "sales",
    "score",
    "segment",
    "session",
    "shipment",
    "source",
    "stage",
    "status",
    "stock",
    "store",
    "subscription",
    "supplier",
    "target",
    "tax",
    "team",
    "ticket",
    "tier",
    "total",
    "transaction",
    "type",
    "unit",
    "updated",
    "user",
    "valid",
    "variant",
    "vendor",
    "visit",
    "volume",
    "voucher",
    "warehouse",
    "week",
    "weight",
    "year",
    "zone",
]
TYPES = ("varchar", "bigint", "integer", "numeric(18,2)", "timestamp", "date", "boolean", "double")


@dataclass
class Project:
    """What the files are written from: for each model its layer, columns and parents."""

    models: int
    seed: int = 20240527
    rng: random.Random = field(init=False)
    layers: list[list[str]] = field(default_factory=lambda: [[] for _ in LAYERS])  # unique ids
    sources: list[tuple[str, str]] = field(default_factory=list)
    parents: dict[str, list[str]] = field(default_factory=dict)
    tests: dict[str, list[str]] = field(default_factory=dict)  # model -> its tests
    groups: tuple[str, ...] = ("finance", "sales", "logistics", "marketing", "product", "people", "platform", "risk")

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)  # noqa: S311 - a project that must be repeatable
        self.sources = [(f"raw_{self.words(1)}_{n % 40}", f"{self.words(2)}_{n}") for n in range(self.models // 10 + 1)]
        cuts = [round(self.models * sum(share for _, share in LAYERS[: n + 1])) for n in range(len(LAYERS))]
        for number in range(self.models):
            layer = next(n for n, cut in enumerate(cuts) if number < cut or n == len(LAYERS) - 1)
            self._add_model(number, layer)

    def words(self, count: int, joint: str = "_") -> str:
        return joint.join(self.rng.choice(WORDS) for _ in range(count))

    def _add_model(self, number: int, layer: int) -> None:
        prefix = ("stg", "int", "mart", "rpt")[layer]
        unique_id = f"model.{SHOP}.{prefix}_{self.words(2)}_{number}"
        below = self.layers[layer - 1] if layer else []
        same = self.layers[layer][-200:] if layer else []  # depth within a layer, as real projects have it
        if below:
            chosen = [self.rng.choice(below) for _ in range(self.rng.randint(1, 4))]
            chosen += [self.rng.choice(same)] if same and self.rng.random() < 0.4 else []
        else:
            source, table = self.rng.choice(self.sources)
            chosen = [f"source.{SHOP}.{source}.{table}"]
        self.parents[unique_id] = list(dict.fromkeys(chosen))
        self.layers[layer].append(unique_id)

    def columns(self) -> list[tuple[str, str, str]]:
        """Name, type and description of each."""
        names = dict.fromkeys(self.words(2) for _ in range(self.rng.randint(12, 40)))
        described = (self.words(self.rng.randint(4, 18), " ") if self.rng.random() < 0.6 else "" for _ in names)
        return [(name, self.rng.choice(TYPES), text) for name, text in zip(names, described, strict=True)]


def write_project(folder: Path, models: int, *, catalog: bool = False) -> None:
    """Write the artifacts of a project with so many models. Piece by piece: memory stays small."""
    folder.mkdir(parents=True, exist_ok=True)
    project = Project(models)
    with (folder / "manifest.json").open("w") as manifest, (folder / "run_results.json").open("w") as results:
        tables = _write_manifest(project, manifest, results)
        _close_results(project, results)
    if catalog:
        with (folder / "catalog.json").open("w") as file:
            _write_catalog(project, tables, file)


def _write_manifest(
    project: Project, manifest: TextIO, results: TextIO
) -> list[tuple[str, list[tuple[str, str, str]]]]:
    tables: list[tuple[str, list[tuple[str, str, str]]]] = []
    results.write(json.dumps({"metadata": metadata("run-results/v6")})[:-1] + ', "results": [')
    manifest.write(json.dumps({"metadata": metadata("manifest/v12", is_manifest=True)})[:-1] + ', "nodes": {')
    is_first = True
    for layer, (folder, _) in enumerate(LAYERS):
        for unique_id in project.layers[layer]:
            for node, row in _nodes(project, unique_id, folder, tables):
                joint = "" if is_first else ", "
                manifest.write(f"{joint}{json.dumps(node['unique_id'])}: {json.dumps(node)}")
                results.write(joint + json.dumps(row))
                is_first = False
    for name, entries in (
        ("sources", (source_node(source, table, project.columns()) for source, table in project.sources)),
        ("macros", (macro_node(project.words(3), n) for n in range(500))),
        ("exposures", _exposures(project)),
        ("groups", (group_node(group) for group in project.groups)),
    ):
        manifest.write(f'}}, "{name}": {{')
        for number, entry in enumerate(entries):
            joint = ", " if number else ""
            manifest.write(f"{joint}{json.dumps(entry['unique_id'])}: {json.dumps(entry)}")
    parents, children = _maps(project)
    rest = {
        "docs": {}, "metrics": {}, "selectors": {}, "disabled": {}, "parent_map": parents, "child_map": children,
        "group_map": {group: [] for group in project.groups}, "saved_queries": {}, "semantic_models": {},
        "unit_tests": {}, "functions": {},
    }  # fmt: skip
    manifest.write("}, " + json.dumps(rest)[1:])
    return tables


def _nodes(
    project: Project, unique_id: str, folder: str, tables: list[tuple[str, list[tuple[str, str, str]]]]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The model and its tests, each with its row of the results."""
    rng, columns = project.rng, project.columns()
    tables.append((unique_id, columns))
    group = rng.choice(project.groups)
    description = project.words(rng.randint(8, 60), " ")
    model = model_node(unique_id, folder, group, description, columns, project.parents[unique_id], rng)
    status = "warn" if rng.random() < 0.002 else "success"
    yield model, result_row(unique_id, status, model["compiled_code"], model["relation_name"], rng)
    tests = project.tests[unique_id] = []
    for column, _, _ in columns[: rng.randint(2, 4)]:
        test = test_node(unique_id, folder, group, column, rng)
        tests.append(test["unique_id"])
        status = "warn" if rng.random() < 0.01 else "pass"
        yield test, result_row(test["unique_id"], status, test["compiled_code"], None, rng)


def _exposures(project: Project) -> Iterator[dict[str, Any]]:
    finals = project.layers[-1] or project.layers[0]
    for number in range(max(project.models // 100, 1)):
        read = sorted({project.rng.choice(finals) for _ in range(3)})
        yield exposure_node(f"{project.words(2)}_{number}", read, project.words(12, " "))


def _maps(project: Project) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    parents: dict[str, list[str]] = dict(project.parents)
    parents |= {test: [model] for model, tests in project.tests.items() for test in tests}
    parents |= {f"source.{SHOP}.{source}.{table}": [] for source, table in project.sources}
    children: dict[str, list[str]] = {unique_id: [] for unique_id in parents}
    for child, above in parents.items():
        for parent in above:
            children[parent].append(child)
    return parents, children


def _close_results(project: Project, results: TextIO) -> None:
    tail = {"elapsed_time": 0.08 * project.models, "args": run_args()}
    results.write("], " + json.dumps(tail)[1:])


def _write_catalog(
    project: Project, tables: Sequence[tuple[str, Sequence[tuple[str, str, str]]]], file: TextIO
) -> None:
    file.write(json.dumps({"metadata": metadata("catalog/v1")})[:-1] + ', "nodes": {')
    file.writelines(
        f"{', ' if number else ''}{json.dumps(unique_id)}: {json.dumps(catalog_table(unique_id, columns))}"
        for number, (unique_id, columns) in enumerate(tables)
    )
    file.write('}, "sources": {}, "errors": null}')


def digest(folder: Path) -> Mapping[str, str]:
    """A short fingerprint of each file: the same seed gives the same project."""
    return {path.name: md5(path.read_bytes()).hexdigest()[:12] for path in sorted(folder.iterdir())}  # noqa: S324


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--catalog", action="store_true")
    options = parser.parse_args()
    write_project(options.folder, options.models, catalog=options.catalog)
    for path in sorted(options.folder.iterdir()):
        print(f"{path.stat().st_size:>12,} bytes  {path.name}")


__all__ = ["EXECUTED", "NOW", "Project", "digest", "invocation", "write_project"]

if __name__ == "__main__":
    main()
