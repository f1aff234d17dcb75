"""Recordings of real runs, and how what they hold is made to name another run.

A recording is a folder that `record` makes: `recording.json` and `steps/<index>/{console.log,debug.log,artifacts/}`.
Run ids, invocation ids and every time within the recorded run are rewritten when a file is read.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from dbt_cloud_emulator.status import Status
from dbt_cloud_emulator.timing import parse_timestamp, utcnow

FORMAT = 1
TIME = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|\+00:00)?")
BINARY = (".parquet", ".gpickle", ".msgpack")


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded run. Times of steps are seconds from the run's start."""

    folder: Path
    run_id: int
    job_id: int
    project_id: int
    status: Status
    status_message: str | None
    started_at: datetime
    seconds: float
    git_sha: str | None
    git_branch: str | None
    has_docs_generated: bool
    has_sources_generated: bool
    invocation_ids: tuple[str, ...]
    steps: tuple[dict[str, Any], ...]


@cache
def load_recording(folder: Path) -> Recording:
    """Read a recording once. Raises OSError, ValueError, KeyError."""
    raw = json.loads((folder / "recording.json").read_text(encoding="utf-8"))
    if raw.pop("format") != FORMAT:
        raise ValueError(f"{folder}: recorded by another version; record it again")
    return Recording(
        folder=folder,
        **{
            **raw,
            "status": Status(raw["status"]),
            "started_at": parse_timestamp(raw["started_at"]),
            "invocation_ids": tuple(raw["invocation_ids"]),
            "steps": tuple(raw["steps"]),
        },
    )


@dataclass(slots=True)
class Replayed:
    """How a run replays a recording."""

    recording: Recording
    speed: float
    started_at: datetime | None = None
    step_of: dict[int, int] = field(default_factory=dict)  # index in the run → index in the recording

    def moment(self, seconds: float) -> datetime:
        """The time in the new run that stands for `seconds` after the recorded start."""
        started = self.started_at or utcnow()
        return started + timedelta(seconds=seconds / self.speed if self.speed else 0)

    def rewrite(self, content: bytes, *, run_id: int, job_id: int, project_id: int) -> bytes:
        """The content as the run with these ids would have made it."""
        recording = self.recording
        begin, end = recording.started_at, recording.started_at + timedelta(seconds=recording.seconds + 1)

        def move(match: re.Match[bytes]) -> bytes:
            text = match.group().decode()
            try:
                moment = parse_timestamp(text)
            except ValueError:
                return match.group()
            if not begin <= moment <= end:
                return match.group()
            new = self.moment((moment - begin).total_seconds()).isoformat(
                sep="T" if "T" in text else " ", timespec="microseconds"
            )
            return (
                new.removesuffix("+00:00") + ("Z" if text.endswith("Z") else "+00:00" if "+" in text else "")
            ).encode()

        content = TIME.sub(move, content).replace(str(recording.run_id).encode(), str(run_id).encode())
        for name, old, new_value in (
            ("JOB", recording.job_id, job_id),
            ("PROJECT", recording.project_id, project_id),
        ):
            form = f'"DBT_CLOUD_{name}_ID": "{{}}"'
            content = content.replace(form.format(old).encode(), form.format(new_value).encode())
        for invocation in recording.invocation_ids:
            new_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{run_id}/{invocation}")
            content = content.replace(invocation.encode(), str(new_id).encode())
        return content
