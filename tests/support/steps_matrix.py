"""The fault matrix of `run_steps`: what is wrong with them, how the run ended, and what should come of it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from standins.cloud_server import Request, enveloped
from tests.support.told_cloud import Told, ToldCloud, build, command, node, row, told

A, B = "model.shop.a", "model.shop.b"
NODES = [node(A, fqn=["shop", "a"]), node(B, fqn=["shop", "b"])]
BUILD, CHARGE = "dbt build", "dbt run-operation charge_cards"
LOST = "Database Error\n  could not connect to server: Connection timed out"
BROKEN = "Encountered an error:\nCompilation Error in model a (models/a.sql)\n  no such macro\n"
FOREVER = 10**6
MIB = 1024**2
_LARGE = 70 * MIB  # more than an answer may have

# As on the platform: nothing related is part of an answer that was not asked for it. A trigger's own is its answer's.
_NOT_RELATED: Mapping[str, Any] = {"run_steps": [], "job": None, "audit": None, "trigger": None}

Run = Mapping[str, Any]
Odd = Callable[[Run], object]
"""What is served in the place of a run with its steps: another run, a status and a body, or a body."""


def _with_last(run: Run, **fields: Any) -> Run:
    *others, last = run["run_steps"]
    return {**run, "run_steps": [*others, {**last, **fields}]}


def _empty(run: Run) -> Run:
    return {**run, "run_steps": []}


def _null(run: Run) -> Run:
    return {**run, "run_steps": None}


def _cut_short(run: Run) -> Run:
    return {**run, "run_steps": run["run_steps"][:-1]}


def _unfinished(run: Run) -> Run:
    return _with_last(run, status=3, finished_at=None)


def _without_logs(run: Run) -> Run:
    return {**run, "run_steps": [{**step, "logs": None} for step in run["run_steps"]]}


def _gateway_timeout(_: Run) -> tuple[int, bytes]:
    return 504, b""


def _too_large_logs(run: Run) -> bytes:
    logs = run["run_steps"][-1]["logs"]
    text = json.dumps({"data": _with_last(run, logs=f"LARGE{logs}"), "status": {"code": 200}})
    return text.encode().replace(b"LARGE", b"." * _LARGE)


def _too_large_rest(run: Run) -> bytes:
    text = json.dumps({"data": {**run, "more": "LARGE"}, "status": {"code": 200}})
    return text.encode().replace(b"LARGE", b"." * _LARGE)


@dataclass(frozen=True)
class Oddity:
    """What is wrong with the first run's steps, in this many answers after its end."""

    name: str
    odd: Odd
    times: int


ODDITIES = (
    Oddity("nothing", dict, 0),
    Oddity("empty, late", _empty, 2),
    Oddity("empty", _empty, FOREVER),
    Oddity("null, late", _null, 2),
    Oddity("null", _null, FOREVER),
    Oddity("cut short, late", _cut_short, 2),
    Oddity("cut short", _cut_short, FOREVER),
    Oddity("unfinished, late", _unfinished, 2),
    Oddity("unfinished", _unfinished, FOREVER),
    Oddity("without logs, late", _without_logs, 2),
    Oddity("without logs", _without_logs, FOREVER),
    Oddity("504, late", _gateway_timeout, 2),
    Oddity("504", _gateway_timeout, FOREVER),
    Oddity("logs too large", _too_large_logs, FOREVER),
    Oddity("too large", _too_large_rest, FOREVER),
)


@dataclass(frozen=True)
class Job:
    """What the job runs, and its first run by how that ended."""

    name: str
    asked: tuple[str, ...]
    ended: Callable[[int], tuple[Told, ...]]


def _built(status: int) -> Told:
    if status == 10:
        return build([row(A), row(B)], NODES, logs="Done. PASS=2 ERROR=0")
    last = row(B, "error", LOST) if status == 20 else row(B, "skipped", None)
    return build([row(A), last], NODES, status=status, logs="Done. PASS=1 ERROR=1" if status == 20 else "1 of 2 OK")


def _charged(status: int) -> Told:
    return command(CHARGE, status=status, logs="charged" + (f", then {LOST}" if status != 10 else ""))


def _compiled(status: int) -> Told:
    return _built(10) if status == 10 else command(BUILD, status=status, logs=BROKEN)


JOBS = (
    Job("build", (BUILD,), lambda status: (_built(status),)),
    Job("operation, build", (CHARGE, BUILD), lambda status: (_charged(10), _built(status))),
    Job("build, operation", (BUILD, CHARGE), lambda status: (_built(10), _charged(status))),
    Job("build that does not compile", (BUILD,), lambda status: (_compiled(status),)),
)

