"""The head of a pull request, looked up at GitHub over a real socket."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.artifact_uploads import QuickClock
from tests.support.comments_service import TOKEN, CommentsService

from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.github import heads
from dbt_cloud_run.github.events import Head, PullRequest
from dbt_cloud_run.github.heads import look_up_head

SUBJECT = PullRequest(number=5, head=None, is_check=False)


@pytest.fixture
def service() -> Iterator[CommentsService]:
    with CommentsService() as running:
        yield running


def look(service: CommentsService, clock: QuickClock | None = None, **changes: Any) -> PullRequest:
    arguments: dict[str, Any] = {"token": TOKEN, "api_url": service.url, "repository": "org/repo"}
    return asyncio.run(look_up_head(SUBJECT, clock=clock or QuickClock(), **arguments | changes))


def why(service: CommentsService, **changes: Any) -> str:
    found = look(service, **changes)
    assert found.head is None
    assert TOKEN not in found.why_no_head
    return found.why_no_head


def test_it_is_found(service: CommentsService) -> None:
    head = Head(sha="f00dcafe", repository="org/repo", is_fork=False)
    assert look(service) == PullRequest(number=5, head=head, is_check=False)
    assert service.requests == ["GET /api/v3/repos/org/repo/pulls/5"]


@pytest.mark.parametrize(("repo", "name"), [({"full_name": "mallory/repo"}, "mallory/repo"), (None, None)])
def test_of_a_fork(service: CommentsService, repo: Any, name: str | None) -> None:
    service.pull_request["head"]["repo"] = repo
    found = look(service)
    assert found.head == Head(sha="f00dcafe", repository=name, is_fork=True)


def test_it_may_have_been_closed_since(service: CommentsService) -> None:
    service.pull_request["state"] = "closed"
    found = look(service)
    assert not found.is_open


def test_without_a_token_nothing_is_asked(service: CommentsService) -> None:
    assert why(service, token=None) == "github-token is empty"
    assert service.requests == []


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (403, "Resource not accessible by integration", "'pull-requests: read'"),
        (404, "Not Found", "'pull-requests: read'"),
        (403, "API rate limit exceeded", "limit of requests"),
        (403, "Resource protected by organization SAML enforcement.", "single sign-on"),
        (301, "Moved Permanently", "HTTP 301"),
    ],
)
def test_a_refusal_is_in_githubs_own_words(service: CommentsService, status: int, said: str, expected: str) -> None:
    service.statuses["GET"], service.said = [status], said
    text = why(service)
    assert text.startswith(f"GitHub answered HTTP {status}: {said.rstrip('.')}")
    assert expected in text
    assert len(service.requests) == 1


def test_a_fault_that_may_pass_is_tried_again(service: CommentsService) -> None:
    clock = QuickClock()
    service.statuses["GET"] = [502, 503]
    assert look(service, clock).head is not None
    assert len(clock.waits) == 2
    service.statuses["GET"] = [502, 503, 504]
    assert why(service) == "GitHub answered HTTP 504"


def test_a_signal_ends_the_waiting(service: CommentsService) -> None:
    service.statuses["GET"] = [502]
    with pytest.raises(Interrupted):
        look(service, QuickClock(interrupt_at=1))


@pytest.mark.parametrize(
    "answer", [[], None, {}, {"number": 6}, {"number": 5, "head": {}}, {"number": 5, "head": {"sha": "no sha"}}]
)
def test_an_answer_of_another_form(service: CommentsService, answer: Any) -> None:
    service.pull_request = copy.deepcopy(answer)
    assert why(service).startswith("GitHub's answer ")


def test_an_answer_that_trickles_is_cut(service: CommentsService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_LONGEST", 0.3)
    service.trickles = True
    assert "did not finish its answer" in why(service)
    assert len(service.requests) == 3


def test_a_server_that_is_not_there() -> None:
    with CommentsService() as gone:
        pass
    assert why(gone) == "GitHub's API could not be reached (ConnectError)"
    assert why(gone, api_url="ftp://nowhere") == "GITHUB_API_URL is not a URL"
