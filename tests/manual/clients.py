"""`make clients`: ten clients of other projects call the emulator; the table shows which of their calls it took.

    python tests/manual/clients.py [CLIENT]...

Each client that PyPI carries gets a virtual environment below build/clients, made on first use, and a fresh emulator
with real dbt; `other_clients.py` drives it. The calls of the others are the list in `listed_calls.json`. Exit status 1
where a call was refused that is not named in REFUSED, or where a client did not get to its end.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from standins.emulator import running_emulator  # noqa: E402 - found by the line above

ENVIRONMENTS = ROOT / "build" / "clients"
LISTED = Path(__file__).with_name("listed_calls.json")
TOKEN = "demo-token"
ACCOUNT, JOB, PROJECT, ENVIRONMENT = "1", "1005", "10", "20"
SECONDS = 900


@dataclass(frozen=True)
class Client:
    """A client on PyPI: groups of packages, one pip call each."""

    name: str
    installs: tuple[tuple[str, ...], ...]
    environment: str = ""  # of another client that is the same package

    @property
    def folder(self) -> Path:
        return ENVIRONMENTS / (self.environment or self.name)


AIRFLOW = (("apache-airflow-providers-dbt-cloud==4.11.1",),)
CLIENTS = (
    Client("dbtc", (("dbtc==0.11.7", "pyarrow<20"),)),
    Client("airflow-hook", AIRFLOW, "airflow"),
    Client("airflow-operator", AIRFLOW, "airflow"),
    Client("prefect-dbt", (("prefect-dbt==0.7.25", "prefect", "dbt-core<1.12"), ("fastapi==0.139.0",))),
    # Its own metadata does not name dateutil, which it imports.
    Client("dagster-dbt", (("dagster-dbt==0.29.27", "python-dateutil"),)),
    Client("dbt-cloud-cli", (("dbt-cloud-cli==0.9.1",),)),
    Client("dbt-jobs-as-code", (("dbt-jobs-as-code==1.22.0",),)),
    Client("prefect-dbtcloud", (("prefect-dbtcloud==0.1.1", "setuptools<80"),)),
)
# Calls that dbt Cloud refuses as well, or that are not of the Administrative API's part that is emulated.
REFUSED: Mapping[str, tuple[str, ...]] = {}


@dataclass(frozen=True)
class Called:
    """What came of one client: how often each call was made and answered, and why it did not get to its end."""

    name: str
    calls: Counter[tuple[str, str, int]]
    trouble: str = ""


def install(client: Client) -> str:
    """Make the environment on first use; returns why that cannot be done, or nothing."""
    ready, stamp = client.folder / ".ready", repr(client.installs)
    if ready.is_file() and ready.read_text() == stamp:
        return ""
    print(f"Installing {client.name} into {client.folder.relative_to(ROOT)}", flush=True)
    commands: list[Sequence[str]] = [(sys.executable, "-m", "venv", "--clear", str(client.folder))]
    pip = (str(client.folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check")
    commands += [(*pip, *group) for group in client.installs]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - pins of this file
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["pip failed"])[-1][:120]
    ready.write_text(stamp)
    return ""


def play(client: Client) -> Called:
    """Drive a client against an emulator of its own."""
    trouble = install(client)
    if trouble:
        return Called(client.name, Counter(), f"not installable here: {trouble}")
    with (
        tempfile.TemporaryDirectory() as state,
        running_emulator(state=Path(state), tls=True, strict=False) as emulator,
    ):
        environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        authority = str(emulator.ca_file)
        environment |= {"SSL_CERT_FILE": authority, "REQUESTS_CA_BUNDLE": authority, "NO_PROXY": "127.0.0.1"}
        environment |= {"AIRFLOW_HOME": f"{state}/airflow", "PREFECT_HOME": f"{state}/prefect", "DO_NOT_TRACK": "1"}
        environment |= {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180", "PREFECT_LOGGING_LEVEL": "ERROR"}
        command = [str(client.folder / "bin/python"), str(Path(__file__).with_name("other_clients.py"))]
        try:
            done = subprocess.run(  # noqa: S603 - our own
                [*command, client.name, emulator.host],
                env=environment,
                cwd=state,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
            trouble = "" if done.returncode == 0 else (done.stdout + done.stderr).strip()[-1500:]
        except subprocess.TimeoutExpired:
            trouble = f"not at its end after {SECONDS} s"
        return Called(client.name, counted(emulator.requests()), trouble)


def counted(log: Sequence[Mapping[str, Any]]) -> Counter[tuple[str, str, int]]:
    """Calls by method, path without numbers, with the names of the query, and status."""
    found: Counter[tuple[str, str, int]] = Counter()
    for entry in log:
        path = re.sub(r"/\d+(?=/|$)", "/N", re.sub(r"^/api/(v\d)/accounts/\d+/", r"\1: ", entry["path"]))
        names = sorted({pair.partition("=")[0] for pair in entry["query"].split("&") if pair})
        found[entry["method"], path + (f"?{'&'.join(names)}" if names else ""), entry["status"] or 0] += 1
    return found


def play_list(name: str, calls: Sequence[Mapping[str, Any]]) -> Called:
    """Send the calls of a list, in order, to an emulator of its own that has one complete run."""
    with tempfile.TemporaryDirectory() as state, running_emulator(state=Path(state), strict=False) as emulator:
        run = emulator.wait(emulator.trigger(int(JOB))["id"], timeout=SECONDS)
        values = {"job": JOB, "run": str(run["id"]), "project": PROJECT, "environment": ENVIRONMENT}
        values["step"] = str(run["run_steps"][3]["id"])
        emulator.clear_requests()
        with httpx.Client(base_url=emulator.base_url, headers=emulator.headers, timeout=60, trust_env=False) as http:
            for call in calls:
                path = filled(call["path"], values)
                url = path if path.startswith("/") else f"/api/v2/accounts/{ACCOUNT}/{path}"
                http.request(call["method"], url, **sent(call, values))
        found = counted(emulator.requests())
        emulator.cancel_all()
    return Called(name, found)


def sent(call: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of httpx for a listed call."""
    arguments: dict[str, Any] = {"params": filled(call.get("query"), values)}
    if "body" in call:
        arguments["json"] = call["body"]
    if "form" in call:
        arguments["data"] = call["form"]
    if "multipart" in call:
        arguments["files"] = {field: (None, value) for field, value in call["multipart"].items()}
    return arguments


