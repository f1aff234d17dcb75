"""What the run cost in the warehouse, in its own units; nothing where the adapter reports nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbt_cloud_run.report.markdown.layout import Block, Section
from dbt_cloud_run.report.wording import costs

if TYPE_CHECKING:
    from dbt_cloud_run.report.facts import Facts


def cost_line(facts: Facts) -> Section | None:
    """The total, and each attempt's share where there were several; None where there is no cost."""
    words = cost_words(facts)
    if not words:
        return None
    return Section("Cost", [Block([f"{words}.\n\n"], noun="total")], importance=2, title="#### Cost\n\n")


def cost_words(facts: Facts) -> str:
    """`2.1 GiB billed, 1.9 GiB processed, 3m 20s slot time (attempt 1: 1.6 GiB billed, …)`; empty without a cost."""
    spent = facts.spent
    if not spent.cost:
        return ""
    words = f"{'' if spent.is_complete else 'at least '}{', '.join(costs(spent.cost))}"
    if len(spent.by_attempt) < 2:
        return words
    attempts = facts.data.outcome.attempts
    shares = [
        f"attempt {attempt.number}: {costs(cost)[0] if cost else 'nothing reported'}"
        for attempt, cost in zip(attempts, spent.by_attempt, strict=True)
    ]
    return f"{words} ({'; '.join(shares)})"
