"""Secrets in every form, wherever they stand."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.redaction import forms, redact

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


def test_what_holds_no_secret_stays_and_costs_little() -> None:
    text = "Database Error in model orders " * 2_000_000
    hidden = forms(TOKEN)
    began = time.process_time()
    assert redact(text, hidden) is text
    assert time.process_time() - began < 1
    assert redact("short", hidden) == "short"
    assert forms("short") == ()
