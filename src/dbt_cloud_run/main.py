"""The step: environment in, exit status out. Wiring only; what happens in which order stands in `runner`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.errors import InvalidInputsError
from dbt_cloud_run.github.commands import Console
from dbt_cloud_run.model import Ending, FailureKind, Outcome
from dbt_cloud_run.settings import Settings
from dbt_cloud_run.step import EXIT_FAILURE, StepRun

SECRETS = (
    "INPUT_API-TOKEN",
    "INPUT_API_TOKEN",
    "DBT_CLOUD_API_TOKEN",
    "INPUT_GITHUB-TOKEN",
    "INPUT_GITHUB_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
)


def main(environ: Mapping[str, str]) -> int:
    """Run the step. Gives 0, 1, or 130 and 143 after SIGINT and SIGTERM."""
    console = Console(environ=environ)
    hide_secrets(console, environ)
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
    root = _temporary_root(settings)
    with tempfile.TemporaryDirectory(prefix="dbt-cloud-run-", dir=root, ignore_cleanup_errors=True) as scratch:
        status = await StepRun(settings, console, clock, Path(scratch)).run()
    if (
        status > EXIT_FAILURE
    ):  # a thread may still be decoding, zipping or talking: the end of the loop would wait for it
        sys.stdout.flush()
        os._exit(status)
    return status


def _temporary_root(settings: Settings) -> str | None:
    # Runners before 2.329 name a folder that does not exist in the container.
    folder = settings.github.runner_temp
    return str(folder) if folder is not None and os.access(folder, os.W_OK) else None


def _refuse(console: Console, error: InvalidInputsError, environ: Mapping[str, str]) -> int:
    console.error(str(error), title="dbt Cloud: inputs")
    with_summary = environ.get("INPUT_SUMMARY", "").strip().lower() != "false"
    _publish_first(console, Ending.ERROR, error.kind, error.message, with_summary=with_summary)
    return EXIT_FAILURE


def _skip(console: Console, settings: Settings) -> int:
    from dbt_cloud_run.settings import WHY_MISSING

    why = f"api-token {WHY_MISSING}"
    console.notice(f"Skipped: {why}", title="dbt Cloud: skipped")
    _publish_first(console, Ending.SKIPPED, FailureKind.NONE, why, with_summary=settings.summary)
    return 0


def _publish_first(console: Console, ending: Ending, kind: FailureKind, message: str, *, with_summary: bool) -> None:
    """Every output of a step that never spoke to dbt Cloud, and the reason in the job summary."""
    from dbt_cloud_run.report.data import ReportData
    from dbt_cloud_run.report.outputs import build_outputs
    from dbt_cloud_run.report.summary import render_summary, summary_budget

    data = ReportData(outcome=Outcome(ending=ending, failure_kind=kind, message=message))
    with contextlib.suppress(OSError):
        for name, value in build_outputs(data).items():
            console.set_output(name, value)
        if with_summary:
            console.append_summary(render_summary(data, summary_budget(console.summary_size())))
