"""What a run left and is not trusted: what is not the step's own, no JSON, or would lie where it must not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from standins.cloud_server import CloudServer, Fault
from tests.support.collecting import (
    BUILD,
    DONE,
    RUN,
    World,
    made_step,
    manifest,
    results,
    run_of,
    statuses,
)

from dbt_cloud_run.endings import Ending


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (results(run_id=499), "those of run 499"),
        (results(begun=-60), "before the step began"),
        (results(which="test"), "`dbt test`"),
        (b'{"results": {"a": 1}}', "cannot be read"),
        (b"[]", "cannot be read"),
    ],
    ids=["foreign", "stale", "another command's", "shape", "list"],
)
def test_what_is_not_the_steps_own_is_kept_and_not_used(world: World, content: bytes, reason: str) -> None:
    world.add("run_results.json", 4, content)
    world.add("manifest.json", 4, manifest())
    attempt = world.collect(run_of(made_step(4, BUILD)))
    assert statuses(attempt) == [None]
    assert reason in (attempt.steps[0].distrusted or "")
    assert any("step 4" in warning and reason in warning for warning in attempt.warnings)
    assert (world.kept / "runs/500/step-4/run_results.json").read_bytes() == content


NO_JSON = {
    "null": b"null",
    "a page": b"<html><title>Sign in</title></html>",
    "half": results()[:-20],
    "half, cut where a row ends": results(a="success", b="success").rpartition(b", {")[0],
    "bytes": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("logs", [DONE, ""], ids=["with a log", "without a log"])
@pytest.mark.parametrize("content", NO_JSON.values(), ids=NO_JSON)
def test_what_is_no_json_is_neither_used_nor_kept(world: World, content: bytes, logs: str) -> None:
    world.add("run_results.json", 4, content)
    world.add("manifest.json", 4, manifest())
    attempt = world.collect(run_of(made_step(4, BUILD, 20, logs=logs)), Ending.ERROR)
    assert statuses(attempt) == [None]
    assert world.written == {"manifest.json"}
    if logs:
        assert any("step 4" in warning and "JSON" in warning for warning in attempt.warnings)


def test_what_is_no_json_is_not_even_kept_when_the_rate_limit_ends_its_repetition(world: World) -> None:
    """Found by the soak: another artifact's 429 took the time in which a page would have been asked for again."""
    world.add("run_results.json", 4, results())

    def prepare(server: CloudServer) -> None:
        server.fault("GET", "run_results.json", Fault("html"))
        server.fault("GET", "run_results.json", Fault(429))

    world.prepare = prepare
    world.add("run_results.json", 4, results())
    world.add("manifest.json", 4, manifest())
    attempt = world.collect(run_of(made_step(4, BUILD)))
    assert world.written == {"manifest.json"}
    assert any("run_results.json" in warning for warning in attempt.warnings)


def test_a_catalog_outlives_an_attempt_that_could_not_be_read(world: World) -> None:
    world.add("catalog.json", 4, b'{"nodes": {}}')
    docs = made_step(4, "dbt docs generate")
    world.collect(run_of(docs), patterns=("catalog.json",))
    world.add("catalog.json", 4, b"<html></html>")
    world.collect(run_of(docs), patterns=("catalog.json",))
    assert (world.kept / "catalog.json").read_bytes() == b'{"nodes": {}}'


@pytest.mark.parametrize("content", [results(run_id=None), results(begun=0), results(which="retry")])
def test_what_nothing_speaks_against_is_used(world: World, content: bytes) -> None:
    world.add("run_results.json", 4, content)
    world.add("manifest.json", 4, manifest())
    attempt = world.collect(run_of(made_step(4, BUILD)))
    assert statuses(attempt) == [{"model.p.a": "success"}]
    assert attempt.warnings == ()


def test_the_results_of_a_line_that_is_not_understood_are_asked_for(world: World) -> None:
    line = "dbt --log-level debug build -Z"
    world.add("run_results.json", 4, results())
    world.add("manifest.json", 4, manifest())
    attempt = world.collect(run_of(made_step(4, line)))
    assert statuses(attempt) == [{"model.p.a": "success"}]


def test_a_file_that_an_earlier_step_left_behind_is_that_steps(world: World) -> None:
    """A step that died before it wrote anything is served what lies in the target folder."""
    left = results(which="build", invocation="i1")
    for index in (4, 5):
        world.add("run_results.json", index, left)
        world.add("manifest.json", index, manifest())
    attempt = world.collect(run_of(made_step(4, BUILD), made_step(5, BUILD, 20)), Ending.ERROR)
    assert statuses(attempt) == [{"model.p.a": "success"}, None]
    assert "earlier step" in (attempt.steps[1].distrusted or "")