PERSON = {"cancellation": {"actor": {"type": "user", "id": 2, "name": "alice"}}}
HEARTBEAT = "This run was cancelled after 10 minutes of inactivity."
ENDINGS: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "green": (10, {}),
    "failed": (20, {}),
    "cancelled": (30, {"audit": PERSON}),
    "lost": (30, {"status_message": HEARTBEAT}),
}


@dataclass(frozen=True)
class Play:
    """One cell."""

    job: Job
    oddity: Oddity
    ending: str

    def runs(self) -> list[Told]:
        """The first run, and a green one for every other."""
        status, fields = ENDINGS[self.ending]
        first = told(status, *self.job.ended(status), **fields)
        return copy.deepcopy([first, told(10, *self.job.ended(10))])


class SteplessCloud(ToldCloud):
    """A dbt Cloud whose answers with the first run's steps are odd."""

    def __init__(self, play: Play) -> None:
        super().__init__(play.runs(), {"execute_steps": list(play.job.asked)})
        self._odd, self._left = play.oddity.odd, play.oddity.times

    @property
    def commands(self) -> list[str]:
        """What was asked for by every run but the first."""
        return [line for run in self.runs[1:] for line in run["trigger"].get("steps_override") or ()]

    def _handle(self, request: Request) -> Any:
        match = re.fullmatch(r"/api/v2/accounts/1/(?:jobs/\d+/run|runs/(\d+))/", request.path)
        if match is None:
            return super()._handle(request)
        if request.method == "POST":
            super()._handle(request)
            is_own = {"trigger": self.runs[-1]["trigger"]}
            return enveloped({**self.runs[-1], **_NOT_RELATED, **is_own, "status": 1, "finished_at": None})
        run = next(run for run in self.runs if run["id"] == int(match[1]))
        related = request.query.get("include_related", "").split(",")
        if "run_steps" not in related:
            return enveloped({**run, **{name: empty for name, empty in _NOT_RELATED.items() if name not in related}})
        if run is not self.runs[0] or self._left <= 0:
            return enveloped(run)
        self._left -= 1
        odd = self._odd(run)
        if isinstance(odd, bytes):
            return 200, odd
        return odd if isinstance(odd, tuple) else enveloped(odd)


