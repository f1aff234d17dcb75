"""What dbt's status words mean. The set is open: a word that we do not know is judged by what it says.

Words: dbt-core 1.3 to 1.12 (`artifacts/schemas/results.py`) and of the new engine.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache

PARTIAL_SUCCESS = "partial success"
"""Of a microbatch model of which some batches failed."""
FAILURES = frozenset({"error", "fail", "runtime error", PARTIAL_SUCCESS, "failed", "cancelled", "canceled", "timeout"})
SKIPPED = frozenset({"skipped", "skip"})
SUCCESSES = frozenset({"success", "pass", "no-op", "reused"})
WARNINGS = frozenset({"warn", "warning", "success with warning"})
BUILT = frozenset({"success"})  # and a model's `warn`: see `was_built`
BUILDABLE = frozenset({"model", "seed", "snapshot"})

_SPEAKS_OF_SUCCESS = re.compile(r"\b(?:success\w*|succeeded|pass(?:ed)?|ok|cached|reused?)\b")
_DENIES = re.compile(r"\b(?:not|never)\b")


class Kind(StrEnum):
    """A status word, as the counts see it."""

    SUCCEEDED = "succeeded"
    WARNED = "warned"
    FAILED = "failed"
    SKIPPED = "skipped"


@lru_cache(maxsize=1024)
def normalise(status: str) -> str:
    """One spelling for a word: lower case, blanks for underscores; `no-op` keeps its dash."""
    word = " ".join(status.lower().replace("_", " ").split())
    return {"no op": "no-op", "noop": "no-op", "partial-success": "partial success"}.get(word, word)


@lru_cache(maxsize=1024)
def kind(status: str) -> Kind:
    """Judge a status word. An unknown word that means success is one; any other unknown word is a failure."""
    word = normalise(status)
    if word in SUCCESSES:
        return Kind.SUCCEEDED
    if word in WARNINGS:
        return Kind.WARNED
    if word in SKIPPED:
        return Kind.SKIPPED
    if word in FAILURES:
        return Kind.FAILED
    if any(part in word for part in ("error", "fail", "partial", "abort", "kill", "timed out")):
        return Kind.FAILED
    if "skip" in word:
        return Kind.SKIPPED
    if "warn" in word:
        return Kind.WARNED
    return Kind.SUCCEEDED if _SPEAKS_OF_SUCCESS.search(word) and not _DENIES.search(word) else Kind.FAILED


def is_failure(status: str) -> bool:
    return kind(status) is Kind.FAILED


def is_skipped(status: str) -> bool:
    return kind(status) is Kind.SKIPPED


def did_not_succeed(status: str) -> bool:
    """What a retry is about: failed, or skipped."""
    return kind(status) in (Kind.FAILED, Kind.SKIPPED)


def was_built(status: str, resource_type: str) -> bool:
    """Whether this result wrote the node's relation: a success, or a model's warning."""
    word = normalise(status)
    return word in BUILT or (resource_type == "model" and kind(word) is Kind.WARNED)
