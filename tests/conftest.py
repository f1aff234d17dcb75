"""What holds for every test."""

from __future__ import annotations

import time

import hypothesis
import pytest

# Time is no property of what is tested: the machine may be busy with other tests.
hypothesis.settings.register_profile(
    "default-here", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("default-here")

_BEGAN = time.time()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the fault matrix, which a worker process has played and written down, if it was played in this run."""
    cache = getattr(config, "cache", None)
    table = cache.mkdir("fault-matrix") / "table.txt" if cache is not None else None
    if table is not None and table.is_file() and table.stat().st_mtime >= _BEGAN:
        terminalreporter.section("faults: each request of the loop, each fault")
        terminalreporter.write_line(table.read_text(encoding="utf-8"))
