"""Azure block blobs behind one signed address, as far as an upload needs them. The runner's token never comes here."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote, unquote, urlsplit
from uuid import uuid4

import httpx

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.github.artifacts.limits import Flow
from dbt_cloud_run.github.artifacts.shared import (
    ATTEMPTS,
    AZURE_ERROR,
    RETRYABLE_STATUSES,
    UPLOAD_ELSEWHERE,
    ArtifactUploadError,
    TryAgain,
    answer_of,
    retried,
    unreached,
)

_PIECE: Final = 64 * 1024  # bytes that are handed to the connection at once
_API_VERSION: Final = "2020-10-02"
_TIMEOUT: Final = httpx.Timeout(300.0, connect=15.0)


def signatures(signed_url: str) -> tuple[str, ...]:
    """The secret of a signed address as it may be seen: as it stands there, decoded, and encoded again."""
    pairs = (part.partition("=") for part in urlsplit(signed_url).query.split("&"))
    raw = [value for name, _, value in pairs if name.lower() == "sig" and value]
    forms = [form for value in raw for form in (value, unquote(value), quote(unquote(value), safe=""))]
    return tuple(dict.fromkeys(forms))


class BlobClient:
    """Uploads one blob. Blocks go one after another, since some servers append them as they arrive."""

    def __init__(self, http: httpx.AsyncClient, signed_url: str, *, clock: Clock, flow: Flow) -> None:
        self._flow = flow
        self._url = signed_url
        self._joint = "&" if urlsplit(signed_url).query else "?"
        self._clock = clock
        self._http = http

    async def upload(self, blocks: AsyncIterator[bytes], content_type: str) -> None:
        """Upload these blocks as one blob, each as soon as it is there.

        Raises:
            ArtifactUploadError: a block was refused, or failed five times.
        """
        prefix = str(uuid4())
        ids: list[str] = []
        while block := await self._flow.idle(anext(blocks, b"")):
            ids.append(base64.b64encode(f"{prefix}{len(ids):012d}".encode()).decode())  # Azure wants equal lengths
            query = f"comp=block&blockid={quote(ids[-1], safe='')}"
            await self._put(query, block, {"Content-Type": "application/octet-stream"})
        latest = "".join(f"<Latest>{block_id}</Latest>" for block_id in ids)
        body = f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?><BlockList>{latest}</BlockList>'
        headers = {"Content-Type": "application/xml", "x-ms-blob-content-type": content_type}
        await self._put("comp=blocklist", body.encode(), headers)

    async def _put(self, query: str, content: bytes, headers: dict[str, str]) -> None:
        # Joined as text: the signature covers the query as it was given.
        url = f"{self._url}{self._joint}{query}"
        headers = {"x-ms-version": _API_VERSION, "Content-Length": str(len(content)), **headers}

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(content), _PIECE):
                yield content[start : start + _PIECE]
                self._flow.moved()

        async def attempt() -> None:
            try:
                response = await answer_of(self._http, "PUT", url, content=pieces(), headers=headers, timeout=_TIMEOUT)
            except (httpx.UnsupportedProtocol, httpx.InvalidURL):
                message = "GitHub's artifact service returned an address that cannot be used."
                raise ArtifactUploadError(message, UPLOAD_ELSEWHERE) from None
            except httpx.RequestError as error:
                raise unreached(error) from None
            if response.is_success:
                self._flow.finished(len(content))
                return
            what = f"HTTP {response.status_code} {response.headers[AZURE_ERROR][:100]}".strip()
            if response.status_code in RETRYABLE_STATUSES:
                raise TryAgain(what)
            message = f"The storage of GitHub's artifacts refused the upload: {what}."
            raise ArtifactUploadError(message, UPLOAD_ELSEWHERE)

        try:
            await retried(attempt, self._clock)
        except TryAgain as error:
            message = f"The upload to the storage of GitHub's artifacts failed {ATTEMPTS} times: {error}."
            raise ArtifactUploadError(message, UPLOAD_ELSEWHERE) from None
