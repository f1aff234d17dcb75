"""Text from outside can never become a command, and stays as it was where it is harmless."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from standins.runner_log import parse_line_by_culture, read_lines
from tests.support.hostile_text import hostile

from dbt_cloud_run.github.text import cut, harmless_lines, harmless_message, one_line, split_lines


def assert_no_command(text: str) -> None:
    for line in read_lines("\n".join(harmless_lines(text))):
        assert parse_line_by_culture(line) is None, line


@given(hostile)
@settings(max_examples=600)
@example("a\r::error::x")
@example("12:00:01 foo ##[error]boom")
@example("\xa0::error::x")
@example("#\u200b#\u200d[error]x")
@example("###[error]##[error]")
@example("\x1b[0m:\x1b[0m:error::x")
@example("#\x00#[error]x")
@example(":\ufe0f:error::x")
def test_no_text_becomes_a_command(text: str) -> None:
    assert_no_command(text)
    assert parse_line_by_culture(one_line(text)) is None


@given(hostile)
def test_harmless_text_stays_harmless_when_it_passes_again(text: str) -> None:
    once = harmless_lines(text)
    assert_no_command("\n".join(once))
    assert len(harmless_lines("".join(f"{line}\n" for line in once))) == len(once)


@given(hostile)
def test_lines_have_no_control_characters_but_colours(text: str) -> None:
    for line in harmless_lines(text):
        rest = line.replace("\t", "")
        while (start := rest.find("\x1b")) >= 0:
            end = rest.index("m", start)
            assert rest[start + 1] == "["
            assert set(rest[start + 2 : end]) <= set("0123456789;:")
            rest = rest[:start] + rest[end + 1 :]
        assert rest.isprintable() or all(character.isprintable() or ord(character) > 0x9F for character in rest)


@pytest.mark.parametrize(
    "line",
    [
        "12:00:01  1 of 3 OK created sql view model main.orders ... [\x1b[32mOK\x1b[0m in 0.10s]",
        "select id::int, name::text from x  # a [comment]",
        "Größe 数据 👩‍👩‍👧 | a\tb",
        "https://cloud.getdbt.com/#/runs/1",
        "",
    ],
)
def test_ordinary_lines_stay_as_they_are(line: str) -> None:
    assert harmless_lines(line) == [line]


def test_what_is_broken_up_stays_readable() -> None:
    assert harmless_lines("  ::error::no\nx ##[group]y") == ["  : :error::no", "x # #[group]y"]


def test_all_line_ends_are_seen() -> None:
    assert split_lines("a\r\nb\rc\u2028d\x85e\vf\n") == ["a", "b", "c", "d", "e", "f"]
    assert split_lines("\n\n") == ["", ""]


def test_control_sequences_other_than_colours_are_removed() -> None:
    text = "\x1b[2K\x1b[1;31mred\x1b[0m\x1b]8;;https://evil\x1b\\link\x1b]8;;\x07\x07 \u202eabc"
    assert harmless_lines(text) == ["\x1b[1;31mred\x1b[0mlink abc"]
    assert harmless_message(text) == "redlink abc"


@given(st.text(max_size=80), st.integers(min_value=1, max_value=60))
def test_a_cut_is_within_the_limit_in_the_units_of_the_runner(text: str, limit: int) -> None:
    kept = cut(text, limit)
    assert len(kept.encode("utf-16-le", "surrogatepass")) // 2 <= limit
    assert kept == text or (kept.endswith("…") and text.startswith(kept[:-1]))


def test_a_cut_prefers_the_end_of_a_word() -> None:
    assert cut("one two three four", 12) == "one two…"
    assert cut("😀" * 10, 5) == "😀😀…"


@pytest.mark.parametrize("run", ["\xa0", "\u3000", "\x1b[0m", " ", "#", ":", "é", "#é", "\x1b]", "\t\xa0"])
def test_no_text_takes_long_to_be_made_harmless(run: str) -> None:
    began = time.monotonic()
    assert_no_command(f"{run * 20_000}x:")
    assert time.monotonic() - began < 5
