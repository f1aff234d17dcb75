"""Failures of a real project, by what they put at risk in the warehouse. Used by the corpus and by the benchmark."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tests.support.engines import Engine
from tests.support.warehouse import RESET, Fault, Ran, Warehouse, day, ended, today

from dbt_cloud_run.model import RunState
from dbt_cloud_run.planned import RetryPlan
from dbt_cloud_run.retry.plan import plan_retry

HOUR = timedelta(hours=1)
NULL_IDS = "nulls"
PROJECT = Path(__file__).with_name("data_project")


def _dated(text: str) -> str:
    return text.replace("@FIRST_DAY@", f"{day(-5):%Y-%m-%d}").replace(
        "@FIRST_HOUR@", f"{today() - 9 * HOUR:%Y-%m-%dT%H:%M:%S}"
    )


def project_files() -> dict[str, str]:
    """The project's files by their paths, with the dates of today."""
    return {
        str(file.relative_to(PROJECT)): _dated(file.read_text(encoding="utf-8"))
        for file in sorted(PROJECT.rglob("*.*"))
        if file.is_file()
    }


@dataclass(frozen=True)
class Case:
    """A run in which something fails, and how its retry is to end.

    `before`: command lines that make the state from which the run starts, each with its time. `is_partial`: something
    must not be repeated, or would fail again, so the retry is no success and the data is not compared. `then`: the
    steps after it, which never start.
    """

    line: str
    faults: tuple[Fault, ...]
    before: tuple[tuple[str, datetime | None], ...] = ()
    at: datetime | None = None
    again_at: datetime | None = None
    retry_on: str = "transient"
    is_partial: bool = False
    then: tuple[str, ...] = ()
    keeps: tuple[Fault, ...] = ()  # what is still so in the retry
    modified: tuple[str, ...] = ()  # what `state:modified` finds
    cut_off_at: str = ""  # the run ends by a signal as soon as its log shows this
    signal_number: int = signal.SIGKILL
    since: tuple[int, int] = (1, 9)
    until: tuple[int, int] = (9, 0)

    def applies_to(self, engine: Engine) -> bool:
        needs_clock = self.at is not None or self.again_at is not None
        # The log of the new engine does not show when a model starts.
        needs_log = bool(self.cut_off_at)
        return self.since <= engine.version <= self.until and (engine.has_clock or not (needs_clock or needs_log))


DEFER = "--defer --favor-state --state {state}"
PROD = ("dbt build -s orders others report journal journal_view keyed --target prod", None)

