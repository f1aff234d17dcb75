"""A recording, for the emulator to replay, of a run in which everything that another person could write is hostile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EVIL = (
    "</details></summary>|`x`\n```\n# owned\n<img src=x onerror=alert(1)> @octocat #1 GH-2 :+1: $x$ [^1] "
    "[link](https://evil.example) ![i](https://evil.example/i.png) \x1b[31m\u202e::error::x ##[error]y\r"
    "::set-output name=status::success\n\u3000::set-output name=run-id::666\n%%{init:{}}%% " + "\u3000" * 40 + "x:y"
)
NODES = 40  # every third one fails, every next one warns; a node more has a name that no file system takes
INVOCATION = "11111111-1111-1111-1111-111111111111"


def record_hostile_run(folder: Path) -> str:
    """Write the recording; gives its path."""
    step = folder / "steps" / "1"
    (step / "artifacts").mkdir(parents=True)
    for name in ("console.log", "debug.log"):
        (step / name).write_text(f"06:00:00  Running with dbt=1.11\n{EVIL}\nDone. PASS=1 WARN=0 ERROR=9\n")
    metadata = {"invocation_id": INVOCATION, "generated_at": "2026-01-01T00:00:08Z", "env": {}}
    manifest = {
        "metadata": {**metadata, "adapter_type": "duckdb", "project_name": "p"},
        "nodes": {node["unique_id"]: node for node in (*map(_node, range(NODES)), _unwritable())},
    }
    results = [_row(f"model.p.m{i}", ("error", "warn", "success")[i % 3]) for i in range(NODES)]
    results.append(_row("model.p.title", "success"))
    artifacts = {
        "manifest.json": manifest,
        "run_results.json": {"metadata": metadata, "results": results, "elapsed_time": 9.0, "args": {"which": "build"}},
    }
    for name, content in artifacts.items():
        (step / "artifacts" / name).write_text(json.dumps(content))
    recording = {
        "format": 1,
        "run_id": 987654321,
        "job_id": 55555,
        "project_id": 44444,
        "status": 20,
        "seconds": 10.0,
        "status_message": EVIL,
        "started_at": "2026-01-01T00:00:00Z",
        "git_sha": "1" * 40,
        "git_branch": EVIL,
        "has_docs_generated": False,
        "has_sources_generated": False,
        "invocation_ids": [INVOCATION],
        "steps": [
            {"index": 1, "name": "Invoke dbt with `dbt build`", "kind": "command", "command": "dbt build"}
            | {"offset": 1.0, "seconds": 1.0, "status": 20, "wrote_results": True}
        ],
    }
    (folder / "recording.json").write_text(json.dumps(recording))
    return str(folder)


def _node(number: int) -> dict[str, Any]:
    name = f"m{number}"
    return {
        "unique_id": f"model.p.{name}",
        "name": name + (EVIL if number % 3 == 0 else ""),
        "resource_type": "model",
        "package_name": "p",
        "original_file_path": f"models/{name}.sql",
        "config": {"materialized": "table", "tags": [EVIL], "meta": {"owner": EVIL}},
        "description": EVIL,
        "depends_on": {"nodes": [f"model.p.m{number - 1}"] if number else [], "macros": []},
        "relation_name": f'"db"."s"."{name}"',
        "compiled_path": f"target/compiled/{EVIL}.sql",
        "tags": [EVIL],
    }


def _unwritable() -> dict[str, Any]:
    return {**_node(0), "unique_id": "model.p.title", "name": "title", "original_file_path": f"models/{'x' * 300}.sql"}


def _row(unique_id: str, status: str) -> dict[str, Any]:
    times = {"started_at": "2026-01-01T00:00:06.000000Z", "completed_at": "2026-01-01T00:00:07.000000Z"}
    return {
        "unique_id": unique_id,
        "status": status,
        "timing": [{"name": "execute", **times}],
        "thread_id": f"Thread-1 (worker){EVIL}",
        "execution_time": 1.0,
        "adapter_response": {"rows_affected": 3, "_message": EVIL},
        "message": EVIL,
    }
