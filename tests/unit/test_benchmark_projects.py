"""The projects of the benchmarks are what dbt would have written: dbt's own classes read them, and lose nothing."""

from __future__ import annotations

import json
import ssl
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from benchmarks.generate import digest, write_project
from benchmarks.measure import MeasurementError, serving
from benchmarks.server import API, DBT_STEP, JOB, RUN
from benchmarks.time_to_green import Green, beyond, failed_results, green_of

from dbt_cloud_run.dbt.artifacts import decode_manifest
from dbt_cloud_run.dbt.results import decode_run_results


def test_dbt_reads_them(tmp_path: Path) -> None:
    from dbt.artifacts.schemas.catalog import CatalogArtifact
    from dbt.artifacts.schemas.manifest import WritableManifest
    from dbt.artifacts.schemas.run import RunResultsArtifact

    write_project(tmp_path, 40, catalog=True)
    content = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    manifest = content["manifest.json"]
    read = WritableManifest.from_dict(manifest)
    again = read.to_dict(omit_none=False)
    assert {name: sorted(manifest[name]) for name in again if name in manifest} == {
        name: sorted(again[name]) for name in again if name in manifest
    }
    model, source = next(iter(manifest["nodes"])), next(iter(manifest["sources"]))
    assert set(manifest["nodes"][model]) <= set(again["nodes"][model])
    assert set(manifest["sources"][source]) == set(again["sources"][source])
    RunResultsArtifact.validate(content["run_results.json"])
    assert len(RunResultsArtifact.from_dict(content["run_results.json"]).results) == len(manifest["nodes"])
    assert len(CatalogArtifact.from_dict(content["catalog.json"]).nodes) == 40


def test_they_are_projects_of_depth_and_the_same_every_time(tmp_path: Path) -> None:
    write_project(tmp_path / "a", 60)
    write_project(tmp_path / "b", 60)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    manifest = decode_manifest(tmp_path / "a" / "manifest.json")
    _, results = decode_run_results(tmp_path / "a" / "run_results.json")
    assert {node.unique_id for node in results.nodes} == set(manifest.nodes)
    models = [node for node in manifest if node.resource_type == "model"]
    assert len(models) == 60
    known = set(manifest.nodes) | set(manifest.sources)
    assert all(parent in known for node in models for parent in node.depends_on.nodes)
    assert max(len(node.depends_on.nodes) for node in models) >= 3


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_they_are_served_over_https_packed_and_plain(tmp_path: Path, encoding: str) -> None:
    write_project(tmp_path, 20)
    with serving(tmp_path) as (url, authority):
        options: Any = {"verify": ssl.create_default_context(cafile=authority), "trust_env": False}
        with httpx.Client(base_url=url, headers={"Accept-Encoding": encoding}, **options) as client:
            started = client.post(f"{API}/jobs/{JOB}/run/", json={"cause": "x"}).json()["data"]
            ended = client.get(f"{API}/runs/{RUN}/", params={"include_related": "run_steps"}).json()["data"]
            path = f"{API}/runs/{RUN}/artifacts/manifest.json"
            manifest = client.get(path, params={"step": DBT_STEP})
            other = client.get(path, params={"step": DBT_STEP - 1})
            log = client.get("/__log__").json()
    assert (started["id"], started["status"], ended["status"], len(ended["run_steps"])) == (RUN, 1, 10, 4)
    assert manifest.content == (tmp_path / "manifest.json").read_bytes()
    assert manifest.headers.get("content-encoding", "identity") == encoding
    assert other.status_code == 404
    assert [entry["method"] for entry in log] == ["POST", "GET", "GET", "GET"]


def test_results_of_a_run_that_failed_are_read_and_retried(tmp_path: Path) -> None:
    write_project(tmp_path, 450)
    failed = tmp_path / "failed.json"
    failed.write_bytes(failed_results((tmp_path / "run_results.json").read_bytes()))
    _, before = decode_run_results(tmp_path / "run_results.json")
    _, results = decode_run_results(failed)
    assert [node.unique_id for node in results.nodes] == [node.unique_id for node in before.nodes]
    counts = Counter(node.status for node in results.nodes) - Counter(node.status for node in before.nodes)
    assert counts["error"] == 3
    assert counts["skipped"] == 6


def test_a_log_shows_when_the_end_was_seen_and_when_the_retry_began() -> None:
    run, jobs = f"{API}/runs/{RUN}/", f"{API}/jobs/{JOB}/run/"
    times = [(1.0, "POST", jobs), (5.0, "GET", run), (12.5, "GET", run), (13.0, "GET", run), (14.0, "POST", jobs)]
    log = [{"at": at, "method": method, "path": path} for at, method, path in times]
    assert green_of(log, 10.0) == Green(lag=2.5, retry=4.0)
    with pytest.raises(MeasurementError):
        green_of(log[:4], 10.0)


def test_the_delay_of_a_retry_runs_while_the_end_is_noticed() -> None:
    assert beyond([1.0, 4.0], 2.0, 0) == [3.0, 6.0]
    assert beyond([1.0, 29.5], 2.0, 30) == [0.0, 1.5]


def test_a_run_fails_as_long_after_its_trigger_as_was_asked_for(tmp_path: Path) -> None:
    write_project(tmp_path, 20)
    with serving(tmp_path, fails_after=0.0) as (url, authority):
        options: Any = {"verify": ssl.create_default_context(cafile=authority), "trust_env": False}
        with httpx.Client(base_url=url, **options) as client:
            begun = time.monotonic()
            started = client.post(f"{API}/jobs/{JOB}/run/", json={"cause": "x"}).json()["data"]
            ended = client.get(f"{API}/runs/{RUN}/", params={"include_related": "run_steps"}).json()["data"]
            end = client.get(f"{API}/__end__").json()
            retried = client.post(f"{API}/jobs/{JOB}/run/", json={"cause": "x"}).json()["data"]
    assert (started["id"], ended["status"], ended["is_error"], len(ended["run_steps"])) == (RUN, 20, True, 4)
    assert [step["status"] for step in ended["run_steps"]] == [10, 10, 10, 20]
    assert begun <= end <= time.monotonic()
    assert (retried["id"], retried["is_complete"]) == (RUN + 1, False)
