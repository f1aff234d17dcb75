"""Lineage events: which runs, with which facets, sent by the standard's own client."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.events_server import EventsServer, events_server
from tests.support.told_cloud import build, command, node, play, row, told
from tests.support.told_scene import ToldScene, in_told_scene

RAW, SEED, STG, A, B = (
    "source.shop.raw.events",
    "seed.shop.countries",
    "model.shop.stg",
    "model.shop.a",
    "model.shop.b",
)
GOOD, BAD, OWN = "test.shop.not_null_a_id", "test.shop.unique_a_id", "test.shop.rows_add_up"
LOST = "could not connect to server: Connection timed out"
NAMESPACE = "postgres://warehouse:5432"


def nodes() -> list[dict[str, Any]]:
    meta = {"materialized": "table", "meta": {"owner": "ann"}}
    at = {"database": "db", "schema": "sch"}
    described = {"id": {"name": "id", "description": "The key"}, "n": {"name": "n", "data_type": "int"}}
    metadata = {"name": "not_null", "kwargs": {"column_name": "id"}}
    return [
        node(SEED, **at),
        node(STG, SEED, config={"materialized": "ephemeral"}, relation_name=None, **at),
        node(A, STG, SEED, config=meta, description="Every order", columns=described, **at),
        node(B, A, **at),
        node(GOOD, A, attached_node=A, test_metadata=metadata, config={"severity": "ERROR"}),
        node(BAD, A, attached_node=A, test_metadata={"name": "unique", "kwargs": {}}, config={"severity": "warn"}),
        node(OWN, A, B),
    ]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EventsServer]:
    before = {name for name in os.environ if name.startswith("OPENLINEAGE")}
    for name in before:
        monkeypatch.delenv(name)
    with events_server() as server:
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        monkeypatch.setenv("OPENLINEAGE_DATASET_NAMESPACE", NAMESPACE)
        yield server
    # The client adds variables of its own to the environment.
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE__")]:
        monkeypatch.delenv(name)


def of(server: EventsServer, job: str, state: str) -> dict[str, Any]:
    (found,) = (event for event in server.bodies if event["job"]["name"] == job and event["eventType"] == state)
    return dict(found)


def states(server: EventsServer) -> list[tuple[str, str]]:
    return sorted((event["job"]["name"], event["eventType"]) for event in server.bodies)


def test_a_build_becomes_runs_of_the_job_and_of_each_node(server: EventsServer, tmp_path: Path) -> None:
    rows = [row(SEED) | {"adapter_response": {"rows_affected": 7}}, row(A), row(B, "error", LOST)]
    rows += [row(GOOD, "pass") | {"failures": 0}, row(BAD, "warn") | {"failures": 2}, row(OWN, "skipped")]
    play(tmp_path, [told(20, build(rows, nodes(), status=20))], emit="openlineage", targeted_retries="0")
    assert states(server) == [
        ("db.sch.shop.a.build.run", "COMPLETE"),
        ("db.sch.shop.a.build.run", "START"),
        ("db.sch.shop.a.build.test", "COMPLETE"),
        ("db.sch.shop.a.build.test", "START"),
        ("db.sch.shop.b.build.run", "FAIL"),
        ("db.sch.shop.b.build.run", "START"),
        ("db.sch.shop.countries.build.seed", "COMPLETE"),
        ("db.sch.shop.countries.build.seed", "START"),
        ("dbt-cloud-job-7", "FAIL"),
        ("dbt-cloud-job-7", "START"),
    ]
    assert server.bodies[0]["job"]["name"] == server.bodies[-1]["job"]["name"] == "dbt-cloud-job-7"
    job = of(server, "dbt-cloud-job-7", "START")
    parents = {event["run"]["facets"]["parent"]["run"]["runId"] for event in server.bodies[1:-1]}
    assert parents == {job["run"]["runId"]}
    assert job["job"]["facets"]["jobType"]["jobType"] == "JOB"
    seed = of(server, "db.sch.shop.countries.build.seed", "COMPLETE")
    assert seed["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 7


def test_a_node_s_run_names_what_it_read_and_what_it_made(server: EventsServer, tmp_path: Path) -> None:
    play(tmp_path, [told(10, build([row(A)], nodes()))], emit="openlineage")
    complete = of(server, "db.sch.shop.a.build.run", "COMPLETE")
    assert [(one["namespace"], one["name"]) for one in complete["inputs"]] == [(NAMESPACE, "db.sch.countries")]
    (made,) = complete["outputs"]
    assert (made["namespace"], made["name"]) == (NAMESPACE, "db.sch.a")
    facets = made["facets"]
    assert facets["documentation"]["description"] == "Every order"
    assert [owner["name"] for owner in facets["ownership"]["owners"]] == ["ann"]
    fields = [(one["name"], one.get("type"), one.get("description")) for one in facets["schema"]["fields"]]
    assert fields == [("id", None, "The key"), ("n", "int", None)]
    assert complete["run"]["facets"]["processing_engine"]["version"] == "1.11.0"
    job_type = complete["job"]["facets"]["jobType"]
    assert (job_type["integration"], job_type["jobType"], job_type["processingType"]) == ("DBT", "MODEL", "BATCH")


def test_the_catalog_knows_the_columns_where_there_is_one(server: EventsServer, tmp_path: Path) -> None:
    columns = {"N": {"name": "N", "type": "INTEGER", "index": 2}, "ID": {"name": "ID", "type": "TEXT", "index": 1}}
    docs = command("dbt docs generate", files={"catalog.json": {"nodes": {A: {"columns": columns}}, "sources": {}}})
    play(tmp_path, [told(10, build([row(A)], nodes()), docs)], emit="openlineage")
    (made,) = of(server, "db.sch.shop.a.build.run", "COMPLETE")["outputs"]
    fields = [(one["name"], one["type"], one.get("description")) for one in made["facets"]["schema"]["fields"]]
    assert fields == [("ID", "TEXT", "The key"), ("N", "INTEGER", None)]


def test_tests_are_assertions_about_what_they_cover(server: EventsServer, tmp_path: Path) -> None:
    rows = [row(GOOD, "pass") | {"failures": 0}, row(BAD, "fail", "Got 2 results") | {"failures": 2}, row(OWN, "pass")]
    run = told(20, build(rows, nodes(), status=20, words="dbt test"))
    play(tmp_path, [run], emit="openlineage", targeted_retries="0")
    failed = of(server, "db.sch.shop.a.test", "FAIL")
    (tested,) = failed["inputs"]
    assert tested["name"] == "db.sch.a"
    said = tested["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert [(one["assertion"], one["success"], one.get("column"), one["severity"]) for one in said[:2]] == [
        ("not_null", True, "id", "error"),
        ("unique", False, None, "warn"),
    ]
    assert said[1]["actual"] == "2"
    assert failed["run"]["facets"]["errorMessage"]["message"] == "Got 2 results"
    own = of(server, OWN, "COMPLETE")
    assert own["run"]["facets"]["test"]["tests"][0]["status"] == "pass"
    assert [one["name"] for one in own["inputs"]] == ["db.sch.a", "db.sch.b"]


def test_retries_are_runs_of_the_same_parent(server: EventsServer, tmp_path: Path) -> None:
    half = told(20, build([row(A), row(B, "error", LOST)], nodes(), status=20))
    play(tmp_path, [half, told(10, build([row(B)], nodes()))], emit="openlineage", retry_delay="0")
    ends = [event for event in server.bodies if event["job"]["name"] == "db.sch.shop.b.build.run"]
    assert sorted(event["eventType"] for event in ends) == ["COMPLETE", "FAIL", "START", "START"]
    assert len({event["run"]["runId"] for event in ends}) == 2
    assert len({event["run"]["facets"]["parent"]["run"]["runId"] for event in ends}) == 1
    assert of(server, "dbt-cloud-job-7", "COMPLETE")["run"]["runId"] in {
        event["run"]["facets"]["parent"]["run"]["runId"] for event in ends
    }


def test_a_re_run_of_the_workflow_adds_to_the_run_of_the_job(server: EventsServer, tmp_path: Path) -> None:
    half = told(20, build([row(A), row(B, "error", LOST)], nodes(), status=20))

    async def again(scene: ToldScene) -> None:
        await scene.play(emit="openlineage", targeted_retries="0")
        server.bodies.clear()
        await scene.play(emit="openlineage", attempt=2)

    in_told_scene(tmp_path, [half, told(10, build([row(B)], nodes()))], again)
    job = [event for event in server.bodies if event["job"]["name"] == "dbt-cloud-job-7"]
    assert states(server) == [
        ("db.sch.shop.b.build.run", "COMPLETE"),
        ("db.sch.shop.b.build.run", "START"),
        ("dbt-cloud-job-7", "COMPLETE"),
        ("dbt-cloud-job-7", "START"),
    ]
    assert len({event["run"]["runId"] for event in job}) == 1


def test_the_run_that_has_started_it_is_the_parent_of_the_job(
    server: EventsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer = "01935d5e-0000-7000-8000-000000000001"
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", f"airflow/daily.dbt/{outer}")
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "analytics")
    play(tmp_path, [told(10, build([row(A)], nodes()))], emit="openlineage")
    job = of(server, "dbt-cloud-job-7", "START")
    assert job["job"]["namespace"] == "analytics"
    assert job["run"]["facets"]["parent"]["job"]["name"] == "daily.dbt"
    model = of(server, "db.sch.shop.a.build.run", "START")["run"]["facets"]["parent"]
    assert (model["run"]["runId"], model["root"]["run"]["runId"]) == (job["run"]["runId"], outer)


def test_a_file_in_the_workspace_does_not_say_where_events_go(
    server: EventsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with events_server() as another:
        (tmp_path / "openlineage.yml").write_text(f"transport: {{type: http, url: '{another.url}'}}\n")
        monkeypatch.chdir(tmp_path)
        play(tmp_path / "job", [told(10, build([row(A)], nodes()))], emit="openlineage")
    assert another.bodies == []
    assert len(server.bodies) == 4


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OPENLINEAGE_URL": ""}, "no event was sent. OPENLINEAGE_URL is not set."),
        ({"OPENLINEAGE_DATASET_NAMESPACE": ""}, "has the form postgres://<host>:<port>."),
        ({"OPENLINEAGE_PARENT_ID": "airflow/dag/7"}, "OPENLINEAGE_PARENT_ID must have the form"),
        ({"OPENLINEAGE_URL": "marquez"}, "Need valid url"),
    ],
)
def test_what_is_missing_is_one_warning(
    variables: dict[str, str], said: str, server: EventsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    step = play(tmp_path, [told(10, build([row(A)], nodes()))], emit="openlineage")
    assert (step.status, step.outputs["status"]) == (0, "success")
    warnings = [line for line in step.log.splitlines() if line.startswith("::warning") and "emit: " in line]
    assert len(warnings) == 1
    assert said in warnings[0]
    assert server.bodies == []


def test_an_event_that_is_refused_costs_that_event_and_another_answer_costs_the_rest(
    server: EventsServer, tmp_path: Path
) -> None:
    server.answers = [201, 422]
    step = play(tmp_path / "one", [told(10, build([row(A)], nodes()))], emit="openlineage")
    assert len(server.accepted) == 3
    assert "emit: openlineage: 3 of 4 events were sent. The server refused 1 of them: 422" in step.log
    server.answers, server.bodies = [401], []
    step = play(tmp_path / "other", [told(10, build([row(A)], nodes()))], emit="openlineage")
    assert len(server.bodies) == 1
    assert "emit: openlineage: no event was sent. 401" in step.log


def test_the_key_is_sent_and_never_shown(server: EventsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "ol_0123456789abcdef")
    step = play(tmp_path, [told(10, build([row(A)], nodes()))], emit="openlineage")
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer ol_0123456789abcdef"}
    assert "ol_0123456789abcdef" not in step.log
    assert "ol_0123456789abcdef" not in json.dumps(server.bodies)


@pytest.mark.parametrize("proxy", ["http://user:pa55/word@127.0.0.1:9", "http://user:pa55#word@127.0.0.1:9"])
def test_a_proxy_that_cannot_be_parsed_is_named_and_nothing_of_it_is_shown(
    proxy: str, server: EventsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the events' host alone: dbt Cloud is reached by another variable, or without a proxy."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENLINEAGE_URL", server.url.replace("127.0.0.1", "localhost"))
    step = play(tmp_path, [told(10, build([row(A)], nodes()))], emit="openlineage")
    assert step.outputs["status"] == "success"
    assert "HTTP_PROXY is not the address of a proxy" in step.log
    assert server.bodies == []
    for place in (step.log, step.summary):
        assert "pa55" not in place


def test_a_server_that_does_not_answer_holds_nothing_up(server: EventsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.integration.test_emit import emission

    from dbt_cloud_run.clock import SystemClock
    from dbt_cloud_run.emit.emit import emit

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        (warning,) = asyncio.run(emit(["openlineage"], emission(), dict(os.environ), SystemClock(), budget=2.5))
    assert warning == "emit: openlineage: no event was sent. It took longer than 2 s."
