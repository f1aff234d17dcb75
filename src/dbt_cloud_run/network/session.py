"""An HTTP session with any hosts, each reached by the environment's proxies and verified by its authorities."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

import httpx

from dbt_cloud_run.network.certificates import tls_context
from dbt_cloud_run.network.proxies import proxy_for


def open_session(environ: Mapping[str, str], **options: Any) -> httpx.AsyncClient:
    """A client of httpx; `options` are its own. Raises `ConfigError` for an authority that cannot be used.

    A proxy variable that cannot be used raises `ConfigError` from the request that would need it.
    """
    return httpx.AsyncClient(transport=_Routed(environ, tls_context(environ)), trust_env=False, **options)


class _Routed(httpx.AsyncBaseTransport):
    """One connection pool for each way. It is chosen by request: a signed address may be of another host."""

    def __init__(self, environ: Mapping[str, str], verify: ssl.SSLContext) -> None:
        self._environ = dict(environ)
        self._verify = verify
        self._ways: dict[tuple[str, str], httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        proxy = proxy_for(str(request.url), self._environ)
        key = (str(proxy.url), str(proxy.raw_auth)) if proxy else ("", "")
        if key not in self._ways:
            self._ways[key] = httpx.AsyncHTTPTransport(verify=self._verify, proxy=proxy)
        return await self._ways[key].handle_async_request(request)

    async def aclose(self) -> None:
        for way in self._ways.values():
            await way.aclose()
