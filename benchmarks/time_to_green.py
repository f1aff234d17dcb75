"""From the end of a run that failed for a transient reason to the trigger of its retry: noticing, collecting, planning.

Short runs are real: the whole action against `benchmarks.server`. Of long ones, the lag of noticing is simulated
(`benchmarks.noticing`), and the rest is what was measured with the same project.
"""

from __future__ import annotations

import json
import random
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import msgspec
from standins.runner import Runner

from benchmarks import installs
from benchmarks.measure import WORK, MeasurementError, serving, table
from benchmarks.noticing import LENGTHS, SEED, ours, usual, watch
from benchmarks.publish import project
from benchmarks.server import ACCOUNT, API, JOB, RUN, TOKEN, compress

SIZES = (100, 1_000, 10_000)
SHORT = (15, 60)  # seconds of a run
LONG = ("5 min", "15 min", "30 min", "1 h", "2 h")
DELAYS = (0, 30)  # seconds; the second is the default of `retry-delay`
GOAL = 5.0  # seconds beyond `retry-delay`, with 10,000 models
_ONE_IN = 200
_PATIENCE = 300.0


class Green(NamedTuple):
    """Seconds from the run's end: until a look showed it (`lag`), and until its retry was triggered (`retry`)."""

    lag: float
    retry: float

    @property
    def work(self) -> float:
        """Reading what the run left, and planning; and what was left of `retry-delay`."""
        return self.retry - self.lag


