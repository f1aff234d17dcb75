"""Jobs of the emulator that replay recorded real runs, each in as many accounts as are asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

JOBS = {"good": 1, "bad": 2, "stuck": 3, "slow": 4, "bad once": 5}


def slim(recording: Path, target: Path) -> Path:
    """A copy without dbt's own macros, which no test reads, and which are most of a small project's manifest."""
    shutil.copytree(recording, target)
    for manifest in target.glob("steps/*/artifacts/manifest.json"):
        content = json.loads(manifest.read_text(encoding="utf-8"))
        manifest.write_text(json.dumps(content | {"macros": {}, "docs": {}}), encoding="utf-8")
    return target


def job_id(account: int, name: str) -> int:
    """The id of a job; those of account 1 are 11 to 15."""
    return 10 * account + JOBS[name]


def configuration(recordings: Sequence[Path], accounts: int = 1, **behaviour: Any) -> dict[str, Any]:
    """`recordings` are a run that fails and its retry that succeeds.

    Jobs: `good` and `slow` succeed, `bad` fails unless it is a retry, `bad once` fails every other time, `stuck` stays
    in the queue.
    """
    failing, good = map(str, recordings)
    numbers = range(1, accounts + 1)
    jobs: dict[str, dict[str, Any]] = {
        "good": {"replay": [good]},
        "bad": {"replay": [failing, good]},
        "stuck": {"replay": [good], "deactivated": True},
        "slow": {"replay": [good]},
        "bad once": {"replay": [failing, good], "replay_order": "sequence"},
    }
    return {
        "accounts": [{"id": number, "run_slots": 100} for number in numbers],
        "projects": [{"id": 10 * number, "account_id": number, "name": f"shop {number}"} for number in numbers],
        "environments": [{"id": 10 * number, "project_id": 10 * number} for number in numbers],
        "jobs": [
            {"id": job_id(number, name), "environment_id": 10 * number, "name": name, "execute_steps": ["dbt build"]}
            | job
            for number in numbers
            for name, job in jobs.items()
        ],
        "behaviour": {"replay_speed": 0, **behaviour},
    }
