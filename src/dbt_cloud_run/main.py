"""The step: environment in, exit status out. Wiring only; what happens in which order stands in `runner`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.errors import InvalidInputsError
from dbt_cloud_run.github.console import Console
from dbt_cloud_run.github.streams import without_raising
from dbt_cloud_run.model import Ending, FailureKind, Outcome
from dbt_cloud_run.run_log import debug_lines
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.step import EXIT_FAILURE, StepRun

SECRETS = (
    "INPUT_API-TOKEN",
    "INPUT_API_TOKEN",
    "DBT_CLOUD_API_TOKEN",
    "INPUT_GITHUB-TOKEN",
    "INPUT_GITHUB_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
)
_PREFIX = "dbt-cloud-run-"


def main(environ: Mapping[str, str]) -> int:
    """Run the step. Gives 0, 1, or 130 and 143 after SIGINT and SIGTERM."""
    console = Console(environ=environ)
    hide_secrets(console, environ)
    with debug_lines(console):
        return without_raising(console, partial(_run, console, environ), EXIT_FAILURE)


def _run(console: Console, environ: Mapping[str, str]) -> int:
    try:
        settings = Settings.from_environ(environ)
    except InvalidInputsError as error:
        return _refuse(console, error, environ)
    for warning in settings.warnings:
        console.warning(warning)
    if settings.api_token is None:
        return _skip(console, settings)
    return asyncio.run(_in_a_loop(settings, console))


def hide_secrets(console: Console, environ: Mapping[str, str]) -> None:
    """Mask the secrets at once, before anything else could print them."""
    for name in SECRETS:
        console.mask(environ.get(name, ""))


def hear_signals(clock: SystemClock) -> None:
    """SIGINT and SIGTERM end every wait; a second signal ends the process at once."""
    loop = asyncio.get_running_loop()

    def heard(signum: int) -> None:
        if clock.signum:
            os._exit(128 + signum)
        clock.interrupt(signum)

    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, heard, signum)


async def _in_a_loop(settings: Settings, console: Console) -> int:
    clock = SystemClock()
    hear_signals(clock)
    try:
        folder = _temporary_folder(settings)
    except OSError as error:
        return _stop(console, settings, f"No temporary folder can be made in the container: {error}.")
    with folder as scratch:
        status = await StepRun(settings, console, clock, Path(scratch)).run()
    if status > EXIT_FAILURE:  # after a signal nobody waits for a thread that is still decoding, zipping or talking
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


def _stop(console: Console, settings: Settings, message: str) -> int:
    console.error(message, title="dbt Cloud")
    _publish_first(console, Ending.ERROR, FailureKind.CONFIG, message, with_summary=settings.summary)
    return EXIT_FAILURE


def _refuse(console: Console, error: InvalidInputsError, environ: Mapping[str, str]) -> int:
    console.error(str(error), title="dbt Cloud: inputs")
    with_summary = environ.get("INPUT_SUMMARY", "").strip().lower() != "false"
    _publish_first(console, Ending.ERROR, error.kind, error.message, with_summary=with_summary)
    return EXIT_FAILURE


def _skip(console: Console, settings: Settings) -> int:
    from dbt_cloud_run.settings.settings import WHY_MISSING

    why = f"api-token {WHY_MISSING}"
    console.notice(f"Skipped: {why}", title="dbt Cloud: skipped")
    _publish_first(console, Ending.SKIPPED, FailureKind.NONE, why, with_summary=settings.summary)
    return 0


def _publish_first(console: Console, ending: Ending, kind: FailureKind, message: str, *, with_summary: bool) -> None:
    """Every output of a step that never spoke to dbt Cloud, and the reason in the job summary."""
    from dbt_cloud_run.report.outputs import build_outputs
    from dbt_cloud_run.report.report import Report
    from dbt_cloud_run.report.summary import render_summary, summary_budget

    data = Report(outcome=Outcome(ending=ending, failure_kind=kind, message=message))
    with contextlib.suppress(OSError):
        for name, value in build_outputs(data).items():
            console.set_output(name, value)
        if with_summary:
            console.append_summary(render_summary(data, summary_budget(console.summary_size())))
