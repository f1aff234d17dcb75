"""From an answer to its data or its error: bodies of every shape, and the waits that servers ask for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.cloud.answers import MAX_WORDS, error_for, retry_after, server_words, unwrap
from dbt_cloud_run.cloud.errors import Ambiguous, CloudError, RateLimited, Rejected, Unreadable

DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
HERE: Any = {"request": "GET /x/", "host": "h.example"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 2026 00:02:00 GMT"}, 120.0),
        ({"retry-after": "Thu, 01 Jan 2026 01:02:00 +0100"}, 120.0),
        ({"retry-after": "Wed, 31 Dec 2025 00:00:00 GMT"}, 0.0),
        ({"retry-after": "999999999"}, 86400.0),
        ({"retry-after": "9" * 13}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon", "x-rate-limit-retry-after-seconds": "9"}, 9.0),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after({"date": DATE, **headers}) == seconds


@pytest.mark.parametrize("date", ["", "soon", "99 Foo 2026", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_date_to_wait_for_says_nothing_without_the_server_s_own_time(date: str) -> None:
    assert retry_after({"date": date, "retry-after": "Thu, 01 Jan 2026 00:02:00 GMT"}) is None


@given(st.text(max_size=60))
def test_any_header_is_read_without_a_crash(value: str) -> None:
    wait = retry_after({"date": DATE, "retry-after": value})
    assert wait is None or 0 <= wait <= 86400


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"status": {"user_message": "Invalid."}, "data": "'x' was unexpected"}, "Invalid. 'x' was unexpected"),
        ({"status": {"user_message": None}, "data": {"cause": ["too long"]}}, '{"cause": ["too long"]}'),
        ({"status": "odd", "data": None}, ""),
        ("Invalid token.", "Invalid token."),
        (["a"], '["a"]'),
        (None, "null"),
    ],
)
def test_the_server_s_words(body: object, words: str) -> None:
    assert server_words(json.dumps(body).encode()) == words


def test_words_of_pages_and_of_nothing() -> None:
    assert server_words(b"<html><head><title>502 Bad\nGateway</title></head></html>") == "502 Bad Gateway"
    assert server_words(b"<html><script>x</script></html>") == "an HTML page"
    assert server_words(b"") == ""
    assert server_words(b"\xff\xfeplain") == "\ufffd\ufffdplain"
    assert len(server_words(b"x" * 10_000)) == MAX_WORDS
    assert server_words(b"[" * 100_000)  # too deep to be decoded


@given(st.integers(300, 599), st.binary(max_size=200))
def test_every_other_answer_is_a_typed_error(status: int, body: bytes) -> None:
    error = error_for(status, {}, body, **HERE)
    assert isinstance(error, CloudError)
    assert error.status == status
    assert isinstance(error, Ambiguous) == (status == 408 or status >= 500)
    assert isinstance(error, RateLimited) == (status == 429)
    assert error.is_transient == (status in (408, 429) or status >= 500)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b'"x"', b"<html>", b'{"data": {"id": 1', b"\x00\xff", b"[" * 100_000],
    ids=["empty", "object", "list", "null", "text", "html", "truncated", "binary", "deep"],
)
def test_a_success_without_the_envelope_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        unwrap(200, {}, body, **HERE)


def test_the_envelope_s_own_code_counts() -> None:
    assert unwrap(201, {}, b'{"data": [1], "status": {"code": 200}}', **HERE) == [1]
    assert unwrap(200, {}, b'{"data": null}', **HERE) is None
    with pytest.raises(Rejected):
        unwrap(200, {}, b'{"data": "no", "status": {"code": 400}}', **HERE)
    with pytest.raises(Ambiguous):
        unwrap(200, {}, b'{"data": "no", "status": {"code": 500}}', **HERE)


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": "half \\ud83d end"}',
        b'{"data": "half \\uDC00 end"}',
        b'{"data": "half \xed\xa0\x80 end"}',
        '{"data": "half \\ud83d end"}'.encode("utf-16"),
        '{"data": "half \\ud83d end"}'.encode("utf-16-be"),
    ],
)
def test_half_a_surrogate_pair_is_replaced_however_it_is_written(body: bytes) -> None:
    assert unwrap(200, {}, body, request="GET /x", host="h") == "half \ufffd end"
