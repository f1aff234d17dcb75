"""Which dbt it is, as far as versions differ in what they understand and report."""

from __future__ import annotations

import re

NEW_ENGINE = (2, 0)
KNOWS_EMPTY = (1, 5)
"""The first with `--indirect-selection empty`, and with patterns in `fqn:`."""
KNOWS_ON_ERROR = (1, 12)
"""The first in which a model's `on_error: continue` lets its children run after it has failed."""

_NEWEST_CORE = (1, 999)
_CALENDAR = 2000


def version_of(*texts: str | None) -> tuple[int, int] | None:
    """Major and minor number of the first text that has them (`latest` has none).

    A release track's version is a date (`2025.10.10+79ec687`), and stands for the newest dbt Core.
    """
    for text in texts:
        if found := re.match(r"(\d{1,5})\.(\d{1,5})", text or ""):
            version = (int(found[1]), int(found[2]))
            return version if version[0] < _CALENDAR else _NEWEST_CORE
    return None
