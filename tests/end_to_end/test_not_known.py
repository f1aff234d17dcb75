"""What dbt Cloud does not say is not taken for nothing, for never started, or for all succeeded."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import JOB, Fault, Request, enveloped
from tests.support.loop import PlayedStep
from tests.support.told_cloud import Told, ToldCloud, build, command, job_at, node, row, told

A, B = "model.shop.a", "model.shop.b"
CHARGE = "dbt run-operation charge_cards"
FOREVER = 10**6
ONLY_B = "dbt build --select fqn:shop.b --indirect-selection empty"
TRANSIENT = "Database Error\n  could not connect to server: Connection timed out"
NODES = [node(A, fqn=["shop", "a"]), node(B, fqn=["shop", "b"])]


def green() -> Told:
    return told(10, build([row(A), row(B)], NODES))


def failing_build() -> Told:
    return build([row(A), row(B, "error", TRANSIENT)], NODES, status=20, logs="Done. PASS=1 ERROR=1")


def red() -> Told:
    return told(20, failing_build())


def charged_then_red() -> Told:
    return told(20, command(CHARGE, logs="charged"), failing_build())


COMPILATION = "Encountered an error:\nCompilation Error in model a (models/a.sql)\n  no such macro\n"
BROKEN = told(20, command("dbt build", status=20, logs=COMPILATION))


class OddCloud(ToldCloud):
    """A dbt Cloud whose answers with steps are odd for the first `times` of them after a run's end."""

    def __init__(self, runs: Sequence[Told], odd: Callable[[dict[str, Any]], Any], times: int, **job: Any) -> None:
        super().__init__(runs, job)
        self._odd, self._times = odd, times

    def _handle(self, request: Request) -> Any:
        status, body = super()._handle(request)
        match = re.fullmatch(r"/api/v2/accounts/1/runs/(\d+)/", request.path)
        is_whole = "run_steps" in request.query.get("include_related", "")
        if request.method != "GET" or match is None or not is_whole or self._times <= 0:
            return status, body
        self._times -= 1
        run = next(run for run in self.runs if run["id"] == int(match[1]))
        odd = self._odd(run)
        return odd if isinstance(odd, tuple) else enveloped(odd)


def no_steps(run: Mapping[str, Any]) -> dict[str, Any]:
    return {**run, "run_steps": []}


def unfinished(run: Mapping[str, Any]) -> dict[str, Any]:
    *others, last = run["run_steps"]
    return {**run, "run_steps": [*others, {**last, "status": 3, "finished_at": None}]}


def without_logs(run: Mapping[str, Any]) -> dict[str, Any]:
    return {**run, "run_steps": [{**step, "logs": None} for step in run["run_steps"]]}


def without_the_last(run: Mapping[str, Any]) -> dict[str, Any]:
    return {**run, "run_steps": run["run_steps"][:-1]}


def with_the_last_in_the_queue(run: Mapping[str, Any]) -> dict[str, Any]:
    *others, last = run["run_steps"]
    return {**run, "run_steps": [*others, {**last, "status": 1, "started_at": None, "finished_at": None}]}


def with_the_last_of_no_status(run: Mapping[str, Any]) -> dict[str, Any]:
    *others, last = run["run_steps"]
    unknown = {"status": None, "started_at": None, "finished_at": None, "logs": ""}
    return {**run, "run_steps": [*others, {**last, **unknown}]}


def of_the_set_up_alone(run: Mapping[str, Any]) -> dict[str, Any]:
    return {**run, "run_steps": run["run_steps"][:2]}


def gateway_timeout(_: Mapping[str, Any]) -> tuple[int, bytes]:
    return 504, b""


def play(
    folder: Path,
    runs: Sequence[Told],
    odd: Callable[[dict[str, Any]], Any],
    times: int,
    steps: Sequence[str] = ("dbt build",),
    **inputs: str,
) -> tuple[PlayedStep, OddCloud]:
    async def played() -> tuple[PlayedStep, OddCloud]:
        async with OddCloud(runs, odd, times, execute_steps=list(steps)) as server:
            return await job_at(server, folder, **inputs).play(), server

    return asyncio.run(played())


