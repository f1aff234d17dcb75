"""The head of a pull request that an event names without it, looked up at GitHub."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import httpx
import tenacity

from dbt_cloud_run import __version__
from dbt_cloud_run.clock import Clock
from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.github.events import PullRequest, pull_request_head
from dbt_cloud_run.github.refusals import refusal
from dbt_cloud_run.network.session import open_session

_TIMEOUT: Final = httpx.Timeout(15.0, connect=5.0)
_LONGEST: Final = 30.0  # seconds of one request in all: a body that trickles is never silent
_ATTEMPTS: Final = 3
_LARGEST: Final = 8 * 1024 * 1024  # bytes of an answer
_PERMISSION: Final = "pull-requests: read"


class _TryAgain(Exception):  # noqa: N818 - it is caught here
    pass


async def look_up_head(
    subject: PullRequest, *, token: str | None, api_url: str, repository: str, clock: Clock
) -> PullRequest:
    """The pull request with its head and whether it is open now, or with the reason why the head is not known.

    One GET, tried three times.

    Raises:
        Interrupted: a signal came while it waited.
    """
    if not token:
        return _unknown(subject, "github-token is empty")
    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_exponential(multiplier=1, max=4),
        sleep=clock.sleep,
        retry=tenacity.retry_if_exception_type(_TryAgain),
        reraise=True,
    )
    url = f"{api_url.rstrip('/')}/repos/{quote(repository)}/pulls/{subject.number}"
    try:
        async with open_session(os.environ, timeout=_TIMEOUT, follow_redirects=False) as http:
            return await retrying(_once, http, url, token, subject, repository)
    except ConfigError as error:
        return _unknown(subject, str(error).rstrip("."))
    except _TryAgain as error:
        return _unknown(subject, str(error))


async def _once(http: httpx.AsyncClient, url: str, token: str, subject: PullRequest, repository: str) -> PullRequest:
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "User-Agent": f"dbt-cloud-run/{__version__}",
    }
    try:
        async with asyncio.timeout(_LONGEST), http.stream("GET", url, headers=headers) as response:
            content = b""
            async for part in response.aiter_bytes():
                content += part
                if len(content) > _LARGEST:
                    return _unknown(subject, "GitHub's answer is too large to be that of a pull request")
    except TimeoutError:
        raise _TryAgain(f"GitHub's API did not finish its answer within {_LONGEST:.0f} s") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        return _unknown(subject, "GITHUB_API_URL is not a URL")
    except httpx.HTTPError as error:
        # The message of an error may hold an address; its kind says enough.
        raise _TryAgain(f"GitHub's API could not be reached ({type(error).__name__})") from None
    if response.status_code >= 500:
        raise _TryAgain(f"GitHub answered HTTP {response.status_code}")
    return _read(response.status_code, response.headers, _json(content), subject, repository)


def _read(status: int, headers: Mapping[str, str], answer: Any, subject: PullRequest, repository: str) -> PullRequest:
    if not 200 <= status < 300:
        refused = refusal(status, answer, headers, permission=_PERMISSION)
        return _unknown(subject, f"{refused.said} {refused.advice}".strip().rstrip("."))
    if not isinstance(answer, dict) or answer.get("number") != subject.number:
        return _unknown(subject, "GitHub's answer is not the pull request's")
    head = pull_request_head(answer, repository)
    if isinstance(head, str):
        return _unknown(subject, f"GitHub's answer {head}")
    return replace(subject, head=head, is_open=answer.get("state") == "open")


def _json(content: bytes) -> Any:
    try:
        return httpx.Response(200, content=content).json()
    except (ValueError, RecursionError):
        return None


def _unknown(subject: PullRequest, why: str) -> PullRequest:
    return replace(subject, why_no_head=why)
