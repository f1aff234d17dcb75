"""A connection to dbt Cloud: certificate authorities, proxies, and the hosts and tokens that are refused."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from standins.cloud_server import ACCOUNT, TOKEN, CloudServer, FakeClock
from tests.support.tcp_server import tcp_server

from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import Ambiguous, NotReceived
from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.network.certificates import tls_context
from dbt_cloud_run.redaction import Secret


def _https_server(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_private_ca_is_trusted_when_it_is_named(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))

    async def body() -> None:
        cloud = CloudServer()
        run = cloud.add_run(status=10)
        server = await asyncio.start_server(cloud._serve, "127.0.0.1", 0, ssl=_https_server(authority))
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with CloudClient(url, ACCOUNT, Secret(TOKEN), FakeClock()) as client:
            with pytest.raises(NotReceived, match="CERTIFICATE") as caught:
                await client.get_run(run["id"])
            assert "SSL_CERT_FILE" in caught.value.advice
        assert cloud.requests == []
        monkeypatch.setenv(variable, str(bundle))
        async with CloudClient(url, ACCOUNT, Secret(TOKEN), FakeClock()) as client:
            assert (await client.get_run(run["id"])).id == run["id"]
        server.close()
        await cloud.close()

    asyncio.run(body())


def test_a_record_that_was_damaged_on_its_way_is_no_end_of_a_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, bundle = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = _https_server(authority).wrap_bio(incoming, outgoing, server_side=True)

        async def done(act: Callable[[], object]) -> None:
            while True:
                try:
                    act()
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(65_536))
                else:
                    writer.write(outgoing.read())
                    return

        await done(tls.do_handshake)
        await done(lambda: tls.read(65_536))
        # Nothing but the end of the connection says where this body ends.
        tls.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        tls.write(b"a half of the file\n" * 1_000)
        sound = outgoing.read()
        tls.write(b"the other half\n" * 1_000)
        damaged = bytearray(outgoing.read())
        damaged[-1] ^= 1
        writer.write(sound + bytes(damaged))
        await writer.drain()

    async def body() -> None:
        async with (
            tcp_server(serve) as port,
            CloudClient(f"https://127.0.0.1:{port}", ACCOUNT, Secret(TOKEN), FakeClock()) as client,
        ):
            with pytest.raises(Ambiguous, match="BAD_RECORD_MAC"):
                await client.download(1, "compiled/orders.sql", tmp_path / "orders.sql")

    asyncio.run(body())
    assert not (tmp_path / "orders.sql").exists()


def test_a_bundle_that_is_none_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for value in (str(broken), str(tmp_path / "missing.pem")):
        with pytest.raises(ConfigError, match="REQUESTS_CA_BUNDLE"):
            tls_context({"REQUESTS_CA_BUNDLE": value})


def test_https_goes_through_the_proxy_and_loopback_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "https_proxy", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    seen: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async def body() -> None:
        async with tcp_server(proxy) as port:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
            async with CloudClient("https://ab123.us1.dbt.example", ACCOUNT, Secret(TOKEN), FakeClock()) as client:
                with pytest.raises(NotReceived, match="407"):
                    await client.get_run(1)
            async with CloudServer() as cloud:
                run = cloud.add_run(status=10)
                async with cloud.client(FakeClock()) as client:
                    await client.get_run(run["id"])

    asyncio.run(body())
    assert len(seen) == 1
    assert seen[0].startswith(b"CONNECT ab123.us1.dbt.example:443")
    assert TOKEN.encode() not in seen[0]


@pytest.mark.parametrize("url", ["http://dbt.example", "ftp://dbt.example", "https://", "dbt.example"])
def test_a_host_that_the_token_must_not_go_to(url: str) -> None:
    with pytest.raises(ConfigError):
        CloudClient(url, ACCOUNT, Secret(TOKEN), FakeClock())


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "tökén"])
def test_a_token_that_is_no_header_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CloudClient("https://dbt.example", ACCOUNT, Secret(token), FakeClock())
    assert not token or token not in str(caught.value)
