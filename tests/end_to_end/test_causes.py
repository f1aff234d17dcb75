"""Failures that name their cause: the line of a log, the input and its value, in annotation, summary and log."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import Fault
from standins.runner_log import read_stream
from tests.support.loop import PlayedStep
from tests.support.told_cloud import ToldCloud, command, job_at, play, told

CLONE = (
    "Cloning into 'target'...\nremote: Repository not found.\nfatal: repository 'https://x:t0k@git/a.git/' not found\n"
)
PROFILE = "Failed to generate profile due to incorrect credentials"
VALIDATION = (
    "✖ Breaking issues found when checking semantics of built manifest (ERRORS: 1)\n"
    "• ERROR: with metric `revenue` - The measure does not exist.\n"
)


def messages(step: PlayedStep, kind: str) -> list[str]:
    return [found.data for found in read_stream(step.log).named(kind)]


def set_up(name: str, logs: str) -> dict[str, Any]:
    return {"status": 20, "steps": [{"name": name, "status": 20, "logs": logs}]}


@pytest.mark.parametrize(
    ("run", "kind", "cause"),
    [
        (set_up("Clone git repository", CLONE), "setup", "fatal: repository 'https://***@git/a.git/' not found"),
        (set_up("Create profile from connection BigQuery", PROFILE), "setup", PROFILE),
        (
            told(20, command("dbt sl validate", 20, VALIDATION)),
            "compile",
            "• ERROR: with metric `revenue` - The measure does not exist.",
        ),
        (
            told(20, command("dbt docs generate", 20, "Encountered an error:\nDatabase Error\n  no schema b\n")),
            "compile",
            "no schema b",
        ),
    ],
    ids=["clone", "profile", "sl validate", "docs"],
)
def test_the_line_that_matters_is_in_annotation_summary_and_log(
    run: dict[str, Any], kind: str, cause: str, tmp_path: Path
) -> None:
    step = play(tmp_path, [run], targeted_retries="0")
    assert (step.outputs["status"], step.outputs["failure-kind"]) == ("error", kind)
    assert [cause in message for message in messages(step, "error")] == [True]
    head = step.summary.partition("####")[0]
    assert cause.split("'")[0].split("`")[0].removeprefix("• ") in head
    assert cause in step.log.rpartition("❌ Failed")[2]
    assert "t0k" not in head + "".join(messages(step, "error"))


@pytest.mark.parametrize("where", ["message", "log"])
def test_a_set_up_that_fails_as_a_cancellation_is_one_of_the_set_up(where: str, tmp_path: Path) -> None:
    logs, message = ("", PROFILE) if where == "message" else (PROFILE, None)
    name = "Create profile from connection BigQuery (override schema to 'dbt_cloud_pr_7')  "
    steps = [{"name": name, "status": 30, "logs": logs}]
    step = play(tmp_path, [{"status": 30, "steps": steps, "status_message": message}])
    assert (step.outputs["status"], step.outputs["failure-kind"]) == ("cancelled", "setup")
    assert "failed while it was set up" in step.summary
    assert PROFILE in step.summary.partition("####")[0]


def test_a_cancellation_during_the_set_up_is_one(tmp_path: Path) -> None:
    steps = [{"name": "Clone git repository", "status": 30, "logs": "Cloning into 'target'...\n"}]
    step = play(tmp_path, [{"status": 30, "steps": steps}])
    assert (step.outputs["status"], step.outputs["failure-kind"]) == ("cancelled", "cancelled")


# -- which input and value


def refused(folder: Path, method: str, path: str, status: int, said: str = "", **inputs: str) -> PlayedStep:
    """A step whose requests of this kind are refused for ever."""

    async def played() -> PlayedStep:
        async with ToldCloud([told(10)]) as server:
            server.fault(method, path, Fault(status, times=float("inf"), said=said))
            return await job_at(server, folder, **inputs).play()

    return asyncio.run(played())


@pytest.mark.parametrize(
    ("method", "path", "inputs", "named"),
    [
        ("GET", "/runs/$", {"account_id": "77"}, "Check `account-id` 77: "),
        ("POST", "/jobs/99/run/$", {"job_id": "99"}, "Check `job-id` 99: "),
        ("GET", "/runs/5/$", {"run_id": "5", "job_id": ""}, "Check `run-id` 5: "),
    ],
    ids=["account", "job", "run"],
)
def test_what_is_not_found_is_named_by_its_input(
    method: str, path: str, inputs: dict[str, str], named: str, tmp_path: Path
) -> None:
    step = refused(tmp_path, method, path, 404, **inputs)
    assert (step.status, step.outputs["failure-kind"]) == (1, "api")
    (error,) = messages(step, "error")
    assert named in error
    assert named.replace("`", "").removeprefix("Check ").rstrip(": ") in step.summary.replace("`", "").replace("\\", "")


def test_a_wrong_token_names_the_host_that_was_asked(tmp_path: Path) -> None:
    (error,) = messages(refused(tmp_path, "GET", "/runs/$", 401), "error")
    assert "than 127.0.0.1: " in error
    assert "`api-token`" in error


NO_PERMISSION = "You do not have permission to perform this action."


@pytest.mark.parametrize(
    ("method", "path", "said", "first", "second"),
    [
        ("POST", "/run/$", NO_PERMISSION, "no permission for it on `job-id` 7", "restricts IP addresses"),
        ("POST", "/run/$", "Forbidden: Access denied", "no permission for it on `job-id` 7", "restricts IP addresses"),
        (
            "GET",
            "/runs/$",
            "Forbidden: Access denied",
            "restricts IP addresses",
            "no permission for it on `account-id` 1",
        ),
    ],
)
def test_a_403_names_the_likelier_cause_first(
    method: str, path: str, said: str, first: str, second: str, tmp_path: Path
) -> None:
    # Without an input that needs the list, the job is triggered without it.
    (error,) = messages(refused(tmp_path, method, path, 403, said, reuse="same-commit"), "error")
    assert 0 < error.index(said.rstrip(".")) < error.index(first) < error.index(second)


def test_an_unpaid_account_is_told_so(tmp_path: Path) -> None:
    said = "The API is not accessible to unpaid accounts."
    (error,) = messages(refused(tmp_path, "POST", "/run/$", 403, said), "error")
    assert "needs a paid plan" in error
    assert "`account-id` 1 is the right account" in error
    assert "IP addresses" not in error
