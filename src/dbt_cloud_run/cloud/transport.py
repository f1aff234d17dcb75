"""The HTTP session with one host: its certificates and proxies, and which failures mean that nothing was received."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx

from dbt_cloud_run import __version__
from dbt_cloud_run.clock import announced
from dbt_cloud_run.cloud.abridging import Abridging
from dbt_cloud_run.cloud.answers import error_for, http_date, unwrap
from dbt_cloud_run.cloud.errors import (
    Ambiguous,
    CloudError,
    NotReceived,
    TooLarge,
    Unreadable,
    UntrustedCertificate,
    WrongHost,
)
from dbt_cloud_run.cloud.inflating import Inflating
from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.network.certificates import tls_context
from dbt_cloud_run.network.proxies import proxy_for, proxy_variable
from dbt_cloud_run.redaction import Secret, forms, redact

_logger = logging.getLogger(__name__)  # shown where the runner asks for debug lines; no header is logged

MAX_JSON_BYTES = 64 * 1024 * 1024  # kept in memory of an answer that is JSON; artifacts go to disk
MAX_ERROR_BYTES = 1024 * 1024  # read of an answer that is an error
UNQUESTIONED_JSON = 256 * 1024 * 1024  # as `UNQUESTIONED`: more, since what is not kept takes no memory
SLOWEST = 1024.0  # bytes a second, over the time of one read: a body that comes more slowly never ends
_KEEP_ALIVE_SECONDS = 90.0  # longer than the longest interval between two polls
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NOT_RECEIVED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class Transport:
    """A keep-alive session with `base_url` (scheme, host, port). The token goes there alone: no redirect is followed.

    The runner's proxy variables are honoured, except for plain http, which is for loopback only and must not leave the
    machine. Raises `ConfigError` for a token, URL, proxy or CA bundle that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        token: Secret,
        monotonic: Callable[[], float],
        *,
        connect_timeout: float,
        read_timeout: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        self.host = parts.hostname or ""
        plain = parts.scheme == "http"
        if not self.host or parts.scheme not in ("http", "https") or (plain and self.host not in _LOOPBACK):
            raise ConfigError(f"{base_url} is not an https URL of a host.", "http is for loopback only.")
        secret = token.reveal()
        if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
            raise ConfigError(
                "`api-token` has characters that no dbt Cloud token has.",
                "Copy it again, without quotes or line breaks.",
            )
        self._monotonic = monotonic
        self._seen: tuple[datetime, float] | None = None  # the server's time, and ours then
        self._secret = secret
        self._read_timeout = read_timeout
        self._total_timeout = connect_timeout + 2 * read_timeout
        self._proxy = "" if plain else proxy_variable(base_url, os.environ)
        try:
            self._http = httpx.AsyncClient(
                base_url=f"{parts.scheme}://{parts.netloc}",
                headers={
                    "Authorization": f"Token {secret}",
                    "User-Agent": f"dbt-cloud-run/{__version__}",
                    "Accept-Encoding": "gzip",  # what is inflated within bounds here, and httpx would not
                },
                timeout=httpx.Timeout(read_timeout, connect=connect_timeout),
                limits=httpx.Limits(max_connections=16, keepalive_expiry=_KEEP_ALIVE_SECONDS),
                # A context without any CA: nothing is verified over plain http, and nothing else may be spoken.
                verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else tls_context(os.environ),
                proxy=None if plain else proxy_for(base_url, os.environ),
                trust_env=False,
                follow_redirects=False,
                transport=transport,
            )
        except (ValueError, httpx.InvalidURL) as error:
            raise ConfigError(f"A session with {self.host} cannot be made: {type(error).__name__}.") from error

    async def aclose(self) -> None:
        """Close the session."""
        await self._http.aclose()

    def server_now(self) -> datetime | None:
        """The server's own time, by its last answer; None as long as none has named it."""
        if self._seen is None:
            return None
        date, at = self._seen
        return date + timedelta(seconds=max(self._monotonic() - at, 0.0))

    async def call(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        """One request, and the `data` of its answer. Raises `CloudError`s only."""
        request, began = f"{method} {path}", time.monotonic()
        async with (
            self._failures(request),
            asyncio.timeout(self._total_timeout),
            announced(_logger, f"Waiting for the answer of {self.host} to {request}."),
            self._http.stream(
                method, path, params=params, json=body, headers={"Accept": "application/json"}
            ) as response,
        ):
            self._see(response)
            content = await _read(response, request)
        _log_request(request, params, response, began)
        with self._scrubbed():
            return unwrap(response.status_code, response.headers, content, request=request, host=self.host)

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[bytes]]]:
        """GET something that is read piece by piece: the answer, and its body as it comes, compressed or not.

        Raises `CloudError`s, also when it breaks off half-way or hardly moves.
        """
        request, began = f"GET {path}", time.monotonic()
        async with self._failures(request), contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(self._total_timeout):
                response = await stack.enter_async_context(
                    self._http.stream("GET", path, params=params, headers={"Accept": "*/*"})
                )
                self._see(response)
                if not 200 <= response.status_code < 300:
                    content = await _read(response, request)
                    with self._scrubbed():
                        raise error_for(
                            response.status_code, response.headers, content, request=request, host=self.host
                        )
            if response.status_code == httpx.codes.PARTIAL_CONTENT:
                raise Unreadable(f"{self.host} answered 206 to {request}: only a part of the content.")
            yield response, self._pieces(response)
        _log_request(request, params, response, began)

    async def _pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """The body as it comes. Raises `TimeoutError` where it comes too slowly: a silence is httpx's own business."""
        since, count = time.monotonic(), 0
        async for piece in _raw(response):
            yield piece
            count += len(piece)
            window = time.monotonic() - since
            if window >= self._read_timeout:
                if count < SLOWEST * window:
                    raise TimeoutError
                since, count = time.monotonic(), 0

    def _see(self, response: httpx.Response) -> None:
        date = http_date(response.headers.get("date", ""))
        if date is not None:
            self._seen = date, self._monotonic()

    @contextlib.asynccontextmanager
    async def _failures(self, request: str) -> AsyncIterator[None]:
        try:
            yield
        except TimeoutError as error:
            _logger.debug("%s: not answered in time", request)
            raise Ambiguous(f"{self.host} did not finish its answer to {request} in time.") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ssl.SSLError) as error:
            self._raise_for(error, request)

    def _raise_for(self, error: Exception, request: str) -> NoReturn:
        why = _why(error)
        _logger.debug("%s: %s", request, why)
        if isinstance(error, _NOT_RECEIVED):
            advice = "Check `host`, and the runner's network and proxy."
            kind = WrongHost if _is_wrong_host(error) else NotReceived
            if _is_untrusted(error):
                advice = "If the runner's network has a CA of its own, name its PEM file in SSL_CERT_FILE."
                kind = UntrustedCertificate
            what = f"{self.host} could not be reached"
            if self._proxy and isinstance(error, httpx.ProxyError):
                what = f"The proxy that {self._proxy} names did not connect to {self.host}"
            elif self._proxy and _is_unconnected(error):
                # Every connection goes to the proxy.
                what = (
                    f"The proxy that {self._proxy} names, by which {self.host} is to be reached, could not be reached"
                )
            if not what.startswith(self.host):
                advice = f"Check {self._proxy} and NO_PROXY in the environment of this step and of its runner."
            raise kind(f"{what} for {request}: {why}.", advice) from error
        if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.InvalidURL):
            raise ConfigError(f"{request} could not be sent: {type(error).__name__}.") from error
        if isinstance(error, httpx.DecodingError):
            raise Unreadable(f"The answer of {self.host} to {request} could not be decompressed.") from error
        raise Ambiguous(f"The connection to {self.host} broke during {request}: {why}.") from error

    @contextlib.contextmanager
    def _scrubbed(self) -> Iterator[None]:
        """A server that repeats the token in an error must not bring it into a log."""
        try:
            yield
        except CloudError as error:
            error.message = redact(error.message, forms(self._secret))
            error.args = (error.message,)
            raise


