"""Real runs of the shop project, replayed: for the tests of many runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from standins.emulator import RunningEmulator, running_emulator
from tests.support.recordings import shop_recordings
from tests.support.replayed import configuration, slim
from tests.support.workflow_steps import Steps


@pytest.fixture(scope="session")
def recordings(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The shop's failing run and its retry, without dbt's own macros, which no test reads."""
    assert pytestconfig.cache is not None
    folder = tmp_path_factory.mktemp("recordings")
    return [slim(one, folder / one.name) for one in shop_recordings(pytestconfig.cache)]


@pytest.fixture(scope="module")
def replaying(recordings: list[Path]) -> Iterator[RunningEmulator]:
    """An emulator that replays them, for one module."""
    with running_emulator(config=configuration(recordings)) as running:
        yield running


@pytest.fixture
def steps(replaying: RunningEmulator, tmp_path: Path) -> Iterator[Steps]:
    """Steps of a workflow run of its own, on a job without other active runs."""
    replaying.clear_requests()
    yield Steps(replaying, tmp_path / "job")
    replaying.clear_faults()
    replaying.behave(hidden_requests=0, replay_speed=0, queued_seconds=0)
    replaying.cancel_all()
