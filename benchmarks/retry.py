"""The same failures on real dbt, retried by everybody in his own way: how much is executed, over all attempts."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import installs
from benchmarks.emulated import Emulator, emulator, play
from benchmarks.measure import WORK, MeasurementError, table

SUCCESS, FULL = 10, "full rerun"
JOBS: dict[str, list[str]] = {
    "one command: `dbt build`": ["dbt build"],
    "a selection: `dbt build --select +customers`": ["dbt build --select +customers"],
    "three commands: seed, run, test": ["dbt seed", "dbt run", "dbt test"],
    "two failures: `--vars` with two flaky models": [
        """dbt build --vars '{"flaky_model": ["stg_payments", "customers"]}'"""
    ],
    "a passing failure, then one that lasts: `dbt build --select +orders+` (a test needs a table that is not there)": [
        "dbt build --select +orders+"
    ],
}
WAYS = ("action", FULL, "prefect-dbt", "dbtc", "airflow")
LABELS = {
    "action": "this action",
    FULL: "full rerun, at most three times",
    "prefect-dbt": "prefect-dbt, targeted retry",
    "dbtc": "dbtc: dbt Cloud's own retry (`dbt retry`)",
    "airflow": "Airflow's hook: dbt Cloud's own retry (`dbt retry`)",
}


@dataclass(frozen=True)
class Work:
    """What dbt did: runs, nodes executed (not skipped) and seconds, over all attempts."""

    runs: int
    nodes: int
    seconds: float
    is_green: bool


def measure(commands: list[str], way: str) -> Work:
    """Let one of them run a job that fails, on an emulator and a database of its own."""
    job = {"id": 1, "name": "Failing", "execute_steps": commands}
    with (
        tempfile.TemporaryDirectory(dir=WORK) as scratch,
        emulator(Path(scratch) / "emulator", {"jobs": [job]}) as emulated,
    ):
        if way == FULL:
            _run_fully(emulated)
        else:
            try:
                play(way, emulated, Path(scratch), 1, interval=1)
            except MeasurementError:
                if not emulated.runs():
                    raise
        return _work(emulated)


def _run_fully(emulated: Emulator) -> None:
    for _ in range(4):
        number = emulated.trigger(1)
        while not (run := emulated.running.run(number, ""))["is_complete"]:
            time.sleep(0.2)
        if run["status"] == SUCCESS:
            return


def _work(emulated: Emulator) -> Work:
    runs = emulated.runs()
    rows = [row for run in runs for row in _rows(emulated, run)]
    executed = [row for row in rows if row["status"] != "skipped" and not row["unique_id"].startswith("operation.")]
    seconds = sum(row["execution_time"] for row in executed)
    return Work(len(runs), len(executed), seconds, bool(runs) and runs[-1]["status"] == SUCCESS)


def _rows(emulated: Emulator, run: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of the steps that ran nodes, each file once."""
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for step in run["run_steps"]:
        if "`dbt " not in step["name"] or "`dbt deps" in step["name"] or step["status"] not in (SUCCESS, 20):
            continue
        path = f"runs/{run['id']}/artifacts/run_results.json"
        answer = emulated.running.api("GET", path, params={"step": step["index"]})
        if not answer.is_success:
            continue
        results = answer.json()
        if results["metadata"]["invocation_id"] not in seen:
            seen.add(results["metadata"]["invocation_id"])
            rows += results["results"]
    return rows


def report() -> str:
    """The tables in markdown."""
    parts = []
    for title, commands in JOBS.items():
        works: dict[str, Work | str] = {}
        for way in WAYS:
            try:
                works[way] = measure(commands, way)
                print(f"  {title}  {way}: {works[way]}", flush=True)
            except MeasurementError as error:
                works[way] = str(error).strip().splitlines()[-1][:100]
                print(f"{way}: {error}", file=sys.stderr)
        parts.append(f"{title[0].upper()}{title[1:]}:\n\n{_table(works)}")
    return "\n".join(parts)


def _table(works: dict[str, Work | str]) -> str:
    ours = works["action"]
    rows = []
    for way, work in works.items():
        label = LABELS[way]
        if way in {peer.name for peer in installs.PEERS} and isinstance(work, str):
            rows.append([label, work, "–", "–", "–"])
        elif isinstance(work, Work):
            ratio = f"{work.nodes / ours.nodes:.2f}" if isinstance(ours, Work) and ours.nodes else "–"
            green = "green" if work.is_green else "red"
            rows.append([label, f"{work.runs}, {green}", str(work.nodes), ratio, f"{work.seconds:.1f}"])
        else:
            rows.append([label, work, "–", "–", "–"])
    return table(("", "runs, and how it ended", "nodes executed", "÷ this action", "seconds in nodes"), rows)
