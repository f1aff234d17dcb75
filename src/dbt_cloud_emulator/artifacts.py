"""What a run left behind: logs and artifacts, of real runs and of replayed ones alike."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dbt_cloud_emulator.recording import BINARY
from dbt_cloud_emulator.store import Run, Step

DEBUG_LINES = 1000


def source_folder(run: Run, index: int) -> Path:
    """The folder with the files of a step, whoever made them."""
    if run.replayed is not None:
        return run.replayed.recording.folder / "steps" / str(run.replayed.step_of.get(index, index))
    return run.step_folder(index)


def last_step(run: Run) -> Step | None:
    """The step whose artifacts are served when none is asked for: the last one that was started."""
    return next((step for step in reversed(run.steps) if step.started_at is not None), None)


def list_paths(run: Run, index: int) -> list[str]:
    """The artifacts of a step, as paths under dbt's target folder."""
    folder = source_folder(run, index) / "artifacts"
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def find(run: Run, index: int, path: str) -> Path | None:
    """The file of an artifact; None also for a path that leads out of the folder."""
    folder = (source_folder(run, index) / "artifacts").resolve()
    file = (folder / path).resolve()
    return file if file.is_relative_to(folder) and file.is_file() else None


async def rewritten(run: Run, file: Path) -> bytes | None:
    """The content of a replayed artifact, made to fit this run; None where the file can be sent as it is."""
    if run.replayed is None or file.suffix in BINARY:
        return None
    return await asyncio.to_thread(lambda: run.rewritten(file.read_bytes()))


def read_log(run: Run, step: Step, name: str) -> str:
    """`console.log` or `debug.log` of a step, as far as it is written."""
    folder = source_folder(run, step.index)
    file = folder / name
    if name == "debug.log" and not file.is_file():
        file = folder / "logs" / "dbt.log"  # while the command runs
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return ""
    return run.rewritten(content).decode("utf-8", errors="replace")


def debug_tail(text: str) -> str:
    """The last lines of a debug log."""
    return "".join(text.splitlines(keepends=True)[-DEBUG_LINES:])
