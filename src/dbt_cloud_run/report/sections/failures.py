"""What failed: each node with what dbt said and where to look, and what was skipped because of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbt_cloud_run.model import LONGEST_LOG
from dbt_cloud_run.report.markdown import escape
from dbt_cloud_run.report.markdown.layout import Block, Section
from dbt_cloud_run.report.wording import clip, duration, listed, plural
from dbt_cloud_run.unknown import step_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbt_cloud_run.model import Attempt, Step
    from dbt_cloud_run.node_results import NodeOutcome
    from dbt_cloud_run.report.detail import Detail
    from dbt_cloud_run.report.facts import Facts
    from dbt_cloud_run.report.report import NodeInfo

_TABLE_HEAD = "| Node | Status | dbt said | File |\n| --- | --- | --- | --- |\n"


def failures(facts: Facts, detail: Detail) -> Section | None:
    """Failed steps without results, failed nodes, stale sources, and what was skipped for another reason; or None."""
    shown = facts.ranked if detail.failures is None else facts.ranked[: detail.failures]
    entries = [failed_step(facts, attempt, step, detail) for attempt, step in facts.failed_steps]
    entries += [_failed_node(facts, found, detail) for found in shown]
    blocks = [Block(entries, noun="failure")] if entries else []
    others = facts.ranked[len(shown) :]
    if others:
        rows = [_row(facts, found) for found in others]
        title = f"<details><summary>{plural(len(others), 'more failed node')}</summary>\n\n"
        blocks.append(Block(rows, title + _TABLE_HEAD, "\n</details>\n\n", noun="failure"))
    blocks += _stale_sources(facts)
    blocks += _otherwise_skipped(facts, detail)
    if not blocks:
        return None
    count = len(facts.failed) + len(facts.failed_steps) + len(facts.stale)
    title = f"#### Failures ({count:,})\n\n" if count else "#### Skipped\n\n"
    return Section("Failures", blocks, importance=1, title=title)


def node_link(info: NodeInfo) -> str:
    """The node's name as code, linked to its file at the run's commit where the file is in this repository."""
    return escape.link(escape.narrow_code(info.name or info.unique_id, 120), info.url)


def _failed_node(facts: Facts, found: NodeOutcome, detail: Detail) -> str:
    info = facts.info(found.unique_id)
    facts_line = [
        f"❌ **{node_link(info)}**",
        _what(facts, info),
        escape.text(found.result.status, 40),
        _which_attempt(facts, found),
    ]
    places = [
        f"file {escape.link(escape.code(info.file or info.original_file_path or ''), info.url)}"
        if info.file or info.original_file_path
        else "",
        f"compiled {escape.code(info.compiled_path)}" if info.compiled_path else "",
        f"owner {', '.join(escape.text(owner, 80) for owner in owners)}"
        if (owners := facts.owners(info.unique_id))
        else "",
    ]
    head = " · ".join(part for part in facts_line if part)
    where = " · ".join(part for part in places if part)
    message, is_cut = clip(escape.plain(found.result.message or ""), detail.message_lines, detail.message_characters)
    body = escape.fence(message) if message.strip() else "dbt reported no message."
    if is_cut:
        body += "\n\n_The whole message is in `summary.md`, where the rest of the report is._"
    skipped = facts.skipped_by.get(found.unique_id, ())
    return f"{head}{'<br>' + where if where else ''}\n\n{body}\n\n" + _skipped_because(facts, skipped, detail)


def _what(facts: Facts, info: NodeInfo) -> str:
    kind = {"test": "data test", "unit_test": "unit test"}.get(info.resource_type, info.resource_type)
    tested = [escape.code(facts.info(uid).name, 80) for uid in info.tested_nodes]
    return escape.text(kind, 40) + (f" on {listed(tested, 3)}" if tested else "")


def _which_attempt(facts: Facts, found: NodeOutcome) -> str:
    attempts = facts.data.outcome.attempts
    numbers = facts.failed_attempts.get(found.unique_id) or (found.attempt,)
    run = next((run for run in attempts if run.number == found.attempt), None)
    link = escape.link(f"run {found.run_id}", run.run_url if run else None)
    if len(attempts) < 2:
        return f"{step_words(found.step_index)} of {link}"
    words = ", ".join(str(number) for number in numbers[:-1])
    tried = f"attempts {words} and {numbers[-1]}" if words else f"attempt {numbers[-1]}"
    return f"failed in {tried} ({step_words(found.step_index)} of {link})"


def _skipped_because(facts: Facts, skipped: Sequence[str], detail: Detail) -> str:
    if not skipped:
        return ""
    names = [escape.code(facts.info(uid).name, 120) for uid in skipped[: detail.names + 1]]
    more = len(skipped) - detail.names
    words = listed(names, detail.names) if more <= 0 else ", ".join(names[: detail.names]) + f" and {more:,} more"
    title = f"{plural(len(skipped), 'node')} skipped because of it"
    return f"<details><summary>{title}</summary>\n\n{words}\n\n</details>\n\n"


def _row(facts: Facts, found: NodeOutcome) -> str:
    info = facts.info(found.unique_id)
    cells = (
        node_link(info),
        escape.text(found.result.status, 40),
        escape.text(found.result.message or "", 160),
        escape.code(info.file or info.original_file_path or "", 160),
    )
    return f"| {' | '.join(cells)} |\n"


def failed_step(facts: Facts, attempt: Attempt, step: Step, detail: Detail, icon: str = "❌") -> str:
    """A step that failed without results, with the end of its log."""
    link = escape.link(f"run {attempt.run_id}", attempt.run_url)
    name = escape.code(step.command, 160) if step.command else escape.text(step.name, 160)
    head = f"{icon} **{name}** · {step_words(step.index)} of {link}, attempt {attempt.number}"
    lines = escape.plain(step.log).strip("\n").split("\n")
    kept = lines if detail.log_lines is None else lines[-detail.log_lines :]
    log = "\n".join(line if len(line) <= 500 or detail.log_lines is None else line[:499] + "…" for line in kept)
    if not log.strip():
        said = facts.message or attempt.status_message
        return f"{head}\n\n" + ("" if said else "dbt Cloud has no log of this step.\n\n")
    gone = len(lines) - len(kept)
    whole = escape.link("dbt Cloud", attempt.run_url)
    note = f"The last {plural(len(kept), 'line')} of its log; the whole one is in {whole}:\n\n" if gone > 0 else ""
    if not note and len(step.log) >= LONGEST_LOG:
        note = f"The end of its log; the whole one is in {whole}:\n\n"
    return f"{head}\n\n{note}{escape.fence(log)}\n\n"


def _stale_sources(facts: Facts) -> list[Block]:
    rows = []
    for row in facts.stale:
        age = f"last loaded {duration(row.age_seconds)} ago" if row.age_seconds is not None else ""
        said = [escape.text(words, 300) for words in (row.message, row.criteria) if words]
        details = " · ".join(part for part in (age, *said) if part)
        rows.append(f"❌ **{node_link(facts.info(row.unique_id))}** · source freshness · {details}\n\n")
    return [Block(rows, noun="source")] if rows else []


def _otherwise_skipped(facts: Facts, detail: Detail) -> list[Block]:
    known = {uid for reached in facts.skipped_by.values() for uid in reached}
    others = [found.unique_id for found in facts.skipped if found.unique_id not in known]
    if not others:
        return []
    names = [escape.code(facts.info(uid).name, 120) for uid in others]
    reason = "for another reason" if known else "and did not run"
    title = f"{plural(len(others), 'node')} skipped {reason}" if known else f"{plural(len(others), 'node')} skipped"
    text = f"<details><summary>{title}</summary>\n\n{listed(names, detail.names)}\n\n</details>\n\n"
    return [Block([text], noun="list of skipped nodes")]
