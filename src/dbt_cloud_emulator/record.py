"""`record`: run a job on real dbt, and keep what a replay needs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from dbt_cloud_emulator.artifacts import source_folder
from dbt_cloud_emulator.config import EmulatorConfig, JobConfig
from dbt_cloud_emulator.engine import Engine
from dbt_cloud_emulator.errors import ConfigError
from dbt_cloud_emulator.recording import BINARY, FORMAT
from dbt_cloud_emulator.store import Run, RunStore, Trigger
from dbt_cloud_emulator.timing import timestamp

INVOCATION = re.compile(r'"invocation_id": ?"([0-9a-f-]{36})"')


async def record(config: EmulatorConfig, state: Path, job_id: int, output: Path, runs: int, steps: list[str]) -> int:
    """Run the job and, while it fails and `runs` is not reached, its native retries; returns the exit status.

    One run goes to `output` itself, several go to `output/1`, `output/2`… Raises ConfigError.
    """
    job = config.job(job_id)
    if job is None:
        raise ConfigError(f"there is no job {job_id}")
    job.replay = []
    store = RunStore(state, config.id_base, config.behaviour.keep_runs)
    engine = Engine(config, store)
    try:
        run = engine.trigger(job, Trigger(cause="Recorded", steps_override=steps or None))
        for number in range(1, runs + 1):
            await engine.completed(run)
            folder = output if runs == 1 else output / str(number)
            await asyncio.to_thread(write_recording, run, job, folder)
            print(f"{folder}: {run.status.name.lower()}", flush=True)
            if number == runs:
                break
            reason = engine.refusal(run)
            if reason is not None:
                print(f"no retry: {reason}", flush=True)
                break
            run = engine.retry(run, "record")
    finally:
        await engine.close()
    return 0


def write_recording(run: Run, job: JobConfig, folder: Path) -> None:
    """The run as a folder that `recording.load_recording` reads; what was there before is replaced."""
    if run.started_at is None or run.finished_at is None:
        raise ConfigError(f"run {run.id} never started")
    if folder.exists() and not (folder / "recording.json").is_file() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty and is no recording")
    shutil.rmtree(folder, ignore_errors=True)
    invocations: set[str] = set()
    steps: list[dict[str, Any]] = []
    for step in run.steps:
        source = source_folder(run, step.index)
        if source.is_dir():
            target = folder / "steps" / str(step.index)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(*(f"*{suffix}" for suffix in BINARY), "logs"))
            for file in target.rglob("*.json"):
                with contextlib.suppress(UnicodeDecodeError):
                    invocations.update(INVOCATION.findall(file.read_text(encoding="utf-8")))
        begun = step.started_at is not None and step.finished_at is not None
        steps.append(
            {
                "index": step.index,
                "name": step.name,
                "kind": step.kind,
                "command": step.command,
                "status": int(step.status),
                "offset": (step.started_at - run.started_at).total_seconds() if begun and step.started_at else None,
                "seconds": (step.finished_at - step.started_at).total_seconds()
                if step.finished_at and step.started_at
                else None,
                "wrote_results": step.wrote_results,
            }
        )
    folder.mkdir(parents=True, exist_ok=True)
    recording = {
        "format": FORMAT,
        "run_id": run.id,
        "job_id": job.id,
        "project_id": run.project_id,
        "status": int(run.status),
        "status_message": run.status_message,
        "started_at": timestamp(run.started_at),
        "seconds": (run.finished_at - run.started_at).total_seconds(),
        "git_sha": run.git_sha,
        "git_branch": run.git_branch,
        "has_docs_generated": run.has_docs_generated,
        "has_sources_generated": run.has_sources_generated,
        "invocation_ids": sorted(invocations),
        "steps": steps,
    }
    (folder / "recording.json").write_text(json.dumps(recording, indent=1), encoding="utf-8")
