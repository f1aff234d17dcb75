"""One emulator for the tests of this folder: runs are replayed at once, and tokens differ in what they may see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standins.emulator import RunningEmulator, running_emulator
from tests.support.dbt_project import write_tiny_project
from tests.support.emulated_jobs import CI_JOB, JOB, OTHER_JOB, SEQUENCE_JOB, SLOW_JOB
from tests.support.recordings import project_recordings

from dbt_cloud_emulator.config import Behaviour

BEHAVIOUR = Behaviour(replay_speed=0, strict=True)


@pytest.fixture(scope="package")
def recordings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run that fails in its data test, and its retry, which fails again."""
    project = write_tiny_project(tmp_path_factory.mktemp("tiny"), {"seeds/numbers.csv": 'n\n1\n""\n'})
    assert request.config.cache is not None
    return project_recordings(request.config.cache, "tiny", project, ["--job", "1005", "--runs", "2"])


@pytest.fixture(scope="package")
def server(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    project = write_tiny_project(tmp_path_factory.mktemp("project"))
    replay = [str(folder) for folder in recordings]
    steps = {"execute_steps": ["dbt build"], "generate_docs": True, "replay": replay}
    config = {
        "accounts": [{"id": 1}, {"id": 2, "name": "Another"}],
        "tokens": [
            {"token": "demo-token"},
            {"token": "reader", "permission": "job_viewer"},
            {"token": "runner", "permission": "job_runner"},
            {"token": "blocked", "ip_blocked": True},
            {"token": "narrow", "project_ids": [12]},
            {"token": "second", "account_ids": [2]},
        ],
        "projects": [
            {"id": 10, "name": "Shop", "path": str(project)},
            {"id": 11, "account_id": 2, "name": "Far", "path": str(project)},
            {"id": 12, "name": "Near", "path": str(project)},
        ],
        "environments": [
            {"id": 20, "project_id": 10, "name": "Production"},
            {"id": 21, "project_id": 11, "name": "Production"},
            {"id": 22, "project_id": 12, "name": "Staging"},
        ],
        "jobs": [
            {"id": JOB, "name": "Nightly build", **steps},
            {"id": CI_JOB, "name": "CI build", "job_type": "ci", **steps},
            {"id": SLOW_JOB, "name": "slow", "deactivated": True, **steps},
            {"id": 10, "name": "gone", "state": 2, **steps},
            {"id": SEQUENCE_JOB, "name": "by turns", "replay_order": "sequence", **steps},
            {"id": OTHER_JOB, "name": "Elsewhere", "environment_id": 21, **steps},
        ],
        "behaviour": BEHAVIOUR.model_dump(),
    }
    with running_emulator(config=config, state=tmp_path_factory.mktemp("state")) as emulator:
        yield emulator


@pytest.fixture
def emulator(server: RunningEmulator) -> Iterator[RunningEmulator]:
    server.clear_requests()
    yield server
    server.clear_faults()
    server.clear_cancellations()
    server.behave(**BEHAVIOUR.model_dump())
    server.cancel_all()


@pytest.fixture
def run(emulator: RunningEmulator) -> dict[str, Any]:
    return emulator.wait(emulator.trigger(JOB)["id"])
