"""What the main step and the post step share: masks, the log, signal handlers, and the last exception handler."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.console import BaseConsole
from dbt_cloud_run.emit.secrets import secrets_of_sinks
from dbt_cloud_run.errors import ActionError
from dbt_cloud_run.github.console import Console
from dbt_cloud_run.github.files import inside_workspace
from dbt_cloud_run.github.leftovers import DEFAULT_FOLDER
from dbt_cloud_run.github.log import TITLE, log_to
from dbt_cloud_run.github.ownership import act_as_owner, mend
from dbt_cloud_run.github.runner_files import RUNNER_FILES
from dbt_cloud_run.github.streams import one_stream
from dbt_cloud_run.model import StepError
from dbt_cloud_run.network.certificates import Authorities
from dbt_cloud_run.settings.advice import FAULT_ADVICE
from dbt_cloud_run.settings.settings import Settings

_logger = logging.getLogger(__name__)

TOKEN_VARIABLES = ("INPUT_API-TOKEN", "INPUT_API_TOKEN", "DBT_CLOUD_API_TOKEN")
SECRETS = (*TOKEN_VARIABLES, "INPUT_GITHUB-TOKEN", "INPUT_GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN")

LAST_WORD = 2.0
"""Seconds for one request after a signal; the runner grants 7.5 s before it sends the next one."""


def run_process(
    environ: Mapping[str, str],
    work: Callable[[BaseConsole], int],
    *,
    status_of_fault: int,
    console: BaseConsole | None = None,
) -> int:
    """Run `work` with the secrets masked and the log connected; returns its exit status.

    A fault of this program that reaches this point is one error in the log, with its traceback, and `status_of_fault`.
    Without a `console` it is that of GitHub's runner.
    """
    console = console or Console(environ=environ)
    mask_secrets(console, environ)
    with log_to(console), one_stream(console):
        try:
            return work(console)
        except Exception as error:
            _logger.error(report_fault(console, error), extra=TITLE)
            return status_of_fault


def mask_secrets(console: BaseConsole, environ: Mapping[str, str]) -> None:
    """Mask the secrets at once, before anything else could print them."""
    for name in SECRETS:
        console.mask(environ.get(name, ""))
    for secret in secrets_of_sinks(environ):
        console.mask(secret)


def report_fault(console: BaseConsole, error: Exception) -> str:
    """Write the traceback of a fault of this program to the log, folded; returns the sentence for the error."""
    with console.group("Traceback of an internal error"):
        console.relay("".join(traceback.format_exception(error)))
    return f"Internal error in this program ({type(error).__name__}: {error})."


def fault_error(console: BaseConsole, error: Exception) -> StepError:
    """A fault of this program as the error that ends the step; its traceback is in the log."""
    return StepError(kind=ActionError.kind, message=report_fault(console, error), advice=FAULT_ADVICE)


def own_workspace(settings: Settings, environ: Mapping[str, str]) -> None:
    """From now on what is written belongs to the owner of the workspace, so that a step that is killed leaves it so.

    What an older version left as root's in the default folder is mended first. Where the owner could not write all that
    a step writes, it is given away at the end instead.
    """
    workspace = settings.github.workspace
    try:
        folder = inside_workspace(workspace, settings.artifacts_path or DEFAULT_FOLDER)
    except (OSError, ValueError):
        return
    if settings.artifacts_path is None and (mended := mend(folder, workspace)):
        _logger.debug("%d files and folders of root's in %s now belong to the owner of the workspace", mended, folder)
    there = next((path for path in (folder, *folder.parents) if path.exists()), workspace)
    named = (environ.get(name, "") for name in (*RUNNER_FILES, "RUNNER_TEMP"))
    is_owner = act_as_owner(
        workspace,
        must_write=[there, *map(Path, filter(None, named))],
        # Much is imported, and authorities are read, only when they are needed.
        must_read=[Path(__file__), Path(os.__file__), *_read_later(settings, environ)],
    )
    _logger.debug("Files are written as %s", "the owner of the workspace" if is_owner else "the user of the container")


def _read_later(settings: Settings, environ: Mapping[str, str]) -> list[Path]:
    event = settings.github.event_path
    try:
        authorities = Authorities.from_environ(environ).files()
    except OSError:
        # It is reported by the session that needs them.
        authorities = []
    return [path for path in (event, *authorities) if path is not None and path.exists()]


def handle_signals(clock: SystemClock, console: BaseConsole) -> None:
    """Let the signals of `console` end every wait on `clock`; a second signal ends the process at once.

    The event loop's own handlers would go with the loop, and a signal after it would be lost, or a traceback.
    """
    loop = asyncio.get_running_loop()

    def received(signum: int, _: FrameType | None) -> None:
        if clock.signum or loop.is_closed():
            console.abandon()
            os._exit(128 + signum)
        loop.call_soon_threadsafe(clock.interrupt, signum)

    for signum in console.signals:
        signal.signal(signum, received)
