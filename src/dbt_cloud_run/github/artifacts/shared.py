"""What the parts of the artifact upload share: their errors, and when something is tried again, after which waits."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import httpx
import tenacity

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.errors import ActionError

_logger = logging.getLogger(__name__)

ATTEMPTS: Final = 5
RETRYABLE_STATUSES: Final = frozenset({429, 500, 502, 503, 504})  # the official client's
LARGEST_ANSWER: Final = 1024 * 1024  # bytes, unpacked
AZURE_ERROR: Final = "x-ms-error-code"
UPLOAD_ELSEWHERE: Final = "The files are in the workspace: a later step with actions/upload-artifact can upload them."
_FIRST_WAIT: Final = 3.0  # seconds
_WAIT_FACTOR: Final = 1.5

T = TypeVar("T")


class ArtifactUploadError(ActionError):
    """The workflow artifact could not be uploaded. The verdict does not depend on it."""

    code = "upload-failed"
    remedy = "The files are in the workspace: a later step with actions/upload-artifact can upload them."


class ArtifactNameTakenError(ArtifactUploadError):
    """This workflow run already has an artifact of that name."""

    code = "artifact-name-taken"
    remedy = "Set another `artifact-name`, such as one with the name of the matrix job in it."


class ArtifactUploadUnavailable(ArtifactUploadError):  # noqa: N818 - it says that there is nothing to upload to
    """No artifact service that the action can upload to is available, such as on GitHub Enterprise Server."""

    code = "upload-unavailable"
    remedy = "Set `upload-artifact: false`, and upload the files of the workspace in another way."


class TryAgain(Exception):  # noqa: N818 - it is caught here, or right where a call was given up
    """An attempt failed in a way that may pass."""


def unreached(error: httpx.RequestError) -> TryAgain:
    """The same without the request, whose address may hold a signature."""
    return TryAgain(f"{type(error).__name__} {error}".strip())


async def answer_of(http: httpx.AsyncClient, method: str, url: str, **options: Any) -> httpx.Response:
    """Send a request; the answer has its status, its content and Azure's word for an error.

    Raises:
        TryAgain: the answer is longer than `LARGEST_ANSWER`. And what httpx raises.
    """
    content = bytearray()
    async with http.stream(method, url, **options) as response:
        async for part in response.aiter_bytes():
            content += part
            if len(content) > LARGEST_ANSWER:
                raise TryAgain(f"the answer is longer than {LARGEST_ANSWER:,} bytes")
    error = response.headers.get(AZURE_ERROR, "")
    return httpx.Response(response.status_code, headers={AZURE_ERROR: error}, content=bytes(content))


async def retried(attempt: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Call up to five times, with the official client's waits: 3 s, then random ones that grow by half.

    Raises:
        TryAgain: of the last attempt. Any other error ends it at once.
        Interrupted: a signal came while it waited.
    """
    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=_wait,
        sleep=clock.sleep,
        retry=tenacity.retry_if_exception_type(TryAgain),
        before_sleep=_note,
        reraise=True,
    )
    return await retrying(attempt)


def _note(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    _logger.info(
        "The artifact upload failed (%s): repeating it in %.0f s, %d of %d.",
        error,
        state.upcoming_sleep,
        state.attempt_number + 1,
        ATTEMPTS,
    )


def _wait(state: tenacity.RetryCallState) -> float:
    if state.attempt_number == 1:
        return _FIRST_WAIT
    shortest = _FIRST_WAIT * _WAIT_FACTOR ** (state.attempt_number - 1)
    return random.uniform(shortest, shortest * _WAIT_FACTOR)  # noqa: S311 - spreads load, guards nothing
