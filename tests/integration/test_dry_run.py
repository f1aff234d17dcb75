"""`dry-run`, from the input to the wire and to what is left behind: GET requests, a log, outputs and a summary."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import JOB, Fault
from standins.runner_log import read_stream
from tests.support.loop import PlayedStep, interrupt_when
from tests.support.told_cloud import ToldCloud, build, job_at, node, row, told

from dbt_cloud_run import dry_run

A, B = "model.shop.a", "model.shop.b"
GREEN = told(10, build([row(A)], [node(A)]))
RED = told(20, build([row(A), row(B, "error", "Connection reset by peer")], [node(A), node(B, A)], status=20))
SHA = "a" * 40
EVENT = (
    "pull_request",
    {
        "pull_request": {
            "number": 5,
            "state": "open",
            "head": {"sha": SHA, "repo": {"full_name": "acme/shop"}},
            "base": {"repo": {"full_name": "acme/shop"}},
        }
    },
)
JOB_FIELDS = {"execute_steps": ["dbt seed", "dbt build"], "generate_docs": True, "environment_id": 20, "project_id": 10}


def rehearsed(
    folder: Path,
    runs: list[dict[str, Any]],
    *,
    there: dict[str, Any] | None = None,
    job: dict[str, Any] | None = None,
    event: Any = None,
    **inputs: str,
) -> tuple[PlayedStep, ToldCloud]:
    """A dry run; `there` is a run that exists already, whose id stands for `RUN` in the inputs."""

    async def played() -> tuple[PlayedStep, ToldCloud]:
        async with ToldCloud(runs, {**JOB_FIELDS, **(job or {})}) as server:
            known = server.add_run(**there) if there is not None else {"id": 0}
            given = {name: text.replace("RUN", str(known["id"])) for name, text in inputs.items()}
            workflow = job_at(server, folder, dry_run="true", **given)
            return await workflow.play(event=event), server

    step, server = asyncio.run(played())
    assert_left_nothing(step, server)
    return step, server


def assert_left_nothing(step: PlayedStep, server: ToldCloud) -> None:
    """No request but GET, no annotation, file in the workspace or state."""
    assert {request.method for request in server.requests} == {"GET"}
    assert all(not read_stream(step.log).named(kind) for kind in ("error", "warning", "notice")), step.log
    assert step.state == {}
    assert list(step.workspace.iterdir()) == []


def body_in(text: str) -> dict[str, Any]:
    """The JSON after the line of the request."""
    found = re.search(r"^POST \S+/run/\n(\{.*?^\})", text, re.DOTALL | re.MULTILINE)
    assert found is not None, text
    body: dict[str, Any] = json.loads(found[1])
    return body


def test_the_request_of_a_trigger_is_the_one_that_a_real_step_sends(tmp_path: Path) -> None:
    inputs = {"threads_override": "4", "steps_override": "dbt seed\ndbt build -s 'a b'", "cause": "by hand"}
    for name in ("dry", "real"):
        (tmp_path / name).mkdir()
    step, server = rehearsed(tmp_path / "dry", [GREEN], job={"job_type": "ci"}, event=EVENT, **inputs)
    assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (0, "dry-run", "")

    async def really() -> tuple[str, dict[str, Any]]:
        async with ToldCloud([GREEN], {**JOB_FIELDS, "job_type": "ci"}) as other:
            await job_at(other, tmp_path / "real", **inputs).play(event=EVENT)
            [sent] = [request for request in other.requests if request.method == "POST"]
            return sent.path, json.loads(sent.body)

    path, sent = asyncio.run(really())
    for text in (step.log, step.summary):
        shown = body_in(text)
        assert f"POST http://127.0.0.1:{server.port}{path}\n" in text
        nonce = re.compile(r"(?<=-[0-9a-f]{6} )[0-9a-f]{12}")
        assert nonce.sub("", shown.pop("cause")) == nonce.sub("", sent["cause"])
        assert shown == {name: value for name, value in sent.items() if name != "cause"}


def test_each_value_says_where_it_is_from(tmp_path: Path) -> None:
    inputs = {"threads_override": "4", "schema_override": "mine"}
    step, _ = rehearsed(tmp_path, [GREEN], job={"job_type": "ci"}, event=EVENT, **inputs)
    origins = dict(re.findall(r"^  (\w+) {2,}(.+)$", step.log.split("Its values are from:")[1], re.MULTILINE))
    assert origins == {
        "cause": "default, after this step's tag, which is new in each run",
        "git_sha": "event pull_request",
        "github_pull_request_id": "event pull_request",
        "schema_override": "input schema-override",
        "threads_override": "input threads-override",
    }


def test_the_job_its_steps_and_what_cannot_be_known_are_said(tmp_path: Path) -> None:
    step, _ = rehearsed(tmp_path, [GREEN])
    for text in (step.log, step.summary):
        assert f"Job {JOB} “Nightly” (scheduled, project 10, environment 20)" in text
        assert "builds: the newest commit of the branch of the job's environment" in text
        assert "steps: dbt seed; dbt build; dbt docs generate" in text
        assert "Whether the token may start the job is not known: only starting it would show that." in text
    assert step.summary.startswith("### 🔎 Dry run · ")
    assert (step.outputs["job-id"], step.outputs["job-name"]) == (str(JOB), "Nightly")
    assert (step.outputs["run-id"], step.outputs["artifact-id"]) == ("", "")


@pytest.mark.parametrize("fault", [403, 404])
def test_a_job_that_cannot_be_read_fails_the_step(fault: int, tmp_path: Path) -> None:
    async def played() -> tuple[PlayedStep, ToldCloud]:
        async with ToldCloud([GREEN]) as server:
            server.fault("GET", f"/jobs/{JOB}/$", Fault(fault, times=100))
            # Without a dry run, no job is read for this.
            return await job_at(server, tmp_path, dry_run="true", git_sha=SHA).play(), server

    step, server = asyncio.run(played())
    assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (1, "error", "api"), step.log
    assert_left_nothing(step, server)
    assert step.summary.startswith("### ❌ Failed")


def test_the_retry_of_a_run_that_failed_is_planned(tmp_path: Path) -> None:
    step, server = rehearsed(
        tmp_path,
        [RED],
        there={"schema_override": "theirs"},
        job={"execute_steps": ["dbt build"], "generate_docs": False},
        run_id="RUN",
        job_id="",
        retry_delay="3600",
    )
    assert (step.status, step.outputs["status"]) == (0, "dry-run"), step.log
    run_id = server.runs[0]["id"]
    body = body_in(step.log)
    assert (body["git_sha"], body["schema_override"]) == (SHA, "theirs")
    # The manifest at hand is too small for a selection of nodes.
    assert body["steps_override"] == ["dbt build"]
    for text in (step.log, step.summary):
        assert "The retry that would be planned" in text
        assert "re-run whole" in text
    origins = dict(re.findall(r"^  (\w+) {2,}(.+)$", step.log.split("Its values are from:")[1], re.MULTILINE))
    assert (origins["git_sha"], origins["steps_override"]) == (f"run {run_id}", "the retry plan")
    assert origins["schema_override"] == f"run {run_id}"
    assert len(server.runs) == 1


def test_dbt_clouds_own_retry_is_the_request_where_it_would_be_used(tmp_path: Path) -> None:
    red = {**RED, "can_retry": True}
    step, server = rehearsed(tmp_path, [red], there={}, run_id="RUN", job_id="", retry_strategy="native")
    assert step.status == 0, step.log
    assert f"POST http://127.0.0.1:{server.port}/api/v2/accounts/1/runs/{server.runs[0]['id']}/retry/\n" in step.log


@pytest.mark.parametrize(
    ("run", "inputs", "words"),
    [
        (GREEN, {}, "ended: success. The step would publish it, and retry nothing."),
        (RED, {"targeted_retries": "0"}, "ended: error. The step would publish it, and retry nothing."),
        ({**GREEN, "status": 3}, {}, "The step would wait for run "),
    ],
)
def test_a_run_that_needs_no_retry_has_no_request(
    run: dict[str, Any], inputs: dict[str, str], words: str, tmp_path: Path
) -> None:
    step, _ = rehearsed(tmp_path, [run], there={}, run_id="RUN", job_id="", **inputs)
    assert (step.status, step.outputs["status"]) == (0, "dry-run"), step.log
    assert words in step.log
    assert "POST" not in step.log + step.summary


def test_why_nothing_is_retried_is_said(tmp_path: Path) -> None:
    rows = [row(B, "error", 'Database Error\n  syntax error at or near ")"')]
    red = told(20, build(rows, [node(B)], status=20))
    step, _ = rehearsed(tmp_path, [red], there={}, run_id="RUN", job_id="")
    assert step.status == 0, step.log
    assert "No retry: " in step.log
    assert "POST" not in step.log


@pytest.mark.parametrize("when_busy", ["fail", "skip"])
def test_a_job_that_is_busy_is_said_to_be(when_busy: str, tmp_path: Path) -> None:
    step, server = rehearsed(tmp_path, [{**GREEN, "status": 3}], there={}, when_busy=when_busy)
    assert (step.status, step.outputs["status"]) == (0, "dry-run")
    words = f"run {server.runs[0]['id']} (running) builds into the same schema. When-busy is `{when_busy}`"
    assert words in step.log


def test_neither_events_nor_warnings_leave_an_annotation(tmp_path: Path) -> None:
    hooked = {"job_type": "ci", "triggers": {"github_webhook": True}}
    step, _ = rehearsed(tmp_path, [GREEN], job=hooked, event=EVENT)
    assert "Warning: " in step.log
    assert "Git webhook" in step.log


def test_a_signal_ends_it(tmp_path: Path) -> None:
    async def played() -> tuple[PlayedStep, ToldCloud]:
        async with ToldCloud([GREEN]) as server:
            server.fault("GET", ".*", Fault("silence", times=100))
            workflow = job_at(server, tmp_path, dry_run="true")
            return await workflow.play(signal_at=interrupt_when(lambda: bool(server.requests))), server

    step, server = asyncio.run(played())
    assert (step.status, step.outputs["status"]) == (143, "cancelled")
    assert_left_nothing(step, server)


# -- the first lines of a step that is no dry run


def first_lines(step: PlayedStep) -> str:
    return step.log.split("Attempt 1")[0]


def begun(folder: Path, **inputs: str) -> tuple[str, int]:
    async def played() -> tuple[str, int]:
        async with ToldCloud([GREEN], JOB_FIELDS) as server:
            step = await job_at(server, folder, **inputs).play()
            return first_lines(step), server.count("GET", f"/jobs/{JOB}/$")

    return asyncio.run(played())


def test_the_log_begins_with_job_commit_overrides_and_steps(tmp_path: Path) -> None:
    text, _ = begun(tmp_path, schema_override="mine", threads_override="4")
    assert f"Job {JOB} “Nightly” (scheduled, project 10, environment 20)\n" in text
    assert "  builds: the newest commit of the branch of the job's environment\n" in text
    assert "  overrides: schema_override = mine (input schema-override), threads_override = 4 (input threads" in text
    assert "  steps: dbt seed; dbt build; dbt docs generate\n" in text


def test_no_request_is_sent_for_the_names(tmp_path: Path) -> None:
    text, requests = begun(tmp_path, git_sha=SHA, steps_override="dbt test")
    assert requests == 0
    assert f"Job {JOB}\n" in text
    assert f"  builds: commit {SHA} (input git-sha)\n" in text
    assert "  steps: dbt test (input steps-override)\n" in text


def test_a_fault_of_this_program_says_what_to_do_as_that_of_a_real_step_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(dry_run, "about_lines", broken)
    step, _ = rehearsed(tmp_path, [GREEN])
    assert (step.status, step.outputs["status"]) == (1, "error")
    assert "Internal error in this program (RuntimeError: broken)." in step.log
    assert "Please report this with the lines in the log." in step.log
