"""The emulator for a benchmark, and the clients that run a job of it: this action and its peers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from standins.emulator import RunningEmulator, running_emulator
from standins.results_service import ResultsService
from standins.runner import Runner

from benchmarks import installs
from benchmarks.measure import ROOT, WORK, Measured, MeasurementError, environment, measured
from dbt_cloud_emulator.config import DEMO_TOKEN

CLIENTS = ROOT / "benchmarks" / "clients"
PREFECT = {
    "PREFECT_HOME": str(WORK / "prefect-home"),  # kept: its database is made once, not in every round
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "DO_NOT_TRACK": "1",
}
INTERVALS = {"prefect-dbt": 10, "dbtc": 10, "airflow": 60}  # the peers' own defaults, in seconds


@dataclass(frozen=True)
class Emulator:
    """A running emulator, over https."""

    running: RunningEmulator

    @property
    def url(self) -> str:
        return self.running.base_url

    @property
    def authority(self) -> str:
        return str(self.running.ca_file)

    @property
    def host(self) -> str:
        return self.running.host

    def trigger(self, job: int) -> int:
        """Start a run; returns its id."""
        return int(self.running.trigger(job)["id"])

    def runs(self) -> list[dict[str, Any]]:
        """Every run, the oldest first, with its steps."""
        return [self.running.run(number, "run_steps") for number in sorted(run["id"] for run in self.running.runs())]

    def requests(self) -> list[dict[str, Any]]:
        """The requests so far."""
        return self.running.requests()


@contextmanager
def emulator(folder: Path, config: Mapping[str, Any] | None = None, replay: Path | None = None) -> Iterator[Emulator]:
    """Start one, over https; its state goes to `folder`."""
    with running_emulator(config=config, state=folder / "state", tls=True, replay=replay, strict=False) as running:
        yield Emulator(running)


@dataclass(frozen=True)
class Played:
    """A client's work on one job: the process, and when (wall clock) it knew how the job had ended."""

    process: Measured
    began: float
    verdict: float

    @property
    def ended(self) -> float:
        return self.began + self.process.seconds


def play(
    name: str, emulated: Emulator, folder: Path, job: int, *, interval: int | None = None, assets: bool = False
) -> Played:
    """Run the job by this client. Raises `MeasurementError` where the client cannot be installed or fails."""
    if name == "action":
        return _play_action(emulated, folder, job, interval, publishes=assets)
    python, said = installs.peer(name)
    if python is None:
        raise MeasurementError(said)
    seconds = str(interval or INTERVALS[name])
    script = {"prefect-dbt": "prefect_job.py", "dbtc": "dbtc_job.py", "airflow": "airflow_job.py"}[name]
    mode: Sequence[str] = ("assets" if assets else "verdict",) if name == "prefect-dbt" else ()
    trust = {"SSL_CERT_FILE": emulated.authority, "REQUESTS_CA_BUNDLE": emulated.authority}
    env = environment(TOKEN=DEMO_TOKEN, **trust, **PREFECT, AIRFLOW_HOME=str(WORK / "airflow-home"))
    began = time.time()
    done = measured([python, CLIENTS / script, emulated.host, str(job), seconds, *mode], env=env, cwd=folder)
    if not (found := re.search(r"^verdict ([\d.]+)$", done.output, re.MULTILINE)) or "ended success" not in done.output:
        raise MeasurementError(done.output[-3000:])
    return Played(done, began, float(found[1]))


def _play_action(emulated: Emulator, folder: Path, job: int, interval: int | None, *, publishes: bool) -> Played:
    python, entrypoint = installs.action()
    inputs = {
        "api-token": DEMO_TOKEN,
        "account-id": "1",
        "job-id": str(job),
        "host": emulated.url,
        "retry-delay": "0",  # as the peers have none
        "upload-artifact": str(publishes).lower(),
    }
    if interval:
        inputs["poll-interval"] = str(interval)
    with ResultsService(folder=folder / "uploads") as results:
        runner = Runner(folder=folder / "job", inputs=inputs, services=results.variables)
        runner.prepare()
        runner.workspace.mkdir()
        env = runner.environment() | {"SSL_CERT_FILE": emulated.authority}
        began = time.time()
        done = measured([python, "-Iu", entrypoint], env=env, cwd=runner.workspace, expect=(0, 1))
        if runner.values("output").get("status") != "success":
            raise MeasurementError(done.output[-3000:])
    # It asks for the whole run as soon as a poll has shown its end.
    asked = [entry["time"] for entry in emulated.requests() if "audit" in entry["query"] and "/runs/" in entry["path"]]
    return Played(done, began, max(asked))
