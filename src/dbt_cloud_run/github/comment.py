"""One comment on a pull request for each job, found again by a hidden marker and updated in place.

Through PyGithub, which is imported only here and only when called, and blocks: call it in a thread.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from dbt_cloud_run.errors import ActionError
from dbt_cloud_run.github.text import cut

if TYPE_CHECKING:
    from github import Github
    from github.Issue import Issue
    from github.IssueComment import IssueComment

BODY_LIMIT: Final = 65_536
"""Characters of a comment, the marker included."""
_TIMEOUT: Final = 20  # seconds, of one request
_RETRIES: Final = 3
_SUMMARY_HAS_IT: Final = "The job summary holds the same report."


class CommentError(ActionError):
    """The comment could not be written. Never a reason to fail a run that went well."""


class CommentForbiddenError(CommentError):
    """The token may not read or write comments of this pull request."""


@dataclass(frozen=True, slots=True)
class PostedComment:
    """A comment as it is now; `created`: it was not there before."""

    id: int
    url: str
    created: bool


def marker(key: str) -> str:
    """The hidden line by which the comment of a job is found again."""
    return f"<!-- dbt-cloud-run: {quote(key, safe='')} -->"


def upsert_comment(
    *, token: str, api_url: str, repository: str, number: int, key: str, body: str, create: bool
) -> PostedComment | None:
    """Update the comment of the job `key` on the pull request `number`, or create it if it is not there and `create`.

    Comments of other authors are never touched, whatever they contain. A body over `BODY_LIMIT` is cut bluntly: cut it
    sensibly before. None: there is no comment, and none was asked for.

    Raises:
        CommentForbiddenError: the token lacks the permission.
        CommentError: GitHub could not be reached, or refused the comment.
    """
    from github import GithubException

    start = marker(key)
    text = cut(f"{start}\n{body}", BODY_LIMIT)
    client = _client(token, api_url)
    try:
        issue = client.get_repo(repository).get_issue(number)
        comment = _find(client, issue, start)
        if comment is None and not create:
            return None
        if comment is None:
            new = issue.create_comment(text)
            return PostedComment(new.id, new.html_url, created=True)
        comment.edit(text)
        return PostedComment(comment.id, comment.html_url, created=False)
    except GithubException as error:
        raise _refused(error) from None
    except OSError as error:  # those of requests are of this kind, and so is a missing CA bundle
        message = f"GitHub's API could not be reached for the comment: {type(error).__name__}."
        raise CommentError(message, _SUMMARY_HAS_IT) from None
    except Exception as error:  # PyGithub raises what comes up when an answer is not of the form that it expects
        message = f"GitHub's API gave an answer that was not understood: {type(error).__name__}."
        raise CommentError(message, _SUMMARY_HAS_IT) from None
    finally:
        client.close()


def _client(token: str, api_url: str) -> Github:
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
    # requests does not know SSL_CERT_FILE, which the rest of the action honours.
    ca_file = None if os.environ.get("REQUESTS_CA_BUNDLE") else os.environ.get("SSL_CERT_FILE")
    return Github(
        auth=Auth.Token(token),
        base_url=api_url.rstrip("/"),
        timeout=_TIMEOUT,
        retry=retry,
        per_page=100,
        seconds_between_requests=None,
        seconds_between_writes=None,
        verify=ca_file or True,
        lazy=True,
    )


def _find(client: Github, issue: Issue, start: str) -> IssueComment | None:
    login: str | None = None
    asked = False
    for comment in issue.get_comments():
        if not (comment.body or "").startswith(start):
            continue
        if not asked:
            login, asked = _login(client), True
        if comment.user.login == login or (login is None and comment.user.type == "Bot"):
            return comment
    return None


def _login(client: Github) -> str | None:
    """Whose token it is; None for that of a workflow or an app, which may not ask, and whose comments are of a bot."""
    from github import GithubException

    try:
        return client.get_user().login
    except GithubException as error:
        if error.status in (401, 403, 404):
            return None
        raise


def _refused(error: Exception) -> CommentError:
    status = int(getattr(error, "status", 0))
    if status in (401, 403, 404):
        return CommentForbiddenError(
            f"it was refused with HTTP {status}.",
            "github-token needs the permission 'pull-requests: write'; on pull requests from forks and from Dependabot"
            " it may only read.",
        )
    data = getattr(error, "data", None)
    said = str(data.get("message", "")) if isinstance(data, dict) else ""
    what = f"HTTP {status} {' '.join(said.split())[:200]}".strip()
    return CommentError(f"{what}.", _SUMMARY_HAS_IT)