def asked(server: OddCloud) -> list[list[str]]:
    """The commands of each run but the first."""
    return [run["trigger"].get("steps_override") or [] for run in server.runs[1:]]


ODD = {"none": no_steps, "unfinished": unfinished, "504": gateway_timeout}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("times", [2, FOREVER], ids=["late", "for ever"])
def test_an_operation_is_never_sent_again_for_want_of_steps(odd: str, times: int, tmp_path: Path) -> None:
    step, server = play(tmp_path, [charged_then_red(), green()], ODD[odd], times, (CHARGE, "dbt build"))
    assert not any(CHARGE in commands for commands in asked(server)), step.log
    assert asked(server) == [[ONLY_B]], step.log


CUT_SHORT = {
    "without the last": without_the_last,
    "the last in the queue": with_the_last_in_the_queue,
    "the last of no status": with_the_last_of_no_status,
    "the set-up alone": of_the_set_up_alone,
}


def build_then_charged(status: int) -> Told:
    charge = command(CHARGE, status=20, logs="charged, then: Connection timed out")
    return told(status, build([row(A), row(B)], NODES), charge)


@pytest.mark.parametrize("odd", CUT_SHORT)
@pytest.mark.parametrize("cancelled", [False, True], ids=["failed", "lost its heartbeat"])
def test_a_command_whose_step_is_not_listed_has_not_failed_to_start(odd: str, cancelled: bool, tmp_path: Path) -> None:
    heartbeat = {"status": 30, "status_message": "The run was cancelled after 10 minutes of inactivity"}
    first = {**build_then_charged(20), **(heartbeat if cancelled else {})}
    step, server = play(tmp_path, [first, green()], CUT_SHORT[odd], FOREVER, ("dbt build", CHARGE))
    assert asked(server) == [], step.log
    assert (step.status, step.outputs["failure-kind"]) == (1, "cancelled" if cancelled else "api")
    assert "No retry: its steps could not be read, so it is not known which command failed\n" in step.log
    said = "its steps could not be read, so it is not known which command failed"
    assert said in step.summary
    assert cancelled or f"failed: {said}." in step.log


@pytest.mark.parametrize("odd", CUT_SHORT)
@pytest.mark.parametrize("times", [2, FOREVER], ids=["late", "for ever"])
def test_what_the_last_step_left_counts_where_it_is_not_listed(odd: str, times: int, tmp_path: Path) -> None:
    step, server = play(tmp_path, [charged_then_red(), green()], CUT_SHORT[odd], times, (CHARGE, "dbt build"))
    assert asked(server) == [[ONLY_B]], step.log
    assert step.outputs["recovered-nodes"] == json.dumps([B])


@pytest.mark.parametrize("odd", CUT_SHORT)
def test_a_green_run_has_the_nodes_of_a_step_that_is_not_listed(odd: str, tmp_path: Path) -> None:
    step, _ = play(tmp_path, [green()], CUT_SHORT[odd], FOREVER)
    assert (step.outputs["status"], step.outputs["nodes-total"], step.outputs["assets-count"]) == ("success", "2", "2")
    assert "step 0" not in step.log + step.summary


