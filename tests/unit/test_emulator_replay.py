"""A recording is made to fit the run that replays it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dbt_cloud_emulator.recording import Recording, Replayed
from dbt_cloud_emulator.status import Status
from dbt_cloud_emulator.store import Run, Trigger

RECORDED = datetime(2024, 1, 1, 12, 0, 0, tzinfo=UTC)
STARTED = datetime(2026, 7, 1, 8, 0, 0, tzinfo=UTC)
INVOCATION = "0601ead7-8228-49a9-9832-cf1e06e45d45"
ENV = {"DBT_CLOUD_RUN_ID": "70471823000001", "DBT_CLOUD_JOB_ID": "7", "DBT_CLOUD_PROJECT_ID": "10"}


def _replayed(speed: float = 1) -> tuple[Replayed, Run]:
    recording = Recording(
        folder=Path(),
        run_id=70471823000001,
        job_id=7,
        project_id=10,
        status=Status.SUCCESS,
        status_message=None,
        started_at=RECORDED,
        seconds=60,
        git_sha=None,
        git_branch=None,
        has_docs_generated=False,
        has_sources_generated=False,
        invocation_ids=(INVOCATION,),
        steps=(),
    )
    run = Run(
        id=90000000000002,
        trigger_id=1,
        account_id=1,
        project_id=11,
        environment_id=1,
        job_id=8,
        trigger=Trigger("c"),
        created_at=STARTED,
        folder=Path(),
    )
    run.replayed = Replayed(recording, speed, STARTED)
    return run.replayed, run


def test_ids_and_invocation_ids_are_those_of_the_new_run() -> None:
    _, run = _replayed()
    content = json.dumps({"metadata": {"invocation_id": INVOCATION, "env": ENV}, "seven": 7}).encode()
    found = json.loads(run.rewritten(content))
    assert found["metadata"]["env"] == {
        "DBT_CLOUD_RUN_ID": "90000000000002",
        "DBT_CLOUD_JOB_ID": "8",
        "DBT_CLOUD_PROJECT_ID": "11",
    }
    assert found["metadata"]["invocation_id"] != INVOCATION
    assert len(found["metadata"]["invocation_id"]) == 36
    assert found["seven"] == 7
    assert run.rewritten(content) == run.rewritten(content)


@pytest.mark.parametrize(
    ("speed", "recorded", "expected"),
    [
        (1, "2024-01-01T12:00:30.500000Z", "2026-07-01T08:00:30.500000Z"),
        (1, "2024-01-01T12:00:30Z", "2026-07-01T08:00:30.000000Z"),
        (1, "2024-01-01 12:00:30+00:00", "2026-07-01 08:00:30.000000+00:00"),
        (10, "2024-01-01T12:00:30Z", "2026-07-01T08:00:03.000000Z"),
        (0, "2024-01-01T12:00:30Z", "2026-07-01T08:00:00.000000Z"),
        (1, "2023-12-31T12:00:00Z", "2023-12-31T12:00:00Z"),
        (1, "2024-01-01T13:00:00Z", "2024-01-01T13:00:00Z"),
        (1, "2024-99-01T13:00:00Z", "2024-99-01T13:00:00Z"),
    ],
)
def test_times_of_the_recorded_run_move_and_others_stay(speed: float, recorded: str, expected: str) -> None:
    _, run = _replayed(speed)
    assert run.rewritten(f'"{recorded}"'.encode()).decode() == f'"{expected}"'


def test_a_moment_is_counted_from_the_start_of_the_run() -> None:
    replayed, _ = _replayed(speed=2)
    assert replayed.moment(10) == STARTED + timedelta(seconds=5)
