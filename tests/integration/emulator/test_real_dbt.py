"""Runs of the emulator on real dbt: steps, artifacts, retries, queues, timeouts, cancels, commits."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standins.emulator import RunningEmulator, running_emulator
from tests.support.dbt_project import fails_until, takes_long, write_tiny_project

pytestmark = pytest.mark.slow

BUILD, ALL, TWO, SLOW, CI, UNSUPPORTED, LIMITED, GIT = range(1, 9)
SOURCES = """sources:
  - name: raw
    schema: raw_numbers
    tables:
      - name: numbers
        loaded_at_field: cast('2020-01-01' as timestamp)
        freshness: {error_after: {count: 1, period: day}}
"""
COMPILE_ERROR = (
    "{% if var('broken', false) %}{{ exceptions.raise_compiler_error('broken on request') }}{% endif %}select 1 as n\n"
)


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(  # noqa: S603 -- our own
        ["git", *identity, *arguments],  # noqa: S607 -- whichever is installed
        cwd=folder,
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def marker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("markers") / "recovered"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the project in a folder, and a branch on which a model is not there."""
    root = tmp_path_factory.mktemp("repository")
    _git(root, "init", "--quiet", "--initial-branch=trunk")
    write_tiny_project(root / "dbt folder")
    _git(root, "add", ".")
    _git(root, "commit", "--quiet", "-m", "first")
    _git(root, "checkout", "--quiet", "-b", "feature")
    (root / "dbt folder" / "models" / "second.sql").unlink()
    _git(root, "commit", "--quiet", "-am", "without second")
    _git(root, "checkout", "--quiet", "trunk")
    return root


@pytest.fixture(scope="module")
def emulator(marker: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    files = {
        "models/flaky.sql": fails_until(marker),
        "models/after.sql": "select * from {{ ref('flaky') }}\n",
        "models/slow.sql": "{{ config(enabled=var('slow', false)) }}\n" + takes_long(),
        "models/compiled.sql": COMPILE_ERROR,
        "models/sources.yml": SOURCES,
    }
    project = write_tiny_project(tmp_path_factory.mktemp("a project"), files)
    slow = """dbt run --select slow --vars '{"slow": true}'"""
    jobs: list[dict[str, Any]] = [
        {"id": BUILD, "execute_steps": ["dbt build --select first"], "settings": {"threads": 2, "target_name": "prod"}},
        {"id": ALL, "execute_steps": ["dbt build"], "generate_docs": True, "run_generate_sources": True},
        {"id": TWO, "execute_steps": ["dbt seed", "dbt run --select compiled --vars 'broken: true'", "dbt test"]},
        {"id": SLOW, "execute_steps": ["dbt seed", slow], "environment_id": 21},
        {"id": CI, "execute_steps": [slow], "job_type": "ci", "environment_id": 21},
        {"id": UNSUPPORTED, "execute_steps": ["dbt source freshness"]},
        {"id": LIMITED, "execute_steps": ["dbt seed", slow], "execution": {"timeout_seconds": 8}, "environment_id": 22},
        {"id": GIT, "execute_steps": ["dbt ls --resource-type model"], "environment_id": 23},
    ]
    config = {
        "projects": [
            {"id": 10, "name": "tiny", "path": str(project)},
            {"id": 11, "name": "git", "repository": str(repository), "subdirectory": "dbt folder"},
        ],
        "environments": [
            {"id": 20, "schema": "analytics"},
            {"id": 21, "schema": "analytics"},
            {"id": 22, "schema": "analytics"},
            {"id": 23, "project_id": 11, "name": "Git"},
        ],
        "jobs": [{"name": f"job {job['id']}", **job} for job in jobs],
    }
    with running_emulator(config=config, state=tmp_path_factory.mktemp("the state")) as server:
        yield server
        server.cancel_all()


def _statuses(emulator: RunningEmulator, run_id: int, step: int) -> dict[str, str]:
    results = emulator.artifact(run_id, "run_results.json", step=step)["results"]
    return {row["unique_id"].split(".")[2]: row["status"] for row in results}


def _words(run: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["name"].removeprefix("Invoke dbt with "), step["status_humanized"]) for step in run["run_steps"]]


