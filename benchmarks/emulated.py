"""The emulator for a benchmark, and the clients that run a job of it: this action and its peers."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """A running emulator."""

    url: str
    authority: str

    @property
    def host(self) -> str:
        return self.url.removeprefix("https://")

    def get(self, path: str, body: bytes | None = None) -> Any:
        """The answer to a GET, or with a body to a POST."""
        context = ssl.create_default_context(cafile=self.authority)
        headers = {"Authorization": f"Token {DEMO_TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", body, headers)  # noqa: S310 - our own server
        with urllib.request.urlopen(request, context=context) as answer:  # noqa: S310
            return json.load(answer)

    def trigger(self, job: int) -> int:
        """Start a run; gives its id."""
        number: int = self.get(f"/api/v2/accounts/1/jobs/{job}/run/", b'{"cause": "benchmark"}')["data"]["id"]
        return number

    def runs(self) -> list[dict[str, Any]]:
        """Every run, the oldest first, with its steps."""
        found = sorted(run["id"] for run in self.get("/__emulator__/runs"))
        whole = (self.get(f"/api/v2/accounts/1/runs/{number}/?include_related=run_steps") for number in found)
        return [answer["data"] for answer in whole]

    def requests(self) -> list[dict[str, Any]]:
        """The requests so far."""
        log: list[dict[str, Any]] = self.get("/__emulator__/requests")
        return log


@contextmanager
def emulator(folder: Path, config: Mapping[str, Any] | None = None, replay: Path | None = None) -> Iterator[Emulator]:
    """Start one, over https; its state goes to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-u", "-m", "dbt_cloud_emulator", "--tls", "--state", str(folder / "state")]
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
        command += ["--config", str(folder / "config.json")]
    if replay is not None:
        command += ["--replay", str(replay)]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(  # noqa: S603 - our own
            command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT, env=environment()
        ) as process,
    ):
        assert process.stdout is not None
        try:
            if not (found := re.search(r"listening on (\S+)", process.stdout.readline())):
                raise MeasurementError(f"the emulator did not start: {(folder / 'log').read_text()[-2000:]}")
            yield Emulator(found[1], process.stdout.readline().partition(": ")[2].strip())
        finally:
            process.terminate()


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
