"""What the whole report and the summary have in common is made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from dbt_cloud_run.report.report import Report

T = TypeVar("T")


class OfReport(Protocol):
    """What is derived from a report."""

    @property
    def data(self) -> Report: ...


F = TypeVar("F", bound=OfReport)


def remembered(make: Callable[[F], T]) -> Callable[[F], T]:
    """Remember what was made last, for the very same outcome, assets and manifest; for what depends on these alone."""
    last: list[tuple[tuple[object, ...], T]] = []

    @wraps(make)
    def recall(facts: F) -> T:
        data = facts.data
        parts = (data.outcome, data.assets, data.nodes, data.edges)
        if last and all(mine is known for mine, known in zip(parts, last[0][0], strict=True)):
            return last[0][1]
        made = make(facts)
        last[:] = [(parts, made)]
        return made

    return recall