def test_a_failed_run_and_its_native_retry(emulator: RunningEmulator, marker: Path) -> None:
    run = emulator.wait(emulator.trigger(ALL)["id"])
    assert _words(run) == [
        ("Clone git repository", "Success"),
        ("Create profile from connection DuckDB", "Success"),
        ("`dbt deps`", "Success"),
        ("`dbt source freshness`", "Error"),  # there is no such table; it does not fail the job
        ("`dbt build`", "Error"),
        ("`dbt docs generate`", "Skipped"),
    ]
    assert (run["status"], run["can_retry"], run["has_sources_generated"]) == (20, True, False)
    statuses = _statuses(emulator, run["id"], 5)
    assert (statuses["flaky"], statuses["after"], statuses["second"]) == ("error", "skipped", "success")
    assert emulator.artifact(run["id"], "sources.json", step=4)["metadata"]["env"]["DBT_CLOUD_RUN_ID"] == str(run["id"])
    assert emulator.api("GET", f"runs/{run['id']}/artifacts/manifest.json", params={"step": 3}).status_code == 404

    again = emulator.wait(emulator.data("POST", f"runs/{run['id']}/retry/")["id"])
    assert (again["status"], again["retrying_run_id"]) == (20, run["id"])
    marker.touch()
    last = emulator.wait(emulator.data("POST", f"runs/{again['id']}/retry/")["id"])
    marker.unlink()
    assert _words(last)[3:] == [("`dbt retry`", "Success"), ("`dbt docs generate`", "Success")]
    assert _statuses(emulator, last["id"], 4) == {"flaky": "success", "after": "success"}
    assert (last["status"], last["has_docs_generated"], last["git_sha"]) == (10, True, run["git_sha"])
    assert emulator.artifact(last["id"], "run_results.json")["args"]["which"] == "generate"
    assert emulator.artifact(last["id"], "catalog.json")


def test_a_command_that_writes_no_results_leaves_those_of_the_step_before(emulator: RunningEmulator) -> None:
    run = emulator.wait(emulator.trigger(TWO)["id"])
    assert [word for _, word in _words(run)[3:]] == ["Success", "Error", "Skipped"]
    assert "broken on request" in run["run_steps"][4]["logs"]
    of_seed, stale = (emulator.artifact(run["id"], "run_results.json", step=step) for step in (4, 5))
    assert stale["metadata"]["invocation_id"] == of_seed["metadata"]["invocation_id"]
    assert (run["can_retry"], run["retry_not_supported_reason"]) == (False, "RETRY_NO_RUN_RESULTS")


def test_every_override_reaches_dbt(emulator: RunningEmulator) -> None:
    run = emulator.trigger(
        ALL,
        schema_override="over ridden",
        threads_override=3,
        target_name_override="other",
        generate_docs_override=False,
        dbt_version_override="1.5.0-latest",
        git_branch="a-branch",
        steps_override=["dbt seed", """dbt build --select first --vars '{"a": "b c"}'"""],
    )
    run = emulator.wait(run["id"])
    assert run["status"] == 10, run["run_steps"][-1]["logs"]
    assert [name for name, _ in _words(run)[3:]] == [
        "`dbt source freshness`",
        "`dbt seed`",
        """`dbt build --select first --vars '{"a": "b c"}'`""",
    ]
    results = emulator.artifact(run["id"], "run_results.json")
    assert results["args"]["vars"] == {"a": "b c"}
    assert '"over ridden"."first"' in {
        row["relation_name"].partition(".")[2] for row in results["results"] if row["relation_name"]
    }
    env = results["metadata"]["env"]
    assert (env["DBT_CLOUD_RUN_ID"], env["DBT_CLOUD_JOB_ID"], env["DBT_CLOUD_PROJECT_ID"]) == (
        str(run["id"]),
        str(ALL),
        "10",
    )
    assert "Concurrency: 3 threads (target='other')" in run["run_steps"][-1]["logs"]
    assert (run["dbt_version"], run["git_branch"]) == ("1.5.0-latest", "a-branch")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "job", "version", "reason"),
    [
        (["dbt source freshness"], UNSUPPORTED, None, "RETRY_UNSUPPORTED_CMD"),
        (["dbt run --select compiled --vars 'broken: true'"], BUILD, "1.5.2", "RETRY_UNSUPPORTED_VERSION"),
        (["rm -rf /tmp/x"], BUILD, None, "RETRY_UNSUPPORTED_CMD"),
        (["dbt run --select 'first"], BUILD, None, "RETRY_UNSUPPORTED_CMD"),
        (["dbt run --no-such-flag"], BUILD, None, "RETRY_NO_RUN_RESULTS"),
        (["dbt ls --select first"], BUILD, None, "RETRY_NOT_FAILED_RUN"),
    ],
)
def test_what_cannot_be_retried_says_why(
    emulator: RunningEmulator, steps: list[str], job: int, version: str | None, reason: str
) -> None:
    overrides = {"dbt_version_override": version} if version else {}
    run = emulator.wait(emulator.trigger(job, steps_override=steps, **overrides)["id"])
    assert (run["can_retry"], run["retry_not_supported_reason"]) == (False, reason)