def filled(value: Any, values: Mapping[str, str]) -> Any:
    """With the ids of the emulator for the names in braces."""
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], value)
    if isinstance(value, list):
        return [filled(item, values) for item in value]
    return {name: filled(item, values) for name, item in value.items()} if isinstance(value, dict) else value


def table(found: Sequence[Called]) -> str:
    """Every call of every client with its answers, and a line that sums each client up."""
    lines: list[str] = []
    for called in found:
        refused = refusals(called)
        taken = sum(count for (_, _, status), count in called.calls.items() if status < 400)
        lines.append(f"{called.name}: {taken} calls taken, {len(refused)} kinds refused")
        lines += [
            f"  {status}  {count:>4} x {method:<6} {path}"
            for (method, path, status), count in sorted(called.calls.items())
        ]
        lines += [f"  ! {line}" for line in called.trouble.splitlines()]
    return "\n".join(lines)


def refusals(called: Called) -> list[str]:
    """The calls that were refused and are not named in REFUSED."""
    found = [f"{method} {path}" for method, path, status in called.calls if status >= 400]
    return [call for call in found if call not in REFUSED.get(called.name, ())]


def main() -> int:
    wanted = sys.argv[1:]
    lists = json.loads(LISTED.read_text(encoding="utf-8"))
    found = [play(client) for client in CLIENTS if not wanted or client.name in wanted]
    found += [
        play_list(f"{name} (listed)", entry["calls"]) for name, entry in lists.items() if not wanted or name in wanted
    ]
    print(table(found))
    return 1 if any(called.trouble or refusals(called) for called in found) else 0


if __name__ == "__main__":
    sys.exit(main())
