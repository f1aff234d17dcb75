"""Whether two names of commits stand for one. A hash may be shortened; any other name, as a branch, may move."""

from __future__ import annotations

import re

_HASH = re.compile("[0-9a-f]{7,64}")


def is_hash(name: str) -> bool:
    """Whether a name of a commit is its hash, or the beginning of it."""
    return _HASH.fullmatch(name.lower()) is not None


def is_same_commit(one: str | None, other: str | None) -> bool:
    """Whether two names stand for one commit; either may be a hash that is shortened to seven characters or more."""
    if not one or not other:
        return False
    short, long = sorted((one.lower(), other.lower()), key=len)
    return short == long or (is_hash(short) and is_hash(long) and long.startswith(short))


def may_be_same_commit(one: str, other: str) -> bool:
    """The same; but a name that is no hash may stand for any commit."""
    return not (is_hash(one) and is_hash(other)) or is_same_commit(one, other)
