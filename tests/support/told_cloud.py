"""A dbt Cloud whose runs end as a test tells them, for what is made of a run: reports, files, the log.

step = play(tmp_path, [told(20, build(rows=[row("model.shop.a", "error")], nodes=[node("model.shop.a")]))])
assert "Failures (1)" in step.summary
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from standins.cloud_server import JOB, TOKEN, CloudServer, Request, enveloped
from standins.results_service import ResultsService
from tests.support.loop import LoopJob, PlayedStep
from tests.support.scaled_clock import ScaledClock

Told = dict[str, Any]
SETUP: tuple[Told, ...] = ({"name": "Clone git repository"}, {"name": "Invoke dbt with `dbt deps`"})


def _time(seconds: float, form: str = "%Y-%m-%d %H:%M:%S.%f+00:00") -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime(form)


def told(status: int, *steps: Told, **fields: Any) -> Told:
    """A run with these steps, after those that set it up."""
    return {"status": status, "steps": (*SETUP, *steps), **fields}


def command(words: str, status: int = 10, logs: str = "", files: Mapping[str, Any] | None = None) -> Told:
    """A step that runs a dbt command."""
    return {"name": f"Invoke dbt with `{words}`", "status": status, "logs": logs, "files": files or {}}


def build(
    rows: Sequence[Told], nodes: Sequence[Told] = (), status: int = 10, logs: str = "", words: str = "dbt build"
) -> Told:
    """A step that has run nodes."""
    metadata = {"generated_at": _time(0, "%Y-%m-%dT%H:%M:%S.%fZ"), "invocation_id": f"invocation {id(rows)}"}
    results = {"metadata": metadata, "results": rows, "elapsed_time": 5.0, "args": {"which": words.split()[1]}}
    return command(words, status, logs, {"run_results.json": results, "manifest.json": manifest(nodes)})


def row(unique_id: str, status: str = "success", message: str | None = "OK", seconds: float = 1.0) -> Told:
    """A row of `run_results.json`."""
    began, ended = (_time(offset, "%Y-%m-%dT%H:%M:%S.%fZ") for offset in (-8, -8 + seconds))
    timing = [{"name": "execute", "started_at": began, "completed_at": ended}] if status != "skipped" else []
    return {
        "unique_id": unique_id,
        "status": status,
        "message": message,
        "execution_time": seconds if timing else 0.0,
        "timing": timing,
        "thread_id": "Thread-1",
        "adapter_response": {},
        "failures": None,
    }


def node(unique_id: str, *parents: str, **fields: Any) -> Told:
    """A node of the manifest."""
    kind, package, name = unique_id.split(".")[:3]
    is_built = kind in ("model", "seed", "snapshot")
    return {
        "unique_id": unique_id,
        "resource_type": kind,
        "package_name": package,
        "name": name,
        "original_file_path": f"models/{name}.sql",
        "relation_name": f'"db"."sch"."{name}"' if is_built else None,
        "config": {"materialized": "table" if is_built else kind, "enabled": True},
        "depends_on": {"nodes": list(parents)},
        **fields,
    }


def manifest(nodes: Sequence[Told]) -> Told:
    metadata = {"project_name": "shop", "adapter_type": "postgres", "dbt_version": "1.11.0"}
    return {"metadata": metadata, "nodes": {found["unique_id"]: found for found in nodes}}


class ToldCloud(CloudServer):
    """Each trigger starts the next of the told runs; the last one again where there is no further."""

    def __init__(self, runs: Sequence[Told], job: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._told = list(runs)
        self.job = {
            "id": JOB,
            "name": "Nightly",
            "job_type": "scheduled",
            "execute_steps": ["dbt build"],
            **(job or {}),
        }

    def add_run(self, **fields: Any) -> dict[str, Any]:
        run = super().add_run(**fields)
        story = copy.deepcopy(self._told.pop(0) if len(self._told) > 1 else self._told[0])
        steps = story.pop("steps")
        run.update(
            created_at=_time(-10),
            started_at=_time(-9),
            finished_at=_time(0) if story["status"] in (10, 20, 30) else None,
            artifacts_saved=True,
            href=f"https://cloud.getdbt.com/deploy/1/projects/2/runs/{run['id']}/",
            job=self.job,
            git_sha="a" * 40,
        )
        run["run_steps"] = [self._step(run["id"], index, step) for index, step in enumerate(steps, start=1)]
        run.update(story)
        return run

    def _step(self, run_id: int, index: int, step: Told) -> Told:
        for path, content in step.pop("files", {}).items():
            if path == "run_results.json" and isinstance(content, dict):
                # A test may have made it long before this run began.
                content["metadata"]["generated_at"] = _time(0, "%Y-%m-%dT%H:%M:%S.%fZ")
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.files[run_id, path, index] = self.files[run_id, path, None] = data
        times = {"started_at": _time(-8), "finished_at": _time(-1), "duration": "00:00:07"}
        return {"id": run_id * 10 + index, "run_id": run_id, "index": index, "status": 10, "logs": "", **times, **step}

    def _handle(self, request: Request) -> tuple[int, bytes | Path]:
        path = request.path.removeprefix("/api/v2/accounts/1")
        if path == f"/jobs/{JOB}/":
            return enveloped(self.job)
        if match := re.fullmatch(r"/runs/(\d+)/artifacts/", path):
            return enveloped(sorted({name for run_id, name, _ in self.files if run_id == int(match[1])}))
        return super()._handle(request)


def job_at(server: CloudServer, folder: Path, results: ResultsService | None = None, **inputs: str) -> LoopJob:
    """A job of a workflow that sends its requests to this server; underscores in the inputs' names stand for dashes."""
    given = {name.replace("_", "-"): value for name, value in inputs.items()}
    base = {"api-token": TOKEN, "account-id": "1", "host": f"http://127.0.0.1:{server.port}", "job-id": str(JOB)}
    base["upload-artifact"] = str(results is not None).lower()
    return LoopJob(folder, inputs={**base, **given}, results=results)


def play(
    folder: Path,
    runs: Sequence[Told],
    *,
    job: Mapping[str, Any] | None = None,
    results: ResultsService | None = None,
    variables: Mapping[str, str] | None = None,
    signal_at: Callable[[ScaledClock], None] | None = None,
    files: Mapping[str, str] | None = None,
    event: tuple[str, Mapping[str, Any]] | None = None,
    **inputs: str,
) -> PlayedStep:
    """Play one step against these runs; `files` are those of the workspace."""

    async def played() -> PlayedStep:
        async with ToldCloud(runs, job) as server:
            made = job_at(server, folder, results, **inputs)
            for path, content in (files or {}).items():
                (made.workspace / path).parent.mkdir(parents=True, exist_ok=True)
                (made.workspace / path).write_text(content, encoding="utf-8")
            return await made.play(variables=variables, signal_at=signal_at, event=event)

    return asyncio.run(played())
