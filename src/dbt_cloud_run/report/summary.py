"""The reports in markdown: the whole one, the job summary within its bytes, the pull request comment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbt_cloud_run.report.detail import COMMENT, FULL, SUMMARY, Detail
from dbt_cloud_run.report.dry_run import dry_run_section
from dbt_cloud_run.report.facts import Facts
from dbt_cloud_run.report.markdown.layout import Section, fit, size
from dbt_cloud_run.report.sections.costs import cost_line
from dbt_cloud_run.report.sections.failures import failures
from dbt_cloud_run.report.sections.headline import headline
from dbt_cloud_run.report.sections.lineage import lineage
from dbt_cloud_run.report.sections.materialized import materialized
from dbt_cloud_run.report.sections.plans import plans
from dbt_cloud_run.report.sections.quality import WHEREABOUTS, quality, rest_is_in, warnings, whereabouts
from dbt_cloud_run.report.sections.recovered import recovered
from dbt_cloud_run.report.sections.timeline import timeline

if TYPE_CHECKING:
    from dbt_cloud_run.report.report import Report

SUMMARY_LIMIT = 1_000_000
"""Bytes. The platform drops a step's summary of more than 1,048,576 bytes as a whole."""

MASKING_RESERVE = 40_000
"""Bytes. The runner writes `***` for a secret after we have counted, and a secret may be shorter than that."""

COMMENT_LIMIT = 60_000
"""Bytes; GitHub takes 65,536 characters, and the comment's marker needs some."""

_NOTE_BYTES = 1_500


def summary_budget(already_written: int) -> int:
    """Bytes that a job summary may have when `already_written` are in the step's summary file already."""
    return max(SUMMARY_LIMIT - MASKING_RESERVE - already_written, 0)


def render_full(data: Report) -> str:
    """The whole report, nothing cut (only the diagrams keep to what a renderer takes)."""
    return "".join(section.whole() for section in _sections(Facts(data), FULL))


def render_summary(data: Report, budget: int) -> str:
    """The job summary in at most `budget` bytes; empty when not even a line fits. See `summary_budget`."""
    return _render(Facts(data), SUMMARY, budget)


def render_comment(data: Report) -> str:
    """The short report for the pull request: how it ended, what failed, what was retried, where the rest is."""
    return _render(Facts(data), COMMENT, COMMENT_LIMIT)


def _render(facts: Facts, detail: Detail, budget: int) -> str:
    sections = _sections(facts, detail)
    whole, left_out = fit(sections, budget)
    if not left_out:
        return whole
    # Where the rest is stands in the note, once.
    shown, left_out = fit([section for section in sections if section.name != WHEREABOUTS], budget - _NOTE_BYTES)
    where = rest_is_in(facts) or "The files of the run in dbt Cloud have the rest."
    missing = f"✂️ Left out to stay within GitHub's limit: {left_out.words()}. " if left_out else ""
    note = f"\n{missing}📦 {where}\n"
    for text in (shown + note, shown, note):
        if text.strip() and size(text) <= budget:
            return text
    return ""


def _sections(facts: Facts, detail: Detail) -> list[Section]:
    if facts.data.dry_run is not None:
        return [headline(facts), dry_run_section(facts.data.dry_run)]
    found = [headline(facts), failures(facts, detail), plans(facts, detail)]
    if detail is not COMMENT:
        found += [
            recovered(facts, detail),
            cost_line(facts),
            materialized(facts, detail),
            lineage(facts),
            timeline(facts),
            quality(facts),
            warnings(facts, detail),
        ]
    found.append(whereabouts(facts, in_comment=detail is COMMENT))
    return [section for section in found if section is not None]
