"""A run's artifacts over a real socket: late, missing, stale, foreign, or no JSON at all; and none a reason to fail."""

from __future__ import annotations

import asyncio
import json
import zlib
from datetime import timedelta
from pathlib import Path

import pytest
from standins.cloud_server import CloudServer, FakeClock, Fault, Request
from tests.support.collecting import (
    ARTIFACTS,
    BUILD,
    DONE,
    NOW,
    RUN,
    World,
    made_step,
    manifest,
    moment,
    results,
    run_of,
    statuses,
)

from dbt_cloud_run.cloud.retrying import ARTIFACT_BUDGET
from dbt_cloud_run.collect.downloads import CANCELLED_GRACE
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.unknown import UnknownKind


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# -- as it should be


def test_each_step_has_its_own_results(world: World) -> None:
    world.add("run_results.json", 4, results(which="seed", invocation="i1", s="success"))
    world.add("run_results.json", 5, results(which="run", invocation="i2", a="success"))
    world.add("manifest.json", 5, manifest("newest"))
    world.add("manifest.json", 4, manifest("older"))
    attempt = world.collect(run_of(made_step(4, "dbt seed"), made_step(5, "dbt run")))
    assert statuses(attempt) == [{"model.p.s": "success"}, {"model.p.a": "success"}]
    assert attempt.warnings == ()
    assert world.manifest_name == "newest"
    assert world.written == {"manifest.json", "runs/500/step-4/run_results.json", "runs/500/step-5/run_results.json"}


def test_with_all_the_newest_manifest_is_still_ours(world: World) -> None:
    world.add("run_results.json", 4, results())
    world.add("manifest.json", 4, manifest())
    world.collect(run_of(made_step(4, BUILD)), step_artifacts="all")
    assert world.written == {"manifest.json", *(f"runs/500/step-4/{name}.json" for name in ("manifest", "run_results"))}
    assert (world.kept / "manifest.json").read_bytes() == manifest()


def test_with_all_no_artifact_is_downloaded_twice(world: World) -> None:
    for name, content in (("run_results", results()), ("manifest", manifest()), ("catalog", b'{"nodes": {}}')):
        world.add(f"{name}.json", 4, content)
    world.collect(
        run_of(made_step(4, "dbt docs generate")), step_artifacts="all", patterns=("manifest.json", "catalog.json")
    )
    names = ("manifest", "run_results", "catalog")
    assert world.written == {"manifest.json", "catalog.json", *(f"runs/500/step-4/{name}.json" for name in names)}
    artifacts = [request for request in world.requests if request[0].endswith(".json") and "sources" not in request[0]]
    assert len(artifacts) == len(set(artifacts)) == 3


def test_setup_steps_and_steps_that_never_ran_are_not_asked_for(world: World) -> None:
    world.add("run_results.json", 4, results(a="error"))
    clone = {"index": 1, "name": "Clone git repository", "status": 10}
    skipped = made_step(5, "dbt run", 30, status_humanized="Skipped")
    world.collect(run_of(clone, made_step(3, "dbt deps"), made_step(4, BUILD, 20, logs=DONE), skipped), Ending.ERROR)
    assert {step for path, step in world.requests if "artifacts" in path} == {"4"}


def test_with_none_the_results_are_read_and_not_kept(world: World) -> None:
    world.add("run_results.json", 4, results())
    world.add("manifest.json", 4, manifest())
    attempt = world.collect(run_of(made_step(4, BUILD)), step_artifacts="none")
    assert statuses(attempt) == [{"model.p.a": "success"}]
    assert world.written == {"manifest.json"}


def test_freshness_is_read_from_its_own_file_and_kept_on_top(world: World) -> None:
    rows = [{"unique_id": "source.p.s.t", "status": "warn", "max_loaded_at_time_ago_in_s": 5.0}]
    world.add("sources.json", 3, json.dumps({"metadata": {"generated_at": moment(1)}, "results": rows}).encode())
    attempt = world.collect(run_of(made_step(3, "dbt source freshness")), patterns=("sources.json",))
    assert [(row.unique_id, row.status) for row in attempt.steps[0].freshness] == [("source.p.s.t", "warn")]
    assert world.written == {"sources.json", "runs/500/step-3/sources.json"}


