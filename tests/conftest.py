"""What holds for every test."""

from __future__ import annotations

import time

import hypothesis
import pytest

from dbt_cloud_run.network.certificates import CA_FILES, CA_FOLDERS

# Time is no property of what is tested: the machine may be busy with other tests.
hypothesis.settings.register_profile(
    "default-here", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("default-here")

_BEGAN = time.time()

LONGEST = (
    "test_retry_corpus.py",
    "test_soak.py",
    "test_retry_data.py",
    "test_retry_corpus_several.py",
    "test_fault_matrix.py",
    "test_signals.py",
    "test_real_dbt.py",
)
"""Files of the slow tests that take longest."""


@pytest.fixture(autouse=True)
def no_authorities(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No authorities besides the public ones, as on GitHub's runners: reading a folder of them takes 0.2 s each time.

    Slow tests may install packages, through whatever this machine's network needs.
    """
    if "slow" not in request.keywords:
        for name in (*CA_FILES, *CA_FOLDERS):
            monkeypatch.delenv(name, raising=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, so that no worker is left alone with one of them at the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the fault matrices, which worker processes have played and written down, if they were in this run."""
    cache = getattr(config, "cache", None)
    tables = sorted(cache.mkdir("fault-matrix").glob("*.txt")) if cache is not None else []
    played = [table for table in tables if table.stat().st_mtime >= _BEGAN]
    if played:
        terminalreporter.section("faults: each request of the loop, each fault; and what is wrong with run_steps")
    for table in played:
        terminalreporter.write_line(table.read_text(encoding="utf-8"))
