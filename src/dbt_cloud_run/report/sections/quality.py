"""Tests, source freshness, warnings, and where the rest of the report is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dbt_cloud_run.dbt.statuses import Kind, kind
from dbt_cloud_run.report.markdown import escape
from dbt_cloud_run.report.markdown.layout import Block, Section
from dbt_cloud_run.report.remembered import remembered
from dbt_cloud_run.report.sections.failures import failed_step, node_link
from dbt_cloud_run.report.wording import ICONS, UNKNOWN, duration, plural

if TYPE_CHECKING:
    from dbt_cloud_run.report.detail import Detail
    from dbt_cloud_run.report.facts import Facts

WHEREABOUTS = "Where the rest is"
_CHECKS = {"test.": "Data tests", "unit_test.": "Unit tests"}
_WORST_FIRST = (Kind.FAILED, Kind.WARNED, Kind.SKIPPED, Kind.SUCCEEDED)


@remembered
def quality(facts: Facts) -> Section | None:
    """The counts of the checks, then what was warned of, then freshness; None when nothing was checked."""
    blocks = [*_check_counts(facts), *_warned(facts), *_freshness(facts)]
    return Section("Tests", blocks, importance=5, title="#### Tests and source freshness\n\n") if blocks else None


def warnings(facts: Facts, detail: Detail) -> Section | None:
    """What was missing or could not be trusted, and steps whose failure the run survived; None without any of it."""
    rows = [f"- ⚠️ {escape.text(warning, 500)}\n" for warning in facts.warnings]
    blocks = [Block(rows, tail="\n", noun="warning")] if rows else []
    entries = [
        failed_step(facts, attempt, step, detail, icon="⚠️ dbt Cloud reports the run as a success, but this failed:")
        for attempt, step in facts.tolerated_steps
    ]
    blocks += [Block(entries, noun="failed step")] if entries else []
    return Section("Warnings", blocks, importance=5, title="#### Warnings\n\n") if blocks else None


def whereabouts(facts: Facts, *, in_comment: bool) -> Section | None:
    """The line that says where the artifact and the files are; in a comment also where the job summary is."""
    page = facts.data.workflow_url if in_comment else None
    summary = escape.link("the job summary", page)
    words = [f"📊 The longer report is in {summary}."] if page else []
    words += [f"📦 {rest_is_in(facts)}"] if rest_is_in(facts) else []
    return Section(WHEREABOUTS, [Block([f"{' '.join(words)}\n"])], importance=1) if words else None


def rest_is_in(facts: Facts) -> str:
    """Where the whole report and dbt's own files are, for people; empty when nothing was written."""
    artifact, folder = facts.data.artifact, facts.data.artifacts_path
    bits = []
    if artifact is not None:
        bits.append(f"in the artifact {escape.link(escape.code(artifact.name, 120), artifact.url)}")
    if folder:
        bits.append(f"in the workspace below {escape.code(folder, 200)}")
    what = "and dbt's files are" if facts.data.has_dbt_files else "is"
    return f"The whole report (`summary.md`) {what} {' and '.join(bits)}." if bits else ""


def _check_counts(facts: Facts) -> list[Block]:
    judged = facts.kinds.items()
    checks = {label: Counter(kind for uid, kind in judged if uid.startswith(ids)) for ids, label in _CHECKS.items()}
    counts = {label: counted for label, counted in checks.items() if counted}
    for row in facts.data.outcome.ledger.freshness:
        counts.setdefault("Source freshness", Counter())[kind(row.status)] += 1
    rows = [
        f"| {label} | {counted[Kind.SUCCEEDED]:,} | {counted[Kind.WARNED]:,} | {counted[Kind.FAILED]:,} "
        f"| {counted[Kind.SKIPPED]:,} |\n"
        for label, counted in counts.items()
    ]
    head = "| | ✅ passed | ⚠️ warned | ❌ failed | ⏭️ skipped |\n| --- | ---: | ---: | ---: | ---: |\n"
    return [Block(rows, head, "\n", noun="count")] if rows else []


def _warned(facts: Facts) -> list[Block]:
    rows = []
    for found in facts.warned:
        info = facts.info(found.unique_id)
        message = escape.text(found.result.message or "", 300)
        tested = ", ".join(escape.code(facts.info(uid).name, 80) for uid in info.tested_nodes[:3]) or UNKNOWN
        rows.append(f"| ⚠️ {node_link(info)} | {tested} | {message} |\n")
    return [Block(rows, "| Warned | On | dbt said |\n| --- | --- | --- |\n", "\n", noun="warned node")] if rows else []


def _freshness(facts: Facts) -> list[Block]:
    found = sorted(facts.data.outcome.ledger.freshness, key=lambda row: _WORST_FIRST.index(kind(row.status)))
    rows = []
    for row in found:
        loaded = f"{row.max_loaded_at:%Y-%m-%d %H:%M} UTC" if row.max_loaded_at else UNKNOWN
        cells = (
            f"{ICONS[kind(row.status)]} {node_link(facts.info(row.unique_id))}",
            escape.text(row.status, 40),
            duration(row.age_seconds),
            loaded,
            escape.text(row.criteria or row.message or UNKNOWN, 200),
        )
        rows.append(f"| {' | '.join(cells)} |\n")
    if not rows:
        return []
    bad = sum(1 for row in found if kind(row.status) is not Kind.SUCCEEDED)
    title = f"{plural(len(rows), 'source')}" + (f", {bad:,} not fresh" if bad else ", all fresh")
    head = (
        f"<details{' open' if bad else ''}><summary>{title}</summary>\n\n"
        "| Source | Status | Age | Last loaded | Allowed |\n| --- | --- | ---: | --- | --- |\n"
    )
    return [Block(rows, head, "\n</details>\n\n", noun="source")]
