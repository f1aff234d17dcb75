"""Runs answered from recordings of real runs: no dbt is started."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from dbt_cloud_emulator.config import EmulatorConfig, JobConfig
from dbt_cloud_emulator.recording import Recording, Replayed, load_recording
from dbt_cloud_emulator.status import Status
from dbt_cloud_emulator.store import Run, RunStore, Step
from dbt_cloud_emulator.timing import utcnow


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
            run.reach(step)
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
