"""Our lineage events beside those that openlineage-dbt makes of the same artifacts.

What differs on purpose is written down here: seeds and their tests, which it passes over; ephemeral models, which it
takes for tables; tests that were skipped, which it takes for failures.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from standins.emulator import RunningEmulator
from tests.support.events_server import events_server
from tests.support.peers import clean_environment, peer, run_json
from tests.support.workflow_steps import Steps

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "support" / "openlineage_dbt_events.py"
DATABASE = "warehouse.duckdb"


@dataclass
class Scene:
    ours: list[dict[str, Any]]
    theirs: list[dict[str, Any]]
    manifest: dict[str, Any]
    statuses: dict[str, str]

    def tables(self, *unique_ids: str) -> set[str]:
        nodes = self.manifest["nodes"]
        return {f"{nodes[one]['database']}.{nodes[one]['schema']}.{nodes[one]['alias']}" for one in unique_ids}


@pytest.fixture(scope="module")
def scene(replaying: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("openlineage")
    with pytest.MonkeyPatch.context() as patch, events_server() as server:
        patch.setenv("OPENLINEAGE_URL", server.url)
        patch.setenv("OPENLINEAGE_DATASET_NAMESPACE", f"duckdb://{DATABASE}")
        # The client adds these by itself.
        for name in ("TYPE", "URL"):
            patch.setenv(f"OPENLINEAGE__TRANSPORT__TRANSPORTS__DEFAULT_HTTP__{name}", "")
            patch.delenv(f"OPENLINEAGE__TRANSPORT__TRANSPORTS__DEFAULT_HTTP__{name}")
        steps = Steps(replaying, folder / "job")
        step = steps.play("bad", emit="openlineage", targeted_retries="0")
    kept = steps.job.workspace / step.outputs["artifacts-path"]
    (results,) = [
        path
        for path in sorted((kept / "runs").glob("*/step-*/run_results.json"))
        if json.loads(path.read_text())["args"]["which"] == "build"
    ]
    files = [kept / "manifest.json", results, kept / "catalog.json"]
    command = [
        str(peer("openlineage-dbt") / "python"),
        str(SCRIPT),
        DATABASE,
        *(str(one) for one in files if one.is_file()),
    ]
    rows = json.loads(results.read_text())["results"]
    return Scene(
        server.bodies,
        run_json(command, clean_environment(folder), folder),
        json.loads(files[0].read_text()),
        {row["unique_id"]: row["status"] for row in rows},
    )


def of_type(events: list[dict[str, Any]], *words: str) -> dict[tuple[str, str], dict[str, Any]]:
    """By job and state."""
    return {
        (event["job"]["name"], event["eventType"]): event
        for event in events
        if event["job"]["facets"]["jobType"]["jobType"] in words
    }


def names(datasets: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(one["namespace"], one["name"]) for one in datasets}


def fields(dataset: dict[str, Any]) -> list[tuple[Any, ...]]:
    found = dataset["facets"].get("schema", {}).get("fields", [])
    return [(one["name"], one.get("type"), one.get("description") or None) for one in found]


def assertions(events: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {
        (one["name"], one["assertion"], one["success"], one.get("column"), one.get("severity"))
        for event in events
        for dataset in event["inputs"]
        for one in dataset.get("inputFacets", {}).get("dataQualityAssertions", {}).get("assertions", [])
    }


@pytest.mark.timeout(900)
def test_models_and_snapshots_have_the_same_runs_and_datasets(scene: Scene) -> None:
    ours, theirs = of_type(scene.ours, "MODEL", "SNAPSHOT"), of_type(scene.theirs, "MODEL", "SNAPSHOT")
    assert len(theirs) > 10
    assert {state for _, state in theirs} == {"START", "COMPLETE", "FAIL"}
    assert ours.keys() == theirs.keys()
    nodes = scene.manifest["nodes"]
    ephemeral = [one for one, node in nodes.items() if node["config"].get("materialized") == "ephemeral"]
    behind = {parent for one in ephemeral for parent in nodes[one]["depends_on"]["nodes"] if parent in nodes}
    seeds = [one for one in nodes if one.startswith("seed.")]
    more = {(f"duckdb://{DATABASE}", name) for name in scene.tables(*seeds, *behind)}
    less = {(f"duckdb://{DATABASE}", name) for name in scene.tables(*ephemeral)}
    for key, event in theirs.items():
        mine = ours[key]
        assert names(mine["outputs"]) == names(event["outputs"]), key
        assert names(event["inputs"]) - less <= names(mine["inputs"]), key
        assert names(mine["inputs"]) - names(event["inputs"]) <= more, key
        for made, known in zip(mine["outputs"], event["outputs"], strict=True):
            assert fields(made) == fields(known), key
            assert made["facets"].get("documentation", {}).get("description") == known["facets"].get(
                "documentation", {}
            ).get("description")
    assert any(fields(made) for event in ours.values() for made in event["outputs"])


@pytest.mark.timeout(900)
def test_tests_say_the_same(scene: Scene) -> None:
    skipped = {
        scene.manifest["nodes"][one]["name"]
        for one, status in scene.statuses.items()
        if one.startswith("test.") and status == "skipped"
    }
    theirs = {one for one in assertions(scene.theirs) if one[0] not in skipped}
    # Two tests of different packages have the same name, and one of them is skipped.
    ours = {one for one in assertions(scene.ours) if one[1] != "unit_test" and one[0] not in skipped}
    about_seeds = {
        node["name"]
        for name, node in scene.manifest["nodes"].items()
        if name.startswith("test.") and any(one.startswith("seed.") for one in node["depends_on"]["nodes"])
    }
    assert theirs
    assert theirs <= ours
    assert {one[0] for one in ours - theirs} <= about_seeds
    assert len(theirs) > 5


@pytest.mark.timeout(900)
def test_every_event_is_what_the_client_s_own_facets_allow(scene: Scene) -> None:
    """The client's typed values check what they are given; what is sent has producer and schema everywhere."""
    for event in scene.ours:
        facets = [*event["run"]["facets"].values(), *event["job"]["facets"].values()]
        for dataset in (*event["inputs"], *event["outputs"]):
            facets += dataset["facets"].values()
            facets += (dataset.get("inputFacets") or dataset.get("outputFacets") or {}).values()
        assert event["schemaURL"].startswith("https://openlineage.io/spec/")
        for facet in facets:
            assert facet["_producer"]
            assert facet["_schemaURL"].startswith("https://openlineage.io/spec/facets/")
