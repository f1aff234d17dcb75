"""Which proxy a host is reached through, and that no message shows what a proxy's address holds."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.network.proxies import exemptions, proxy_for
from dbt_cloud_run.redaction import redact

CLOUD = "https://ab123.us1.dbt.com"
PROXY = {"HTTPS_PROXY": "http://proxy.example.com:3128"}


def way(url: str = CLOUD, **environ: str) -> str:
    proxy = proxy_for(url, environ)
    return str(proxy.url) if proxy else "direct"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "direct"),
        ({"HTTPS_PROXY": ""}, "direct"),
        ({"HTTPS_PROXY": " "}, "direct"),
        ({"HTTP_PROXY": "http://plain:1"}, "direct"),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128/"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "https://proxy"}, "https://proxy"),
        ({"HTTPS_PROXY": "http://[fd00::1]:3128"}, "http://[fd00::1]:3128"),
        ({"ALL_PROXY": "http://all:1"}, "http://all:1"),
        ({"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:2"}, "http://lower:2"),
        # A proxy that is not used may be of any kind.
        ({"HTTPS_PROXY": "http://proxy:3128", "ALL_PROXY": "socks5://other"}, "http://proxy:3128"),
    ],
)
def test_the_variable_that_counts(environ: dict[str, str], expected: str) -> None:
    assert way(**environ) == expected


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_direct"),
    [
        ("*", CLOUD, True),
        ("dbt.com", CLOUD, True),
        (".dbt.com", CLOUD, True),
        ("*.dbt.com", CLOUD, True),
        ("*.us1.*", CLOUD, True),
        ("DBT.com.", CLOUD, True),
        ("https://dbt.com", CLOUD, True),
        ("bt.com", CLOUD, False),
        ("com.dbt", CLOUD, False),
        ("ab123.us1.dbt.com:443", CLOUD, True),
        ("ab123.us1.dbt.com:8443", CLOUD, False),
        ("ab123.us1.dbt.com:8443", f"{CLOUD}:8443", True),
        ("localhost, dbt.com", CLOUD, True),
        ("localhost dbt.com", CLOUD, True),
        (" localhost,, \tdbt.com ", CLOUD, True),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.0.0.1/8", "https://10.1.2.3", True),
        ("10.*", "https://10.1.2.3", True),
        ("10.1.2.3:443", "https://10.1.2.3", True),
        ("10.0.0.0/8:443", "https://10.1.2.3", True),
        ("fd00::/8", "https://[fd12::1]", True),
        ("[fd00::]/8", "https://[fd12::1]", True),
        ("[fd00::/8]", "https://[fd12::1]", True),
        ("fe80::/10", "https://[fd12::1]", False),
        ("::1", "https://[::1]", True),
        ("[::1]", "https://[::1]", True),
        ("[::1]:443", "https://[::1]", True),
        ("[::1]:80", "https://[::1]", False),
        ("fe80::1%eth0", "https://[fe80::1]", True),
        ("0:0:0:0:0:0:0:1", "https://[::1]", True),
        # Nothing of these can be understood, and the rest counts all the same.
        ("fd00::/8000, [::1, ]::1[, a b/c, :80, ://, %, ä.example, dbt.com", CLOUD, True),
        ("fd00::/8000, [::1, ]::1[, :80, ://", CLOUD, False),
    ],
)
def test_no_proxy(no_proxy: str, url: str, is_direct: bool) -> None:
    assert way(url, **PROXY, NO_PROXY=no_proxy) == ("direct" if is_direct else PROXY["HTTPS_PROXY"])
    assert way(url, **PROXY, no_proxy=no_proxy, NO_PROXY="other") == way(url, **PROXY, NO_PROXY=no_proxy)


def test_what_is_no_entry_is_named_in_a_debug_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="dbt_cloud_run"):
        assert len(exemptions("fd00::/8, fd00::/800, [::1]")) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "NO_PROXY: fd00::/800 is neither a host nor a network, and is left out"
    ]


@given(st.text(alphabet="abc1.:/[]*%,- \té:0", max_size=40))
def test_no_text_of_no_proxy_raises(text: str) -> None:
    assert way(**PROXY, NO_PROXY=text) in ("direct", PROXY["HTTPS_PROXY"])


SECRET = "Pa55word"


@pytest.mark.parametrize(
    "value",
    [
        f"http://user:{SECRET}/x@proxy.example.com:3128",
        f"http://user:{SECRET}#x@proxy.example.com:3128",
        f"http://user:{SECRET}?x@proxy.example.com:3128",
        f"http://user:12/{SECRET}@proxy.example.com:3128",
        f"user:{SECRET}/x@proxy.example.com:3128",
        f"http://user:{SECRET}@proxy.example.com:port",
        f"http://user:{SECRET}@proxy.example.com:99999",
        f"http://user:{SECRET}@",
        f"http://user:{SECRET}@[proxy",
        f"ftp://user:{SECRET}@proxy.example.com",
        f"socks5://user:{SECRET}@proxy.example.com",
        f"socks5h://user:{SECRET}@proxy.example.com",
        f"://{SECRET}",
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_an_address_that_cannot_be_used_is_named_by_its_variable_alone(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        proxy_for(CLOUD, {name: value})
    assert caught.value.message.startswith(f"{name} ")
    text = f"{caught.value} {caught.value.__cause__} {caught.value.__context__ if caught.value.__cause__ else ''}"
    for part in (SECRET, "proxy.example.com:3128/", "user:1"):
        assert part not in caught.value.message
    assert SECRET not in text
    assert proxy_for(CLOUD, {name: value, "NO_PROXY": "dbt.com"}) is None


def test_a_socks_proxy_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="SOCKS") as caught:
        proxy_for(CLOUD, {"ALL_PROXY": "socks5://proxy:1080"})
    assert "HTTP proxy" in caught.value.advice


def test_a_password_reaches_the_proxy_as_it_is_meant_and_is_hidden() -> None:
    proxy = proxy_for(CLOUD, {"HTTPS_PROXY": "http://us%40er:p%2Fa%23ss-word@proxy:3128"})
    assert proxy is not None
    assert proxy.auth == ("us@er", "p/a#ss-word")
    assert redact("it is p/a#ss-word or p%2Fa%23ss-word") == "it is *** or ***"
