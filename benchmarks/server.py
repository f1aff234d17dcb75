"""A finished run of a synthetic project, served by the scripted dbt Cloud: only what is needed.

    python -m benchmarks.server FOLDER [--plain] [--fails-after SECONDS]

serves the artifacts of FOLDER over https on loopback, compressed on the wire (by files made beforehand, where the
client takes gzip; with `--plain`, never), and prints `listening on <URL>` and the path of its certificate authority.
With `--fails-after` the run goes on for so long after its trigger and then fails; `/__end__` returns when it did.
`/__log__` returns every request since the last call, with times of the monotonic clock that all processes of the
machine share.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import shutil
import ssl
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from standins.cloud_server import ACCOUNT, JOB, TOKEN, CloudServer, Request, enveloped

from benchmarks.shapes import NOW

RUN, DBT_STEP = 500001, 4
API = f"/api/v2/accounts/{ACCOUNT}"
LOG_LINES = 400
__all__ = ["ACCOUNT", "API", "DBT_STEP", "JOB", "RUN", "TOKEN"]


def compress(folder: Path) -> None:
    """Make the bodies for the wire, once."""
    for path in folder.glob("*.json"):
        packed = path.with_name(f"{path.name}.gz")
        if not packed.exists() or packed.stat().st_mtime < path.stat().st_mtime:
            with path.open("rb") as source, gzip.open(packed, "wb", compresslevel=6) as target:
                shutil.copyfileobj(source, target, 1 << 20)


class FinishedRun(CloudServer):
    """One run, which has ended by the time that it is looked at."""

    def __init__(self, folder: Path, tls: ssl.SSLContext, *, is_plain: bool = False) -> None:
        super().__init__(tls=tls)
        self.is_plain = is_plain
        self.files = {(RUN, path.name, DBT_STEP): path for path in sorted(folder.glob("*.json"))}

    def _handle(self, request: Request) -> tuple[int, bytes | Path]:
        if self.is_plain:
            request.headers.pop("accept-encoding", None)
        related = frozenset(request.query.get("include_related", "").strip("[]").replace('"', "").split(","))
        match request.method, request.path.removeprefix(API):
            case "GET", "/__log__":
                log = [{"at": entry.answered_at, "method": entry.method, "path": entry.path} for entry in self.requests]
                self.requests.clear()
                return 200, json.dumps([entry for entry in log if entry["at"] is not None]).encode()
            case "POST", path if path.startswith("/jobs/"):
                queued = {"status": 1, "status_humanized": "Queued", "is_complete": False}
                return enveloped({**run(frozenset()), **queued, "trigger": {"id": 1, **json.loads(request.body)}})
            case "GET", "/runs/":
                return enveloped([])
            case "GET", path if path == f"/runs/{RUN}/":
                return enveloped(run(related))
            case "GET", path if path == f"/runs/{RUN}/artifacts/":
                return enveloped([name for _, name, _ in self.files])
        return super()._handle(request)


class FailingRun(FinishedRun):
    """One run that fails so many seconds after its trigger; every later one stays in the queue."""

    def __init__(self, folder: Path, tls: ssl.SSLContext, seconds: float) -> None:
        super().__init__(folder, tls)
        self.seconds = seconds
        self.triggered: list[float] = []  # of the monotonic clock

    @property
    def _left(self) -> float:
        return self.triggered[0] + self.seconds - time.monotonic() if self.triggered else self.seconds

    def _handle(self, request: Request) -> tuple[int, bytes | Path]:
        path = request.path.removeprefix(API)
        if path == "/__end__":
            return 200, json.dumps(self.triggered[0] + self.seconds).encode()
        if request.method == "POST" and path.startswith("/jobs/"):
            self.triggered.append(time.monotonic())
        status, content = super()._handle(request)
        is_run = status == 200 and path.startswith(("/jobs/", f"/runs/{RUN}/")) and "/artifacts/" not in path
        if is_run and isinstance(content, bytes):
            found = {**json.loads(content)["data"], **self._state(is_retry=len(self.triggered) > 1)}
            for step in found["run_steps"][-1:]:
                step |= {"status": 20, "status_humanized": "Error"}
            return enveloped(found)
        if path == f"/runs/{RUN + 1}/":
            return enveloped({**run(frozenset()), **self._state(is_retry=True)})
        return status, content

    def _state(self, *, is_retry: bool) -> dict[str, Any]:
        """What differs from a run that has ended well, now."""
        ended = datetime.now(UTC) + timedelta(seconds=self._left)
        times = dict.fromkeys(("created_at", "dequeued_at", "started_at"), str(ended - timedelta(seconds=self.seconds)))
        if self._left <= 0 and not is_retry:
            error = {"status": 20, "status_humanized": "Error", "is_success": False, "is_error": True}
            return {**error, **times, "finished_at": str(ended)}
        active = {"status": 3, "status_humanized": "Running", "in_progress": True, "is_complete": False}
        active |= {"id": RUN + is_retry, "is_success": False, "finished_at": None, "run_steps": []}
        return {**active, **times}


def run(related: frozenset[str]) -> dict[str, Any]:
    """The run, as it stands at its end."""
    begun = NOW - timedelta(minutes=30)
    found: dict[str, Any] = {
        "id": RUN, "account_id": ACCOUNT, "project_id": 1, "environment_id": 1, "job_definition_id": JOB,
        "trigger_id": 1, "status": 10, "status_humanized": "Success", "status_message": None,
        "dbt_version": "1.11.0", "git_branch": "main", "git_sha": "0" * 40,
        "in_progress": False, "is_complete": True, "is_success": True, "is_error": False, "is_cancelled": False,
        "created_at": str(begun), "started_at": str(begun), "finished_at": str(NOW), "dequeued_at": str(begun),
        "duration": "00:30:00", "queued_duration": "00:00:00", "run_duration": "00:30:00",
        "artifacts_saved": True, "has_docs_generated": False, "has_sources_generated": False,
        "href": f"https://cloud.example/deploy/{ACCOUNT}/projects/1/runs/{RUN}/",
        "trigger": None, "job": None, "environment": None, "run_steps": [], "can_retry": False,
    }  # fmt: skip
    if "run_steps" in related:
        names = ("Clone git repository", "Create profile from connection ACME", "Invoke dbt with `dbt deps`")
        found["run_steps"] = [_step(n, name, "") for n, name in enumerate((*names, "Invoke dbt with `dbt build`"), 1)]
        found["run_steps"][-1]["logs"] = "\n".join(f"04:0{n % 10}:00  {n} of 400 OK" for n in range(LOG_LINES))
    if "trigger" in related:
        found["trigger"] = {"id": 1, "cause": "benchmark", "steps_override": None}
    if "job" in related:
        found["job"] = {"id": JOB, "name": "Nightly", "execute_steps": ["dbt build"], "generate_docs": False}
    return found


def _step(index: int, name: str, logs: str) -> Mapping[str, Any]:
    begun = NOW - timedelta(minutes=30)
    return {
        "id": index, "run_id": RUN, "index": index, "name": name, "status": 10, "status_humanized": "Success",
        "logs": logs, "debug_logs": "", "started_at": str(begun), "finished_at": str(NOW), "duration": "00:30:00",
    }  # fmt: skip


async def serve(folder: Path, *, is_plain: bool, fails_after: float | None = None) -> None:
    """Serve until standard input ends: whoever has started this process has then gone."""
    compress(folder)
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        authority.cert_pem.write_to_path(file.name)
        one: FinishedRun = FinishedRun(folder, context, is_plain=is_plain)
        if fails_after is not None:
            one = FailingRun(folder, context, fails_after)
        async with one as server:
            print(f"listening on https://127.0.0.1:{server.port}\n{file.name}", flush=True)
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plain", action="store_true", help="compress nothing on the wire")
    parser.add_argument("--fails-after", type=float, metavar="SECONDS", help="the run goes on for so long, and fails")
    options = parser.parse_args()
    asyncio.run(serve(options.folder, is_plain=options.plain, fails_after=options.fails_after))
