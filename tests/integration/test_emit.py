"""The materializations as events: when they are sent, to whom, and what is said where they cannot be."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.attempts import NOON, attempt
from tests.support.attempts import step as made_step
from tests.support.events_server import events_server
from tests.support.told_cloud import build, manifest, node, play, row, told
from tests.support.told_scene import A, B, ToldScene, built, in_told_scene

from dbt_cloud_run.assets.assets import materializations
from dbt_cloud_run.assets.nodes import Repository
from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.dbt.artifacts import Manifest
from dbt_cloud_run.dbt.manifests import Manifests
from dbt_cloud_run.emit import prefect
from dbt_cloud_run.emit.emission import Emission, emission_of
from dbt_cloud_run.emit.emit import emit
from dbt_cloud_run.ledger.outcome import build_outcome

NOWHERE = Repository(project_directory=".", exists=lambda _: False)

GREEN = built(10, {A: "success", B: "success"})
HALF = built(20, {A: "success", B: "error"})
SUCCEEDED, FAILED = "prefect.asset.materialization.succeeded", "prefect.asset.materialization.failed"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)


def names(bodies: list[Any]) -> list[tuple[str, str]]:
    """Event and resource, of all requests together."""
    return [(event["event"], event["resource"]["prefect.resource.id"]) for body in bodies for event in body]


def test_what_was_built_and_what_failed_is_sent_to_prefect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [node(A, description="Every order", config={"materialized": "table", "meta": {"owner": "ann"}})]
    nodes += [node(B, A)]
    run = told(20, build([row(A), row(B, "error", "no such column: x")], nodes, status=20))
    with events_server() as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api/")
        monkeypatch.setenv("PREFECT_API_KEY", "pnu_0123456789abcdef")
        step = play(tmp_path, [run], emit="prefect", targeted_retries="0")
    assert server.paths == ["/api/events"]
    assert server.headers[0]["Authorization"] == "Bearer pnu_0123456789abcdef"
    good, bad = server.bodies[0]
    assert good["resource"] == {
        "prefect.resource.id": "postgres://db/sch/a",
        "prefect.resource.name": "db.sch.a",
        "prefect.asset.description": "Every order",
        "prefect.asset.owners": '["ann"]',
    }
    assert good["event"] == SUCCEEDED
    assert good["payload"]["run_id"] == int(step.outputs["run-id"])
    assert bad["event"] == FAILED
    assert bad["related"] == [
        {"prefect.resource.id": "postgres://db/sch/a", "prefect.resource.role": "asset"},
        {"prefect.resource.id": "dbt", "prefect.resource.role": "asset-materialized-by"},
    ]
    assert bad["payload"]["message"] == "no such column: x"
    assert "emit: sent 2 events to Prefect (127.0.0.1)." in step.log
    assert "pnu_0123456789abcdef" not in step.log


def test_after_a_retry_each_asset_is_sent_once_by_its_last_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with events_server() as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")
        play(tmp_path, [HALF, built(10, {B: "success"})], emit="prefect", retry_delay="0")
    assert names(server.bodies) == [(SUCCEEDED, "postgres://db/sch/a"), (SUCCEEDED, "postgres://db/sch/b")]


def test_the_same_result_has_the_same_event_id_whoever_sends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with events_server() as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")

        async def twice(scene: ToldScene) -> None:
            await scene.play(emit="prefect")
            run = str(scene.server.runs[0]["id"])
            await scene.play(emit="prefect", run_id=run, job_id="")

        in_told_scene(tmp_path, [GREEN], twice)
    first, second = ([event["id"] for event in body] for body in server.bodies)
    assert first == second
    assert len(set(first)) == 2


def test_what_an_earlier_attempt_of_the_workflow_run_materialized_is_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with events_server() as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")

        async def again(scene: ToldScene) -> None:
            first = await scene.play(emit="prefect", targeted_retries="0")
            assert first.outputs["status"] == "error"
            second = await scene.play(emit="prefect", attempt=2)
            assert second.outputs["status"] == "success"
            assert second.outputs["assets-count"] == "2"

        in_told_scene(tmp_path, [HALF, built(10, {B: "success"})], again)
    assert [names([body]) for body in server.bodies] == [
        [(SUCCEEDED, "postgres://db/sch/a"), (FAILED, "postgres://db/sch/b")],
        [(SUCCEEDED, "postgres://db/sch/b")],
    ]


def test_nothing_is_sent_without_waiting_or_without_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with events_server() as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")
        play(tmp_path / "one", [GREEN], emit="prefect", wait="false")
        play(tmp_path / "other", [GREEN])
    assert server.bodies == []


def test_nothing_is_sent_after_a_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with events_server() as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")

        async def interrupted(scene: ToldScene) -> None:
            def waits_for_the_second() -> bool:
                runs = scene.server.runs
                return len(runs) == 2 and scene.server.count("GET", f"/runs/{runs[1]['id']}/$") > 0

            step = await scene.play(emit="prefect", retry_delay="0", interrupt=waits_for_the_second)
            assert step.status == 143

        in_told_scene(tmp_path, [HALF, told(3)], interrupted)
    assert server.bodies == []


@pytest.mark.parametrize(
    ("url", "answers", "said"),
    [
        ("", [], "PREFECT_API_URL is not set. Set it in the environment of this step"),
        ("prefect.example.com/api", [], "PREFECT_API_URL is not an http or https address."),
        ("here", [401], "The server answered 401: it does not accept PREFECT_API_KEY"),
        ("here", [404], "The server answered 404: PREFECT_API_URL is not the address"),
        ("here", [422], 'The server answered 422: {"detail": "no such thing"}'),
        ("nowhere", [], "The server at PREFECT_API_URL cannot be reached"),
    ],
)
def test_what_cannot_be_sent_is_one_warning_and_the_verdict_stands(
    url: str, answers: list[int], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with events_server(answers) as server:
        places = {"here": f"{server.url}/api", "nowhere": "http://127.0.0.1:1/api"}
        monkeypatch.setenv("PREFECT_API_URL", places.get(url, url))
        monkeypatch.setattr(prefect, "_TRIES", 1)
        step = play(tmp_path, [GREEN], emit="prefect")
    assert (step.status, step.outputs["status"]) == (0, "success")
    warnings = [line for line in step.log.splitlines() if line.startswith("::warning") and "emit: " in line]
    assert len(warnings) == 1
    assert f"emit: prefect: no event was sent. {said}" in warnings[0]
    assert "emit: prefect: no event was sent." in step.summary


def test_a_refusal_that_passes_is_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with events_server([503, 429]) as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")
        step = play(tmp_path, [GREEN], emit="prefect")
    assert len(server.bodies) == 3
    assert len(server.accepted) == 1
    assert "emit: sent 2 events" in step.log


def test_events_are_sent_in_batches_and_what_was_sent_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {f"model.shop.m{number:03}": "success" for number in range(prefect.BATCH + 1)}
    nodes = [node(name) for name in many]
    run = told(10, build([row(name) for name in many], nodes))
    with events_server([204, 400]) as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")
        step = play(tmp_path, [run], emit="prefect")
    assert [len(body) for body in server.bodies] == [prefect.BATCH, 1]
    assert f"{prefect.BATCH} of {prefect.BATCH + 1} events were sent. The server answered 400" in step.log


def test_more_upstream_assets_than_prefect_takes_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parents = [node(f"model.shop.m{number:03}") for number in range(prefect.MOST_RELATED)]
    nodes = [*parents, node(A, *(parent["unique_id"] for parent in parents), description="x" * 3000)]
    with events_server() as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")
        play(tmp_path, [told(10, build([row(A)], nodes))], emit="prefect")
    (event,) = server.bodies[0]
    assert len(event["related"]) == prefect.MOST_RELATED
    assert event["related"][-1]["prefect.resource.id"] == "dbt"
    assert len(event["resource"]["prefect.asset.description"]) == prefect.LONGEST_DESCRIPTION


def emission() -> Emission:
    outcome = build_outcome([attempt(1, made_step(4, "dbt build", {A: "success"}))], now=NOON)
    made = emission_of(
        outcome,
        materializations(outcome.ledger, msgspec.convert(manifest([node(A)]), Manifest), NOWHERE),
        Manifests(msgspec.convert(manifest([node(A)]), Manifest)),
        base_url="https://cloud.getdbt.com",
        job_id=7,
        job_name=None,
        manifest_file=None,
        catalog_file=None,
    )
    assert made is not None
    return made


def test_a_server_that_does_not_answer_is_left_with_a_warning() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ = {"PREFECT_API_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/api"}
        (warning,) = asyncio.run(emit(["prefect"], emission(), environ, SystemClock(), budget=0.3))
    assert warning == "emit: prefect: no event was sent. It took longer than 0 s."


def test_a_sink_that_cannot_be_imported_is_a_warning() -> None:
    (warning,) = asyncio.run(emit(["no_such_sink"], emission(), {}, SystemClock()))
    assert warning.startswith("emit: no_such_sink: no event was sent. ModuleNotFoundError")
