"""The post step of a job in this process, with the state that its main step has left.

with serving() as server:
    job = Job(server, tmp_path)
    assert job.post(run_id=5) == 0
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from standins.cloud_server import ACCOUNT, JOB, TOKEN, CloudServer
from standins.results_service import ResultsService
from standins.runner import input_variables, state_variables
from tests.support.action import ActionJob

from dbt_cloud_run import post
from dbt_cloud_run.start.tag import RunKey, Tag, cause_text

TAG = Tag.new(RunKey("0123456789", "abcdef"))
CAUSE = cause_text(TAG, "because")
"""The cause of a run of this step."""


@contextlib.contextmanager
def serving() -> Iterator[CloudServer]:
    """A server whose loop has a thread of its own: the post step handles signals, and needs the main one."""
    server, loop = CloudServer(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.listen(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class Job:
    """A job whose main step has left some state. `event` is the name and the payload of the workflow's."""

    def __init__(self, server: CloudServer, folder: Path) -> None:
        self.host = f"http://127.0.0.1:{server.port}"
        self.inputs = {"api-token": TOKEN, "account-id": str(ACCOUNT), "host": self.host, "job-id": str(JOB)}
        self.target = f"{self.host} {ACCOUNT}"
        self.job = ActionJob(folder)
        self.results: ResultsService | None = None
        self.event: tuple[str, Mapping[str, Any]] = ("workflow_dispatch", {})

    def environment(self, inputs: Mapping[str, str] | None = None) -> dict[str, str]:
        """What both steps get, the inputs included."""
        files = self.job.folder / f"files-{len(list(self.job.folder.iterdir()))}"
        files.mkdir()
        name, payload = self.event
        (files / "event.json").write_text(json.dumps(payload))
        self.job.results = self.results
        return self.job.environment(files, name, 1) | input_variables(self.inputs | dict(inputs or {}))

    def post(self, *, inputs: Mapping[str, str] | None = None, **state: Any) -> int:
        """Run the post step; returns its exit status."""
        saved = {"target": self.target, "proof": TAG.key.step, **state}
        texts = {name: str(value) for name, value in saved.items()}
        return post.main(self.environment(inputs) | state_variables(texts))
