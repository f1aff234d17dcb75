"""The first lines: how it ended, where, how long it took, and the counts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbt_cloud_run.dbt.statuses import Kind
from dbt_cloud_run.report.gates import cautions, gate_words, quiet_line
from dbt_cloud_run.report.markdown import escape
from dbt_cloud_run.report.markdown.layout import Block, Section
from dbt_cloud_run.report.reasons import reason_apart
from dbt_cloud_run.report.wording import RECOVERED_ICON, duration, ending_words, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbt_cloud_run.report.facts import Facts

_SHA = re.compile(r"[0-9a-f]{40,64}\Z")


def headline(facts: Facts) -> Section:
    """One line of facts, one of counts, then why it ended so and what to do."""
    parts = [f"### {_facts_line(facts)}\n"]
    if counts := " · ".join(part for part in (_counts_line(facts), _sources_line(facts)) if part):
        parts.append(f"{counts}\n")
    outcome = facts.data.outcome
    if outcome.unknown_runs:
        parts.append(_incomplete(outcome.unknown_runs))
    if facts.emptiness:
        parts.append(f"⚠️ {escape.text(facts.emptiness, 500)}\n")
    said = [_lines(words) for words in reason_apart(outcome) if words]
    if said:
        parts.append(" ".join(said) + "\n")
    if outcome.gates.failed:
        parts.append("".join(f"- ❌ {escape.text(gate_words(found), 1_000)}\n" for found in outcome.gates.failed))
    parts.extend(f"⚠️ {escape.text(caution, 500)}\n" for caution in cautions(outcome))
    notes = tuple(note for note in (quiet_line(outcome), *facts.data.notices, *outcome.notes) if note)
    parts.extend(f"ℹ️ {escape.text(note, 500)}\n" for note in notes)  # noqa: RUF001 - an icon, not a letter
    return Section("headline", [Block(["\n".join(parts) + "\n"])], importance=0)


def _facts_line(facts: Facts) -> str:
    data, outcome, last = facts.data, facts.data.outcome, facts.data.outcome.last
    icon, word = ending_words(facts.ending)
    shown = [f"{icon} {word}"]
    if job := _job(facts):
        shown.append(job)
    if last is not None:
        shown.append(escape.link(f"run {last.run_id}", last.run_url))
        environment = data.environment or last.environment_name
        if environment:
            shown.append(escape.text(environment, 60))
    if outcome.duration_seconds is not None:
        shown.append(duration(outcome.duration_seconds))
    if outcome.attempts:
        shown.append(plural(len(outcome.attempts), "attempt"))
    if last is not None and last.git_sha:
        sha = last.git_sha[:7] if _SHA.match(last.git_sha) else last.git_sha
        shown.append(escape.link(escape.code(sha, 40), data.commit_url))
    return " · ".join(shown)


def _job(facts: Facts) -> str:
    data, last = facts.data, facts.data.outcome.last
    name = data.job_name or (last.job_name if last else None)
    number = data.job_id or (last.job_id if last else None)
    label = escape.text(name, 80) if name else f"job {number}" if number else ""
    return escape.link(label, data.job_url)


def _counts_line(facts: Facts) -> str:
    counts = facts.counts
    if not counts:
        return ""
    shown = [
        f"**{counts[Kind.FAILED]:,} failed**" if counts[Kind.FAILED] else "",
        f"{counts[Kind.SKIPPED]:,} skipped" if counts[Kind.SKIPPED] else "",
        f"{RECOVERED_ICON} {len(facts.recovered):,} recovered by a retry" if facts.recovered else "",
        f"{counts[Kind.WARNED]:,} with a warning" if counts[Kind.WARNED] else "",
        f"{counts[Kind.SUCCEEDED]:,} of {plural(counts.total(), 'node')} succeeded",
    ]
    line = " · ".join(part for part in shown if part)
    built = len(facts.data.assets)
    if built:
        return line + f" · **{plural(built, 'asset')}** materialized"
    # Without a manifest, or without all results, it is not known.
    is_known = bool(facts.data.nodes) and not facts.data.outcome.unknown_runs
    return f"{line} · nothing was materialized" if is_known else line


def _sources_line(facts: Facts) -> str:
    """The sources that are not fresh, or that this is not known; empty where all are fresh or none were checked."""
    failed, warned = len(facts.sources_failed), len(facts.sources_warned)
    shown = [
        f"**{plural(failed, 'source')} stale**" if failed else "",
        f"{plural(warned, 'source')} past `warn_after`" if warned else "",
        "freshness of sources not known" if facts.data.outcome.gates.unread_freshness else "",
    ]
    return " · ".join(part for part in shown if part)


def _incomplete(runs: Sequence[int]) -> str:
    """That results could not be read: the counts are no more than what is known."""
    which = ", ".join(str(run) for run in runs)
    return f"⚠️ Not every result of run {which} could be read, so the counts are incomplete.\n"


def _lines(words: str) -> str:
    return "<br>".join(escape.text(line, 1_000) for line in escape.plain(words).strip().split("\n")[:30])
