"""Runs answered from recordings of real runs: no dbt is started, and whatever names the recorded run names the new one.

A recording is a folder that `record` makes: `recording.json` and `steps/<index>/{console.log,debug.log,artifacts/}`.
Run ids, invocation ids and every time within the recorded run are rewritten when a file is read.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from dbt_cloud_emulator.config import EmulatorConfig, JobConfig
from dbt_cloud_emulator.store import Run, RunStore, Status, Step
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

    def rewrite(self, content: bytes, run: Run) -> bytes:
        """The content as this run would have made it."""
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

        content = TIME.sub(move, content).replace(str(recording.run_id).encode(), str(run.id).encode())
        for name, old, new_value in (
            ("JOB", recording.job_id, run.job_id),
            ("PROJECT", recording.project_id, run.project_id),
        ):
            form = f'"DBT_CLOUD_{name}_ID": "{{}}"'
            content = content.replace(form.format(old).encode(), form.format(new_value).encode())
        for invocation in recording.invocation_ids:
            new_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{run.id}/{invocation}")
            content = content.replace(invocation.encode(), str(new_id).encode())
        return content


class Replayer:
    """Chooses recordings, and plays them."""

    def __init__(self, config: EmulatorConfig, store: RunStore) -> None:
        self._behaviour = config.behaviour
        self._store = store
        self._played: defaultdict[int, int] = defaultdict(int)

    def choose(self, run: Run, job: JobConfig) -> Replayed:
        """The job's next recording, by run or by attempt: a native retry is one, and so is a run with own steps."""
        recordings = job.replay
        if job.replay_order == "sequence":
            position = self._played[job.id] % len(recordings)
            self._played[job.id] += 1
        else:
            position, earlier = int(bool(run.trigger.steps_override)), run
            while (
                earlier.retrying_run_id is not None
                and (retried := self._store.get(earlier.retrying_run_id)) is not None
            ):
                position, earlier = position + 1, retried
            position = min(position, len(recordings) - 1)
        return Replayed(load_recording(recordings[position].resolve()), self._behaviour.replay_speed)

    async def play(self, run: Run) -> Status:
        """Let the recorded steps pass, at the configured speed; returns how the recorded run ended."""
        replayed = run.replayed
        if replayed is None:
            raise ValueError(f"run {run.id} replays nothing")
        recording = replayed.recording
        replayed.started_at = utcnow()
        run.git_sha = run.trigger.git_sha or recording.git_sha
        run.git_branch = run.trigger.git_branch or recording.git_branch
        names = _renamed(recording, run)
        for raw in recording.steps:
            skipped = raw["offset"] is None
            if skipped and not self._behaviour.list_skipped_steps:
                continue
            step = Step(self._store.new_id(), len(run.steps) + 1, names[raw["index"]], raw["kind"], raw["command"])
            replayed.step_of[step.index] = raw["index"]
            run.steps.append(step)
            if skipped:
                step.status, step.status_humanized = self._behaviour.skipped_step_status, "Skipped"
                continue
            step.status, step.started_at = Status.RUNNING, replayed.moment(raw["offset"])
            end = replayed.moment(raw["offset"] + raw["seconds"])
            await asyncio.sleep(max((end - utcnow()).total_seconds(), 0))
            step.status, step.finished_at = Status(raw["status"]), end
            step.wrote_results = raw["wrote_results"]
        run.has_docs_generated, run.has_sources_generated = (
            recording.has_docs_generated,
            recording.has_sources_generated,
        )
        run.status_message = recording.status_message
        return recording.status


def _renamed(recording: Recording, run: Run) -> dict[int, str]:
    """Step names by recorded index; a trigger with as many steps of its own as were recorded gives them its names."""
    names = {raw["index"]: raw["name"] for raw in recording.steps}
    commands = [raw for raw in recording.steps if raw["kind"] == "command"]
    asked = run.trigger.steps_override or []
    if run.retrying_run_id is None and len(asked) == len(commands):
        names |= {raw["index"]: f"Invoke dbt with `{command}`" for raw, command in zip(commands, asked, strict=True)}
    return names