# -- late or missing


def test_artifacts_that_are_still_being_saved_are_waited_for(world: World) -> None:
    run = run_of(made_step(4, BUILD), artifacts_saved=False)
    world.add("manifest.json", 4, manifest())

    def prepare(server: CloudServer) -> None:
        def saved_after_some_looks() -> None:
            if len(world.clock.sleeps) == 4:
                server.runs[0]["artifacts_saved"] = True
                world.add("run_results.json", 4, results())

        world.clock.on_sleep = saved_after_some_looks

    world.prepare = prepare
    attempt = world.collect(run)
    assert statuses(attempt) == [{"model.p.a": "success"}]
    assert attempt.warnings == ()
    assert len(world.clock.sleeps) == 4


def test_what_may_still_be_saving_is_waited_for_where_nothing_says_that_there_is_anything(world: World) -> None:
    """A step that failed need not have results: it is only known when all is saved."""
    world.add("manifest.json", 4, manifest())

    def prepare(server: CloudServer) -> None:
        def saved_after_some_looks() -> None:
            if len(world.clock.sleeps) == 4:
                server.runs[0]["artifacts_saved"] = True
                world.add("run_results.json", 4, results(a="error"))

        world.clock.on_sleep = saved_after_some_looks

    world.prepare = prepare
    attempt = world.collect(run_of(made_step(4, BUILD, 20), status=20, artifacts_saved=False), Ending.ERROR)
    assert statuses(attempt) == [{"model.p.a": "error"}]
    assert attempt.warnings == ()


