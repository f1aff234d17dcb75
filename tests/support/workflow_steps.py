"""Steps of one workflow run and of its re-runs, played in the test's process on replayed runs."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

from standins.emulator import RunningEmulator
from tests.support.loop import LoopJob, PlayedStep
from tests.support.replayed import job_id

_WORKFLOW_RUNS = itertools.count(9001)


class Steps:
    """Steps of one workflow run, in this process."""

    def __init__(self, emulator: RunningEmulator, folder: Path) -> None:
        self.emulator = emulator
        self._before = {run["id"] for run in emulator.runs()}
        self._workflow_run = str(next(_WORKFLOW_RUNS))
        self.job = LoopJob(
            folder,
            inputs={
                "api-token": emulator.token,
                "account-id": "1",
                "host": emulator.base_url,
                "upload-artifact": "false",
                "retry-on": "any",
            },
        )

    def play(self, job: str = "good", *, attempt: int = 1, action: str = "__self", **inputs: str) -> PlayedStep:
        return asyncio.run(self.playing(job, attempt=attempt, action=action, **inputs))

    async def playing(
        self, job: str, *, attempt: int = 1, action: str = "__self", signal_at: Any = None, **inputs: str
    ) -> PlayedStep:
        given = {"job-id": str(job_id(1, job)), **{name.replace("_", "-"): value for name, value in inputs.items()}}
        variables = {"GITHUB_ACTION": action, "GITHUB_RUN_ID": self._workflow_run}
        return await self.job.play(given, attempt=attempt, variables=variables, signal_at=signal_at)

    @property
    def runs(self) -> list[dict[str, Any]]:
        return [run for run in self.emulator.runs() if run["id"] not in self._before]


def run_ids(step: PlayedStep) -> list[int]:
    ids: list[int] = json.loads(step.outputs["run-ids"])
    return ids
