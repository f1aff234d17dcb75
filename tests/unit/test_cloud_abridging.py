"""Long strings are cut to their end as they stream past: what is left is JSON, and is bounded."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.cloud.abridging import _LEAST, _SHARE, Abridging

characters = st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from('"\\\n/\u2028😀éa'))
texts = st.text(characters, max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def abridged(data: bytes, size: int, room: int = 64 * 1024**2) -> bytes:
    abridging = Abridging(room)
    for at in range(0, len(data), size):
        abridging.feed(data[at : at + size])
    return abridging.finish()


@given(values, st.integers(1, 50), st.booleans())
def test_short_strings_stay_as_they_are_however_they_are_cut(value: Any, size: int, is_ascii: bool) -> None:
    data = json.dumps(value, ensure_ascii=is_ascii).encode()
    assert abridged(data, size) == data


@given(st.binary(max_size=300), st.integers(1, 20))
def test_what_is_no_json_passes(data: bytes, size: int) -> None:
    assert abridged(data, size) == data


@given(texts.filter(bool), st.integers(1, 3000), st.booleans())
def test_a_long_string_is_cut_to_whole_characters_of_its_end(text: str, size: int, is_ascii: bool) -> None:
    log = text * (2 * _LEAST // len(text) + 1)
    data = json.dumps({"logs": log, "index": 4}, ensure_ascii=is_ascii).encode()
    kept = json.loads(abridged(data, size, room=0))
    assert kept["index"] == 4
    # Half of a pair may be left where it was written as two escapes.
    assert log.endswith(kept["logs"].encode("utf-16", "surrogatepass").decode("utf-16", "replace").lstrip("\ufffd"))
    assert _LEAST - 12 <= len(json.dumps(kept["logs"], ensure_ascii=is_ascii).encode("utf-8", "replace")) <= _LEAST + 16


@pytest.mark.parametrize("unit", [b'"",', b'"a":1,', b'"\\n\\"",', b'{"a":"' + b"x" * 4000 + b'"},'])
def test_short_strings_take_no_step_each(unit: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer of many of them would otherwise keep the event loop busy, and deaf to a signal, for minutes."""
    steps = 0
    outside = Abridging._outside

    def counted(abridging: Abridging, data: bytes, position: int) -> int:
        nonlocal steps
        steps += 1
        return outside(abridging, data, position)

    monkeypatch.setattr(Abridging, "_outside", counted)
    data = unit * (2**20 // len(unit))
    assert abridged(data, 2**17) == data
    assert steps <= 8 * 3


def test_several_logs_share_the_room() -> None:
    room = 1024**2
    steps = [
        {"index": index, "logs": f"{index} begins" + "a line of a log\n" * 20_000 + f"{index} ends"}
        for index in range(100)
    ]
    data = json.dumps({"data": {"run_steps": steps}}).encode()
    kept = abridged(data, 65_536, room)
    assert len(kept) < room
    logs = [step["logs"] for step in json.loads(kept)["data"]["run_steps"]]
    assert all(log.endswith(f"{index} ends") and not log.startswith(str(index)) for index, log in enumerate(logs))
    assert len(logs[0]) > room // _SHARE // 2


def test_memory_does_not_grow_with_what_streams_past() -> None:
    abridging = Abridging(1024**2)
    piece = b"a line of the log\\n" * 10_000
    tracemalloc.start()
    try:
        abridging.feed(b'{"data": {"logs": "')
        for _ in range(200):
            abridging.feed(piece)
        abridging.feed(b'the end"}}')
        assert json.loads(abridging.finish())["data"]["logs"].endswith("log\nthe end")
        assert tracemalloc.get_traced_memory()[1] < 1024**2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", [b'{"a": "\\u12"}', b'{"a": "\\', b'"\\uZZZZZZZZ"', b'"\\u', b'"'])
def test_a_damaged_text_stays_damaged(text: bytes) -> None:
    for size in (1, 3, 100):
        with pytest.raises(json.JSONDecodeError):
            json.loads(abridged(text, size))
