"""Secrets in every form, wherever they stand."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run import redaction
from dbt_cloud_run.redaction import SHORTEST, forms, hide, redact, redact_bytes

TOKEN = "dbtc_S3cr3t+/=&%tok~en?0123456789"


@given(st.binary(max_size=12), st.binary(max_size=12), st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]))
def test_base64_is_found_wherever_the_secret_begins(
    before: bytes, after: bytes, encode: Callable[[bytes], bytes]
) -> None:
    text = encode(before + TOKEN.encode() + after).decode()
    shown = redact(text, forms(TOKEN))
    assert "***" in shown
    assert len(shown) < len(text) - len(TOKEN)


@pytest.mark.parametrize("encode", [str, quote, quote_plus, lambda text: quote(text, safe="")])
@pytest.mark.parametrize("lower", [True, False])
def test_url_encoded_forms_are_found(encode: Callable[[str], str], lower: bool) -> None:
    text = encode(TOKEN)
    if lower:
        text = re.sub("%[0-9A-F]{2}", lambda found: found.group().lower(), text)
    assert redact(f"a {text} b", forms(TOKEN)) == "a *** b"


class Searched(str):
    """A text that counts how often it is gone through."""

    __slots__ = ("searches",)

    def __contains__(self, part: object) -> bool:
        self.searches = getattr(self, "searches", 0) + 1
        return super().__contains__(part)  # type: ignore[operator]

    def replace(self, *_: object) -> str:
        raise AssertionError("a text without a secret was copied")


def test_what_holds_no_secret_is_searched_once_for_each_form_and_not_copied() -> None:
    text = Searched("Database Error in model orders " * 20)
    hidden = forms(TOKEN)
    assert redact(text, hidden) is text
    assert text.searches == len(hidden)
    assert redact("short", hidden) == "short"
    assert forms("short") == ()


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> str:
    """A secret that is hidden from now on, and from no other test."""
    monkeypatch.setattr(redaction, "_hidden", [])
    monkeypatch.setattr(redaction, "_hidden_bytes", [])
    hide(TOKEN)
    return TOKEN


def test_what_is_hidden_once_is_hidden_everywhere(hidden: str) -> None:
    other = "another+secret/of=this process"
    hide(other)
    for secret in (hidden, other):
        for form in (secret, quote(secret), base64.b64encode(secret.encode()).decode().rstrip("=")):
            assert redact(f"<{form}>")[:4] == "<***"
            assert redact_bytes(f"<{form}>".encode())[:4] == b"<***"
    assert redact("nothing to hide here, in a text that is long enough for it") == (
        "nothing to hide here, in a text that is long enough for it"
    )
    assert redact_bytes(b"nothing") == b"nothing"


def test_each_secret_is_hidden_wherever_it_stands(hidden: str) -> None:
    assert redact(f"{hidden} and {hidden}") == "*** and ***"
    assert redact_bytes(f"{hidden} and {hidden}".encode()) == b"*** and ***"
    assert redact(hidden) == "***"


def test_before_anything_is_hidden_all_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_hidden", [])
    monkeypatch.setattr(redaction, "_hidden_bytes", [])
    assert redact(TOKEN) == TOKEN
    assert redact_bytes(TOKEN.encode()) == TOKEN.encode()


def test_a_secret_within_json_is_found() -> None:
    secret = 'with"quotes\\and\nlines'
    text = json.dumps({"message": f"<{secret}>"})
    assert redact(text, forms(secret)) == '{"message": "<***>"}'


def test_the_longest_form_goes_first_and_what_is_too_short_is_none() -> None:
    found = forms(TOKEN)
    assert list(found) == sorted(found, key=len, reverse=True)
    assert len(set(found)) == len(found)
    assert all(len(form) >= SHORTEST for form in found)
    assert forms("x" * (SHORTEST - 1))[-1:] != ("x" * (SHORTEST - 1),)
    assert "x" * SHORTEST in forms("x" * SHORTEST)


@pytest.mark.parametrize("length", range(8, 20))
@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("after", range(4))
def test_base64_shows_at_most_two_characters_of_a_secret_of_any_length(length: int, before: int, after: int) -> None:
    secret = "".join(chr(33 + (7 * number) % 90) for number in range(length))
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(b"\0" * before + secret.encode() + b"\0" * after).decode()
        shown = redact(text, forms(secret))
        assert "***" in shown
        assert len(shown.replace("***", "")) <= len(text) - (4 * length - 8) // 3