CASES: dict[str, Case] = {
    "microbatch, first build, one of six batches": Case(
        "dbt build -s daily daily_child", (Fault("daily", batch=f"{day(-3):%Y%m%d}"),), until=(1, 99)
    ),
    "microbatch, first build, an hour later": Case(
        "dbt build -s daily+",
        (Fault("daily", batch=f"{day(-3):%Y%m%d}"),),
        at=today(),
        again_at=today() + HOUR,
    ),
    "microbatch, first build, days later": Case(
        "dbt run -s daily+",
        (Fault("daily", batch=f"{day(-4):%Y%m%d}"), Fault("daily", batch=f"{day(-2):%Y%m%d}")),
        at=today(),
        again_at=today() + 72 * HOUR,
    ),
    "microbatch, first build, the first batch": Case(
        "dbt build -s daily+", (Fault("daily", batch=f"{day(-5):%Y%m%d}"),), until=(1, 99)
    ),
    "microbatch, first build, no batch succeeded": Case("dbt build -s daily+", (Fault("daily"),), until=(1, 99)),
    "microbatch, full refresh": Case(
        "dbt build -s daily+ --full-refresh",
        (Fault("daily", batch=f"{day(-3):%Y%m%d}"),),
        before=(("dbt build -s daily+", None),),
        until=(1, 99),
    ),
    "microbatch, hourly, after the full hour": Case(
        "dbt build -s hourly+",
        (Fault("hourly", batch=f"{today() - HOUR:%Y%m%dT%H}"),),
        before=(("dbt build -s hourly+", today() - 4 * HOUR), ("dbt run -s hourly", today() - 3 * HOUR)),
        at=today() - HOUR / 2,
        again_at=today() + HOUR,
    ),
    "microbatch, hourly, every batch of an existing table": Case(
        "dbt build -s hourly+",
        (Fault("hourly"),),
        before=(("dbt build -s hourly+", today() - 4 * HOUR),),
        at=today() - HOUR / 2,
        again_at=today() + 3 * HOUR,
    ),
    "microbatch, hourly, skipped, after the full hour": Case(
        "dbt build -s others+ --exclude orders+ journal",
        (Fault("others"),),
        before=(("dbt build -s others+ --exclude orders+ journal", today() - 5 * HOUR),),
        at=today() - HOUR / 2,
        again_at=today() + 3 * HOUR,
    ),
    "microbatch, hourly, skipped on a first build, after the full hour": Case(
        "dbt build -s others+ --exclude orders+ journal",
        (Fault("others"),),
        at=today() - HOUR / 2,
        again_at=today() + 3 * HOUR,
    ),
    "microbatch, hourly, never started, after the full hour": Case(
        "dbt build -s others",
        (Fault("others"),),
        then=("dbt build -s hourly+ orders+1 --exclude report",),
        before=(("dbt build -s hourly+", today() - 5 * HOUR),),
        at=today() - HOUR / 2,
        again_at=today() + 3 * HOUR,
    ),
    "microbatch, hourly, never started, a selection by state": Case(
        "dbt build -s others",
        (Fault("others"),),
        then=("dbt build -s state:modified+ --state {state}",),
        before=(
            ("dbt build -s hourly+ orders --target prod", today() - 5 * HOUR),
            ("dbt build -s hourly+ orders", today() - 5 * HOUR),
        ),
        modified=("hourly", "orders"),
        at=today() - HOUR / 2,
        again_at=today() + 3 * HOUR,
    ),
    "microbatch, with other nodes": Case(
        "dbt build -s daily+ report orders others",
        (Fault("daily", batch=f"{day(-1):%Y%m%d}"), Fault("orders")),
        until=(1, 99),
    ),
    "favor-state, all that is read was built": Case(
        f"dbt build -s orders others report {DEFER}", (Fault("report"),), before=(PROD,)
    ),
    "favor-state, a test in passing over a broken model": Case(
        f"dbt build -s orders {DEFER}",
        (Fault("not_null_orders"), Fault(NULL_IDS)),
        before=(PROD,),
        is_partial=True,
        keeps=(Fault(NULL_IDS),),
    ),
    "favor-state, part of what is read was built": Case(
        f"dbt build -s orders report {DEFER}",
        (Fault("report"),),
        before=(PROD, ("dbt run -s others --vars '{x: 1}'", None)),
    ),
    "favor-state, an appending model is read": Case(
        f"dbt build -s journal journal_view {DEFER}", (Fault("journal_view"),), before=(PROD,)
    ),
    "a child of an appending model": Case(
        "dbt build -s orders+1,journal orders journal_view", (Fault("journal_view"),)
    ),
    "a selection by state, of an appending model and its child": Case(
        "dbt build -s state:modified+ --state {state}",
        (Fault("journal_view"),),
        before=(("dbt build -s orders --target prod", None), ("dbt run -s journal+ orders others", None)),
        modified=("orders",),
    ),
    "a selection by state, cut off": Case(
        # In one thread, so that nothing else is under way when it is cut off.
        "dbt build -s state:modified+ --state {state} --threads 1",
        (Fault("keyed", "slow"),),
        before=(("dbt build -s orders others --target prod", None), ("dbt run -s orders others", None)),
        modified=("orders", "others"),
        cut_off_at="START sql incremental model main.keyed",
        signal_number=signal.SIGINT,
    ),
    "a selection by state, killed beside an appending model": Case(
        "dbt build -s state:modified+ --state {state}",
        (Fault("keyed", "hang"),),
        before=(("dbt build -s orders others --target prod", None), ("dbt run -s orders others", None)),
        modified=("orders", "others"),
        cut_off_at="START sql incremental model main.keyed",
        is_partial=True,
    ),
    "microbatch, first build, killed between its batches": Case(
        "dbt build -s others daily daily_child",
        (Fault("daily", "hang", batch=f"{day(-2):%Y%m%d}"),),
        cut_off_at=f"START batch {day(-2):%Y-%m-%d}",
        until=(1, 99),
    ),
    "microbatch, first build, interrupted between its batches": Case(
        "dbt build -s others daily daily_child",
        (Fault("daily", "slow", batch=f"{day(-2):%Y%m%d}"),),
        cut_off_at=f"START batch {day(-2):%Y-%m-%d}",
        signal_number=signal.SIGINT,
        until=(1, 99),
    ),
    "an end hook": Case(
        "dbt build -s orders others journal --vars 'hooks: true'", (Fault("on_run_end"),), retry_on="any"
    ),
    "an end hook, and retries of what passes": Case(
        "dbt build -s orders others journal --vars 'hooks: true'", (Fault("on_run_end"),), is_partial=True
    ),
    "an ordinary failure": Case("dbt build --exclude daily+ hourly+ hourly_late+", (Fault("orders"),)),
    "a keyed model beside it": Case("dbt build -s orders keyed others", (Fault("others"),)),
}


