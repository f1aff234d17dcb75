"""The comment that a step finds again at the next push: steps played in this process, GitHub's API on a socket."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.comments_service import TOKEN, CommentsService
from tests.support.told_cloud import ToldCloud, build, job_at, node, play, row, told

from dbt_cloud_run.publish import publish

A = "model.shop.a"
HEADS = ("a1" * 20, "b2" * 20)
MERGES = ("c3" * 20, "d4" * 20)


@pytest.fixture
def service() -> Iterator[CommentsService]:
    with CommentsService() as running:
        yield running


def event(number: int) -> tuple[str, dict[str, Any]]:
    """A push to the pull request, from 0."""
    request = {
        "number": 5,
        "state": "open",
        "head": {"sha": HEADS[number], "repo": {"full_name": "org/repo"}},
        "base": {"repo": {"full_name": "org/repo"}},
    }
    return "pull_request", {"action": "synchronize", "number": 5, "pull_request": request}


def push(folder: Path, service: CommentsService, *commands: str) -> None:
    """The step at one push after another, each with its command; its run builds the head, and succeeds."""
    runs = [told(10, build([row(A)], [node(A)]), git_sha=head) for head in HEADS]

    async def pushes() -> None:
        async with ToldCloud(runs, {"job_type": "ci"}) as server:
            for number, command in enumerate(commands):
                variables = {
                    "GITHUB_API_URL": service.url,
                    "GITHUB_REPOSITORY": "org/repo",
                    "GITHUB_SHA": MERGES[number],
                    "GITHUB_REF": "refs/pull/5/merge",
                    "GITHUB_RUN_ID": str(12_000_000_000 + number),
                }
                steps = command.format(head=HEADS[number], merge=MERGES[number], **variables)
                inputs = {"steps_override": steps, "pr_comment": "true", "github_token": TOKEN}
                job = job_at(server, folder / f"push-{number}", **inputs)
                step = await job.play(event=event(number), variables=variables)
                assert step.outputs["status"] == "success"

    asyncio.run(pushes())


@pytest.mark.parametrize(
    "command",
    [
        "dbt build",
        "dbt build --vars '{{commit: {head}}}'",
        "dbt build --vars '{{commit: {merge}}}'",
        "dbt build --vars '{{commit: {head:.8}, run: {GITHUB_RUN_ID}}}'",
    ],
)
def test_a_command_that_names_the_commit_or_the_workflow_run_is_the_same_at_the_next_push(
    command: str, service: CommentsService, tmp_path: Path
) -> None:
    push(tmp_path, service, command, command)
    (comment,) = service.comments
    assert HEADS[1][:7] in comment.body


def test_commands_that_differ_in_another_commit_are_of_two_steps(service: CommentsService, tmp_path: Path) -> None:
    push(tmp_path, service, "dbt build --vars '{{since: 0123456}}'", "dbt build --vars '{{since: 6543210}}'")
    keys = {match[1] for comment in service.comments if (match := re.search(r"key=(\w+)", comment.body))}
    assert len(keys) == len(service.comments) == 2


def test_answers_of_github_that_trickle_cost_the_comment_and_not_the_step(
    service: CommentsService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer is ever silent for long, and none ends. Neither the step nor its process waits for them."""
    monkeypatch.setattr(publish, "COMMENT_BUDGET", 0.5)
    service.trickles = True
    variables = {"GITHUB_API_URL": service.url, "GITHUB_REPOSITORY": "org/repo", "GITHUB_SHA": MERGES[0]}
    run = told(10, build([row(A)], [node(A)]), git_sha=HEADS[0])
    inputs = {"pr_comment": "true", "github_token": TOKEN}
    step = play(tmp_path, [run], job={"job_type": "ci"}, variables=variables, event=event(0), **inputs)
    assert (step.status, step.outputs["status"]) == (0, "success")
    assert step.log.count("The comment on the pull request was not written within") == 1
    assert service.requests
