"""The emulator's own dbt project, run by real dbt: what it has in it, how it fails, and that it recovers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import dbt_cloud_emulator
from dbt_cloud_run.dbt.failures import explain, judge
from dbt_cloud_run.planned import Retryability

pytestmark = pytest.mark.slow

SHOP = Path(dbt_cloud_emulator.__file__).parent / "projects" / "shop"
SUCCEEDED = {"success", "pass", "warn", "no-op"}


@dataclass(frozen=True)
class Shop:
    """A copy of the project with an empty database beside it."""

    folder: Path

    def dbt(self, *words: str, code: int = 0) -> str:
        """Run dbt; the console's text."""
        done = subprocess.run(  # noqa: S603  # dbt of this environment
            [Path(sys.executable).with_name("dbt"), "--no-use-colors", *words],
            cwd=self.folder,
            env={**os.environ, "DBT_PROFILES_DIR": str(self.folder.parent)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def artifact(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / "target" / name).read_text())
        return document

    def results(self) -> dict[str, dict[str, Any]]:
        return {row["unique_id"]: row for row in self.artifact("run_results.json")["results"]}


def _copy(parent: Path) -> Shop:
    folder = parent / "a shop"
    shutil.copytree(SHOP, folder, ignore=shutil.ignore_patterns("target", "dbt_packages", "logs"))
    output = {"type": "duckdb", "path": str(parent / "shop.duckdb"), "schema": "main", "threads": 4}
    profiles = {"shop": {"target": "dev", "outputs": {"dev": output}}}
    (parent / "profiles.yml").write_text(json.dumps(profiles))  # JSON is YAML
    shop = Shop(folder)
    shop.dbt("deps")
    return shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return _copy(tmp_path_factory.mktemp("project with spaces"))


def test_project_has_every_kind_of_node(shop: Shop) -> None:
    console = shop.dbt("--warn-error", "--show-all-deprecations", "parse")
    assert "eprecat" not in console
    manifest = shop.artifact("manifest.json")
    nodes = list(manifest["nodes"].values())
    kinds = Counter(node["resource_type"] for node in nodes)
    assert kinds.keys() >= {"model", "seed", "snapshot", "test", "analysis", "operation"}
    models = [node for node in nodes if node["resource_type"] == "model"]
    assert {m["config"]["materialized"] for m in models} >= {"view", "table", "incremental", "ephemeral"}
    assert any(m["config"].get("incremental_strategy") == "microbatch" for m in models)
    assert {m["version"] for m in models if m["name"] == "customer_summary"} == {1, 2}
    tests = [node for node in nodes if node["resource_type"] == "test"]
    assert any(test.get("test_metadata") is None for test in tests), "a singular test"
    assert any(test["name"].startswith("unique_") for test in tests), "a generic test"
    assert any(test["config"]["severity"].lower() == "warn" for test in tests)
    for kind in ("unit_tests", "exposures", "saved_queries", "semantic_models", "metrics"):
        assert manifest[kind], kind
    assert all(source["freshness"]["error_after"]["count"] for source in manifest["sources"].values())
    owners = {group["name"]: group["owner"] for group in manifest["groups"].values()}
    assert owners.keys() == {"finance", "sales"}
    assert all(owner["name"] and "@" in owner["email"] for owner in owners.values())
    assert any(m["config"]["meta"].get("owner") for m in models)
    assert all(m["description"] for m in models)
    assert any(m["config"]["tags"] for m in models)
    assert set(manifest["selectors"]) == {"daily", "finance_only"}


def test_project_has_the_names_that_are_easily_mistaken(shop: Shop) -> None:
    shop.dbt("parse")
    manifest = shop.artifact("manifest.json")
    names = Counter((node["resource_type"], node["name"]) for node in manifest["nodes"].values())
    assert names["model", "calendar"] == 2, "in two packages"
    assert names["test", "no_negative_amounts"] == 2, "in two packages"
    assert names["test", "unique_calendar_day"] == 2, "in two packages"
    assert Counter(test["name"] for test in manifest["unit_tests"].values())["counts_orders"] == 2, "of two models"
    fqns = {node["unique_id"]: node["fqn"] for node in manifest["nodes"].values()}
    assert fqns["model.shop.finance"] == ["shop", "finance", "finance"], "named like its folder"
    assert "model.shop.sales.by_channel" in fqns, "with a dot"


@pytest.mark.slow
def test_project_fails_as_it_is_told_and_recovers(tmp_path: Path) -> None:
    shop = _copy(tmp_path)
    shop.dbt("source", "freshness")  # on an empty database
    freshness = {row["unique_id"]: row["status"] for row in shop.artifact("sources.json")["results"]}
    assert freshness == {"source.shop.raw.web_events": "pass", "source.shop.raw.refunds": "warn"}

    switches = {
        "broken_model": "price_bands",
        "failing_test": "source_unique_raw_web_events_event_id",
        "broken_batch": 2025,
    }
    shop.dbt("build", "--vars", json.dumps(switches), code=1)
    results = shop.results()
    broken, flaky = results["model.retail_utils.price_bands"], results["model.shop.orders"]
    assert (broken["status"], flaky["status"]) == ("error", "error")
    assert judge("error", broken["message"], adapter_type="duckdb") is Retryability.DETERMINISTIC
    judgement = explain("error", flaky["message"], adapter_type="duckdb")
    assert (judgement.retryability, judgement.reason) == (Retryability.TRANSIENT, "the connection broke")
    failed = next(
        row for uid, row in results.items() if uid.startswith("test.shop.source_unique_raw_web_events_event_id.")
    )
    assert (failed["status"], failed["failures"]) == ("fail", 3)
    assert results["model.shop.order_archive"]["status"] == "partial success"
    assert results["model.shop.customers"]["status"] == "skipped"
    untouched = {"seed.shop.raw_orders", "model.shop.stg_orders", "snapshot.shop.customers_history"}
    assert {results[uid]["status"] for uid in untouched} == {"success"}

    shop.dbt("build")
    results = shop.results()
    assert {row["status"] for row in results.values()} == SUCCEEDED
    assert results["model.shop.orders"]["status"] == "success"
    assert len([uid for uid in results if uid.startswith("unit_test.")]) == 3

    shop.dbt("build", "--select", "orders", "--vars", json.dumps({"flaky_key": "again"}), code=1)
    assert shop.results()["model.shop.orders"]["status"] == "error", "a new key fails again"
