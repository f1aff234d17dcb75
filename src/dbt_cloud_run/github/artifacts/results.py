"""The artifact service of GitHub, `github.actions.results.api.v1`, as far as an upload needs it.

It has no public description: this follows what the official client sends and reads. JSON over Twirp, field names in
snake_case (answers may be in camelCase), 64-bit integers as strings.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.github.artifacts.blob import signatures
from dbt_cloud_run.github.artifacts.limits import Flow
from dbt_cloud_run.github.artifacts.shared import (
    ATTEMPTS,
    RETRYABLE_STATUSES,
    UPLOAD_ELSEWHERE,
    ArtifactNameTakenError,
    ArtifactUploadError,
    ArtifactUploadUnavailable,
    TryAgain,
    answer_of,
    retried,
    unreached,
)

_SERVICE: Final = "twirp/github.actions.results.api.v1.ArtifactService"
_VERSION: Final = 4  # of artifacts that are zip files uploaded in blocks; compatible servers know no newer one
_TIMEOUT: Final = httpx.Timeout(60.0, connect=15.0)


@dataclass(frozen=True, slots=True)
class Backend:
    """The service as this job reaches it; `origin` is scheme and host, the ids are of this run and job."""

    origin: str
    run_id: str
    job_id: str
    token: str = field(repr=False)

    @classmethod
    def from_runner(cls, results_url: str | None, token: str | None) -> Backend:
        """Read what the runner gave.

        Raises:
            ArtifactUploadUnavailable: it is missing, or the token does not name this job.
        """
        if not results_url or not token:
            message = (
                "This runner offers no artifact service (ACTIONS_RESULTS_URL or ACTIONS_RUNTIME_TOKEN is missing)."
            )
            raise ArtifactUploadUnavailable(message, UPLOAD_ELSEWHERE)
        parts = urlsplit(results_url)
        scope = _scope(token)
        if scope is None or parts.scheme not in ("http", "https") or not parts.netloc:
            message = "The runner's artifact service cannot be used: its address or its token has an unknown form."
            raise ArtifactUploadUnavailable(message, UPLOAD_ELSEWHERE)
        return cls(f"{parts.scheme}://{parts.netloc}", *scope, token)


def _scope(token: str) -> tuple[str, str] | None:
    # Checking the signature is the service's business; the ids are in a scope `Actions.Results:<run>:<job>`.
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        scopes = claims["scp"].split()
    except (IndexError, ValueError, KeyError, TypeError, AttributeError):
        return None
    for scope in scopes:
        name, *ids = scope.split(":")
        if name == "Actions.Results" and len(ids) == 2 and all(ids):
            return ids[0], ids[1]
    return None


class ResultsClient:
    """The calls of the service, each tried up to five times."""

    def __init__(
        self, http: httpx.AsyncClient, backend: Backend, *, clock: Clock, mask: Callable[[str], None], flow: Flow
    ) -> None:
        self._backend = backend
        self._flow = flow
        self._clock = clock
        self._mask = mask
        self._http = http

    async def create(self, name: str, *, expires_at: str | None) -> str:
        """Announce an artifact; returns the signed address that takes the blob. Its signature is masked by then.

        Raises:
            ArtifactUploadError: refused, also because the name is taken.
        """
        fields: dict[str, Any] = {"name": name, "version": _VERSION}
        if expires_at is not None:
            fields["expires_at"] = expires_at
        answer = await self._call("CreateArtifact", fields)
        url = answer.get("signed_upload_url") or answer.get("signedUploadUrl")
        if not answer.get("ok") or not isinstance(url, str):
            raise ArtifactUploadError("GitHub's artifact service returned no address to upload to.", UPLOAD_ELSEWHERE)
        for form in signatures(url):
            self._mask(form)
        return url

    async def finalize(self, name: str, *, size: int, sha256: str) -> int:
        """Finish an artifact whose blob is there; returns its id. `size` in bytes, `sha256` in hexadecimal digits.

        Raises:
            ArtifactUploadError: refused.
        """
        fields = {"name": name, "size": str(size), "hash": f"sha256:{sha256}"}
        answer = await self._call("FinalizeArtifact", fields, lost=lambda: self._find(name, size))
        number = str(answer.get("artifact_id") or answer.get("artifactId"))
        if not answer.get("ok") or not number.isdecimal():
            raise ArtifactUploadError("GitHub's artifact service did not accept the artifact.", UPLOAD_ELSEWHERE)
        return int(number)

    async def _find(self, name: str, size: int) -> dict[str, Any] | None:
        """What `FinalizeArtifact` would have answered, if the artifact is there."""
        answer = await self._call("ListArtifacts", {"name_filter": name})
        artifacts = answer.get("artifacts")
        listed = artifacts if isinstance(artifacts, list) else []
        for artifact in (one for one in listed if isinstance(one, dict)):
            number = artifact.get("database_id") or artifact.get("databaseId")
            if number and artifact.get("name") == name and str(artifact.get("size")) == str(size):
                return {"ok": True, "artifact_id": number}
        return None

    async def _call(
        self,
        method: str,
        fields: dict[str, Any],
        lost: Callable[[], Awaitable[dict[str, Any] | None]] | None = None,
    ) -> dict[str, Any]:
        attempts = 0

        async def attempt() -> dict[str, Any]:
            nonlocal attempts
            attempts += 1
            return await self._post(method, fields)

        try:
            return await retried(attempt, self._clock)
        except (ArtifactUploadError, TryAgain) as error:
            # It may be done, with only the answer lost, and then it is the repetition that was refused.
            if attempts > 1 and lost is not None and (answer := await lost()):
                return answer
            if isinstance(error, ArtifactUploadError):
                raise
            message = f"GitHub's artifact service failed {ATTEMPTS} times at {method}: {error}."
            raise ArtifactUploadError(message, UPLOAD_ELSEWHERE) from None

    async def _post(self, method: str, fields: dict[str, Any]) -> dict[str, Any]:
        backend = self._backend
        ids = {"workflow_run_backend_id": backend.run_id, "workflow_job_run_backend_id": backend.job_id}
        headers = {"Authorization": f"Bearer {backend.token}"}
        try:
            url = f"{backend.origin}/{_SERVICE}/{method}"
            body = {**ids, **fields}
            response = await answer_of(self._http, "POST", url, json=body, headers=headers, timeout=_TIMEOUT)
        except httpx.InvalidURL:
            raise ArtifactUploadUnavailable("ACTIONS_RESULTS_URL is not a URL.", UPLOAD_ELSEWHERE) from None
        except httpx.RequestError as error:
            raise unreached(error) from None
        self._flow.moved()
        return _checked(response, method, str(fields.get("name", "")))


def _checked(response: httpx.Response, method: str, name: str) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    is_object = isinstance(answer, dict)
    if response.is_success and is_object:
        return dict(answer)
    said = " ".join(str(answer.get("msg") or answer.get("error") or "").split())[:300] if is_object else ""
    if "insufficient usage" in said.lower():
        message = f"GitHub accepts no artifact: {said}."
        raise ArtifactUploadError(message, "The storage quota is used up: delete old artifacts, or raise the quota.")
    if response.status_code == 409:
        message = f"This workflow run already has an artifact named '{name}'."
        raise ArtifactNameTakenError(
            message, "Give every step, and every job of a matrix, an artifact-name of its own."
        )
    if response.is_success:
        raise TryAgain("the answer is not a JSON object")
    what = f"HTTP {response.status_code} {said}".strip()
    if response.status_code in RETRYABLE_STATUSES:
        raise TryAgain(what)
    raise ArtifactUploadError(f"GitHub's artifact service refused {method}: {what}.", UPLOAD_ELSEWHERE)
