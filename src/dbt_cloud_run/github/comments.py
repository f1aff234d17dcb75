"""One comment on a pull request for each step that reports there, found again by a hidden marker, updated in place.

Through PyGithub, which is imported only here and only when called, and blocks: call it in a thread.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from dbt_cloud_run.errors import ActionError, ConfigError
from dbt_cloud_run.github.marker import CommentKey, Marker, former_marker, read_marker
from dbt_cloud_run.github.refusals import refusal
from dbt_cloud_run.github.text import cut
from dbt_cloud_run.network.certificates import ca_bundle
from dbt_cloud_run.network.proxies import proxy_for

if TYPE_CHECKING:
    import httpx
    from github import Github
    from github.Issue import Issue
    from github.IssueComment import IssueComment

BODY_LIMIT: Final = 65_536
"""Characters of a comment, the marker included."""
_TIMEOUT: Final = 20  # seconds, of one request
_RETRIES: Final = 3
_SUMMARY_HAS_IT: Final = "The job summary contains the same report."
_STALE, _STALE_END = "> ⚠️ **This report is of ", "<!-- end of the note -->"


class CommentError(ActionError):
    """The comment on the pull request could not be written. The verdict does not depend on it."""

    code = "comment-failed"
    remedy = "The job summary contains the same report. The message quotes what GitHub answered."


class CommentForbiddenError(CommentError):
    """The GitHub token may not write comments on this pull request."""

    code = "comment-forbidden"
    remedy = "Give the job `permissions: pull-requests: write`. A fork or Dependabot has a token that only reads."


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentTarget:
    """The pull request that a comment is on, and the token that writes it."""

    token: str = field(repr=False)
    api_url: str
    repository: str
    number: int


@dataclass(frozen=True, slots=True)
class PostedComment:
    """A comment as it is now.

    `kept`: a newer report was there, and stays; `is_anothers`: the failure of another step with the same key was there,
    and stays.
    """

    id: int
    url: str
    kept: bool = False
    is_anothers: bool = False


def upsert_comment(
    target: CommentTarget, key: CommentKey, body: str, *, about: Marker, create: bool
) -> PostedComment | None:
    """Update the comment of the step `key`, or create it if it is not there and `create`.

    Comments of other authors are never touched, whatever they contain, and neither is a report that a later workflow
    run has written, nor a failure that another step of this attempt has reported under the same key. A body over
    `BODY_LIMIT` is cut bluntly: cut it sensibly before. None: there is no comment, and none was asked for.

    Raises:
        CommentForbiddenError: the token lacks the permission.
        CommentError: GitHub could not be reached, or refused the comment.
    """
    text = cut(f"{about.line(key)}\n{body}", BODY_LIMIT)
    with _issue(target) as (client, issue):
        comment = _find(client, issue, key)
        if comment is None and not create:
            return None
        if comment is None:
            new = issue.create_comment(text)
            return PostedComment(new.id, new.html_url)
        there = read_marker(comment.body or "")
        if there is not None and there.workflow_run > about.workflow_run:
            return PostedComment(comment.id, comment.html_url, kept=True)
        if there is not None and about.hides(there):
            return PostedComment(comment.id, comment.html_url, is_anothers=True)
        _edit(client, target, comment, text)
        return PostedComment(comment.id, comment.html_url)


def mark_stale(target: CommentTarget, key: CommentKey, *, about: Marker, why: str) -> PostedComment | None:
    """Say in the step's comment that its report is of an earlier commit, where it is one that went well.

    For a step that ends without knowing what was built: `about.commit` is the commit that it was for, `why` completes
    the sentence "there is no report of it, since …". None: nothing there is to be marked.

    Raises:
        CommentError: as `upsert_comment`.
    """
    with _issue(target) as (client, issue):
        comment = _find(client, issue, key)
        text = None if comment is None else stale_body(comment.body or "", about, why)
        if comment is None or text is None:
            return None
        _edit(client, target, comment, text)
        return PostedComment(comment.id, comment.html_url)


def stale_body(body: str, about: Marker, why: str) -> str | None:
    """The body of a comment with the note that it is of an earlier commit; None where it needs none."""
    first, _, rest = body.partition("\n")
    there = read_marker(body)
    if there is not None:
        is_of_this = not there.commit or there.commit == about.commit
        if not there.is_good or is_of_this or there.workflow_run > about.workflow_run:
            return None
    if rest.startswith(_STALE):
        rest = rest.partition(f"{_STALE_END}\n")[2]
    if not about.commit:
        # The head could not be looked up: it may still be the commit of the report.
        shown = f"commit `{there.commit[:10]}`" if there else "a commit"
        said = f"{shown}, which may not be the newest**. There is no report of a later one, since {why}."
    else:
        earlier = f"an earlier commit** (`{there.commit[:10]}`)" if there else "an earlier commit**"
        said = f"{earlier}. There is no report of commit `{about.commit[:10]}`, since {why}."
    note = f"{_STALE}{said}\n\n{_STALE_END}\n"
    return cut(f"{first}\n{note}{rest}", BODY_LIMIT)


@contextlib.contextmanager
def _issue(target: CommentTarget) -> Iterator[tuple[Github, Issue]]:
    """The pull request, as a conversation; turns whatever goes wrong into a `CommentError`."""
    from github import GithubException

    with _reached(target) as client:
        try:
            yield client, client.get_repo(target.repository).get_issue(target.number)
        except GithubException as error:
            raise _refused(error) from None
        except OSError as error:
            # The errors of requests are of this kind.
            message = f"GitHub's API could not be reached for the comment: {type(error).__name__}."
            raise CommentError(message, _SUMMARY_HAS_IT) from None
        except Exception as error:
            # PyGithub raises whatever comes up when an answer is not of the form that it expects.
            message = f"GitHub's API returned an unexpected answer: {type(error).__name__}."
            raise CommentError(message, _SUMMARY_HAS_IT) from None


@contextlib.contextmanager
def _reached(target: CommentTarget) -> Iterator[Github]:
    from github import Auth, Github
    from urllib3.util import Retry

    # A comment that was sent and not answered is not sent again: reads and updates may be repeated, creations not.
    retry = Retry(
        total=_RETRIES,
        backoff_factor=1,
        status_forcelist=(500, 502, 503, 504),
        allowed_methods={"GET", "PATCH"},
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    api_url = target.api_url.rstrip("/")
    with contextlib.ExitStack() as stack:
        try:
            authorities = ca_bundle(os.environ)
            _use_proxy_of(api_url)
        except ConfigError as error:
            raise CommentError(error.message, error.advice) from None
        client = Github(
            auth=Auth.Token(target.token),
            base_url=api_url,
            timeout=_TIMEOUT,
            retry=retry,
            per_page=100,
            seconds_between_requests=None,
            seconds_between_writes=None,
            verify=True if authorities is None else str(stack.enter_context(_file_of(authorities))),
            lazy=True,
        )
        stack.callback(client.close)
        yield client


@contextlib.contextmanager
def _file_of(authorities: bytes) -> Iterator[Path]:
    """requests takes the certificates as a file."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(authorities)
        file.flush()
        yield Path(file.name)


