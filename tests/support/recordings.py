"""Recordings of real runs, made once by the emulator's own command and kept in pytest's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dbt_cloud_emulator
from dbt_cloud_emulator.config import SHIPPED_PROJECT

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
