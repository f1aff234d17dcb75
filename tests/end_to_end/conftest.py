"""Real runs of the shop project, replayed: for the tests of many runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.emulator import RunningEmulator, running_emulator
from tests.support.recordings import shop_recordings
from tests.support.replayed import configuration, slim


@pytest.fixture(scope="session")
def recordings(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The shop's failing run and its retry, without dbt's own macros, which nobody here reads."""
    assert pytestconfig.cache is not None
    folder = tmp_path_factory.mktemp("recordings")
    return [slim(one, folder / one.name) for one in shop_recordings(pytestconfig.cache)]


@pytest.fixture(scope="module")
def replaying(recordings: list[Path]) -> Iterator[RunningEmulator]:
    """An emulator that replays them, for one module."""
    with running_emulator(config=configuration(recordings)) as running:
        yield running