def _use_proxy_of(api_url: str) -> None:
    """Have PyGithub's sessions reach the API as all of this action does.

    requests has rules of its own for NO_PROXY, and its errors quote a proxy's address.
    """
    from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass, Requester

    address = _address(proxy_for(api_url, os.environ))

    def set_up(session: Any) -> None:
        session.trust_env = False
        session.proxies = {"http": address, "https": address} if address else {}

    class Plain(HTTPRequestsConnectionClass):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            set_up(self.session)

    class Secure(HTTPSRequestsConnectionClass):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            set_up(self.session)

    Requester.injectConnectionClasses(Plain, Secure)


def _address(proxy: httpx.Proxy | None) -> str:
    if proxy is None:
        return ""
    user, password = (quote(part, safe="") for part in proxy.auth or ("", ""))
    at = f"{user}:{password}@" if proxy.auth else ""
    return f"{proxy.url.scheme}://{at}{proxy.url.netloc.decode('ascii')}"


def _edit(client: Github, target: CommentTarget, comment: IssueComment, text: str) -> None:
    """Change the body. PyGithub's own way needs the comment's `url`, which Gitea and Forgejo do not send."""
    address = f"/repos/{target.repository}/issues/comments/{comment.id}"
    client.requester.requestJsonAndCheck("PATCH", address, input={"body": text})


def _find(client: Github, issue: Issue, key: CommentKey) -> IssueComment | None:
    """The step's comment. One of 1.0 is the step's only where no other step has the same claim to it."""
    former: list[IssueComment] = []
    is_claimed = key.is_repeated
    login: str | None = None
    asked = False
    for comment in issue.get_comments():
        body = comment.body or ""
        there = read_marker(body)
        if there is None and not body.startswith(former_marker(key.former)):
            continue
        if not asked:
            login, asked = _login(client), True
        # GitHub names no user of a comment whose account is gone.
        author = comment.user
        if author is None or (author.login != login and not (login is None and author.type == "Bot")):
            continue
        if there is None:
            former.append(comment)
        elif there.key == key.digest:
            return comment
        else:
            is_claimed |= there.former == key.former_digest
    return former[0] if len(former) == 1 and not is_claimed else None


def _login(client: Github) -> str | None:
    """Whose token it is; None for that of a workflow or an app, which may not ask, and whose comments are of a bot."""
    from github import GithubException

    try:
        return client.get_user().login
    except GithubException as error:
        if error.status in (401, 403, 404):
            return None
        raise


def _refused(error: Any) -> CommentError:
    refused = refusal(int(error.status or 0), error.data, error.headers, permission="pull-requests: write")
    kind = CommentForbiddenError if refused.is_permission else CommentError
    return kind(refused.said, refused.advice or _SUMMARY_HAS_IT)
