"""When a step looks up the head of a pull request at GitHub: both services are real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import FakeClock
from tests.support.comments_service import TOKEN, CommentsService
from tests.support.deciding import decide_at, settings_of
from tests.support.told_cloud import ToldCloud, told

from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.github.events import Commit, Head, MergeGroup, Nothing, PullRequest, Subject
from dbt_cloud_run.start.heads import head_of

RUNNING = 3
HEAD = Head(sha="f00dcafe", repository="org/repo", is_fork=False)
COMMENTED = PullRequest(number=5, head=None, is_check=False)
A_COMMENT = {"issue": {"number": 5, "state": "open", "pull_request": {"url": "https://github.example.com/5"}}}
A_PULL_REQUEST = {
    "pull_request": {
        "number": 5,
        "state": "open",
        "head": {"sha": "beef" * 10, "repo": {"full_name": "org/repo"}},
        "base": {"repo": {"full_name": "org/repo"}},
    }
}


@pytest.fixture(scope="module")
def service() -> Iterator[CommentsService]:
    with CommentsService() as running:
        yield running


@pytest.fixture
def github(service: CommentsService) -> CommentsService:
    service.requests.clear()
    service.statuses.clear()
    return service


def variables(github: CommentsService) -> dict[str, str]:
    return {"GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": "org/repo"}


# -- whether


def decided(
    github: CommentsService, folder: Path, inputs: dict[str, str], *, job_type: str = "ci", event: Any = None
) -> tuple[Subject, bool]:
    """What the event is about then, and whether GitHub was asked."""
    name, payload = event or ("issue_comment", A_COMMENT)
    file = folder / "event.json"
    file.write_text(json.dumps(payload), encoding="utf-8")
    server = ToldCloud([told(RUNNING)], {"job_type": job_type})
    there = server.add_run()
    given = {name: text.replace("RUN", str(there["id"])) for name, text in inputs.items()}
    decision = decide_at(server, event=(name, file), variables=variables(github), github_token=TOKEN, **given)
    return decision.subject, bool(github.requests)


@pytest.mark.parametrize(
    ("job_type", "inputs", "is_asked"),
    [
        # The trigger needs it where it is filled in from the pull request.
        ("ci", {}, True),
        ("scheduled", {}, False),
        ("scheduled", {"pull_request": "on"}, True),
        ("ci", {"pull_request": "off"}, False),
        # The comment needs it where it is judged by the head: with a commit that is given, or a run that exists.
        ("scheduled", {"pr_comment": "true", "git_sha": "beefbeef"}, True),
        ("scheduled", {"pr_comment": "on-failure", "git_branch": "feature"}, True),
        ("scheduled", {"pr_comment": "true", "git_sha": "beefbeef", "pull_request": "off"}, True),
        ("scheduled", {"pr_comment": "true", "run_id": "RUN"}, True),
        ("scheduled", {"pr_comment": "true"}, False),
        ("scheduled", {"pr_comment": "false", "git_sha": "beefbeef"}, False),
        ("scheduled", {"pr_comment": "false", "git_branch": "feature", "pull_request": "off"}, False),
        ("scheduled", {"pr_comment": "false", "run_id": "RUN"}, False),
    ],
)
def test_the_head_of_a_commented_pull_request_is_looked_up_where_something_needs_it(
    job_type: str, inputs: dict[str, str], is_asked: bool, github: CommentsService, tmp_path: Path
) -> None:
    subject, was_asked = decided(github, tmp_path, inputs, job_type=job_type)
    assert was_asked is is_asked
    assert subject == PullRequest(number=5, head=HEAD if is_asked else None, is_check=False)


@pytest.mark.parametrize(
    "event",
    [
        ("pull_request", A_PULL_REQUEST),
        ("issue_comment", {"issue": {**A_COMMENT["issue"], "state": "closed"}}),
        ("push", {"after": "beef" * 10}),
    ],
)
def test_no_other_event_has_a_head_to_look_up(event: Any, github: CommentsService, tmp_path: Path) -> None:
    _, was_asked = decided(github, tmp_path, {"pr_comment": "true", "git_sha": "beefbeef"}, event=event)
    assert not was_asked


def test_what_is_looked_up_is_built(github: CommentsService, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(A_COMMENT), encoding="utf-8")
    server = ToldCloud([told(RUNNING)], {"job_type": "ci"})
    inputs: dict[str, Any] = {"event": ("issue_comment", file), "variables": variables(github)}
    decision = decide_at(server, github_token=TOKEN, **inputs)
    assert (decision.overrides.git_sha, decision.overrides.github_pull_request_id) == (HEAD.sha, 5)
    with pytest.raises(ConfigError, match="could not be looked up: github-token is empty"):
        decide_at(server, **inputs)


# -- how


def found(github: CommentsService, subject: Subject, **inputs: str) -> Subject:
    settings = settings_of(variables=variables(github), **inputs)
    return asyncio.run(head_of(subject, settings, FakeClock()))


def test_the_head_is_asked_for_with_the_settings_of_the_step(github: CommentsService) -> None:
    # The first answer is repeated after a wait of the step's own clock.
    github.statuses["GET"] = [503]
    assert found(github, COMMENTED, github_token=TOKEN) == PullRequest(number=5, head=HEAD, is_check=False)
    assert github.requests == ["GET /api/v3/repos/org/repo/pulls/5"] * 2


def test_without_a_token_the_head_is_not_asked_for_and_why_is_kept(github: CommentsService) -> None:
    unknown = PullRequest(number=5, head=None, is_check=False, why_no_head="github-token is empty")
    assert found(github, COMMENTED) == unknown
    assert github.requests == []


@pytest.mark.parametrize(
    "subject",
    [
        Nothing(),
        Commit(sha="beef"),
        MergeGroup(head_sha="cafe", number=5),
        PullRequest(number=5, head=Head(sha="beef", repository="org/repo", is_fork=False)),
        PullRequest(number=5, head=None, is_open=False),
    ],
)
def test_only_an_open_pull_request_without_its_head_is_looked_up(subject: Subject, github: CommentsService) -> None:
    assert found(github, subject, github_token=TOKEN) == subject
    assert github.requests == []