def test_the_runs_of_a_job_are_serial_and_logs_are_live_and_a_cancel_kills_dbt(emulator: RunningEmulator) -> None:
    first, second = emulator.trigger(SLOW), emulator.trigger(SLOW)
    log = ""
    deadline = time.monotonic() + 60
    while "START sql table model" not in log and time.monotonic() < deadline:
        running = emulator.run(first["id"])
        log = running["run_steps"][-1]["logs"] if running["run_steps"] else ""
        time.sleep(0.1)
    assert "START sql table model analytics.slow" in log
    waiting = emulator.run(second["id"])
    assert (waiting["status"], waiting["blocked_by"], waiting["started_at"]) == (1, [first["id"]], None)
    assert emulator.data("POST", f"runs/{second['id']}/cancel/")["status"] == 30
    started = time.monotonic()
    cancelled = emulator.data("POST", f"runs/{first['id']}/cancel/")
    assert (cancelled["status"], cancelled["status_message"]) == (30, "This run was cancelled by service token.")
    assert time.monotonic() - started < 10
    assert _dbt_processes(first["id"]) == []
    after = emulator.run(first["id"])
    assert [step["status"] for step in after["run_steps"]] == [10, 10, 10, 10, 30]
    assert _statuses(emulator, first["id"], 4) == {"numbers": "success"}
    assert emulator.api("GET", f"runs/{first['id']}/artifacts/manifest.json", params={"step": 5}).status_code == 404


def test_a_timeout_ends_in_30_with_its_message_and_keeps_artifacts(emulator: RunningEmulator) -> None:
    run = emulator.wait(emulator.trigger(LIMITED, timeout_seconds_override=20)["id"])
    assert run["status"] == 30
    assert re.fullmatch(
        r"This run timed out after running for \d+ seconds, which exceeded the configured timeout of 20 seconds\.",
        run["status_message"],
    )
    assert (run["artifacts_saved"], run["retry_not_supported_reason"]) == (True, "RETRY_NOT_FAILED_RUN")
    assert run["run_steps"][-1]["status"] == 30
    assert _dbt_processes(run["id"]) == []
    assert emulator.data("GET", f"runs/{run['id']}/artifacts/")


@pytest.mark.slow
def test_a_newer_commit_of_a_pull_request_supersedes_and_other_ci_runs_go_on(emulator: RunningEmulator) -> None:
    old = emulator.trigger(CI, git_sha="a1", github_pull_request_id=5)
    other = emulator.trigger(CI, git_sha="c3", github_pull_request_id=6)
    emulator.wait_for(old["id"], [3])
    emulator.wait_for(other["id"], [3])
    new = emulator.trigger(CI, git_sha="b2", github_pull_request_id=5)
    superseded = emulator.wait(old["id"])
    assert superseded["status"] == 30
    assert f"run {new['id']} was triggered for a newer commit" in superseded["status_message"]
    assert superseded["audit"]["cancellation"] is None
    assert emulator.run(other["id"])["status"] == 3
    assert emulator.run(new["id"])["git_sha"] == "b2"
    emulator.cancel_all()


