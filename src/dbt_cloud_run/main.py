"""Environment in, exit status out: what is refused or skipped before any request, and the step."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.console import BaseConsole
from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.errors import ConfigError, InvalidInputsError
from dbt_cloud_run.github.events import PullRequest
from dbt_cloud_run.github.runner_files import require_runner_files
from dbt_cloud_run.model import Outcome, StepError
from dbt_cloud_run.process import handle_signals, own_workspace, run_process
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.settings.words import IN_WORKFLOW, Words
from dbt_cloud_run.step import EXIT_FAILURE, run_step

_logger = logging.getLogger(__name__)
_PREFIX = "dbt-cloud-run-"


def main(environ: Mapping[str, str]) -> int:
    """Run the step. Returns 0, 1, or 130 and 143 after SIGINT and SIGTERM."""
    return run_process(environ, partial(_run, environ), status_of_fault=EXIT_FAILURE)


def _run(environ: Mapping[str, str], console: BaseConsole) -> int:
    try:
        settings = Settings.from_environ(environ)
    except InvalidInputsError as error:
        return refuse(console, error, environ)
    return run(settings, environ, console, IN_WORKFLOW)


def run(
    settings: Settings,
    environ: Mapping[str, str],
    console: BaseConsole,
    words: Words,
    clean_up: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """Run the step with these settings; returns the exit status.

    `clean_up` follows it, also after a signal, where no post step does.
    """
    console.annotates = not settings.dry_run
    for warning in settings.warnings:
        _logger.warning("%s", warning)
    if settings.api_token is None:
        return _skip(console, settings, words)
    try:
        require_runner_files(environ)
    except ConfigError as error:
        # Neither outputs nor the summary can be written: the log has it alone.
        _logger.error("%s", error, extra={"title": "dbt Cloud"})
        _mark_stale_comment(settings, "the step could not report to the runner")
        return EXIT_FAILURE
    if not settings.dry_run:
        own_workspace(settings, environ)
    return asyncio.run(_run_step(settings, console, clean_up))


async def _run_step(settings: Settings, console: BaseConsole, clean_up: Callable[[], Awaitable[None]] | None) -> int:
    clock = SystemClock()
    handle_signals(clock, console)
    try:
        folder = _temporary_folder(settings)
    except OSError as error:
        message = f"A temporary folder cannot be created in the container: {error}."
        _logger.error("%s", message, extra={"title": "dbt Cloud"})
        return _end_early(console, StepError(kind=FailureKind.CONFIG, message=message), with_summary=settings.summary)
    with folder as scratch:
        status = await run_step(settings, console, clock, Path(scratch))
    if clean_up is not None:
        await clean_up()
    if status > EXIT_FAILURE:
        # After a signal, no thread that is still decoding, zipping or sending is waited for.
        sys.stdout.flush()
        os._exit(status)
    return status


def _temporary_folder(settings: Settings) -> tempfile.TemporaryDirectory[str]:
    # Runners before 2.329 name a folder that does not exist in the container; or its disk is full.
    root = settings.github.runner_temp
    try:
        return tempfile.TemporaryDirectory(prefix=_PREFIX, dir=root, ignore_cleanup_errors=True)
    except OSError:
        return tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)


def refuse(console: BaseConsole, error: InvalidInputsError, environ: Mapping[str, str]) -> int:
    """Say what is wrong with the inputs, in the log and in the outputs; returns the exit status."""
    _logger.error("%s", error, extra={"title": "dbt Cloud: inputs"})
    with_summary = environ.get("INPUT_SUMMARY", "").strip().lower() != "false"
    reason = StepError(kind=error.kind, message=error.message, code=error.code)
    status = _end_early(console, reason, with_summary=with_summary)
    settings = Settings.without(environ, {problem.name for problem in error.problems})
    if settings is not None:
        _mark_stale_comment(settings, "the inputs of the step are not valid")
    return status


def _mark_stale_comment(settings: Settings, why: str) -> None:
    """A green comment of an earlier commit does not pass for one of this, where the step ends before it has begun."""
    subject = settings.github.subject
    is_about_one = isinstance(subject, PullRequest) and subject.head is not None
    if settings.dry_run or settings.pr_comment == "false" or not is_about_one:
        return
    from dbt_cloud_run.publish.comment import mark_stale_comment

    for warning in mark_stale_comment(settings, subject, settings.job_id, why):
        _logger.warning("%s", warning)


def _skip(console: BaseConsole, settings: Settings, words: Words) -> int:
    why = f"api-token {words.missing['api-token']}"
    console.notice(f"Skipped: {why}", title="dbt Cloud: skipped")
    _publish_early(console, Outcome(ending=Ending.SKIPPED, notes=(why,)), with_summary=settings.summary)
    return 0


def _end_early(console: BaseConsole, error: StepError, *, with_summary: bool) -> int:
    outcome = Outcome(ending=Ending.ERROR, failure_kind=error.kind, error=error)
    _publish_early(console, outcome, with_summary=with_summary)
    return EXIT_FAILURE


def _publish_early(console: BaseConsole, outcome: Outcome, *, with_summary: bool) -> None:
    """Every output of a step that sent no request to dbt Cloud, and the reason in the job summary."""
    # The report is imported only where there is one to write before the step.
    from dbt_cloud_run.report.outputs import build_outputs
    from dbt_cloud_run.report.report import Report
    from dbt_cloud_run.report.summary import render_summary, summary_budget

    report = Report(outcome=outcome)
    with contextlib.suppress(OSError):
        for name, value in build_outputs(report).items():
            console.set_output(name, value)
        if with_summary:
            console.write_summary(render_summary(report, summary_budget(console.summary_size())))
