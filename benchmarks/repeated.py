"""Memory of a run with many steps that report the same nodes again: how much each further one adds."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from benchmarks import installs
from benchmarks.measure import MB, ROOT, MeasurementError, environment, measured, table
from benchmarks.publish import project

MODELS = 5_000
STEPS = (1, 10, 30)


def measure(models: int, steps: int) -> tuple[int, int]:
    """Nodes, and the peak of the process in bytes."""
    python, entrypoint = installs.action()
    command = [python, ROOT / "benchmarks" / "clients" / "our_steps.py", project(models) / "run_results.json", steps]
    done = measured(list(map(str, command)), env=environment(PYTHONPATH=os.fspath(entrypoint.parent)))
    found = re.search(r"^nodes (\d+)$", done.output, re.MULTILINE)
    if found is None or not int(found[1]):
        raise MeasurementError(done.output[-3000:])
    return int(found[1]), done.peak


def report(models: int = MODELS, steps: Sequence[int] = STEPS) -> str:
    """The table in markdown."""
    nodes, first = measure(models, steps[0])
    file = (project(models) / "run_results.json").stat().st_size / MB
    rows: list[list[object]] = [[steps[0], f"{first / MB:,.0f}", "–", "–"]]
    for count in steps[1:]:
        _, peak = measure(models, count)
        each = (peak - first) / (count - steps[0])
        rows.append([count, f"{peak / MB:,.0f}", f"{each / MB:.1f}", f"{each / nodes:,.0f}"])
    head = (f"steps that report the same {nodes:,} nodes", "peak, MB", "MB for each further step", "bytes for each row")
    return f"### The same nodes in many steps\n\n`run_results.json` {file:.1f} MB for each step.\n\n{table(head, rows)}"
