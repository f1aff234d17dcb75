"""The fault matrix: each request of the loop, each fault, how often, and what should come of it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

ONCE, TWICE, FOREVER = 1, 2, None
TIMES = (ONCE, TWICE, FOREVER)
NEVER = 3600.0  # seconds until an answer that is not waited for
TIMES_NAMES = {ONCE: "once", TWICE: "twice", FOREVER: "for ever"}


@dataclass(frozen=True, eq=False)
class FaultKind:
    """`effect`: what the emulator is told; `family`: what it means for a request.

    Families: `refused` (not received), `lost` (not carried out, and the answer does not say so), `done` (carried out,
    and the answer does not say so), `limited` (429), `limited briefly` (429 with a short Retry-After).
    """

    name: str
    family: str
    effect: Mapping[str, Any] = field(default_factory=dict)


def _status(code: int, **more: Any) -> dict[str, Any]:
    return {"effect": "status", "status": code, **more}


FAULTS = (
    FaultKind("refused", "refused"),
    FaultKind("reset before", "lost", {"effect": "reset"}),
    FaultKind("reset after", "done", {"effect": "reset", "took_effect": True}),
    FaultKind("timeout", "lost", _status(503, delay=NEVER)),
    FaultKind("408", "lost", _status(408)),
    FaultKind("429", "limited", _status(429)),
    FaultKind("429 wait 7", "limited briefly", _status(429, headers={"Retry-After": "7"})),
    FaultKind("500", "lost", _status(500)),
    FaultKind("502", "lost", _status(502)),
    FaultKind("503", "lost", _status(503)),
    FaultKind("504", "lost", _status(504)),
    FaultKind("HTML", "lost", {"effect": "html", "status": 200}),
    FaultKind("truncated", "done", {"effect": "truncated"}),
    FaultKind("trickles", "done", {"effect": "trickle"}),
    FaultKind("empty", "lost", {"effect": "empty", "status": 200}),
    FaultKind("data: null", "done", {"effect": "data_null"}),
)
# What a write can suffer besides: it was carried out, whatever the answer says.
AFTER = tuple(
    FaultKind(f"{kind.name} after", "done", {**kind.effect, "took_effect": True})
    for kind in FAULTS
    if kind.name in ("timeout", "408", "500", "502", "503", "504", "HTML", "empty")
)


@dataclass(frozen=True)
class Result:
    """What came of a step: runs that exist, how many of them are still active, the output `status`, the exit status."""

    runs: int
    status: str
    exit: int
    active: int = 0

    def __str__(self) -> str:
        short = {"success": "ok", "error": "error", "timed-out": "late", "cancelled": "cancelled"}
        active = f"+{self.active}" if self.active else ""
        return f"{self.runs}{active} {short.get(self.status, self.status)}"


Expectation = Callable[[str, int | None], Result]


@dataclass(frozen=True, eq=False)
class Row:
    """One request of the loop, and the scenario in which it is made. `after`: so many such requests pass first."""

    name: str
    method: str
    path: str
    expected: Expectation
    query: str = ""
    after: int = 0
    job: str = "good"  # which of the jobs
    inputs: Mapping[str, str] = field(default_factory=dict)
    event: tuple[str, Mapping[str, Any]] | None = None
    first: tuple[Mapping[str, Any], ...] = ()  # faults that lead to this request
    is_write: bool = False


def _read_before_trigger(family: str, times: int | None) -> Result:
    if times is FOREVER or family == "limited":  # its five minutes are longer than the three that there are
        return Result(0, "error", 1)
    return Result(1, "success", 0)


def _write(runs_before: int) -> Expectation:
    def expected(family: str, times: int | None) -> Result:
        good = Result(runs_before + 1, "success", 0)
        bad = Result(runs_before, "error", 1)
        if family == "done":
            return good
        if family == "lost":
            return good if times == ONCE else bad  # sent once more, and once more only
        return bad if times is FOREVER else good

    return expected


def _results(_family: str, times: int | None) -> Result:
    """After a retry, a success whose results were never read is none."""
    return Result(2, "error", 1) if times is FOREVER else RECOVERED


def _look_up(family: str, times: int | None) -> Result:
    unconfirmed = Result(1, "error", 1)  # it exists, and is not sent again
    if times is FOREVER or (family == "limited" and times == TWICE):  # two cooldowns are longer than the look may take
        return unconfirmed
    return Result(1, "success", 0)


def _wait(_: str, times: int | None) -> Result:
    return Result(1, "timed-out", 1) if times is FOREVER else Result(1, "success", 0)


def _cancel(family: str, times: int | None) -> Result:
    is_lost = times is FOREVER and family != "done"
    return Result(1, "timed-out", 1, active=1 if is_lost else 0)


def _always(result: Result) -> Expectation:
    return lambda _family, _times: result


GOOD, RECOVERED, LATE = Result(1, "success", 0), Result(2, "success", 0), Result(1, "timed-out", 1)
RUN, LIST = r"/runs/\d+/$", r"/runs/$"
SHORT = {"timeout-minutes": "1"}
LOST_TRIGGER = {"method": "POST", "path": "/run/$", "effect": "reset", "took_effect": True}
PULL_REQUEST = (
    "pull_request",
    {"action": "opened", "pull_request": {"number": 5, "state": "open", "head": {"sha": "a" * 40}}},
)

ROWS = (
    # No input needs the list, so the job is triggered without it.
    Row("list at start", "GET", LIST, _always(GOOD), query="^(?!.*id__gt)"),
    Row("get job", "GET", r"/jobs/\d+/$", _read_before_trigger, inputs={"git-sha": "b" * 40}, event=PULL_REQUEST),
    Row("trigger", "POST", r"/run/$", _write(0), is_write=True),
    Row("retry by nodes", "POST", r"/run/$", _write(1), after=1, job="bad", is_write=True),
    Row("native retry", "POST", r"/retry/$", _write(1), job="bad", inputs={"retry-strategy": "native"}, is_write=True),
    Row("look-up", "GET", LIST, _look_up, query="id__gt", first=(LOST_TRIGGER,)),
    Row("poll", "GET", RUN, _wait, inputs={"timeout-minutes": "15"}),
    Row("steps read", "GET", RUN, _always(GOOD), query="run_steps.*trigger"),
    Row("last look", "GET", RUN, _wait, after=1, job="slow", inputs={"timeout-minutes": "20", "poll-interval": "3600"}),
    Row("cancel", "POST", r"/cancel/$", _cancel, job="stuck", inputs=SHORT, is_write=True),
    Row(
        "cancel seen",
        "GET",
        RUN,
        _always(LATE),
        query="run_steps.*trigger",
        job="stuck",
        inputs={"timeout-minutes": "1"},
    ),
    Row("artifact list", "GET", r"/artifacts/$", _always(GOOD), inputs={"artifacts": "manifest.json\nlogs/*"}),
    Row("run results", "GET", r"/artifacts/run_results", _results, job="bad once"),
    Row("manifest", "GET", r"/artifacts/manifest", _always(RECOVERED), job="bad once"),
)


@dataclass(frozen=True)
class Cell:
    """One play."""

    row: Row
    fault: FaultKind
    times: int | None

    @property
    def expected(self) -> Result:
        return self.row.expected(self.fault.family, self.times)

    @property
    def name(self) -> str:
        return f"{self.row.name} x {self.fault.name} x {TIMES_NAMES[self.times]}"


def cells_of(row: Row) -> list[Cell]:
    """The whole row."""
    cells = [Cell(row, fault, times) for fault in FAULTS for times in TIMES]
    return cells + [Cell(row, fault, ONCE) for fault in AFTER if row.is_write]


def faults_of(cell: Cell, account: int) -> list[dict[str, Any]]:
    """What the emulator is told."""
    row, prefix = cell.row, f"/accounts/{account}(?=/).*"
    faults = [{**fault, "path": prefix + fault["path"]} for fault in row.first]
    if cell.fault.family != "refused":
        where = {"method": row.method, "path": prefix + row.path, "query": row.query, "after": row.after}
        faults.append({**where, "times": cell.times, **cell.fault.effect})
    return faults


class Refusals:
    """Which requests of a play are refused."""

    def __init__(self, cell: Cell) -> None:
        self._row, self._last = cell.row, math.inf if cell.times is FOREVER else cell.row.after + cell.times
        self.seen = 0

    def __call__(self, request: httpx.Request) -> bool:
        row, url = self._row, request.url
        if request.method != row.method or not re.search(row.path, url.path):
            return False
        if not re.search(row.query, url.query.decode()):
            return False
        self.seen += 1
        return row.after < self.seen <= self._last


def table(results: Mapping[Cell, Result]) -> str:
    """What came of it: the runs that exist (`+` those left active), the verdict, `!` where it should be otherwise."""
    columns = [fault for fault in (*FAULTS, *AFTER) if any(cell.fault is fault for cell in results)]
    rows = [(row, times) for row in ROWS for times in TIMES if any((c.row, c.times) == (row, times) for c in results)]
    lines = [["request", "times", *(fault.name for fault in columns)]]
    for row, times in rows:
        shown = [_shown(Cell(row, fault, times), results) for fault in columns]
        lines.append([row.name, TIMES_NAMES[times], *shown])
    widths = [max(len(line[number]) for line in lines) for number in range(len(lines[0]))]
    text = ["  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    wrong = [
        f"{cell.name}: {result}, not {cell.expected}" for cell, result in results.items() if result != cell.expected
    ]
    head = "runs that exist (+ still active), verdict: ok, error, late (timed out); ! is not as it should be"
    return "\n".join([head, *text, f"{len(results)} plays, {len(wrong)} wrong", *wrong])


def _shown(cell: Cell, results: Mapping[Cell, Result]) -> str:
    result = results.get(cell)
    if result is None:
        return "·"
    return f"{result}" if result == cell.expected else f"{result}!"
