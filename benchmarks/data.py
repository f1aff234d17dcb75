"""The same failures on real dbt, and what three ways of going on leave in the warehouse, on each engine."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import ROOT, WORK, table

WAYS = ("this action", "`dbt retry`", "full re-run")


@dataclass(frozen=True)
class Left:
    """Nodes executed after the failure, and rows that an undisturbed run has and this one has not, or too many."""

    nodes: int
    rows: int | None  # None: nothing was run, and the step is an error that says why

    def words(self) -> str:
        return f"{self.nodes}; {'left out' if self.rows is None else self.rows}"


def report(names: Sequence[str] = (), only: str = "") -> str:
    """A table per engine: a row for each case, `nodes executed; rows missing or too many` for each way."""
    # The cases are those of the tests, which are no package that is installed.
    _find_tests()
    from tests.support.data_cases import CASES, Data
    from tests.support.engines import engines

    WORK.mkdir(parents=True, exist_ok=True)
    parts: list[str] = []
    for engine in engines():
        if only not in ("", engine.name):
            continue
        with tempfile.TemporaryDirectory(dir=WORK) as scratch:
            data = Data(Path(scratch), engine)
            rows: list[list[str]] = []
            for name, case in CASES.items():
                if case.applies_to(engine) and not case.cut_off_at and (not names or name in names):
                    rows.append([name, *(_left(data, case, way).words() for way in WAYS)])
                    # A table takes long, and a row that was measured is not lost with the rest.
                    print(engine.name, *rows[-1], sep=" | ", file=sys.stderr, flush=True)
        version = ".".join(map(str, engine.version))
        parts.append(f"#### dbt {version}\n\n{table(['', *WAYS], rows)}")
    return "\n\n".join(parts)


def _find_tests() -> None:
    import types

    tests = types.ModuleType("tests")
    tests.__path__ = [str(ROOT / "tests")]
    sys.modules["tests"] = tests


def _left(data, case, way: str) -> Left:  # type: ignore[no-untyped-def]  # the tests' own types
    from tests.support.data_cases import missing_rows

    expected = data.undisturbed(case)
    ran = data.fails(case)
    if way == "this action":
        plan = data.plan(case, ran)
        if not plan.commands:
            return Left(0, None)
        runs = data.retried(case, plan)
    else:
        line = "dbt retry" if way == "`dbt retry`" else ran.line
        runs = [data.warehouse.run(one, now=case.again_at or case.at) for one in (line, *data.then(case))]
    executed = sum(row.status != "skipped" for run in runs for row in run.rows.values())
    return Left(executed, missing_rows(expected, data.warehouse.contents()))


if __name__ == "__main__":
    print(report(sys.argv[2:], sys.argv[1]))
