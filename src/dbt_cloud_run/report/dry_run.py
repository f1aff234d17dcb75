"""A dry run: what the step would do, as lines of the log and as the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbt_cloud_run.report.markdown import escape
from dbt_cloud_run.report.markdown.layout import Block, Section
from dbt_cloud_run.report.progress import plan_lines

if TYPE_CHECKING:
    from dbt_cloud_run.report.report import Report
    from dbt_cloud_run.start.request import DryRun, PlannedRequest

NOTHING_STARTED = "Dry run: only GET requests were sent, and nothing was started."
UNKNOWN_PERMISSION = "Whether the token may start the job is not known: only starting it would show that."


def dry_run_lines(data: Report) -> list[str]:
    """The lines of the log; none for a step that is no dry run."""
    found = data.dry_run
    if found is None:
        return []
    lines = [NOTHING_STARTED, *found.lines, *found.notes]
    if found.plan is not None:
        lines += ["The retry that would be planned:", *(f"  {line}" for line in plan_lines(found.plan))]
    if found.request is not None:
        lines += _request_lines(found.request)
        lines.append(UNKNOWN_PERMISSION)
    return lines


def dry_run_section(found: DryRun) -> Section:
    """The same for the summary: job, plan and request."""
    parts = [f"{NOTHING_STARTED}\n\n"]
    parts += [f"{escape.text(note, 1_000)}\n\n" for note in found.notes]
    parts.append(escape.fence("\n".join(found.lines)) + "\n\n")
    if found.plan is not None:
        parts.append("#### The retry that would be planned\n\n")
        parts.append(escape.fence("\n".join(plan_lines(found.plan))) + "\n\n")
    if found.request is not None:
        request = found.request
        parts.append("#### The request that would be sent\n\n")
        parts.append(escape.fence(f"POST {request.address}\n{_body(request)}".rstrip()) + "\n\n")
        if request.origins:
            rows = [f"| {escape.code(name)} | {escape.text(words, 200)} |\n" for name, words in request.origins.items()]
            parts.append(f"| Field | From |\n| --- | --- |\n{''.join(rows)}\n")
        parts.append(f"{UNKNOWN_PERMISSION}\n\n")
    return Section("Dry run", [Block(parts, noun="part")], importance=1)


def _request_lines(request: PlannedRequest) -> list[str]:
    width = max((len(name) for name in request.origins), default=0)
    origins = [f"  {name.ljust(width)}  {origin}" for name, origin in request.origins.items()]
    lines = ["The request that would be sent:", f"POST {request.address}", *_body(request).split("\n")]
    return [line for line in lines if line] + (["Its values are from:", *origins] if origins else [])


def _body(request: PlannedRequest) -> str:
    return request.body_text if request.body else ""