def test_a_manifest_that_cannot_be_read_is_told_and_the_one_before_it_is_used(world: World) -> None:
    for index in (4, 5):
        world.add("run_results.json", index, results(invocation=f"i{index}"))
    world.add("manifest.json", 4, manifest("older"))
    world.add("manifest.json", 5, b"null")
    attempt = world.collect(run_of(made_step(4, BUILD), made_step(5, BUILD)))
    assert world.manifest_name == "older"
    assert json.loads((world.kept / "manifest.json").read_bytes())["metadata"]["project_name"] == "older"
    assert any("manifest.json" in warning for warning in attempt.warnings)


def test_a_manifest_that_is_too_large_is_kept_and_not_decoded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbt_cloud_run.collect.collect.LARGEST_DECODED", 500)
    world.add("run_results.json", 4, results())
    large = manifest("x" * 600)
    world.add("manifest.json", 4, large)
    attempt = world.collect(run_of(made_step(4, BUILD)))
    assert world.manifest_name is None
    assert (world.kept / "manifest.json").read_bytes() == large
    assert any("too large" in warning for warning in attempt.warnings)
    assert statuses(attempt) == [{"model.p.a": "success"}]


def test_a_path_that_leads_elsewhere_is_left_out(world: World, tmp_path: Path) -> None:
    world.add("manifest.json", 4, manifest())
    world.add("run_results.json", 4, results())
    attempt = world.collect(run_of(made_step(4, BUILD)), patterns=("manifest.json", "x/../../../evil.json"))
    assert any("left out" in warning for warning in attempt.warnings)
    assert not list(tmp_path.rglob("evil.json"))


GITS = (".git/config", "a/.git/hooks/pre-commit", ".GIT/config", ".github/workflows/x.yml", "x/.GitHub/y", ".git")


LIKE_GITS = (".git ./config", "git~1/config", ".g\u200cit/config", ".git::$INDEX_ALLOCATION/x")  # on other systems


TAKEN = (
    *("run_results.json/x", "manifest.json/a/b", "assets.json", "assets.json/x", "result.json", "summary.md"),
    "junit.xml",
)


@pytest.mark.parametrize("path", [*GITS, *LIKE_GITS])
def test_what_git_or_github_would_run_is_left_out(world: World, path: str) -> None:
    world.add("manifest.json", 4, manifest())
    world.add("run_results.json", 4, results())
    world.add(path, 4, b"[core]")
    world.files[RUN, path, None] = b"[core]"
    attempt = world.collect(run_of(made_step(4, BUILD)), patterns=("**",), step_artifacts="all")
    assert any("left out" in warning for warning in attempt.warnings)
    assert {file.name for file in world.kept.rglob("*") if file.is_file()} == {"manifest.json", "run_results.json"}


@pytest.mark.parametrize("link", ["compiled", "compiled/shop"])
def test_a_link_of_the_checkout_leads_into_no_folder_of_git_s(world: World, link: str) -> None:
    """`artifacts-path: .`, in a checkout of a commit that holds such a link."""
    hooks = world.kept / ".git" / "hooks"
    hooks.mkdir(parents=True)
    (world.kept / link).parent.mkdir(exist_ok=True)
    (world.kept / link).symlink_to(hooks)
    path = f"{link}/pre-commit"
    world.files[RUN, path, None] = b"#!/bin/sh"
    attempt = world.collect(run_of(made_step(4, BUILD)), patterns=("compiled/**",))
    assert any("left out" in warning and "pre-commit" in warning for warning in attempt.warnings)
    assert list(hooks.iterdir()) == []


@pytest.mark.parametrize("path", [*TAKEN, "junit.xml", "runs/500/step-4/run_results.json", "runs/x"])
def test_no_artifact_takes_the_place_of_a_file_that_is_made_here(world: World, path: str) -> None:
    world.add("manifest.json", 4, manifest())
    world.add("run_results.json", 4, results())
    world.files[RUN, path, None] = b"{}"
    attempt = world.collect(run_of(made_step(4, BUILD)), patterns=("manifest.json", "run_results.json", "**"))
    assert any("left out" in warning and path.split("/")[0] in warning for warning in attempt.warnings)
    assert world.written == {"manifest.json", "runs/500/step-4/run_results.json"}
    assert (world.kept / "runs/500/step-4/run_results.json").read_bytes() == results()
    assert not (world.kept / "run_results.json").exists()
