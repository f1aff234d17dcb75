"""Decompression within bounds: nothing is lost, nothing is held whole, and what grows without an end is refused."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
import zlib
from collections.abc import Iterable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.cloud import inflating as module
from dbt_cloud_run.cloud.errors import TooLarge
from dbt_cloud_run.cloud.inflating import HIGHEST_RATIO, UNQUESTIONED, Inflating

TEXT = b'{"results": [' + b"1, " * 300_000 + b"1]}"
MIB = 1024**2


def read(encoding: str, pieces: Iterable[bytes]) -> bytes:
    inflating = Inflating(encoding)
    content = b"".join(chunk for piece in pieces for chunk in inflating.feed(piece))
    inflating.finish()
    assert inflating.size == len(content)
    return content


def raw_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return made.compress(data) + made.flush()


ENCODED = {
    "": lambda data: data,
    "identity": lambda data: data,
    "gzip": gzip.compress,
    "X-GZIP ": gzip.compress,
    "gzip ": lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:]) + gzip.compress(b""),
    "deflate": zlib.compress,
    "deflate ": raw_deflate,
}


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("size", [1, 7, 1000, 65_536, 10**9])
def test_every_encoding_comes_out_whole_however_it_is_cut(encoding: str, size: int) -> None:
    for data in (TEXT[: 5 * size] if size < 100 else TEXT, b"", b"x"):
        body = ENCODED[encoding](data)
        assert read(encoding, [body[at : at + size] for at in range(0, len(body), size)]) == data


@given(st.binary(max_size=3000), st.lists(st.integers(1, 500), min_size=1))
def test_gzip_in_any_pieces(data: bytes, sizes: list[int]) -> None:
    body, pieces = gzip.compress(data), []
    for size in itertools.cycle(sizes):
        if not body:
            break
        pieces.append(body[:size])
        body = body[size:]
    assert read("gzip", pieces) == data


@pytest.mark.parametrize("size", [MIB - 1, MIB, MIB + 1, 3 * MIB])
def test_what_zlib_holds_back_at_the_end_of_a_chunk_comes_too(size: int) -> None:
    assert len(read("gzip", [gzip.compress(b"\0" * size)])) == size


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(TEXT)[:-9]),
        ("gzip", gzip.compress(TEXT)[:500] + b"\0" * 500),
        ("gzip", gzip.compress(TEXT) + b"more"),
        ("gzip", TEXT),
        ("deflate", zlib.compress(TEXT)[:-9]),
        ("deflate", zlib.compress(TEXT) + b"more"),
        ("br", TEXT),
        ("gzip, gzip", TEXT),
    ],
    ids=["cut", "damaged", "more", "none", "deflate, cut", "deflate, more", "another", "twice"],
)
def test_what_cannot_be_read_is_said(encoding: str, body: bytes) -> None:
    with pytest.raises(httpx.DecodingError):
        read(encoding, [body])


def bomb(size: int, step: int = 8 * MIB) -> bytes:
    made = zlib.compressobj(9, wbits=31)
    return b"".join([*(made.compress(b"\0" * step) for _ in range(size // step)), made.flush()])


def test_a_bomb_is_refused_and_takes_no_memory() -> None:
    body = bomb(UNQUESTIONED + 8 * MIB)
    assert len(body) < MIB
    inflating = Inflating("gzip")
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match=f"{HIGHEST_RATIO} times"):
            assert max(len(chunk) for chunk in inflating.feed(body)) <= MIB
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
    assert UNQUESTIONED < inflating.size <= UNQUESTIONED + MIB


def test_what_inflates_as_real_files_do_passes_beyond_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNQUESTIONED", 1000)
    data = b"".join(f'{{"unique_id": "model.shop.m{number}"}},'.encode() for number in range(50_000))
    inflating = Inflating("gzip", unquestioned=1000)
    assert sum(len(chunk) for chunk in inflating.feed(gzip.compress(data))) == len(data)


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_a_body_has_a_largest_size(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setattr(module, "LARGEST_BODY", 10_000)
    chance = bytes(range(256)) * 39
    assert read(encoding, [ENCODED[encoding](chance)]) == chance
    with pytest.raises(TooLarge, match="GiB"):
        read(encoding, [ENCODED[encoding](chance * 2)])


def test_members_without_content_do_not_go_on_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_BODY", 10_000)
    with pytest.raises(TooLarge):
        read("gzip", itertools.repeat(gzip.compress(b"") * 10))
