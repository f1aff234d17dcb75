"""Whether two names of commits stand for one."""

from __future__ import annotations

import pytest

from dbt_cloud_run.commits import is_hash, is_same_commit, may_be_same_commit

SHA, OTHER = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("one", "other", "is_same", "may_be"),
    [
        (SHA, SHA, True, True),
        (SHA[:7], SHA, True, True),
        (SHA, SHA[:8].upper(), True, True),
        (SHA, OTHER, False, False),
        ("main", "main", True, True),
        ("main", SHA, False, True),
        ("release", "release-2", False, True),
        (SHA[:6], SHA, False, True),
    ],
)
def test_hashes_may_be_shortened_and_other_names_stand_for_any_commit(
    one: str, other: str, is_same: bool, may_be: bool
) -> None:
    assert is_same_commit(one, other) is is_same_commit(other, one) is is_same
    assert may_be_same_commit(one, other) is may_be


def test_what_is_not_named_is_the_same_as_nothing() -> None:
    assert not any(is_same_commit(*names) for names in ((None, None), ("", SHA), (SHA, None), ("", "")))


def test_a_hash_has_seven_digits_at_least() -> None:
    assert [is_hash(name) for name in (SHA, SHA[:7], SHA.upper(), SHA[:6], "main", SHA + SHA)] == [True] * 3 + [
        False
    ] * 3
