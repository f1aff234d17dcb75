"""What holds for every test."""

from __future__ import annotations

import collections
import time

import hypothesis
import pytest

# Time is no property of what is tested: the machine may be busy with other tests.
hypothesis.settings.register_profile(
    "default-here", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("default-here")

_BEGAN = time.time()

LONGEST = {
    "test_retry_corpus.py": 3,
    "test_retry_data.py": 2,
    "test_fault_matrix.py": 1,
    "test_soak.py": 1,
    "test_signals.py": 1,
    "test_real_dbt.py": 1,
}
"""Files that take longest, and into how many parts each is divided for worker processes."""


# Workers read the groups in the same hook.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, so that no worker is left alone with one of them at the end.

    The tests of a file stay together, since they share servers and projects.
    """
    order = list(LONGEST)
    items.sort(key=lambda item: order.index(item.path.name) if item.path.name in LONGEST else len(order))
    seen: collections.Counter[str] = collections.Counter()
    for item in items:
        name = item.path.name
        group = item.nodeid.partition("::")[0]
        if name in LONGEST:
            group += f"-{seen[name] % LONGEST[name] + 1}"
            seen[name] += 1
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the fault matrices, which worker processes have played and written down, if they were in this run."""
    cache = getattr(config, "cache", None)
    tables = sorted(cache.mkdir("fault-matrix").glob("*.txt")) if cache is not None else []
    played = [table for table in tables if table.stat().st_mtime >= _BEGAN]
    if played:
        terminalreporter.section("faults: each request of the loop, each fault; and what is wrong with run_steps")
    for table in played:
        terminalreporter.write_line(table.read_text(encoding="utf-8"))