def _log_request(request: str, params: Mapping[str, str] | None, response: httpx.Response, began: float) -> None:
    asked = " ".join(f"{name}={value}" for name, value in (params or {}).items())
    took = time.monotonic() - began
    _logger.debug("%s %s: HTTP %s after %.2f s", request, asked, response.status_code, took)


def _why(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}".rstrip(": ") if text else type(error).__name__


def _is_untrusted(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


def _is_unconnected(error: BaseException | None) -> bool:
    """Whether there was no connection at all, rather than one that broke or did not become a secure one."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error is not None and not isinstance(error, ssl.SSLError | ConnectionResetError | BrokenPipeError)


def _is_wrong_host(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, socket.gaierror | ssl.SSLError):
        error = error.__cause__ or error.__context__
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_NONAME
    return error is not None and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError)


def encoding_of(response: httpx.Response) -> str:
    """The encoding in which `Transport.stream` hands out the body."""
    # A transport that makes whole answers, without a connection, has decoded them.
    return "" if response.is_stream_consumed else response.headers.get("content-encoding", "")


async def _raw(response: httpx.Response) -> AsyncIterator[bytes]:
    if response.is_stream_consumed:
        yield response.content
        return
    async for piece in response.aiter_raw():
        yield piece


async def _read(response: httpx.Response, request: str) -> bytes:
    """The body of an answer that is JSON, with its long strings cut to their end; of an error, only how it begins."""
    is_error = not 200 <= response.status_code < 300
    inflating = Inflating(encoding_of(response), unquestioned=UNQUESTIONED_JSON)
    kept = Abridging(MAX_JSON_BYTES)
    async for piece in _raw(response):
        for chunk in inflating.feed(piece):
            kept.feed(chunk)
            if is_error and kept.size > MAX_ERROR_BYTES:
                return kept.finish()
            if kept.size > MAX_JSON_BYTES:
                raise TooLarge(
                    f"The answer to {request} is larger than {MAX_JSON_BYTES // 2**20} MiB, without its logs."
                )
    inflating.finish()
    return kept.finish()
