"""What the whole report and the summary have in common is made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from dbt_cloud_run.report.facts import Facts

T = TypeVar("T")


def remembered(make: Callable[[Facts], T]) -> Callable[[Facts], T]:
    """Remember what was made last, for the very same outcome, assets and manifest; for what depends on these alone."""
    last: list[tuple[tuple[object, ...], T]] = []

    @wraps(make)
    def recall(facts: Facts) -> T:
        data = facts.data
        parts = (data.outcome, data.assets, data.nodes, data.edges)
        if last and all(mine is known for mine, known in zip(parts, last[0][0], strict=True)):
            return last[0][1]
        made = make(facts)
        last[:] = [(parts, made)]
        return made

    return recall
