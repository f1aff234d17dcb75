"""One attempt whose artifacts are collected from a server whose clock needs no time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from standins.cloud_server import ACCOUNT, CloudServer, FakeClock

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.collect.collect import collect
from dbt_cloud_run.collect.keeping import Keeping
from dbt_cloud_run.deflating import Deflating
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Attempt

RUN = 500
ARTIFACTS = f"/api/v2/accounts/{ACCOUNT}/runs/{RUN}/artifacts/"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DONE = "Done. PASS=1 WARN=0 ERROR=1"
BUILD = "dbt build"


def results(
    *, which: str = "build", invocation: str = "i1", begun: int = 1, run_id: object = RUN, **rows: str
) -> bytes:
    """A `run_results.json` made this many seconds after the run's start."""
    nodes = [{"unique_id": f"model.p.{name}", "status": status} for name, status in (rows or {"a": "success"}).items()]
    env = {} if run_id is None else {"DBT_CLOUD_RUN_ID": str(run_id)}
    metadata = {"generated_at": moment(begun), "invocation_id": invocation, "env": env}
    return json.dumps({"metadata": metadata, "args": {"which": which}, "results": nodes}).encode()


def manifest(name: str = "p") -> bytes:
    return json.dumps({"metadata": {"project_name": name}, "nodes": {}}).encode()


def moment(seconds: float) -> str:
    return (FakeClock().utcnow() + timedelta(seconds=seconds)).isoformat()


def made_step(index: int, command: str, status: int = 10, **more: Any) -> dict[str, Any]:
    return {"index": index, "name": f"Invoke dbt with `{command}`", "status": status, "started_at": moment(0), **more}


def run_of(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": RUN,
        "status": 10,
        "finished_at": moment(0),
        "artifacts_saved": True,
        "run_steps": list(steps),
        **more,
    }


class World:
    """One server, and one attempt whose artifacts are collected."""

    def __init__(self, folder: Path) -> None:
        self.kept, self.scratch = folder / "kept", folder / "scratch"
        self.clock = FakeClock()
        self.files: dict[tuple[int, str, int | None], bytes] = {}
        self.prepare: Callable[[CloudServer], None] = lambda _: None
        self.requests: list[tuple[str, str]] = []
        self.written: set[str] = set()
        self.packed: dict[Path, Deflating | None] = {}
        self.manifest_name: str | None = None
        self.limit: float | None = None  # of the step's time, by the clock
        self.date: Callable[[], datetime] | None = None  # the server's, if it is not the clock's

    def add(self, path: str, step: int, content: bytes) -> None:
        self.files[RUN, path, step] = content

    def collect(self, run: dict[str, Any], ending: Ending = Ending.SUCCESS, **options: Any) -> Attempt:
        async def collected() -> Attempt:
            async with CloudServer() as server, server.client(self.clock) as client:
                server.files = self.files
                server.add_run(**{**run, "cause": ""})
                server.now = self.date or server.now
                await client.get_run(RUN)  # as whoever saw it end has done
                server.requests.clear()
                self.prepare(server)
                usual: dict[str, Any] = {"patterns": ("manifest.json", "run_results.json"), "step_artifacts": "results"}
                keeping = Keeping(kept=self.kept, scratch=self.scratch, **(usual | options))
                reader = Reader(self.clock)
                found = await collect(
                    Run.model_validate(run), 1, ending, client=client, reader=reader, keeping=keeping, limit=self.limit
                )
                self.requests = [(request.path, request.query.get("step", "")) for request in server.requests]
                self.written = {path.relative_to(self.kept).as_posix() for path in found.files}
                self.packed = dict(found.files)
                self.manifest_name = found.manifest.metadata.project_name if found.manifest else None
                return found.attempt

        return asyncio.run(collected())


def statuses(attempt: Attempt) -> list[dict[str, str] | None]:
    return [
        None if step.results is None else {node.unique_id: node.status for node in step.results.nodes}
        for step in attempt.steps
    ]
