"""The pull request comment, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.support.comments_service import TOKEN, CommentsService

from dbt_cloud_run.github.comments import (
    BODY_LIMIT,
    CommentError,
    CommentForbiddenError,
    CommentTarget,
    PostedComment,
    mark_stale,
    stale_body,
    upsert_comment,
)
from dbt_cloud_run.github.marker import CommentKey, Marker, former_marker

KEY = CommentKey(
    workflow_ref="org/repo/.github/workflows/dbt.yml@refs/pull/5/merge",
    job="build",
    action="__org_dbt-cloud-run",
    account_id=1,
    host="cloud.getdbt.com",
    dbt_job=("7",),
    former="1/7/dbt/build/0",
)
SECOND = replace(KEY, action="__org_dbt-cloud-run_2")
OTHER = replace(KEY, dbt_job=("8",), former="1/8/dbt/build/0")
ABOUT = Marker(workflow_run=100, commit="f00d" * 10, is_good=True)
NEXT = Marker(workflow_run=101, commit="cafe" * 10, is_good=True)


@pytest.fixture
def service() -> Iterator[CommentsService]:
    with CommentsService() as running:
        yield running


def post(
    service: CommentsService,
    key: CommentKey = KEY,
    body: str = "report",
    *,
    about: Marker = ABOUT,
    create: bool = True,
    **changes: Any,
) -> PostedComment | None:
    target = CommentTarget(token=TOKEN, api_url=service.url, repository="org/repo", number=5)
    return upsert_comment(replace(target, **changes), key, body, about=about, create=create)


def bodies(service: CommentsService) -> list[str]:
    """Without the hidden lines."""
    return ["\n".join(line for line in one.body.splitlines() if "<!--" not in line) for one in service.comments]


def test_it_is_created_once_and_then_updated(service: CommentsService) -> None:
    service.add("unrelated")
    first = post(service)
    second = post(service, body="newer report")
    assert first == PostedComment(502, "https://github.example.com/org/repo/pull/5#issuecomment-502")
    assert second == PostedComment(502, "https://github.example.com/org/repo/pull/5#issuecomment-502")
    assert [comment.body for comment in service.comments] == ["unrelated", f"{ABOUT.line(KEY)}\nnewer report"]


def test_each_step_has_its_own(service: CommentsService) -> None:
    post(service, KEY, "red")
    post(service, SECOND, "green")
    post(service, OTHER, "other")
    post(service, KEY, "red again", about=NEXT)
    assert bodies(service) == ["red again", "green", "other"]


RED = replace(ABOUT, is_good=False, attempt=1)
GREEN = replace(ABOUT, attempt=1)


def test_a_green_never_covers_the_red_of_another_step_with_the_same_key(service: CommentsService) -> None:
    """Such as a reusable workflow that is called twice with the same inputs."""
    post(service, body="red of the one", about=RED)
    kept = post(service, body="green of the other", about=GREEN)
    assert kept is not None
    assert kept.is_anothers
    post(service, body="green of the other, with its artifact", about=GREEN)
    assert bodies(service) == ["red of the one"]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (RED, replace(GREEN, attempt=2)),  # a re-run of the failed job
        (RED, replace(GREEN, workflow_run=101)),  # the next push
        (GREEN, RED),
        (RED, RED),
        (GREEN, GREEN),
        (replace(RED, attempt=0), GREEN),  # of a release that did not say which attempt
    ],
)
def test_everything_else_is_written_over(first: Marker, then: Marker, service: CommentsService) -> None:
    post(service, body="first", about=first)
    post(service, body="then", about=then)
    assert bodies(service) == ["then"]


def test_a_comment_whose_account_is_gone_is_passed_over(service: CommentsService) -> None:
    service.add(f"{ABOUT.line(KEY)}\nof a ghost", login="")
    post(service, body="mine")
    assert bodies(service) == ["of a ghost", "mine"]


def test_it_is_not_created_unless_told(service: CommentsService) -> None:
    assert post(service, create=False) is None
    assert service.comments == []
    post(service)
    updated = post(service, create=False, body="now green")
    assert updated is not None
    assert service.comments[0].body.endswith("now green")


def test_comments_of_others_are_never_touched(service: CommentsService) -> None:
    forged = service.add(f"{ABOUT.line(KEY)}\nforged", login="mallory", kind="User")
    quoted = service.add(f"> {ABOUT.line(KEY)}\n> report", login="other[bot]")
    post(service)
    assert (forged.body.endswith("forged"), quoted.body.startswith("> ")) == (True, True)
    assert len(service.comments) == 3


def test_a_personal_token_knows_its_own_comments() -> None:
    with CommentsService(login="deploy-user", kind="User") as service:
        service.add(f"{ABOUT.line(KEY)}\nof another", login="someone", kind="User")
        service.add(f"{ABOUT.line(KEY)}\nof a bot", login="github-actions[bot]", kind="Bot")
        post(service)
        post(service, body="mine, newer")
        assert [comment.body.splitlines()[-1] for comment in service.comments] == [
            "of another",
            "of a bot",
            "mine, newer",
        ]


def test_on_gitea_and_forgejo_it_is_updated_and_marked_too() -> None:
    """Their comments do not say at which address they are changed: a green one would stay for ever."""
    with CommentsService(login="gitea-actions", kind="User") as service:
        service.is_gitea = True
        post(service, body="red", about=replace(ABOUT, is_good=False))
        updated = post(service, body="green", about=NEXT)
        assert updated is not None
        assert bodies(service) == ["green"]
        target = CommentTarget(token=TOKEN, api_url=service.url, repository="org/repo", number=5)
        later = replace(NEXT, workflow_run=102, commit="beef" * 10, is_good=False)
        assert mark_stale(target, KEY, about=later, why="it was cancelled") is not None
        assert "This report is of an earlier commit" in service.comments[0].body


def test_it_is_found_on_a_later_page(service: CommentsService) -> None:
    for number in range(230):
        service.add(f"comment {number}")
    service.add(f"{ABOUT.line(KEY)}\nold")
    assert post(service) is not None
    assert len(service.comments) == 231
    assert service.comments[-1].body.endswith("report")


def test_a_body_that_is_too_long_is_cut(service: CommentsService) -> None:
    post(service, body="word " * 20_000)
    assert BODY_LIMIT - 300 < len(service.comments[0].body) <= BODY_LIMIT
    assert service.comments[0].body.startswith(ABOUT.line(KEY))


NOT_ACCESSIBLE = "Resource not accessible by integration"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("status", "said"), [(403, NOT_ACCESSIBLE), (404, "Not Found")])
def test_without_permission_the_error_says_what_to_do(
    service: CommentsService, method: str, status: int, said: str
) -> None:
    service.statuses[method], service.said = [status], said
    with pytest.raises(CommentForbiddenError, match=f"^GitHub answered HTTP {status}: {said}\\. ") as caught:
        post(service)
    assert "pull-requests: write" in caught.value.advice
    assert TOKEN not in repr(caught.value)


@pytest.mark.parametrize(
    ("status", "said", "headers", "advice"),
    [
        (403, "Unable to create comment because issue is locked.", {}, "Unlock"),
        (403, "API rate limit exceeded for installation ID 5.", {}, "limit of requests"),
        (403, "You have exceeded a secondary rate limit.", {}, "limit of requests"),
        (429, "Slow down", {"X-RateLimit-Remaining": "0"}, "limit of requests"),
        (403, "Resource protected by organization SAML enforcement.", {}, "single sign-on"),
        (403, "The organization has an IP allow list enabled, and 192.0.2.1 is not permitted", {}, "allow list of"),
        (403, "Repository was archived so is read-only.", {}, "archived"),
        (403, "You have been blocked by the owner of this repository.", {}, "blocked the account"),
        (401, "Bad credentials", {}, "renew"),
        (401, "Requires authentication", {}, "renew"),
        (403, "something else", {}, "job summary"),
        (410, "Gone", {}, "job summary"),
        (422, "Validation Failed", {}, "job summary"),
    ],
)
def test_githubs_own_words_are_in_the_error_and_no_permission_is_advised(
    service: CommentsService, status: int, said: str, headers: dict[str, str], advice: str
) -> None:
    service.statuses["POST"], service.said, service.headers = [status], said, headers
    with pytest.raises(CommentError) as caught:
        post(service)
    assert caught.value.message == f"GitHub answered HTTP {status}: {said.rstrip('.')}."
    assert advice in caught.value.advice
    assert "permission" not in caught.value.advice
    assert not isinstance(caught.value, CommentForbiddenError)


def test_a_reading_is_repeated_and_a_creation_is_not(service: CommentsService) -> None:
    service.statuses = {"GET": [502], "POST": [502, 502]}
    with pytest.raises(CommentError, match="HTTP 502"):
        post(service)
    assert [request.split()[0] for request in service.requests] == ["GET", "GET", "POST"]


def test_an_answer_of_another_form(service: CommentsService) -> None:
    service.statuses["GET"] = [200]
    with pytest.raises(CommentError, match="unexpected answer"):
        post(service)


def test_a_wrong_token(service: CommentsService) -> None:
    with pytest.raises(CommentError, match="Bad credentials"):
        post(service, token="ghs_another_token")


def test_a_server_that_is_not_there() -> None:
    with CommentsService() as gone:
        pass
    with pytest.raises(CommentError, match="could not be reached") as caught:
        post(gone)
    assert TOKEN not in repr(caught.value)


# -- comments of 1.0


def former(service: CommentsService, key: CommentKey = KEY, **options: Any) -> None:
    service.add(f"{former_marker(key.former)}\n❌ Failed", **options)


def test_a_comment_of_the_first_release_is_taken_over(service: CommentsService) -> None:
    former(service)
    post(service)
    post(service, body="again", about=NEXT)
    assert bodies(service) == ["again"]


def test_it_is_not_where_another_step_may_have_written_it(service: CommentsService) -> None:
    former(service)
    post(service, SECOND, "green")  # the second step of the job
    assert bodies(service) == ["❌ Failed", "green"]
    post(service, replace(KEY, comment_key="x"), "other")  # one step has claimed the same already
    assert bodies(service) == ["❌ Failed", "green", "other"]


def test_it_is_not_where_there_are_two_or_it_is_anothers(service: CommentsService) -> None:
    former(service)
    former(service)
    former(service, OTHER, login="mallory", kind="User")
    post(service)
    post(service, OTHER)
    assert bodies(service) == ["❌ Failed", "❌ Failed", "❌ Failed", "report", "report"]


# -- comments of other commits


def test_the_report_of_an_older_workflow_run_does_not_replace_a_newer_one(service: CommentsService) -> None:
    post(service, about=NEXT, body="newer, red")
    kept = post(service, about=ABOUT, body="older, green")
    assert kept is not None
    assert kept.kept
    assert bodies(service) == ["newer, red"]


def stale(service: CommentsService, about: Marker = NEXT, key: CommentKey = KEY) -> PostedComment | None:
    target = CommentTarget(token=TOKEN, api_url=service.url, repository="org/repo", number=5)
    return mark_stale(target, key, about=about, why="the step was cancelled")


NOTE = (
    "> ⚠️ **This report is of an earlier commit** (`f00df00df0`). There is no report of commit `cafecafeca`, "
    "since the step was cancelled."
)


def test_a_green_report_of_an_earlier_commit_is_marked_as_such(service: CommentsService) -> None:
    post(service, body="✅ Succeeded")
    assert stale(service) is not None
    assert bodies(service) == [f"{NOTE}\n\n✅ Succeeded"]
    assert stale(service) is not None  # said once
    assert bodies(service) == [f"{NOTE}\n\n✅ Succeeded"]
    post(service, about=NEXT, body="✅ Succeeded again")
    assert bodies(service) == ["✅ Succeeded again"]


def test_nothing_else_is_marked(service: CommentsService) -> None:
    assert stale(service) is None
    post(service, about=replace(ABOUT, is_good=False), body="❌ Failed")
    assert stale(service) is None
    post(service, about=NEXT, body="✅ of this commit")
    assert stale(service) is None
    post(service, about=replace(NEXT, workflow_run=102), body="✅ of a later run")
    assert stale(service, replace(ABOUT, commit="beef")) is None
    assert bodies(service) == ["✅ of a later run"]


def test_a_comment_of_the_first_release_is_marked_without_a_commit() -> None:
    body = stale_body(f"{former_marker('x')}\n✅ Succeeded", replace(NEXT, commit=""), "it failed early")
    assert body is not None
    assert body.splitlines()[1].endswith(
        "a commit, which may not be the newest**. There is no report of a later one, since it failed early."
    )
    assert body.endswith("✅ Succeeded")


def test_the_marked_body_stays_within_the_limit() -> None:
    body = stale_body(f"{ABOUT.line(KEY)}\n{'word ' * 14_000}", NEXT, "it was cancelled")
    assert body is not None
    assert len(body) <= BODY_LIMIT
