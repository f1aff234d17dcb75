"""Companies' networks: a real proxy, and a TLS server with a private authority, for everything that is reached."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import certifi
import pytest
import trustme
from standins.cloud_server import ACCOUNT, CloudServer
from standins.cloud_server import TOKEN as CLOUD_TOKEN
from standins.results_service import ResultsService, runtime_token
from tests.support.artifact_uploads import QuickClock
from tests.support.comments_service import PREFIX, TOKEN, CommentsService
from tests.support.proxy import Proxy, running_proxy, tls_front

from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import UntrustedCertificate
from dbt_cloud_run.errors import ActionError, ConfigError
from dbt_cloud_run.github.artifacts.archive import ArtifactFile
from dbt_cloud_run.github.artifacts.upload import upload_artifact
from dbt_cloud_run.github.comments import CommentTarget, upsert_comment
from dbt_cloud_run.github.events import PullRequest
from dbt_cloud_run.github.heads import look_up_head
from dbt_cloud_run.github.marker import CommentKey, Marker
from dbt_cloud_run.network.certificates import CA_FILES, CA_FOLDERS, CA_ONLY, tls_context
from dbt_cloud_run.redaction import Secret

PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")
AUTHORITIES = (*CA_FILES, *CA_FOLDERS)
KEY = CommentKey(workflow_ref="o/r/w.yml@refs/heads/main", job="j", action="a", account_id=1, host="h", dbt_job=("1",))


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *AUTHORITIES, CA_ONLY):
        monkeypatch.delenv(name, raising=False)


def to_dbt_cloud(front: Callable[[str], str], tmp_path: Path) -> None:
    async def body() -> None:
        async with CloudServer() as cloud:
            run = cloud.add_run(status=10)
            url = await asyncio.to_thread(front, f"http://127.0.0.1:{cloud.port}")
            async with CloudClient(url, ACCOUNT, Secret(CLOUD_TOKEN), QuickClock()) as client:
                assert (await client.get_run(run["id"])).id == run["id"]

    asyncio.run(body())


def to_artifact_service(front: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    with ResultsService() as service:
        uploaded = asyncio.run(
            upload_artifact(
                [ArtifactFile(tmp_path / "file", "file")],
                name="a",
                retention_days=None,
                results_url=front(service.url),
                runtime_token=runtime_token(),
                server_url="https://github.com",
                repository="org/repo",
                run_id="1",
                max_retention=None,
                clock=QuickClock(),
                temp_dir=tmp_path,
                mask=lambda _: None,
            )
        )
        assert set(service.artifacts) == {uploaded.name}


def to_comment(front: Callable[[str], str], tmp_path: Path) -> None:
    with CommentsService() as service:
        target = CommentTarget(token=TOKEN, api_url=front(service.url) + PREFIX, repository="org/repo", number=5)
        about = Marker(workflow_run=1, commit="abc", is_good=True)
        assert upsert_comment(target, KEY, "report", about=about, create=True) is not None
        assert len(service.comments) == 1


def to_head(front: Callable[[str], str], tmp_path: Path) -> None:
    with CommentsService() as service:
        found = asyncio.run(
            look_up_head(
                PullRequest(number=5, head=None),
                token=TOKEN,
                api_url=front(service.url) + PREFIX,
                repository="org/repo",
                clock=QuickClock(),
            )
        )
        if found.head is None:
            raise ActionError(found.why_no_head)


WAYS = {"dbt Cloud": to_dbt_cloud, "artifacts": to_artifact_service, "comment": to_comment, "head": to_head}


class Network:
    """Puts a TLS server with a private authority in front of a service."""

    def __init__(self, stack: contextlib.ExitStack, authority: Path) -> None:
        self._stack, self.authority = stack, authority
        self.fronts: list[str] = []

    def front(self, url: str) -> str:
        self.fronts.append(self._stack.enter_context(tls_front(url, self.authority)))
        return self.fronts[-1]


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with contextlib.ExitStack() as stack:
        folder = tmp_path / "authorities"
        folder.mkdir()
        yield Network(stack, folder / "private.pem")


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with running_proxy(tmp_path, "us%40er:p%2Fa%23ss-word") as running:
        yield running


@pytest.mark.parametrize("way", WAYS)
def test_everything_goes_through_the_proxy_and_trusts_the_private_authority(
    way: str, network: Network, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "fd00::/8, [::1] fe80::/10,*.example.com,127.0.0.1:1")
    monkeypatch.setenv("CURL_CA_BUNDLE", str(network.authority))
    WAYS[way](network.front, tmp_path)
    asked = proxy.stop()
    assert asked
    assert set(asked) == {f"200 CONNECT {network.fronts[0].removeprefix('https://')}"}


@pytest.mark.parametrize("way", WAYS)
def test_a_proxy_that_is_reached_by_tls_is_verified_by_the_same_authorities(
    way: str, network: Network, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "proxy.pem"
    with tls_front(f"http://{proxy.address}", other) as front:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http:", "https:").replace(proxy.address, front[8:]))
        monkeypatch.setenv("SSL_CERT_FILE", str(other))
        monkeypatch.setenv("CURL_CA_BUNDLE", str(network.authority))
        WAYS[way](network.front, tmp_path)
    assert set(proxy.stop()) == {f"200 CONNECT {network.fronts[0].removeprefix('https://')}"}


@pytest.mark.parametrize("way", WAYS)
def test_no_proxy_goes_round_it(
    way: str, network: Network, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "[::1],127.0.0.0/8")
    monkeypatch.setenv("SSL_CERT_DIR", str(network.authority.parent))
    WAYS[way](network.front, tmp_path)
    assert proxy.stop() == []


@pytest.mark.parametrize("way", WAYS)
def test_without_the_authority_the_error_comes_at_once(way: str, network: Network, tmp_path: Path) -> None:
    with pytest.raises(ActionError, match=r"SSL_CERT_FILE|could not be reached|Error"):
        WAYS[way](network.front, tmp_path)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("value", ["http://user:Pa55word/x@127.0.0.1:1", "socks5://user:Pa55word@127.0.0.1:1"])
def test_a_proxy_that_cannot_be_used_is_named_and_not_shown(
    way: str, value: str, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(ActionError, match="HTTPS_PROXY") as caught:
        WAYS[way](network.front, tmp_path)
    assert "Pa55word" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("http://127.0.0.1:9", "The proxy that HTTPS_PROXY names, by which 127.0.0.1 is to be reached, could not be"),
        ("http://no-such-proxy.invalid:3128", "The proxy that HTTPS_PROXY names, by which 127.0.0.1 is to be reached,"),
        (None, "The proxy that HTTPS_PROXY names did not connect to 127.0.0.1"),
    ],
    ids=["refused", "unknown name", "wrong password"],
)
def test_a_proxy_that_does_not_answer_is_named_in_place_of_the_host(
    value: str | None, words: str, network: Network, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value or proxy.url.replace("ss-word", "wrong"))
    with pytest.raises(ActionError) as caught:
        to_dbt_cloud(network.front, tmp_path)
    assert words in caught.value.message
    assert "Check HTTPS_PROXY and NO_PROXY" in caught.value.advice


def test_a_host_behind_a_proxy_that_shows_a_bad_certificate_is_the_host(
    network: Network, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with pytest.raises(ActionError) as caught:
        to_dbt_cloud(network.front, tmp_path)
    assert caught.value.message.startswith("127.0.0.1 could not be reached")
    assert "SSL_CERT_FILE" in caught.value.advice


# -- authorities


def loaded(**environ: str) -> int:
    return len(tls_context(environ).get_ca_certs())


PUBLIC = len(ssl.create_default_context(cafile=certifi.where()).get_ca_certs())


@pytest.fixture
def several(tmp_path: Path) -> dict[str, str]:
    """Each variable with an authority of its own."""
    named = {}
    for name in AUTHORITIES:
        path = tmp_path / name / "ca.pem"
        path.parent.mkdir()
        trustme.CA().cert_pem.write_to_path(str(path))
        named[name] = str(path.parent if name in CA_FOLDERS else path)
    return named


@pytest.mark.parametrize("name", AUTHORITIES)
def test_each_variable_adds_to_the_public_authorities(name: str, several: dict[str, str]) -> None:
    assert loaded(**{name: several[name]}) == PUBLIC + 1


def test_all_that_are_set_add_and_a_debug_line_names_them(
    several: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="dbt_cloud_run"):
        assert loaded(**several) == PUBLIC + len(AUTHORITIES)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("Certificate authorities: the public ones, SSL_CERT_FILE (")
    assert all(name in line for name in AUTHORITIES)
    assert loaded() == PUBLIC


def test_they_can_be_the_only_ones(several: dict[str, str]) -> None:
    assert loaded(**several, DBT_CLOUD_RUN_CA_ONLY="true") == len(AUTHORITIES)
    assert loaded(**several, DBT_CLOUD_RUN_CA_ONLY="false") == PUBLIC + len(AUTHORITIES)
    with pytest.raises(ConfigError, match="none of SSL_CERT_FILE"):
        loaded(DBT_CLOUD_RUN_CA_ONLY="true")
    with pytest.raises(ConfigError, match="true or false"):
        loaded(**several, DBT_CLOUD_RUN_CA_ONLY="yes")


@pytest.mark.parametrize("name", AUTHORITIES)
@pytest.mark.parametrize("what", ["missing", "empty", "no certificate", "damaged"])
def test_what_cannot_be_used_is_an_error_of_that_input(name: str, what: str, tmp_path: Path) -> None:
    folder = tmp_path / "authorities"
    file = folder / "ca.pem"
    folder.mkdir()
    if what != "missing":
        begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
        file.write_text({"empty": "", "no certificate": "hello"}.get(what, f"{begin}\nAAAA\n{end}\n"))
    value = str(folder if name in CA_FOLDERS else file)
    value += "/missing" if what == "missing" and name in CA_FOLDERS else ""
    with pytest.raises(ConfigError, match=name) as caught:
        loaded(**{name: value})
    assert value in caught.value.message
    assert "PEM file" in caught.value.advice


def test_an_untrusted_certificate_is_not_asked_for_again(network: Network, tmp_path: Path) -> None:
    with pytest.raises(UntrustedCertificate, match="CERTIFICATE") as caught:
        to_dbt_cloud(network.front, tmp_path)
    assert "SSL_CERT_FILE" in caught.value.advice
    assert not caught.value.is_transient