def test_where_the_results_do_not_say_whose_they_are_nothing_is_retried_and_the_reason_is_said(tmp_path: Path) -> None:
    steps = ("dbt build --select a", "dbt build --select b")
    step, server = play(tmp_path, [red(), green()], no_steps, FOREVER, steps)
    assert len(server.runs) == 1
    assert (step.status, step.outputs["status"]) == (1, "error")
    reason = "it is not known which command failed"
    assert reason in step.log
    assert reason in step.summary
    assert "succeeded: there is nothing to retry" not in step.log + step.summary


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("times", [2, FOREVER], ids=["late", "for ever"])
def test_a_green_run_without_steps_has_its_nodes_assets_and_artifacts(odd: str, times: int, tmp_path: Path) -> None:
    step, _ = play(tmp_path, [green()], ODD[odd], times)
    assert (step.status, step.outputs["status"]) == (0, "success"), step.log
    assert (step.outputs["nodes-total"], step.outputs["assets-count"]) == ("2", "2")
    folder = step.workspace / step.outputs["artifacts-path"]
    assert (folder / "manifest.json").is_file()
    assert (folder / "run_results.json").is_file()


def test_a_green_run_of_several_commands_without_steps_leaves_its_counts_empty(tmp_path: Path) -> None:
    step, _ = play(tmp_path, [green()], no_steps, FOREVER, ("dbt run", "dbt build"))
    assert (step.status, step.outputs["status"], step.outputs["nodes-total"]) == (0, "success", "")
    assert "could not be read" in step.summary


def test_a_compilation_error_whose_log_comes_late_is_not_retried(tmp_path: Path) -> None:
    step, server = play(tmp_path, [BROKEN, green()], without_logs, 2)
    assert len(server.runs) == 1, step.log
    assert step.outputs["failure-kind"] == "compile"
    assert "no such macro" in step.summary
    assert "Reading it again" in step.log


# -- odd answers in the middle


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(("times", "runs_on"), [(1, False), (3, False), (FOREVER, True)])
def test_one_refusal_after_the_token_worked_is_asked_again(
    status: int, times: int, runs_on: bool, tmp_path: Path
) -> None:
    async def played() -> PlayedStep:
        async with ToldCloud([told(3) if runs_on else green()]) as server:
            server.fault("GET", r"/runs/\d+/$", Fault(status, times=times))
            return await job_at(server, tmp_path).play()

    step = asyncio.run(played())
    assert step.outputs["status"] == ("error" if runs_on else "success"), step.log
    if runs_on:
        assert "may still be running" in step.log


@pytest.mark.parametrize("status", [503, 403])
def test_a_list_that_never_answers_does_not_forbid_the_first_trigger(status: int, tmp_path: Path) -> None:
    async def played(**inputs: str) -> tuple[PlayedStep, int]:
        async with ToldCloud([green()]) as server:
            server.fault("GET", r"/runs/$", Fault(status, times=FOREVER))
            return await job_at(server, tmp_path / str(len(inputs)), **inputs).play(), len(server.runs)

    step, runs = asyncio.run(played())
    assert (step.status, step.outputs["status"], runs) == (0, "success", 1), step.log
    assert "could not be listed" in step.log
    refused, runs = asyncio.run(played(reuse="same-commit"))
    assert (refused.status, runs) == (1, 0)
    assert "`reuse` needs the list" in refused.log


def test_a_lost_answer_without_a_list_is_an_error_and_nothing_is_sent_again(tmp_path: Path) -> None:
    async def played() -> tuple[PlayedStep, ToldCloud]:
        async with ToldCloud([green()]) as server:
            server.fault("GET", r"/runs/$", Fault(503, times=FOREVER))
            server.fault("POST", "/run/$", Fault("reset", took_effect=True))
            return await job_at(server, tmp_path).play(), server

    step, server = asyncio.run(played())
    assert (step.status, step.outputs["status"]) == (1, "error")
    assert server.count("POST", f"/jobs/{JOB}/run/$") == 1
    assert "could not be determined" in step.log


# -- who cancelled

PERSON = {
    "trigger": {"actor": {"type": "service", "id": 1}},
    "cancellation": {"actor": {"type": "user", "id": 2, "name": "alice"}},
}
CAPACITY = "This run was cancelled after waiting 10 minutes to start, due to capacity constraints."
NEWER = "This run was cancelled because a more recent run of this job, run 4711, was queued."


