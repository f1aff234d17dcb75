"""What `make e2e` has prepared: an engine, the image, act. Without it these tests fail: never silently green."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from standins.emulator import RunningEmulator, running_emulator


def _prepared(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        pytest.fail(f"{name} is not set: these tests are run by `make e2e`")
    return value


@pytest.fixture(scope="session")
def image() -> str:
    return _prepared("E2E_IMAGE")


@pytest.fixture(scope="session")
def job_image() -> str:
    return _prepared("E2E_JOB_IMAGE")


@pytest.fixture(scope="session")
def act() -> Path:
    return Path(_prepared("E2E_ACT"))


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[RunningEmulator]:
    with running_emulator(state=tmp_path / "emulator") as running:
        yield running
