"""The post step: cancels the run that this step started and left behind, and uploads what the main step could not.

It can trigger nothing, and cancels nothing where the main step ended by its own decision.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import ChainMap
from collections.abc import Mapping, MutableMapping
from functools import partial
from typing import cast

from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import CloudError, Unconfirmed
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import NEW_RUN_GRACE, Reader
from dbt_cloud_run.console import BaseConsole
from dbt_cloud_run.errors import ActionError, Interrupted, InvalidInputsError
from dbt_cloud_run.process import LAST_WORD, TOKEN_VARIABLES, handle_signals, own_workspace, run_process
from dbt_cloud_run.settings.entry import PREFIX
from dbt_cloud_run.settings.inputs import missing_inputs
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.heads import head_of
from dbt_cloud_run.start.once import StartRequest, find_started
from dbt_cloud_run.state import SavedFiles, SavedState
from dbt_cloud_run.threads import in_thread
from dbt_cloud_run.waiting.cancel import cancel

_logger = logging.getLogger(__name__)

LOOK_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between the looks for the run of a request that was not answered: a minute for it to appear."""

NEEDED_INPUTS = (*TOKEN_VARIABLES, "INPUT_ACCOUNT-ID", "INPUT_ACCOUNT_ID", "INPUT_HOST")
BUDGET = 60.0
COMMENT_BUDGET = 30.0


def main(environ: Mapping[str, str]) -> int:
    """Run the post step. Always 0: it does not decide the job's result."""
    return run_process(environ, partial(_run, environ), status_of_fault=0)


def _run(environ: Mapping[str, str], console: BaseConsole) -> int:
    saved = SavedState.from_environ(environ)
    if not saved.target or (saved.is_over and saved.is_published):
        return 0
    settings = _settings(environ, saved)
    if settings is not None:
        own_workspace(settings, environ)
    why = _why_nothing_can_be_asked(settings, saved, environ)
    if settings is None or why:
        if not saved.is_over and saved.may_cancel:
            _warn_of_what_is_not_known(saved, why)
        return 0
    try:
        # A step that was not published has left its comment as it was.
        asyncio.run(_clean_up(settings, console, saved, may_be_stale=not saved.is_published))
    except Interrupted:
        _logger.warning("The post step received a signal before it was done.")
    return 0


async def clean_up(settings: Settings, console: BaseConsole, saved: SavedState) -> None:
    """Do in the process of the step itself what the post step would do: leave no run behind that nothing waits for."""
    if saved.is_over:
        return
    try:
        await _clean_up(settings, console, saved, may_be_stale=False)
    except Interrupted:
        _logger.warning("Another signal was received before the run was known to have ended: check it in dbt Cloud.")


def _settings(environ: Mapping[str, str], saved: SavedState) -> Settings | None:
    """The inputs. Those of a nested composite action can be empty here: then the state says what they were.

    An input can also have become invalid, such as a folder in whose place a later step has put a link. So where they
    are not valid, only those count that say where the run is and who may cancel it.
    """
    missing = missing_inputs(saved.inputs, environ)
    needed = {name: text for name, text in environ.items() if not name.startswith(PREFIX) or name in NEEDED_INPUTS}
    for given in (cast("MutableMapping[str, str]", environ), needed | {"INPUT_JOB-ID": saved.inputs.get("job-id", "")}):
        try:
            return Settings.from_environ(ChainMap(missing, given))
        except InvalidInputsError as error:
            _logger.debug("The inputs of the post step are not valid: %s", error)
    return None


def _why_nothing_can_be_asked(settings: Settings | None, saved: SavedState, environ: Mapping[str, str]) -> str:
    """Why no request can be sent to the account of the step, as words before "in the post step"; empty if one can."""
    if settings is None or settings.api_token is None:
        is_token_there = any(environ.get(name, "").strip() for name in TOKEN_VARIABLES)
        return "account-id, host or api-token is not valid" if is_token_there else "api-token is missing"
    # The state may be forged, and the token is for the account that the inputs name.
    is_same = saved.target == f"{settings.base_url} {settings.account_id}"
    return "" if is_same else "account-id or host names another account"


def _warn_of_what_is_not_known(saved: SavedState, why: str) -> None:
    run = f"run {saved.run_id}" if saved.run_id is not None else "a run that was about to be started"
    where = f": {saved.address}" if saved.address else "."
    _logger.warning(
        "Whether %s is still active in dbt Cloud is not known, because %s in the post step. Look for it there, and "
        "cancel it if nothing waits for it%s",
        run,
        why,
        where,
    )


async def _clean_up(settings: Settings, console: BaseConsole, saved: SavedState, *, may_be_stale: bool) -> None:
    clock = SystemClock()
    handle_signals(clock, console)
    if not saved.is_over and saved.may_cancel and settings.cancel_run and settings.wait:
        await _leave_no_run(settings, clock, saved)
    if may_be_stale and settings.pr_comment != "false":
        await _mark_stale(settings, clock, saved)
    if saved.files is not None and not saved.is_published and settings.upload_artifact:
        await _upload(settings, console, clock, saved.files)