def failed_project(models: int) -> Path:
    """The synthetic project with results of a run that failed, made on the first call."""
    source, folder = project(models), WORK / "projects" / f"{models}-failed"
    if not (folder / "run_results.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        compress(source)
        for name in ("manifest.json", "manifest.json.gz"):
            (folder / name).unlink(missing_ok=True)
            (folder / name).hardlink_to(source / name)
        (folder / "run_results.json").write_bytes(failed_results((source / "run_results.json").read_bytes()))
    return folder


def failed_results(content: bytes) -> bytes:
    """Run results in which one model in 200 failed, at least one, and the two nodes after each were skipped."""
    found = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    rows = msgspec.json.decode(found["results"], type=list[Any])
    models = [place for place, row in enumerate(rows) if row["unique_id"].startswith("model.")]
    for place in models[::_ONE_IN]:
        rows[place] |= {"status": "error", "message": "Database Error\n  Connection reset by peer"}
        for row in rows[place + 1 : place + 3]:
            row |= {"status": "skipped", "message": None, "timing": [], "execution_time": 0.0}
    return msgspec.json.encode({**found, "results": rows})


def measure(models: int, seconds: float, delay: float) -> Green:
    """Trigger a run that fails after so many seconds, and wait until the action triggers its retry."""
    python, entrypoint = installs.action()
    with (
        serving(failed_project(models), fails_after=seconds) as (url, authority),
        tempfile.TemporaryDirectory(dir=WORK) as scratch,
    ):
        inputs = {"api-token": TOKEN, "account-id": str(ACCOUNT), "job-id": str(JOB), "host": url}
        runner = Runner(folder=Path(scratch), inputs={**inputs, "retry-delay": f"{delay:g}"}, services={})
        runner.prepare()
        runner.workspace.mkdir()
        env = runner.environment() | {"SSL_CERT_FILE": authority}
        output = Path(scratch) / "output"
        context = ssl.create_default_context(cafile=authority)
        with (
            output.open("w") as stream,
            subprocess.Popen(  # noqa: S603 - our own
                [python, "-Iu", entrypoint], env=env, cwd=runner.workspace, stdout=stream, stderr=subprocess.STDOUT
            ) as process,
        ):
            try:
                log = _until_retried(lambda path: _get(url + path, context), process, seconds + delay + _PATIENCE)
                return green_of(log, float(_get(f"{url}{API}/__end__", context)))
            except MeasurementError as error:
                raise MeasurementError(f"{error}\n{output.read_text(errors='replace')[-3000:]}") from error
            finally:
                process.kill()


def _get(url: str, context: ssl.SSLContext) -> Any:
    with urllib.request.urlopen(url, context=context) as answer:  # noqa: S310 - our own server
        return json.load(answer)


def _until_retried(
    get: Callable[[str], Any], process: subprocess.Popen[bytes], patience: float
) -> list[Mapping[str, Any]]:
    """The log of requests up to the second trigger."""
    log: list[Mapping[str, Any]] = []
    until = time.monotonic() + patience
    while sum(entry["method"] == "POST" for entry in log) < 2:
        if process.poll() is not None or time.monotonic() > until:
            raise MeasurementError("no retry was triggered")
        time.sleep(0.2)
        log += get(f"{API}/__log__")
    return log


def green_of(log: Sequence[Mapping[str, Any]], ended: float) -> Green:
    """What a log of requests shows about a run that ended then. Raises `MeasurementError` where it shows no retry."""
    seen = [entry["at"] for entry in log if entry["path"] == f"{API}/runs/{RUN}/" and entry["at"] >= ended]
    posts = [entry["at"] for entry in log if entry["method"] == "POST"]
    if not seen or len(posts) < 2:
        raise MeasurementError("the end of the run was not seen, or no retry was triggered")
    return Green(min(seen) - ended, posts[1] - ended)


def lags(name: str, count: int = 2000) -> list[float]:
    """The simulated lags of noticing for runs around this length, with history."""
    runs = usual(LENGTHS[name], count, random.Random(SEED))  # noqa: S311 - must be repeatable
    return sorted(watch(ours(history), length)[1] for length, history in runs)


def beyond(found: Sequence[float], work: float, delay: float) -> list[float]:
    """Seconds beyond `delay` from the end of a run to its retry, for each lag: noticing and work run in the delay."""
    return [max(lag + work - delay, 0.0) for lag in found]


def report(sizes: Sequence[int] = SIZES, lengths: Sequence[float] = SHORT) -> str:
    """The tables in markdown."""
    found: dict[tuple[int, float, float], Green] = {}
    for models in sizes:
        for seconds in lengths:
            for delay in DELAYS:
                green = found[models, seconds, delay] = measure(models, seconds, delay)
                print(f"  {models:>6,} models  {seconds:g} s  delay {delay} s: {green}", flush=True)
    work = {models: median(found[models, seconds, 0].work for seconds in lengths) for models in sizes}
    return f"{_real(found)}\n{_simulated(work)}\n{_goal(found)}\n"


def _real(found: Mapping[tuple[int, float, float], Green]) -> str:
    rows = []
    for (models, seconds, delay), green in found.items():
        if not delay:
            late = found[models, seconds, DELAYS[1]]
            figures = (green.lag, green.work, green.retry, late.retry, max(late.retry - DELAYS[1], 0.0))
            rows.append([f"{models:,} models, {seconds:g} s", *(f"{figure:.1f}" for figure in figures)])
    head = ("real runs", "until noticed, s", "collect and plan, s", "retry, no delay, s")
    return table((*head, f"retry, delay {DELAYS[1]} s, s", "beyond the delay, s"), rows)


def _simulated(work: Mapping[int, float]) -> str:
    head = ["runs with history, simulated: mean / 95th percentile"]
    for models in work:
        head += [f"{models:,} models: no delay, s", f"beyond {DELAYS[1]} s, s"]
    rows = []
    for name in LONG:
        cells, noticed = [name], lags(name)
        for seconds in work.values():
            for delay in DELAYS:
                late = beyond(noticed, seconds, delay)
                cells.append(f"{fmean(late):.1f} / {late[int(0.95 * len(late))]:.1f}")
        rows.append(cells)
    return table(head, rows)


def _goal(found: Mapping[tuple[int, float, float], Green]) -> str:
    largest = max(models for models, _, _ in found)
    late = max(green.retry - delay for (models, _, delay), green in found.items() if models == largest and delay)
    return (
        f"With {largest:,} models and a delay of {DELAYS[1]} s, the retry was triggered {late:.1f} s beyond it at most "
        f"(goal for 10,000 models: at most {GOAL:g} s)."
    )