class Data:
    """The project on one engine, ready for every case."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.warehouse = Warehouse(folder, engine, project_files())
        self._made: set[tuple[tuple[str, datetime | None], ...]] = set()

    def start(self, case: Case) -> str:
        """The warehouse before the run; returns the run's command line."""
        warehouse = self.warehouse
        name = f"base-{abs(hash(case.before))}"
        if case.before not in self._made:
            warehouse.restore("empty")
            for line, now in case.before:
                ran = warehouse.run(line, now=now)
                assert not ran.failed, (line, ran.log[-3000:])
                if "--target prod" in line:
                    warehouse.keep_state(case.modified)
            warehouse.save(name)
            self._made.add(case.before)
        warehouse.restore(name)
        return case.line.format(state=warehouse.folder / "state")

    def undisturbed(self, case: Case) -> dict[str, list[str]]:
        line = self.start(case)
        self.warehouse.set_faults(case.keeps)
        for one in (line, *self.then(case)):
            self.warehouse.run(one, now=case.at)
        return self.warehouse.contents()

    def then(self, case: Case) -> tuple[str, ...]:
        return tuple(line.format(state=self.warehouse.folder / "state") for line in case.then)

    def fails(self, case: Case) -> Ran:
        line = self.start(case)
        self.warehouse.set_faults(case.faults)
        if case.cut_off_at:
            ran = self.warehouse.cut_off(line, case.cut_off_at, case.signal_number)
            assert "Completed successfully" not in ran.log, ran.log[-3000:]
        else:
            ran = self.warehouse.run(line, now=case.at)
            assert ran.failed, ran.log[-3000:]
        self.warehouse.set_faults(case.keeps)
        return ran

    def plan(self, case: Case, ran: Ran) -> RetryPlan:
        state = RunState.CANCELLED if case.cut_off_at else RunState.ERROR
        run = ended(ran, asked=(ran.line, *self.then(case)), state=state, now=case.at)
        return plan_retry(run, self.warehouse.manifest(), retry_on=case.retry_on)  # type: ignore[arg-type]

    def retried(self, case: Case, plan: RetryPlan) -> list[Ran]:
        """The plan's commands, as dbt Cloud runs them: up to the first that fails."""
        done: list[Ran] = []
        for line in plan.commands:
            done.append(self.warehouse.run(line, now=case.again_at or case.at))
            if done[-1].failed:
                break
        return done


def missing(expected: dict[str, list[str]], found: dict[str, list[str]]) -> list[str]:
    """What differs, in words: rows that are missing, and rows that are too many."""
    differences = []
    for relation in sorted(expected.keys() | found.keys()):
        want, have = list(expected.get(relation, [])), list(found.get(relation, []))
        for row in list(want):
            if row in have:
                want.remove(row)
                have.remove(row)
        if want or have:
            differences.append(f"{relation}: missing {want[:5]}, too many {have[:5]}")
    return differences


def missing_rows(expected: dict[str, list[str]], found: dict[str, list[str]]) -> int:
    """How many rows are missing or too many."""
    count = 0
    for relation in expected.keys() | found.keys():
        want, have = Counter(expected.get(relation, [])), Counter(found.get(relation, []))
        count += sum((want - have).values()) + sum((have - want).values())
    return count


def commands_of(plan: RetryPlan) -> Sequence[str]:
    return plan.commands or (plan.stop_reason or "",)


__all__ = ["CASES", "RESET", "Case", "Data", "commands_of", "missing"]