def test_a_run_is_at_the_commit_or_branch_that_was_asked_for(emulator: RunningEmulator, repository: Path) -> None:
    head, feature = _git(repository, "rev-parse", "trunk"), _git(repository, "rev-parse", "feature")
    by_default = emulator.wait(emulator.trigger(GIT)["id"])
    assert (by_default["git_sha"], by_default["git_branch"], by_default["status"]) == (head, "trunk", 10)
    assert "tiny.second" in by_default["run_steps"][-1]["logs"]
    for wanted in ({"git_branch": "feature"}, {"git_sha": feature}, {"git_sha": feature[:10]}):
        run = emulator.wait(emulator.trigger(GIT, **wanted)["id"])
        assert run["git_sha"] == feature
        assert "tiny.second" not in run["run_steps"][-1]["logs"]


@pytest.mark.parametrize("wanted", [{"git_sha": "f" * 40}, {"git_branch": "nowhere"}, {"git_sha": "--help"}])
def test_a_commit_that_is_not_there_fails_the_first_step(emulator: RunningEmulator, wanted: dict[str, str]) -> None:
    run = emulator.wait(emulator.trigger(GIT, **wanted)["id"])
    assert (run["status"], len(run["run_steps"]), run["run_steps"][0]["status"]) == (20, 1, 20)
    assert "fatal" in run["run_steps"][0]["logs"]
    assert run["retry_not_supported_reason"] == "RETRY_NO_RUN_RESULTS"
    assert emulator.data("GET", f"runs/{run['id']}/artifacts/") is None


@pytest.mark.slow
def test_a_folder_can_be_pinned_to_what_it_was(tmp_path: Path) -> None:
    project = write_tiny_project(tmp_path / "project")
    jobs = {"jobs": [{"id": 1, "name": "ls", "execute_steps": ["dbt ls --resource-type model"]}]}
    config = {"projects": [{"name": "tiny", "path": str(project)}], "environments": [{}], **jobs}
    with running_emulator(config=config, state=tmp_path / "state") as emulator:
        first = emulator.wait(emulator.trigger(1)["id"])
        (project / "models" / "third.sql").write_text("select 1 as n")
        pinned = emulator.wait(emulator.trigger(1, git_sha=first["git_sha"])["id"])
        newest = emulator.wait(emulator.trigger(1)["id"])
        assert len(first["git_sha"]) == 40
        assert pinned["git_sha"] == first["git_sha"] != newest["git_sha"]
        assert "tiny.third" not in pinned["run_steps"][-1]["logs"]
        assert "tiny.third" in newest["run_steps"][-1]["logs"]
    with running_emulator(config=config, state=tmp_path / "state") as emulator:
        assert [run["id"] for run in emulator.runs()] == [first["id"], pinned["id"], newest["id"]]
        assert emulator.run(first["id"])["run_steps"][-1]["logs"] == first["run_steps"][-1]["logs"]
        assert emulator.trigger(1)["id"] > newest["id"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_dbt_outlives_the_emulator(tmp_path: Path, number: signal.Signals) -> None:
    project = write_tiny_project(tmp_path / "project", {"models/first.sql": takes_long()})
    with running_emulator(projects=[project], state=tmp_path / "state") as emulator:
        run = emulator.trigger(1001, steps_override=["dbt run --select first"])
        deadline = time.monotonic() + 60
        while not _dbt_processes(run["id"]) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert _dbt_processes(run["id"])
        emulator.process.send_signal(number)
        assert emulator.process.wait(timeout=20) == (-number if number == signal.SIGKILL else 0)
        deadline = time.monotonic() + 10
        while _dbt_processes(run["id"]) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert _dbt_processes(run["id"]) == []


def _dbt_processes(run_id: int) -> list[int]:
    """Processes that write below the run's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                output = str((entry / "fd" / "1").readlink())
            except OSError:
                continue
            if f"/runs/{run_id}/" in output:
                found.append(int(entry.name))
    return found
