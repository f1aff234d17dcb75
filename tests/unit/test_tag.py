"""The tag at the head of a cause: it survives whatever text follows it, and the cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.start.tag import MAX_CAUSE, RunKey, Tag, cause_text, parse_tag, run_key

hexes = st.text("0123456789abcdef", min_size=12, max_size=12)
tags = st.builds(
    lambda text, nonce, attempt, root: Tag(RunKey(text[:10], text[:6]), nonce, attempt, root, bool(root and root % 2)),
    hexes,
    hexes,
    st.integers(1, 999_999_999),
    st.none() | st.integers(1, 2**62),
)
HERE = {
    "server_url": "https://github.com",
    "repository": "acme/shop",
    "workflow_run_id": 12,
    "job": "build",
    "action": "__acme_dbt-cloud-run",
    "strategy_job_index": "0",
    "dbt_job_id": 7,
    "overrides": TriggerOverrides(git_sha="abc"),
}


@given(tags, st.text(max_size=400))
def test_what_is_put_in_comes_out(tag: Tag, cause: str) -> None:
    text = cause_text(tag, cause)
    assert len(text) <= MAX_CAUSE
    assert parse_tag(text) == tag
    assert "\n" not in text
    text.encode()  # no half surrogate is left


@given(st.text())
def test_other_causes_have_no_tag(cause: str) -> None:
    assert parse_tag(cause) is None


@pytest.mark.parametrize(
    "cause",
    [
        None,
        "",
        "[dcr]",
        "nightly [dcr 0123456789-abcdef 0123456789ab w1]",
        "[dcr 0123456789-abcdef 0123456789ab w0]",
        "[dcr 0123456789-abcdef 0123456789ab]",
        "[dcr 0123456789-ABCDEF 0123456789ab w1]",
    ],
)
def test_what_is_no_tag(cause: str | None) -> None:
    assert parse_tag(cause) is None


def test_a_long_cause_is_cut_with_an_ellipsis() -> None:
    text = cause_text(Tag.new(RunKey("0" * 10, "0" * 6)), "x" * 300)
    assert len(text) == MAX_CAUSE
    assert text.endswith("x…")
    assert cause_text(Tag.new(RunKey("0" * 10, "0" * 6)), "as it is").endswith("] as it is")


def test_a_cause_of_exactly_the_length_that_is_accepted_is_left_as_it_is() -> None:
    tag = Tag.new(RunKey("0" * 10, "0" * 6))
    longest = "x" * (MAX_CAUSE - len(str(tag)) - 1)
    assert cause_text(tag, longest) == f"{tag} {longest}"
    assert cause_text(tag, f"{longest}x") == f"{tag} {longest[:-1]}…"


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("a\nb\r\n\tc", "a b c"),
        ("a\x00b\x1b[31mc\u2028d", "a b [31mc d"),
        ("  a  b ", "a b"),
        # Half a surrogate, as Python reads a byte that is no UTF-8.
        ("a\udc80b", "a?b"),
        ("größe ✓", "größe ✓"),
    ],
)
def test_a_cause_is_sent_in_one_line_of_letters_that_can_be_sent(cause: str, words: str) -> None:
    tag = Tag.new(RunKey("0" * 10, "0" * 6))
    assert cause_text(tag, cause) == f"{tag} {words}"


def test_each_request_has_a_nonce_of_its_own_and_a_retry_names_its_root() -> None:
    tag = Tag.new(run_key(**HERE), attempt=2)
    retry = tag.for_retry(70_471_823_456_789)
    assert len({Tag.new(tag.key).nonce for _ in range(100)}) == 100
    assert (retry.key, retry.attempt, retry.root) == (tag.key, 2, 70_471_823_456_789)
    assert retry.nonce != tag.nonce
    assert parse_tag(str(tag.for_retry(1, is_partial=True))).is_partial  # type: ignore[union-attr]
    assert not parse_tag(str(retry)).is_partial  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("server_url", "https://ghe.example"),
        ("repository", "acme/other"),
        ("workflow_run_id", 13),
        ("job", "test"),
        ("action", "__acme_dbt-cloud-run_2"),
        ("strategy_job_index", "1"),
        ("strategy_job_index", None),
        ("dbt_job_id", 8),
    ],
)
def test_another_step_has_another_key(name: str, value: object) -> None:
    assert run_key(**HERE | {name: value}).step != run_key(**HERE).step


def test_other_overrides_change_their_half_of_the_key_alone() -> None:
    key, other = run_key(**HERE), run_key(**HERE | {"overrides": TriggerOverrides(git_sha="abd")})
    assert key.step == other.step
    assert key.overrides != other.overrides
    assert run_key(**HERE | {"workflow_run_id": "12"}) == key


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, "0542025ef4-fd46ff"),
        ({"strategy_job_index": None}, "ab6cca77e7-fd46ff"),
        ({"overrides": TriggerOverrides(git_sha="abc", git_branch="main", threads_override=4)}, "0542025ef4-758feb"),
    ],
)
def test_a_key_is_the_same_in_every_release(changes: dict[str, object], key: str) -> None:
    # A re-run of a workflow may take a newer release than the attempt whose runs it has to find.
    assert str(run_key(**HERE | changes)) == key
