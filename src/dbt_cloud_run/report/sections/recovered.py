"""What had failed and then recovered, with what dbt had said: a success may still be a thing to look into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbt_cloud_run.report.markdown import escape
from dbt_cloud_run.report.markdown.layout import Block, Section
from dbt_cloud_run.report.wording import RECOVERED_ICON, clip, plural

if TYPE_CHECKING:
    from dbt_cloud_run.node_results import NodeOutcome
    from dbt_cloud_run.report.detail import Detail
    from dbt_cloud_run.report.facts import Facts

_LINES, _CHARACTERS = 200, 10_000  # of a message in a report that is not the whole one: it is folded


def recovered(facts: Facts, detail: Detail) -> Section | None:
    """Each recovered node with the message of its first failure, folded; None when nothing recovered."""
    found = facts.recovered if detail.failures is None else facts.recovered[: detail.failures]
    if not found:
        return None
    blocks = [Block([_entry(facts, one, detail) for one in found], noun="recovered node")]
    if more := len(facts.recovered) - len(found):
        blocks.append(Block([f"_And {plural(more, 'more node')}: see `summary.md`._\n\n"], noun="note"))
    title = f"#### Recovered ({len(facts.recovered):,})\n\n"
    return Section("Recovered", blocks, importance=3, title=title)


def _entry(facts: Facts, found: NodeOutcome, detail: Detail) -> str:
    number, message = facts.first_failures.get(found.unique_id, (0, None))
    lines = None if detail.message_lines is None else _LINES
    said, is_cut = clip(escape.plain(message or ""), lines, _CHARACTERS)
    body = escape.fence(said) if said.strip() else "dbt reported no message."
    if is_cut:
        body += "\n\n_The whole message is in `summary.md`, where the rest of the report is._"
    name = escape.html(facts.info(found.unique_id).name, 120)
    title = f"{RECOVERED_ICON} <b>{name}</b> failed in attempt {number}, succeeded in attempt {found.attempt}"
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>\n\n"
