"""Recordings of real runs, made once by the emulator's own command and kept in pytest's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import dbt_cloud_emulator
from dbt_cloud_emulator.config import SHIPPED_PROJECT
from dbt_cloud_emulator.recording import FORMAT

SOURCES = Path(dbt_cloud_emulator.__file__).parent
UNUSED = (SHIPPED_PROJECT, SOURCES / "conformance")  # by a recording of another project


def shop_recordings(cache: pytest.Cache, job_id: int = 1001) -> list[Path]:
    """The shop's first run, in which a model fails, and its native retry, which recovers it.

    `job_id` is one of the default configuration's.
    """
    return _recorded(cache, f"shop-{job_id}", ["--job", str(job_id), "--runs", "2"], SHIPPED_PROJECT)


def project_recordings(cache: pytest.Cache, name: str, project: Path, arguments: list[str]) -> list[Path]:
    """Recordings of a project of the test's own; `arguments` are those of `record`, with `--runs` 2 or more."""
    return _recorded(cache, name, ["--project", str(project), *arguments], project)


def written_recording(folder: Path, commands: Sequence[tuple[str, int | None]]) -> Path:
    """A recording that is made up: commands that leave no artifacts, each with its status; None: it did not start.

    For what is told by names and statuses alone; dbt itself needs seconds for each command.
    """
    steps: list[dict[str, Any]] = [{"name": "Clone git repository", "kind": "setup", "command": None, "status": 10}]
    steps += [
        {"name": f"Invoke dbt with `{command}`", "kind": "command", "command": command, "status": status or 30}
        for command, status in commands
    ]
    for index, step in enumerate(steps, start=1):
        has_begun = index == 1 or commands[index - 2][1] is not None
        step |= {"index": index, "offset": index * 0.1 if has_begun else None, "seconds": 0.1 if has_begun else None}
        step["wrote_results"] = False
        if has_begun:
            log = folder / "steps" / str(index) / "console.log"
            log.parent.mkdir(parents=True)
            log.write_text(f"12:00:00  {step['name']}\n", encoding="utf-8")
    failed = any(status == 20 for _, status in commands)
    recording = {
        "format": FORMAT,
        "run_id": 70471823000001,
        "job_id": 1001,
        "project_id": 10,
        "status": 20 if failed else 10,
        "status_message": "A command failed." if failed else None,
        "started_at": "2026-11-01 12:00:00.000000+00:00",
        "seconds": len(steps) * 0.1 + 0.1,
        "git_sha": "e0e4acc6da62f0d0c20ed40cc5e56b5da732f976",
        "git_branch": "main",
        "has_docs_generated": False,
        "has_sources_generated": False,
        "invocation_ids": [],
        "steps": steps,
    }
    (folder / "recording.json").write_text(json.dumps(recording), encoding="utf-8")
    return folder


def _recorded(cache: pytest.Cache, name: str, arguments: list[str], project: Path) -> list[Path]:
    folder = cache.mkdir("recordings") / f"{name}-{_fingerprint(arguments, project)}"
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.{os.getpid()}")
        command = [sys.executable, "-m", "dbt_cloud_emulator", "record", *arguments, "--output", str(partial)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=180)  # noqa: S603 -- our own
        try:
            partial.rename(folder)
        except OSError:  # another process of the same test run was quicker
            shutil.rmtree(partial)
    return sorted(folder.iterdir())


def _fingerprint(arguments: list[str], project: Path) -> str:
    """Changes with whatever may change a recording."""
    digest = hashlib.sha256()
    for word in arguments:
        if not Path(word).is_absolute():
            digest.update(word.encode())
    for root in (project, SOURCES):
        for file in sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            if root == SOURCES and any(file.is_relative_to(part) for part in UNUSED):
                continue
            digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:16]
