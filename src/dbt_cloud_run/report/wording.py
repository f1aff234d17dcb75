"""Numbers, durations and endings in words; the icons of all reports."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dbt_cloud_run.dbt.statuses import Kind
from dbt_cloud_run.endings import Ending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbt_cloud_run.cost import Cost
    from dbt_cloud_run.planned import RetryPlan, Saving

ICONS = {Kind.SUCCEEDED: "✅", Kind.WARNED: "⚠️", Kind.FAILED: "❌", Kind.SKIPPED: "⏭️"}
RECOVERED_ICON = "🔁"
UNKNOWN = "\N{EN DASH}"
_ENDINGS = {
    Ending.QUEUED: ("⏳", "Queued"),
    Ending.SUCCESS: ("✅", "Succeeded"),
    Ending.ERROR: ("❌", "Failed"),
    Ending.CANCELLED: ("🚫", "Cancelled"),
    Ending.SUPERSEDED: ("🚫", "Superseded"),
    Ending.TIMED_OUT: ("⌛", "Timed out"),
    Ending.SKIPPED: ("⏭️", "Skipped"),
    Ending.DRY_RUN: ("🔎", "Dry run"),
}


def ending_words(ending: Ending) -> tuple[str, str]:
    """Icon and word of an ending."""
    return _ENDINGS[ending]


def duration(seconds: float | None) -> str:
    """`0.35 s`, `12.4 s`, `2m 5s`, `1h 20m`; a dash for what is not known."""
    if seconds is None:
        return UNKNOWN
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s" if seconds >= 0.95 or seconds <= 0 else f"{seconds:.2f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {rest}s"


def plural(count: int, noun: str) -> str:
    """`1 node`, `1,204 nodes`."""
    return f"{count:,} {noun if count == 1 else noun + 's'}"


def sentence(text: str) -> str:
    """A clause with a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text[-1:] in {".", "!", "?", "…"} else ".") if text else text


NODE_TIME = "node time"
"""Execution times of nodes added up over all threads: more than the time by which a run is shorter."""


def saves(saving: Saving) -> str:
    """What a step that is not repeated took and cost: `7 nodes, 1m 6s node time, 2.1 GiB billed`."""
    if not saving.nodes:
        return UNKNOWN
    return ", ".join(
        (plural(saving.nodes, "node"), f"{duration(saving.seconds)} {NODE_TIME}", *main_costs(saving.cost))
    )


def again(plan: RetryPlan) -> str:
    """How many nodes a retry runs again, hooks included: `5 nodes`, `at least 5 nodes`; empty where none is known."""
    count = len(plan.again)
    return f"{'at least ' if plan.is_open else ''}{plural(count, 'node')}" if count else ""


def costs(cost: Cost) -> list[str]:
    """What is reported of a cost, what is paid for first: `2.1 GiB billed`, `1.9 GiB processed`, `3m 20s slot time`."""
    found = {
        f"{data_size(cost.bytes_billed)} billed": cost.bytes_billed,
        f"{data_size(cost.bytes_processed)} processed": cost.bytes_processed,
        f"{slot_time(cost.slot_ms)} slot time": cost.slot_ms,
    }
    return [words for words, value in found.items() if value is not None]


def main_costs(cost: Cost) -> list[str]:
    """The same without the bytes processed where those billed are known."""
    return costs(cost if cost.bytes_billed is None else replace(cost, bytes_processed=None))


def data_size(count: int | None) -> str:
    """`0 B`, `812 KiB`, `2.1 GiB`; a dash for what is not known."""
    if count is None:
        return UNKNOWN
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        # What would be written as 1024 is one of the next unit.
        if amount < (1023.5 if unit != "B" else 1024):
            break
        amount, unit = amount / 1024, larger
    return f"{amount:,.1f} {unit}" if amount < 9.95 and unit != "B" else f"{amount:,.0f} {unit}"


def slot_time(milliseconds: int | None) -> str:
    """A duration; a dash for what is not known."""
    return duration(None if milliseconds is None else milliseconds / 1000)


def listed(words: Sequence[str], limit: int) -> str:
    """The first `limit` of already escaped words, then how many more there are."""
    more = len(words) - limit
    return ", ".join(words[:limit]) + (f" and {more:,} more" if more > 0 else "")


def clip(message: str, lines: int | None, characters: int) -> tuple[str, bool]:
    """A message cut in its middle to `lines` lines and about `characters` characters; whether it was cut.

    The first lines say what is wrong, the last one where: so both are kept. `lines` of None cuts nothing.
    """
    rows = message.strip("\n").split("\n")
    if lines is None or (len(rows) <= lines and len(message) <= characters):
        return message, False
    width = max(characters // max(min(len(rows), lines), 1), 200)
    short = [row if len(row) <= width else row[: width - 1] + "…" for row in rows]
    if len(short) > lines:
        tail = 2 if lines > 4 else 1
        gone = len(short) - lines + 1
        short = [*short[: lines - tail - 1], f"[… {plural(gone, 'line')} left out …]", *short[-tail:]]
    return "\n".join(short), True
