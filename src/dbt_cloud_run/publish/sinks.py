"""Where a report goes: one function for each place. Each returns what it made; none changes the verdict."""

from __future__ import annotations

from pathlib import Path

from dbt_cloud_run.collect.artifact_paths import matches
from dbt_cloud_run.console import Annotation, BaseConsole
from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.github.files import WorkspaceFiles, inside_workspace
from dbt_cloud_run.publish.folder import ASSETS, JUNIT, RESULT, RUN_RESULTS, SUMMARY, ArtifactsFolder
from dbt_cloud_run.report.annotations import annotate
from dbt_cloud_run.report.files import write_assets, write_junit, write_merged_run_results, write_result, write_text
from dbt_cloud_run.report.junit import cases, junit_xml
from dbt_cloud_run.report.outputs import build_outputs, cut_outputs
from dbt_cloud_run.report.report import Report
from dbt_cloud_run.report.result import about, result_values
from dbt_cloud_run.report.summary import render_full, render_summary, summary_budget
from dbt_cloud_run.settings.settings import Settings

LARGEST_SOURCE = 1024 * 1024
"""Bytes of a model's file that is searched for a line."""

_ENDED_EARLY = (FailureKind.API, FailureKind.CONFIG, FailureKind.TIMEOUT)


def set_outputs(report: Report, console: BaseConsole) -> list[str]:
    """Set every output; returns warnings about those that were cut."""
    if not console.takes_outputs:
        return []
    outputs, cuts = cut_outputs(build_outputs(report))
    for name, value in outputs.items():
        console.set_output(name, value)
    return [f"GitHub limits outputs: {cut}. The whole list is in {RESULT}." for cut in cuts]


def write_merged(report: Report, settings: Settings, folder: ArtifactsFolder) -> Path | None:
    """Write the run results of all attempts as one file, where it is wanted and there are any; returns its path."""
    outcome = report.outcome
    is_wanted = any(matches(RUN_RESULTS, pattern) for pattern in settings.artifacts)
    if not outcome.attempts or not is_wanted:
        return None
    target = folder.file(RUN_RESULTS)
    return target if write_merged_run_results(target, outcome.ledger, outcome.attempts) else None


def write_assets_file(report: Report, folder: ArtifactsFolder) -> Path:
    """Write `assets.json`; returns its path."""
    target = folder.file(ASSETS)
    write_assets(target, report.assets, about(report))
    return target


def write_junit_file(report: Report, folder: ArtifactsFolder) -> Path | None:
    """Write `junit.xml`; returns its path, and None where the run has not ended and there is nothing to say of it."""
    if report.outcome.ending is Ending.QUEUED:
        return None
    target = folder.file(JUNIT)
    write_junit(target, junit_xml(cases(report)))
    return target


def write_result_file(report: Report, folder: ArtifactsFolder) -> Path:
    """Write `result.json`; returns its path."""
    target = folder.file(RESULT)
    write_result(target, result_values(report))
    return target


def write_summary_file(report: Report, folder: ArtifactsFolder) -> Path:
    """Write `summary.md`, the whole report; returns its path."""
    target = folder.file(SUMMARY)
    write_text(target, render_full(report))
    return target


def write_summary(report: Report, console: BaseConsole) -> list[str]:
    """Write the report to the job summary, in its place if it is there; returns a warning where there is no room."""
    text = render_summary(report, summary_budget(console.summary_size()))
    if not text:
        return [f"The job summary is full already, so nothing was added. The report is in {SUMMARY}."]
    console.write_summary(text)
    return []


def write_annotations(report: Report, console: BaseConsole) -> None:
    """Annotate the files of failed nodes; one annotation is kept free for what is said of the step besides.

    A file of another repository than the workflow's cannot be annotated: the message then has none.
    """
    checkout = report.checkout
    files = WorkspaceFiles(checkout.root) if checkout is not None else ()
    found = annotate(
        report,
        project_directory=checkout.directory if checkout is not None else ".",
        exists=files.__contains__,
        read=lambda path: _source(checkout.root, path) if checkout is not None else None,
    )
    is_own = checkout is not None and checkout.is_own
    is_said_besides = report.outcome.failure_kind in _ENDED_EARLY or bool(report.outcome.contradictions)
    reserved = 1 if is_said_besides else 0
    for kind in ("error", "warning"):
        console.annotate_all(
            kind,
            [
                Annotation(
                    message=one.message,
                    file=one.file if is_own else None,
                    line=one.line if is_own else None,
                    title=one.title,
                )
                for one in found
                if one.kind == kind
            ],
            reserve=reserved if kind == "error" else 0,
        )


def _source(root: Path, path: str) -> str | None:
    """The text of a file of the repository, for the line that a message quotes."""
    try:
        file = inside_workspace(root, path)
        return file.read_text(errors="replace") if file.stat().st_size <= LARGEST_SOURCE else None
    except (OSError, ValueError):
        return None
