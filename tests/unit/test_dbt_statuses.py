"""Status words: dbt's own, and unknown ones."""

from __future__ import annotations

import pytest

from dbt_cloud_run.dbt.statuses import Kind, kind


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("success", Kind.SUCCEEDED),
        ("no_op", Kind.SUCCEEDED),
        ("Reused", Kind.SUCCEEDED),
        ("succeeded", Kind.SUCCEEDED),
        ("passed", Kind.SUCCEEDED),
        ("OK", Kind.SUCCEEDED),
        ("success with warnings", Kind.WARNED),
        ("skipped upstream", Kind.SKIPPED),
        ("partial_success", Kind.FAILED),
        # Words that only hold the letters of a good one.
        ("broken", Kind.FAILED),
        ("revoked", Kind.FAILED),
        ("unsuccessful", Kind.FAILED),
        ("not successful", Kind.FAILED),
        ("bypassed", Kind.FAILED),
        ("interrupted", Kind.FAILED),
        ("", Kind.FAILED),
    ],
)
def test_words_are_judged_by_what_they_say(word: str, expected: Kind) -> None:
    assert kind(word) is expected