def table(job: Job, cells: Mapping[tuple[str, str], str]) -> str:
    """Rows are what is wrong with the steps, columns how the run ended."""
    endings = [ending for ending in ENDINGS if any(name == ending for _, name in cells)]
    lines = [[job.name, *endings]]
    names = [odd.name for odd in ODDITIES if any(name == odd.name for name, _ in cells)]
    lines += [[name, *(cells[name, ending] for ending in endings)] for name in names]
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[number]) for line in lines) for number in range(len(lines[0]))]
    rows = ["  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join(rows) + "\n"


# The runs that were started, the verdict, and the nodes that succeeded out of those known; ?: the counts are not known.
# Without a log and without results, a build that does not compile looks like any other failure, which is retried.
_TABLES = (
    """\
build               green     failed    cancelled        lost
nothing             1 ok 2/2  2 ok 2/2  1 cancelled 1/2  2 ok 2/2
empty, late         1 ok 2/2  2 ok 2/2  1 cancelled 1/2  2 ok 2/2
empty               1 ok 2/2  2 ok 2/2  1 cancelled 1/2  2 ok 2/2
null, late          1 ok 2/2  2 ok 2/2  1 cancelled 1/2  2 ok 2/2
null                1 ok 2/2  2 ok 2/2  1 cancelled 1/2  2 ok 2/2
cut short, late     1 ok 2/2  2 ok 2/2  1 cancelled 1/2  2 ok 2/2
cut short           1 ok 2/2  2 ok 2/2  1 cancelled 1/2  2 ok 2/2
unfinished, late    1 ok 2/2  2 ok 2/2  1 cancelled 1/2  2 ok 2/2
unfinished          1 ok 2/2  2 ok 2/2  1 cancelled 1/2  2 ok 2/2
without logs, late  1 ok 2/2  2 ok 2/2  1 cancelled 1/2  2 ok 2/2
without logs        1 ok 2/2  2 ok 2/2  1 cancelled 1/2  2 ok 2/2
504, late           1 ok 2/2  2 ok 2/2  1 cancelled 1/2  2 ok 2/2
504                 1 ok 2/2  2 ok 2/2  1 cancelled 1/2  2 ok 2/2
logs too large      1 ok 2/2  2 ok 2/2  1 cancelled 1/2  2 ok 2/2
too large           1 ok 2/2  2 ok 2/2  1 cancelled 1/2  2 ok 2/2
""",
    """\
operation, build    green     failed     cancelled        lost
nothing             1 ok 2/2  2 ok 2/2   1 cancelled 1/2  2 ok 2/2
empty, late         1 ok 2/2  2 ok 2/2   1 cancelled 1/2  2 ok 2/2
empty               1 ok ?    2 error ?  1 cancelled ?    1 cancelled ?
null, late          1 ok 2/2  2 ok 2/2   1 cancelled 1/2  2 ok 2/2
null                1 ok ?    2 error ?  1 cancelled ?    1 cancelled ?
cut short, late     1 ok 2/2  2 ok 2/2   1 cancelled 1/2  2 ok 2/2
cut short           1 ok 2/2  2 ok 2/2   1 cancelled 1/2  2 ok 2/2
unfinished, late    1 ok 2/2  2 ok 2/2   1 cancelled 1/2  2 ok 2/2
unfinished          1 ok 2/2  2 ok 2/2   1 cancelled 1/2  2 ok 2/2
without logs, late  1 ok 2/2  2 ok 2/2   1 cancelled 1/2  2 ok 2/2
without logs        1 ok 2/2  2 ok 2/2   1 cancelled 1/2  2 ok 2/2
504, late           1 ok 2/2  2 ok 2/2   1 cancelled 1/2  2 ok 2/2
504                 1 ok ?    2 error ?  1 cancelled ?    1 cancelled ?
logs too large      1 ok 2/2  2 ok 2/2   1 cancelled 1/2  2 ok 2/2
too large           1 ok 2/2  2 ok 2/2   1 cancelled 1/2  2 ok 2/2
""",
    """\
build, operation    green     failed       cancelled        lost
nothing             1 ok 2/2  1 error 2/2  1 cancelled 2/2  1 cancelled 2/2
empty, late         1 ok 2/2  1 error 2/2  1 cancelled 2/2  1 cancelled 2/2
empty               1 ok ?    1 error ?    1 cancelled ?    1 cancelled ?
null, late          1 ok 2/2  1 error 2/2  1 cancelled 2/2  1 cancelled 2/2
null                1 ok ?    1 error ?    1 cancelled ?    1 cancelled ?
cut short, late     1 ok 2/2  1 error 2/2  1 cancelled 2/2  1 cancelled 2/2
cut short           1 ok 2/2  1 error ?    1 cancelled ?    1 cancelled ?
unfinished, late    1 ok 2/2  1 error 2/2  1 cancelled 2/2  1 cancelled 2/2
unfinished          1 ok 2/2  1 error ?    1 cancelled 2/2  1 cancelled 2/2
without logs, late  1 ok 2/2  1 error 2/2  1 cancelled 2/2  1 cancelled 2/2
without logs        1 ok 2/2  1 error 2/2  1 cancelled 2/2  1 cancelled 2/2
504, late           1 ok 2/2  1 error 2/2  1 cancelled 2/2  1 cancelled 2/2
504                 1 ok ?    1 error ?    1 cancelled ?    1 cancelled ?
logs too large      1 ok 2/2  1 error 2/2  1 cancelled 2/2  1 cancelled 2/2
too large           1 ok 2/2  1 error 2/2  1 cancelled 2/2  1 cancelled 2/2
""",
    """\
build that does not compile  green     failed       cancelled        lost
nothing                      1 ok 2/2  1 error 0/0  1 cancelled 0/0  2 ok 2/2
empty, late                  1 ok 2/2  1 error 0/0  1 cancelled 0/0  2 ok 2/2
empty                        1 ok 2/2  1 error ?    1 cancelled ?    1 cancelled ?
null, late                   1 ok 2/2  1 error 0/0  1 cancelled 0/0  2 ok 2/2
null                         1 ok 2/2  1 error ?    1 cancelled ?    1 cancelled ?
cut short, late              1 ok 2/2  1 error 0/0  1 cancelled 0/0  2 ok 2/2
cut short                    1 ok 2/2  1 error ?    1 cancelled ?    1 cancelled ?
unfinished, late             1 ok 2/2  1 error 0/0  1 cancelled 0/0  2 ok 2/2
unfinished                   1 ok 2/2  1 error ?    1 cancelled 0/0  2 ok 2/2
without logs, late           1 ok 2/2  1 error 0/0  1 cancelled 0/0  2 ok 2/2
without logs                 1 ok 2/2  2 ok 2/2     1 cancelled 0/0  2 ok 2/2
504, late                    1 ok 2/2  1 error 0/0  1 cancelled 0/0  2 ok 2/2
504                          1 ok 2/2  1 error ?    1 cancelled ?    1 cancelled ?
logs too large               1 ok 2/2  1 error 0/0  1 cancelled 0/0  2 ok 2/2
too large                    1 ok 2/2  1 error 0/0  1 cancelled 0/0  2 ok 2/2
""",
)
EXPECTED: Mapping[str, str] = {job.name: text for job, text in zip(JOBS, _TABLES, strict=True)}
