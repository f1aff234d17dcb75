"""The post step: cancels the run that this step started and left behind, and uploads what the main step could not.

It can trigger nothing, and cancels nothing where the main step ended by its own decision.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from functools import partial

from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import CloudError
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import NEW_RUN_GRACE, Reader
from dbt_cloud_run.errors import ActionError, Interrupted, InvalidInputsError
from dbt_cloud_run.github.console import Console
from dbt_cloud_run.github.streams import without_raising
from dbt_cloud_run.main import hear_signals, hide_secrets
from dbt_cloud_run.run_log import debug_lines
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.pending import find_started
from dbt_cloud_run.state import SavedState, SavedWrite
from dbt_cloud_run.waiting.wait import cancel

LOOK_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # seconds: a minute for a run whose trigger was in flight to appear
BUDGET = 60.0
LAST_WORD = 2.0  # seconds for one request after a signal


def main(environ: Mapping[str, str]) -> int:
    """Run the post step. Always 0: the job's result is not decided here."""
    console = Console(environ=environ)
    hide_secrets(console, environ)
    with debug_lines(console):
        return without_raising(console, partial(_run, console, environ), 0)


def _run(console: Console, environ: Mapping[str, str]) -> int:
    saved = SavedState.from_environ(environ)
    is_over = bool(saved.ended) or (saved.run_id is None and saved.write is None)
    if is_over and (saved.files is None or saved.is_published):
        return 0
    try:
        settings = Settings.from_environ(environ)
    except InvalidInputsError as error:
        console.debug(f"The post step has nothing to go by: {error}")
        return 0
    if settings.api_token is None or saved.target != f"{settings.base_url} {settings.account_id}":
        return 0
    try:
        asyncio.run(_in_a_loop(settings, console, saved, is_over=is_over))
    except Interrupted:
        console.warning("The post step was told to stop before it was done.")
    return 0


async def _in_a_loop(settings: Settings, console: Console, saved: SavedState, *, is_over: bool) -> None:
    clock = SystemClock()
    hear_signals(clock)
    if not is_over and settings.cancel_run and settings.wait:
        await _leave_no_run(settings, console, clock, saved)
    if saved.files is not None and not saved.is_published and settings.upload_artifact:
        await _upload(settings, console, clock, saved)


async def _leave_no_run(settings: Settings, console: Console, clock: SystemClock, saved: SavedState) -> None:
    assert settings.api_token is not None  # noqa: S101 - `main` has seen to it
    reader = Reader(clock, on_note=console.info)
    async with CloudClient(settings.base_url, settings.account_id, settings.api_token, clock) as client:
        try:
            run = await _left_behind(client, reader, saved)
            if run is None:
                console.info("No run was left behind.")
            elif saved.run_id is not None and not saved.proves(run):
                console.warning(f"Run {run.id} does not say that this step started it, and is left alone: {run.href}")
            elif run.state.is_terminal:
                console.info(f"Run {run.id} has ended: {run.state.value}.")
            else:
                ended = await _cancel(client, reader, run)
                word = "is cancelled" if ended.state.is_terminal else "was told to stop, and has not ended yet"
                console.info(f"Run {run.id} {word}: {run.href or ''}")
        except ActionError as error:
            console.warning(f"Whether a run was left behind in dbt Cloud could not be seen: {error}")


async def _cancel(client: CloudClient, reader: Reader, run: Run) -> Run:
    try:
        return await cancel(client, reader, run)
    except Interrupted:  # the one thing that this step is here for: asked once more, without a wait
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
    return None if saved.write is None else await _appeared(client, reader, saved.write)


async def _appeared(client: CloudClient, reader: Reader, write: SavedWrite) -> Run | None:
    """The run that an unanswered write has started; it may appear as late as the main step would look for it."""
    for pause in (0.0, *LOOK_PAUSES):
        await reader.clock.sleep(pause)
        found = await reader.read(
            lambda: find_started(client, write.job_id, write.baseline_id, tag=write.tag, native_of=write.native_of),
            deadline=reader.within(BUDGET),
        )
        if found is not None:
            return found
    return None


async def _upload(settings: Settings, console: Console, clock: SystemClock, saved: SavedState) -> None:
    from dbt_cloud_run.github.artifacts.upload import ArtifactUploadError
    from dbt_cloud_run.github.files import UnsafePathError, inside_workspace
    from dbt_cloud_run.publish.upload import upload

    files = saved.files
    if files is None:
        return
    try:
        workspace = settings.github.workspace
        folder = inside_workspace(workspace, files.folder.relative_to(workspace.resolve()).as_posix())
        inside = [path for path in files.files if path.resolve().is_relative_to(folder)]
        uploaded = await upload(settings, console, clock, folder, inside, files.name)
        console.info(f"Uploaded {uploaded.name}: {uploaded.url}")
    except (ArtifactUploadError, UnsafePathError, CloudError, ValueError, OSError) as error:
        console.warning(f"The artifact was not uploaded: {error}")
