"""Patterns of artifact paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.collect.artifact_paths import is_plain, matches


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("manifest.json", "manifest.json"),
        ("manifest.json", "*.json"),
        ("manifest.json", "**/*.json"),
        ("compiled/p/models/a.sql", "compiled/**/*.sql"),
        ("compiled/p/models/a.sql", "compiled/**"),
        ("compiled/p/models/a.sql", "**/a.sql"),
        ("compiled/a.sql", "compiled/**/a.sql"),
        ("a1.sql", "a?.sql"),
        ("a1.sql", "a[0-9].sql"),
        ("ab.sql", "a[!0-9].sql"),
        ("we[ird", "we[ird"),
        ("a&.sql", "a[&&||~~[].sql"),
        ("a-.sql", "a[+--].sql"),
        ("a\\.sql", "a[\\].sql"),
        ("a[z-a]", "a[z-a]"),
        ("a+b(c).json", "a+b(c).json"),
    ],
)
def test_fits(path: str, pattern: str) -> None:
    assert matches(path, pattern)


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("compiled/a.json", "*.json"),
        ("manifestXjson", "manifest.json"),
        ("manifest.json.bak", "manifest.json"),
        ("sub/manifest.json", "manifest.json"),
        ("ab.sql", "a[0-9].sql"),
        ("a/sql", "a?sql"),
        ("xcompiled/a.sql", "compiled/**"),
    ],
)
def test_does_not_fit(path: str, pattern: str) -> None:
    assert not matches(path, pattern)


def test_plain_patterns_name_one_path() -> None:
    assert is_plain("run_results.json")
    assert not any(is_plain(pattern) for pattern in ("*.json", "a?.sql", "a[0-9].sql", "**"))


@given(st.text(max_size=12), st.text(alphabet="ab*?[]!-/.\\^", max_size=12))
def test_no_pattern_is_an_error(path: str, pattern: str) -> None:
    assert matches(path, pattern) in (True, False)


@given(st.text(alphabet="abc/._- +()$^|", min_size=1, max_size=20))
def test_a_plain_pattern_fits_itself_alone(path: str) -> None:
    assert matches(path, path)
    assert not matches(path + "x", path)
