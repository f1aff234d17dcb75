"""What work cost in the warehouse, in the units that the warehouse itself counts; never in money."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was reported of one piece of work, or the sum over several. None: nothing reported it."""

    bytes_processed: int | None = None  # bytes read
    bytes_billed: int | None = None
    slot_ms: int | None = None  # milliseconds of BigQuery's slots

    def __bool__(self) -> bool:
        return self != NO_COST


NO_COST = Cost()
MEASURES = ("bytes_processed", "bytes_billed", "slot_ms")


def total(costs: Iterable[Cost]) -> Cost:
    """The sum, each measure by itself; a measure that none of them has stays None."""
    sums: dict[str, int] = {}
    for cost in costs:
        if cost is NO_COST:
            continue
        for name in MEASURES:
            if (value := getattr(cost, name)) is not None:
                sums[name] = sums.get(name, 0) + value
    return Cost(**sums) if sums else NO_COST