def test_a_long_download_has_a_line(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dbt_cloud_run.clock.LONGEST_SILENCE", 0.02)
    world.add("run_results.json", 4, results())

    def prepare(server: CloudServer) -> None:
        answer = server._answer

        async def slowly(request: Request, writer: asyncio.StreamWriter) -> bool:
            await asyncio.sleep(0.1)
            return await answer(request, writer)

        server._answer = slowly  # type: ignore[method-assign]

    world.prepare = prepare
    with caplog.at_level("INFO"):
        assert statuses(world.collect(run_of(made_step(4, BUILD)))) == [{"model.p.a": "success"}]
    assert "Reading what run 500 left behind" in caplog.text


def test_a_file_that_appears_late_is_waited_for(world: World) -> None:
    world.add("manifest.json", 4, manifest())
    world.prepare = lambda server: server.fault("GET", "run_results.json", Fault(404, times=3))
    world.add("run_results.json", 4, results())
    attempt = world.collect(run_of(made_step(4, BUILD), finished_at=moment(1000)))
    assert statuses(attempt) == [{"model.p.a": "success"}]
    assert attempt.warnings == ()


def test_what_never_comes_is_told_once_and_costs_a_limited_time(world: World) -> None:
    before = world.clock.now
    run = run_of(made_step(4, BUILD), artifacts_saved=False, finished_at=moment(1000))
    attempt = world.collect(run)
    assert statuses(attempt) == [None]
    assert sum("run_results.json" in warning for warning in attempt.warnings) == 1
    assert ARTIFACT_BUDGET * 0.8 <= world.clock.now - before <= ARTIFACT_BUDGET + 31
    assert list(world.kept.rglob("*.json")) == []


def test_less_is_waited_for_after_a_cancelled_run(world: World) -> None:
    before = world.clock.now
    run = run_of(made_step(4, BUILD, 30), status=30, artifacts_saved=False, finished_at=moment(1000))
    world.collect(run, Ending.CANCELLED)
    assert world.clock.now - before <= CANCELLED_GRACE + 1


def test_nothing_is_waited_for_where_the_run_ended_long_ago(world: World) -> None:
    run = run_of(made_step(4, BUILD), artifacts_saved=False, finished_at=moment(-3600))
    attempt = world.collect(run)
    assert world.clock.sleeps == []
    assert any("run_results.json" in warning for warning in attempt.warnings)


def test_a_failed_step_without_results_is_no_surprise(world: World) -> None:
    before = world.clock.now
    attempt = world.collect(run_of(made_step(4, BUILD, 20, logs="Compilation Error")), Ending.ERROR)
    assert attempt.warnings == ()
    assert world.clock.now == before


def test_what_a_failed_step_may_have_left_is_not_known_where_it_could_not_be_read(world: World) -> None:
    world.prepare = lambda server: server.fault("GET", "run_results.json", Fault(503, times=float("inf")))
    attempt = world.collect(run_of(made_step(4, BUILD, 20, logs="Running 2 of 2")), Ending.ERROR)
    (unknown,) = attempt.unknown
    assert (unknown.kind, unknown.step) == (UnknownKind.RESULTS, 4)
    assert "could not be downloaded" in unknown.why


def test_an_empty_answer_is_no_file(world: World) -> None:
    world.add("run_results.json", 4, b"")
    world.add("manifest.json", 4, manifest())
    attempt = world.collect(run_of(made_step(4, BUILD)))
    assert any("is missing" in warning for warning in attempt.warnings)
    assert world.written == {"manifest.json"}
    assert not (world.kept / "runs/500/step-4/run_results.json").exists()


def test_a_server_that_fails_for_a_while_is_asked_again(world: World) -> None:
    world.add("run_results.json", 4, results())
    world.add("manifest.json", 4, manifest())
    world.prepare = lambda server: server.fault("GET", "artifacts", Fault(503, times=3))
    attempt = world.collect(run_of(made_step(4, BUILD)))
    assert statuses(attempt) == [{"model.p.a": "success"}]


def test_a_server_that_fails_for_good_costs_the_artifacts_alone(world: World) -> None:
    world.prepare = lambda server: server.fault("GET", "artifacts", Fault(500, times=float("inf")))
    attempt = world.collect(run_of(made_step(4, BUILD)))
    assert (attempt.run_id, statuses(attempt)) == (RUN, [None])
    assert all("could not be downloaded" in warning for warning in attempt.warnings)
    assert attempt.warnings


# -- this machine's clock


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_this_machine_s_clock_decides_nothing(world: World, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """The artifacts are six seconds late, and the server's time is an hour before or after the one here."""
    there = FakeClock().utcnow() + timedelta(seconds=1000)
    monkeypatch.setattr(world.clock, "utcnow", lambda: there + timedelta(hours=hours, seconds=world.clock.now - 1000))
    world.add("manifest.json", 4, manifest())

    def prepare(server: CloudServer) -> None:
        def saved_after_six_seconds() -> None:
            if world.clock.now >= 1006:
                server.runs[0]["artifacts_saved"] = True
                world.add("run_results.json", 4, results())

        world.clock.on_sleep = saved_after_six_seconds

    world.prepare = prepare
    world.date = lambda: there + timedelta(seconds=world.clock.now - 1000)
    ended = there.isoformat()
    attempt = world.collect(run_of(made_step(4, BUILD), artifacts_saved=False, finished_at=ended))
    assert statuses(attempt) == [{"model.p.a": "success"}]
    assert attempt.warnings == ()
    assert world.clock.now < 1010
    assert len(world.clock.sleeps) == 5


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_how_long_ago_a_run_ended_is_known_by_the_server_s_time(
    world: World, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    monkeypatch.setattr(FakeClock, "utcnow", lambda _: NOW + timedelta(hours=hours))
    world.date = lambda: NOW
    ended = (NOW - timedelta(hours=2)).isoformat()
    world.collect(run_of(made_step(4, BUILD), artifacts_saved=False, finished_at=ended))
    assert world.clock.sleeps == []


# -- the compressed form of what is kept


def packed_content(world: World) -> dict[str, tuple[bytes, bytes]]:
    """By path, what lies in the folder and what its compressed form holds."""
    found: dict[str, tuple[bytes, bytes]] = {}
    for path, packed in world.packed.items():
        if packed is not None and packed.result() is not None:
            name = path.relative_to(world.kept).as_posix()
            found[name] = path.read_bytes(), zlib.decompress(packed.target.read_bytes(), -15)
    return found


def test_a_path_that_is_listed_twice_is_downloaded_once(world: World) -> None:
    """Two downloads at once into one file could leave a mixture of two answers."""
    world.files[RUN, "compiled/a.sql", None] = b"select 1\n" * 200_000
    path = "compiled/a.sql"
    world.prepare = lambda server: server.listed_as.update({RUN: [path, path, path]})
    world.collect(run_of(made_step(4, BUILD)), patterns=("compiled/*", "compiled/**"), packs=True)
    assert [asked for asked, _ in world.requests if asked.endswith(path)] == [f"{ARTIFACTS}{path}"]
    (held,) = packed_content(world).values()
    assert held == (world.files[RUN, path, None],) * 2


def test_what_is_collected_twice_is_compressed_into_two_files(world: World) -> None:
    """A run is read once more before all of it would be repeated, while the first files may still be compressed."""
    path = "compiled/a.sql"
    first, second = (word * 400_000 for word in (b"first\n", b"other\n"))
    targets: list[Path] = []
    for content in (first, second):
        world.files[RUN, path, None] = content
        world.collect(run_of(made_step(4, BUILD)), patterns=("compiled/*",), packs=True)
        assert packed_content(world)[path] == (content, content)
        targets += [packed.target for packed in world.packed.values() if packed is not None]
    assert len(set(targets)) == 2


# -- limits


def test_a_file_that_exceeds_its_limit_costs_that_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbt_cloud_run.cloud.inflating.LARGEST_BODY", 5000)
    world.add("manifest.json", 4, manifest())
    world.add("run_results.json", 4, results())
    world.files[RUN, "compiled/large.sql", None] = b"select 1" * 2000
    patterns = ("manifest.json", "run_results.json", "compiled/*")
    attempt = world.collect(run_of(made_step(4, BUILD)), patterns=patterns, are_patterns_given=False)
    assert [warning for warning in attempt.warnings if "compiled/large.sql" in warning and "GiB" in warning]
    assert len(attempt.warnings) == 1
    assert statuses(attempt) == [{"model.p.a": "success"}]
    assert world.written == {"manifest.json", "runs/500/step-4/run_results.json"}


@pytest.mark.parametrize(("limit", "is_cut"), [(None, False), (0.0, True), (1000.0, True), (2000.0, False)])
def test_after_the_time_limit_downloads_end_even_if_much_comes(
    limit: float | None, is_cut: bool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file takes 20 s, and has as many bytes as are expected in that time."""
    monkeypatch.setattr("dbt_cloud_run.collect.allowance.EXPECTED_RATE", 1)
    world.limit = limit
    world.add("run_results.json", 4, results())
    for number in range(40):
        world.files[RUN, f"compiled/{number}.sql", None] = b"select 1 as column_x"

    def prepare(server: CloudServer) -> None:
        answer = server._answer

        async def slowly(request: Request, writer: asyncio.StreamWriter) -> bool:
            world.clock.now += 20.0 if request.path.endswith(".sql") else 0.0
            return await answer(request, writer)

        server._answer = slowly  # type: ignore[method-assign]

    world.prepare = prepare
    attempt = world.collect(run_of(made_step(4, BUILD)), patterns=("compiled/*",))
    assert statuses(attempt) == [{"model.p.a": "success"}]
    arrived = len([path for path in world.written if path.endswith(".sql")])
    assert arrived < 10 if is_cut else arrived == 40
    assert bool([warning for warning in attempt.warnings if "took too long" in warning]) == is_cut
    assert not is_cut or world.clock.now - 1000.0 <= 90 + 4 * 20, "four are under way at once"


def test_what_there_is_no_time_for_is_one_warning(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbt_cloud_run.collect.allowance.LONGEST", -1.0)
    for number in range(40):
        world.files[RUN, f"compiled/{number}.sql", None] = b"select 1"
    world.add("run_results.json", 4, results())
    attempt = world.collect(run_of(made_step(4, BUILD)), patterns=("manifest.json", "compiled/*"))
    assert len(attempt.warnings) == 1
    assert "took too long" in attempt.warnings[0]
    assert "and 37 more" in attempt.warnings[0]
    assert statuses(attempt) == [None]
