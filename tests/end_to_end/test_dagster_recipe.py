"""The recipe for Dagster, against a real webserver: every asset of a real `assets.json` stands there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.peers import ROOT, Served, dagster_server
from tests.support.workflow_steps import Steps

pytestmark = pytest.mark.slow

RECIPE = ROOT / "docs" / "examples" / "dagster_assets.py"
QUERY = """
query {
  assetsOrError {
    ... on AssetConnection {
      nodes {
        key { path }
        assetMaterializations(limit: 1) {
          description
          metadataEntries {
            label
            ... on TextMetadataEntry { text }
            ... on IntMetadataEntry { intRepr }
            ... on JsonMetadataEntry { jsonString }
          }
        }
      }
    }
  }
}
"""


def report(server: Served, assets: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - the recipe
        [sys.executable, "-I", str(RECIPE), str(assets)],
        env={"DAGSTER_URL": server.url, "no_proxy": "*"},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.timeout(900)
def test_every_asset_of_a_run_stands_in_dagster(steps: Steps, tmp_path: Path) -> None:
    step = steps.play("good")
    path = steps.job.workspace / step.outputs["assets-path"]
    assets = {asset["unique_id"]: asset for asset in json.loads(path.read_text())["assets"]}
    (tmp_path / "server").mkdir()
    with dagster_server(tmp_path / "server") as server:
        done = report(server, path)
        assert done.returncode == 0, done.stderr
        nodes = server.post("/graphql", {"query": QUERY})["data"]["assetsOrError"]["nodes"]
    found = {entries(node)["unique_id"]["text"]: node for node in nodes}
    assert found.keys() == assets.keys()
    assert done.stdout.count("reported ") == len(assets)
    for unique_id, node in found.items():
        asset, known = assets[unique_id], entries(node)
        quoted = asset["relation_name"].strip('"').split('"."')
        assert node["key"]["path"] == quoted[-2:]
        assert known["key"]["text"] == asset["key"]
        assert known["run_id"]["intRepr"] == str(asset["run_id"])
        assert (node["assetMaterializations"][0]["description"] or "") == asset["description"]


def entries(node: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (materialization,) = node["assetMaterializations"]
    return {entry["label"]: entry for entry in materialization["metadataEntries"]}
