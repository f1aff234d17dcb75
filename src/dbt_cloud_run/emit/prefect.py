"""Asset materializations as Prefect's events, to a server or to Prefect Cloud.

Names and labels are those of prefect-dbt 0.7 (`prefect_dbt.cloud.jobs`), which has no counterpart for a failure; the
API is "Create Events" of docs.prefect.io, which takes a list of events and ignores those whose id it knows.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from dbt_cloud_run.assets.asset import Asset
from dbt_cloud_run.clock import Clock
from dbt_cloud_run.emit.emission import Emission
from dbt_cloud_run.emit.sink import NotSentError, Progress
from dbt_cloud_run.network.session import open_session

SUCCEEDED: Final = "prefect.asset.materialization.succeeded"
FAILED: Final = "prefect.asset.materialization.failed"
LONGEST_DESCRIPTION: Final = 2500
"""Characters of a description, of which Prefect allows no more; of a message, too."""
MOST_RELATED: Final = 100
"""Related resources of one event, of which Prefect's servers allow no more by default."""
BATCH: Final = 50
"""Events in one request."""

_TIMEOUT: Final = 15.0  # seconds, of one request
_TRIES: Final = 4


async def send(emission: Emission, environ: Mapping[str, str], clock: Clock, progress: Progress) -> None:
    """Send one event for each materialization of this step, and for each that failed."""
    url = _api_url(environ)
    progress.place = f"Prefect ({urlsplit(url).hostname})"
    events = list(events_of(emission))
    progress.total = len(events)
    if not events:
        return
    async with open_session(environ, headers=_headers(environ), timeout=_TIMEOUT) as session:
        for start in range(0, len(events), BATCH):
            batch = events[start : start + BATCH]
            await _post(session, f"{url}/events", batch, clock)
            progress.sent += len(batch)


def events_of(emission: Emission) -> Iterator[dict[str, Any]]:
    """The events in the form of Prefect's API: first those that succeeded, then those that failed."""
    for asset in emission.built:
        yield _event(SUCCEEDED, asset, emission, {})
    for asset in emission.failed:
        yield _event(FAILED, asset, emission, {"message": _cut(emission.message(asset.unique_id))})


def _event(event: str, asset: Asset, emission: Emission, more: Mapping[str, Any]) -> dict[str, Any]:
    attempt = emission.attempt(asset.run_id)
    name = f"{emission.base_url}/runs/{asset.run_id}/{asset.step}/{asset.unique_id}/{event}"
    occurred = asset.completed_at or attempt.finished_at or datetime.now(UTC)
    payload = {
        "unique_id": asset.unique_id,
        "resource_type": asset.resource_type,
        "materialization": asset.materialization,
        "status": asset.status,
        "execution_seconds": asset.execution_seconds,
        "rows_affected": asset.rows_affected,
        "tests": dict(asset.tests),
        "job_id": emission.job_id,
        "run_id": asset.run_id,
        "run_url": attempt.run_url,
        "attempt": asset.attempt,
        "url": asset.url,
        **more,
    }
    return {
        # The same for the same result, however often it is sent.
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
        "occurred": occurred.isoformat(),
        "event": event,
        "resource": _resource(asset, emission),
        "related": _related(asset),
        "payload": {key: value for key, value in payload.items() if value not in (None, "", {})},
    }


def _resource(asset: Asset, emission: Emission) -> dict[str, str]:
    node = emission.node(asset)
    owner = node.all_meta.get("owner") if node is not None else None
    labels = {
        "prefect.resource.id": asset.key,
        "prefect.resource.name": asset.relation_name.replace('"', "").replace("`", ""),
        "prefect.asset.description": _cut(asset.description),
        "prefect.asset.owners": json.dumps([owner]) if owner and isinstance(owner, str) else "",
    }
    return {label: text for label, text in labels.items() if text}


def _related(asset: Asset) -> list[dict[str, str]]:
    upstream = asset.upstream[: MOST_RELATED - 1]
    return [
        *({"prefect.resource.id": key, "prefect.resource.role": "asset"} for key in upstream),
        {"prefect.resource.id": "dbt", "prefect.resource.role": "asset-materialized-by"},
    ]


def _cut(text: str) -> str:
    # PostgreSQL, which a Prefect server may store events in, takes no NUL.
    return text.replace("\0", "")[:LONGEST_DESCRIPTION]


# -- sending


def _api_url(environ: Mapping[str, str]) -> str:
    text = environ.get("PREFECT_API_URL", "").strip().rstrip("/")
    example = (
        "Set it in the environment of this step to the address of the API, such as https://prefect.example.com/api or "
        "https://api.prefect.cloud/api/accounts/ACCOUNT/workspaces/WORKSPACE."
    )
    if not text:
        raise NotSentError(f"PREFECT_API_URL is not set. {example}")
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_address = False
    if not is_address:
        raise NotSentError(f"PREFECT_API_URL is not an http or https address. {example}")
    return text


def _headers(environ: Mapping[str, str]) -> dict[str, str]:
    if key := environ.get("PREFECT_API_KEY", "").strip():
        return {"Authorization": f"Bearer {key}"}
    if pair := environ.get("PREFECT_API_AUTH_STRING", "").strip():
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


async def _post(session: httpx.AsyncClient, url: str, events: list[dict[str, Any]], clock: Clock) -> None:
    def give_up(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        raise NotSentError(_words(error)) from error

    retrying = AsyncRetrying(
        sleep=clock.sleep,
        retry=retry_if_exception(_may_pass),
        wait=wait_exponential_jitter(initial=1, max=10),
        stop=stop_after_attempt(_TRIES),
        retry_error_callback=give_up,
    )
    try:
        await retrying(_post_once, session, url, events)
    except httpx.HTTPError as error:
        raise NotSentError(_words(error)) from error


async def _post_once(session: httpx.AsyncClient, url: str, events: list[dict[str, Any]]) -> None:
    response = await session.post(url, json=events)
    if not response.is_success:
        raise httpx.HTTPStatusError("", request=response.request, response=response)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


def _words(error: BaseException | None) -> str:
    if not isinstance(error, httpx.HTTPStatusError):
        return f"The server at PREFECT_API_URL cannot be reached: {error or type(error).__name__}."
    status = error.response.status_code
    if status in (401, 403):
        return f"The server answered {status}: it does not accept PREFECT_API_KEY or PREFECT_API_AUTH_STRING."
    if status == 404:
        return "The server answered 404: PREFECT_API_URL is not the address of Prefect's API, which ends in /api."
    body = " ".join(error.response.text.split())[:200]
    return f"The server answered {status}: {body}" if body else f"The server answered {status}."