def cancelled(**fields: Any) -> Told:
    return {**told(30), "steps": (), "started_at": None, **fields}


@pytest.mark.parametrize(
    ("run", "status", "words"),
    [
        (cancelled(audit=PERSON), "cancelled", "by a person or through the API (alice)"),
        (cancelled(), "cancelled", "does not say by whom"),
        (cancelled(status_message=NEWER), "superseded", "run 4711"),
    ],
)
def test_who_cancelled_is_named_and_such_a_run_is_not_retried(
    run: Told, status: str, words: str, tmp_path: Path
) -> None:
    step, server = play(tmp_path, [run, green()], dict, 0)
    assert (step.status, step.outputs["status"], len(server.runs)) == (1, status, 1)
    assert words in step.log
    assert words in step.summary


NEVER_BEGAN = {"status": 1, "started_at": None, "finished_at": None}
NOT_BEGUN = ({"name": "Clone git repository", **NEVER_BEGAN}, {**command("dbt build"), **NEVER_BEGAN})


@pytest.mark.parametrize("steps", [(), NOT_BEGUN], ids=["no steps", "steps that never began"])
def test_a_run_that_lacked_capacity_is_run_whole_once(steps: tuple[Told, ...], tmp_path: Path) -> None:
    lacking = cancelled(status_message=CAPACITY, steps=steps)
    step, server = play(tmp_path / "1", [lacking, green()], dict, 0)
    assert (step.status, step.outputs["status"], asked(server)) == (0, "success", [["dbt build"]]), step.log
    step, server = play(tmp_path / "2", [lacking, lacking, green()], dict, 0)
    assert (step.status, step.outputs["status"], len(server.runs)) == (1, "cancelled", 2), step.log
    assert "because it lacked capacity" in step.summary
    assert "Reading it again" not in step.log


def test_a_set_up_that_failed_is_why_a_run_that_counts_as_cancelled_is_not_retried(tmp_path: Path) -> None:
    message = "Failed to generate profile due to incorrect credentials"
    step, server = play(tmp_path, [cancelled(status_message=message), green()], dict, 0)
    assert (step.outputs["status"], step.outputs["failure-kind"], len(server.runs)) == ("cancelled", "setup", 1)
    assert "No retry: the run was cancelled by dbt Cloud, because its set-up failed" in step.log
    assert "does not say by whom" not in step.log + step.summary


def test_a_run_that_lacked_capacity_and_has_a_newer_one_is_superseded(tmp_path: Path) -> None:
    class Newer(OddCloud):
        def add_run(self, **fields: Any) -> dict[str, Any]:
            run = super().add_run(**fields)
            if len(self.runs) == 1:
                newer.append(super().add_run(cause="another"))
            return run

    newer: list[dict[str, Any]] = []

    async def played() -> tuple[PlayedStep, Newer]:
        lacking = cancelled(status_message=CAPACITY)
        async with Newer([lacking, told(3)], dict, 0, execute_steps=["dbt build"]) as server:
            return await job_at(server, tmp_path).play(), server

    step, server = asyncio.run(played())
    assert (step.outputs["status"], len(server.runs)) == ("superseded", 2), step.log
    assert f"run {newer[0]['id']}" in step.summary


def test_a_lost_heartbeat_is_judged_by_the_results(tmp_path: Path) -> None:
    lost = {**red(), "status": 30, "status_message": "This run was cancelled after 10 minutes of inactivity."}
    step, server = play(tmp_path, [lost, green()], dict, 0)
    assert step.outputs["status"] == "success", step.log
    assert asked(server) == [[ONLY_B]]


def test_nothing_is_waited_for_where_no_step_can_have_saved_anything(tmp_path: Path) -> None:
    deps = told(20, command("dbt deps", status=20, logs="could not resolve"), artifacts_saved=False)
    step, _ = play(tmp_path, [deps], dict, 0, targeted_retries="0")
    assert step.seconds < 40, step.log