async def _mark_stale(settings: Settings, clock: SystemClock, saved: SavedState) -> None:
    """The step was ended before it could report: a green comment of an earlier commit does not pass for one of this."""
    from dbt_cloud_run.publish.comment import mark_stale_comment

    why = "the step was ended before it had a result"
    subject = await head_of(settings.github.subject, settings, clock)
    try:
        async with asyncio.timeout(COMMENT_BUDGET):
            warnings = await in_thread(lambda: mark_stale_comment(settings, subject, saved.job_id, why), "comment")
    except TimeoutError:
        warnings = ["The comment on the pull request could not be marked as that of an earlier commit in time."]
    for warning in warnings:
        _logger.warning("%s", warning)


async def _leave_no_run(settings: Settings, clock: SystemClock, saved: SavedState) -> None:
    assert settings.api_token is not None  # noqa: S101 - `_run` has checked it
    reader = Reader(clock)
    async with CloudClient(settings.base_url, settings.account_id, settings.api_token, clock) as client:
        try:
            run = await _left_behind(client, reader, saved)
            if run is None:
                _logger.info("No run was left behind.")
            elif saved.run_id is not None and not saved.proves(run):
                _logger.warning(
                    "Run %s does not show that this step started it, and is left alone: %s", run.id, run.href
                )
            elif run.state.is_terminal:
                _logger.info("Run %s has ended: %s.", run.id, run.state.value)
            else:
                ended = await _cancel(client, reader, run)
                word = "is cancelled" if ended.state.is_terminal else "is being cancelled, and has not ended yet"
                _logger.info("Run %s %s: %s", run.id, word, run.href or "")
        except ActionError as error:
            _logger.warning("Whether a run was left behind in dbt Cloud could not be determined: %s", error)


async def _cancel(client: CloudClient, reader: Reader, run: Run) -> Run:
    try:
        return await cancel(client, reader, run)
    except Interrupted:
        # The one thing that the post step is for: requested once more, without a wait.
        with contextlib.suppress(CloudError, TimeoutError):
            async with asyncio.timeout(LAST_WORD):
                await client.cancel_run(run.id)
        raise


async def _left_behind(client: CloudClient, reader: Reader, saved: SavedState) -> Run | None:
    if saved.run_id is not None:
        run_id = saved.run_id
        new_until = reader.within(NEW_RUN_GRACE)
        return await reader.read(
            lambda: client.get_run(run_id, ("trigger",)), deadline=reader.within(BUDGET), tolerate_404_until=new_until
        )
    return None if saved.request is None else await _appeared(client, reader, saved.request)


async def _appeared(client: CloudClient, reader: Reader, request: StartRequest) -> Run | None:
    """The run that an unanswered request has started; searched for as long as the main step would.

    Raises `CloudError` where it is not known whether there is one.
    """
    for number, pause in enumerate((0.0, *LOOK_PAUSES)):
        if number == 1:
            _logger.info("Searching for up to %.0f s for %s.", sum(LOOK_PAUSES), request.what_to_look_for)
        await reader.clock.sleep(pause)
        found = await reader.read(lambda: find_started(client, request), deadline=reader.within(BUDGET))
        if found is not None:
            return found
    if not request.is_findable:
        # Which runs are newer than the request is not known: its own may not be on the page that was listed.
        raise Unconfirmed(
            "The newest runs of the job do not include it.", f"Look in dbt Cloud for {request.what_to_look_for}."
        )
    return None


async def _upload(settings: Settings, console: BaseConsole, clock: SystemClock, files: SavedFiles) -> None:
    from dbt_cloud_run.github.artifacts.limits import POST_STEP_LIMITS
    from dbt_cloud_run.github.artifacts.upload import ArtifactUploadError
    from dbt_cloud_run.github.files import UnsafePathError, inside_workspace
    from dbt_cloud_run.publish.upload import artifact_files, upload

    try:
        workspace = settings.github.workspace
        folder = inside_workspace(workspace, files.folder.relative_to(workspace.resolve()).as_posix())
        inside = dict.fromkeys(path for path in files.files if path.resolve().is_relative_to(folder))
        found = artifact_files(folder, inside)
        # The step that was ended may have announced an artifact of this name, and not finished it.
        uploaded = await upload(settings, console, clock, found, files.name, may_rename=True, limits=POST_STEP_LIMITS)
        _logger.info("Uploaded %s: %s", uploaded.name, uploaded.url)
    except (ArtifactUploadError, UnsafePathError, CloudError, ValueError, OSError) as error:
        _logger.warning("The artifact was not uploaded: %s", error)
