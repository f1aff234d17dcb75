"""The pull request comment, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.comments_service import TOKEN, CommentsService

from dbt_cloud_run.github.comment import (
    BODY_LIMIT,
    CommentError,
    CommentForbiddenError,
    PostedComment,
    marker,
    upsert_comment,
)


@pytest.fixture
def service() -> Iterator[CommentsService]:
    with CommentsService() as running:
        yield running


def post(service: CommentsService, **changes: Any) -> PostedComment | None:
    arguments: dict[str, Any] = {"token": TOKEN, "api_url": service.url, "repository": "org/repo", "number": 5}
    arguments |= {"key": "job 1", "body": "report", "create": True}
    return upsert_comment(**arguments | changes)


def test_it_is_created_once_and_then_updated(service: CommentsService) -> None:
    service.add("unrelated")
    first = post(service)
    second = post(service, body="newer report")
    assert first == PostedComment(502, "https://github.example.com/org/repo/pull/5#issuecomment-502", created=True)
    assert second == PostedComment(502, "https://github.example.com/org/repo/pull/5#issuecomment-502", created=False)
    assert [comment.body for comment in service.comments] == ["unrelated", f"{marker('job 1')}\nnewer report"]


def test_each_job_has_its_own(service: CommentsService) -> None:
    post(service, key="job 1")
    post(service, key="job 10")
    post(service, key="job 1", body="again")
    assert [comment.body.splitlines()[-1] for comment in service.comments] == ["again", "report"]


def test_it_is_not_created_unless_told(service: CommentsService) -> None:
    assert post(service, create=False) is None
    assert service.comments == []
    post(service)
    updated = post(service, create=False, body="now green")
    assert updated is not None
    assert service.comments[0].body.endswith("now green")


def test_comments_of_others_are_never_touched(service: CommentsService) -> None:
    forged = service.add(f"{marker('job 1')}\nforged", login="mallory", kind="User")
    quoted = service.add(f"> {marker('job 1')}\n> report", login="other[bot]")
    post(service)
    assert (forged.body.endswith("forged"), quoted.body.startswith("> ")) == (True, True)
    assert len(service.comments) == 3


def test_a_personal_token_knows_its_own_comments() -> None:
    with CommentsService(login="deploy-user", kind="User") as service:
        service.add(f"{marker('job 1')}\nof another", login="someone", kind="User")
        service.add(f"{marker('job 1')}\nof a bot", login="github-actions[bot]", kind="Bot")
        post(service)
        post(service, body="mine, newer")
        assert [comment.body.splitlines()[-1] for comment in service.comments] == [
            "of another",
            "of a bot",
            "mine, newer",
        ]


def test_it_is_found_on_a_later_page(service: CommentsService) -> None:
    for number in range(230):
        service.add(f"comment {number}")
    service.add(f"{marker('job 1')}\nold")
    updated = post(service)
    assert updated is not None
    assert not updated.created
    assert service.comments[-1].body.endswith("report")


def test_a_body_that_is_too_long_is_cut(service: CommentsService) -> None:
    post(service, body="word " * 20_000)
    assert BODY_LIMIT - 300 < len(service.comments[0].body) <= BODY_LIMIT
    assert service.comments[0].body.startswith(marker("job 1"))


def test_nothing_of_a_key_can_end_the_marker() -> None:
    assert marker("a --> <b>\n") == "<!-- dbt-cloud-run: a%20--%3E%20%3Cb%3E%0A -->"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [401, 403, 404])
def test_without_permission_the_error_says_what_to_do(service: CommentsService, method: str, status: int) -> None:
    service.statuses[method] = [status]
    with pytest.raises(CommentForbiddenError, match=f"^it was refused with HTTP {status}") as caught:
        post(service)
    assert "pull-requests: write" in caught.value.advice
    assert TOKEN not in repr(caught.value)


@pytest.mark.parametrize("status", [410, 422])
def test_another_refusal_is_reported(service: CommentsService, status: int) -> None:
    service.statuses["POST"] = [status]
    with pytest.raises(CommentError, match=f"HTTP {status} planned"):
        post(service)


def test_a_reading_is_repeated_and_a_creation_is_not(service: CommentsService) -> None:
    service.statuses = {"GET": [502], "POST": [502, 502]}
    with pytest.raises(CommentError, match="HTTP 502"):
        post(service)
    assert [request.split()[0] for request in service.requests] == ["GET", "GET", "POST"]


def test_an_answer_of_another_form(service: CommentsService) -> None:
    service.statuses["GET"] = [200]
    with pytest.raises(CommentError, match="not understood"):
        post(service)


def test_a_ca_bundle_that_is_not_there(service: CommentsService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", "/not/there.pem")
    with pytest.raises(CommentError, match="could not be reached"):
        post(service, api_url=service.url.replace("http:", "https:"))


def test_a_wrong_token(service: CommentsService) -> None:
    with pytest.raises(CommentForbiddenError):
        post(service, token="ghs_another_token")


def test_a_server_that_is_not_there() -> None:
    with CommentsService() as gone:
        pass
    with pytest.raises(CommentError, match="could not be reached") as caught:
        post(gone)
    assert TOKEN not in repr(caught.value)
