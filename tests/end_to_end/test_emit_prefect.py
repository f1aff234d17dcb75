"""Events in a real Prefect server, beside those that prefect-dbt sends for the same runs."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from standins.emulator import RunningEmulator, running_emulator
from tests.support.peers import ROOT, Served, peer, prefect_server
from tests.support.replayed import configuration, job_id
from tests.support.workflow_steps import Steps, run_ids

pytestmark = pytest.mark.slow

SUCCEEDED, FAILED = "prefect.asset.materialization.succeeded", "prefect.asset.materialization.failed"


@dataclass
class Scene:
    server: Served
    emulator: RunningEmulator
    folder: Path

    def events(self, *names: str) -> list[dict[str, Any]]:
        """The events in the server's own API, oldest first."""
        page = self.server.post("/api/events/filter", {"filter": {"event": {"name": list(names)}}, "limit": 50})
        found = list(page["events"])
        while page["next_page"]:
            page = self._next(page["next_page"])
            found += page["events"]
        return sorted(found, key=lambda event: str(event["occurred"]))

    def _next(self, url: str) -> Any:
        import httpx

        return httpx.get(url, trust_env=False, timeout=60).json()

    def until(self, count: int, *names: str) -> list[dict[str, Any]]:
        """The same, when there are so many: the server writes them after it has answered."""
        end = time.monotonic() + 120
        while len(found := self.events(*names)) < count and time.monotonic() < end:
            time.sleep(0.5)
        return found

    def of_prefect_dbt(self, run_id: int) -> int:
        """Let prefect-dbt make its own events of this run; returns how many."""
        assert self.emulator.ca_file is not None
        environment = self.server.environment | {
            "TOKEN": self.emulator.token,
            "SSL_CERT_FILE": str(self.emulator.ca_file),
            "PYTHONWARNINGS": "ignore",
        }
        client = ROOT / "benchmarks" / "clients" / "prefect_assets.py"
        python = str(peer("prefect") / "python")
        command = [python, str(client), self.emulator.host, "1", str(job_id(1, "bad")), str(run_id)]
        done = subprocess.run(  # noqa: S603 - a peer's program
            command, env=environment, cwd=self.folder, check=False, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("assets "))
        return int(line.split()[1])


@pytest.fixture(scope="module")
def scene(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("prefect")
    with prefect_server(folder) as server, running_emulator(config=configuration(recordings), tls=True) as emulator:
        yield Scene(server, emulator, folder)


def described(events: list[dict[str, Any]]) -> Mapping[str, tuple[dict[str, str], frozenset[tuple[str, str]]]]:
    """By resource id: the resource's labels, and the ids and roles of what it is made from. Flow and task run aside."""
    return {
        event["resource"]["prefect.resource.id"]: (
            event["resource"],
            frozenset(
                (one["prefect.resource.id"], one["prefect.resource.role"])
                for one in event["related"]
                if one["prefect.resource.role"] not in ("flow-run", "flow", "task-run", "tag", "deployment")
            ),
        )
        for event in events
    }


@pytest.mark.timeout(900)
def test_the_events_equal_those_of_prefect_dbt_for_the_same_runs(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(scene.emulator.ca_file))
    monkeypatch.setenv("PREFECT_API_URL", f"{scene.server.url}/api")
    steps = Steps(scene.emulator, tmp_path / "job")
    step = steps.play("bad", emit="prefect", targeted_retries="0")
    assert step.outputs["status"] == "error", step.log
    count = int(step.outputs["assets-count"])
    ours = scene.until(count, SUCCEEDED)
    assert count > 5
    assert len(ours) == count

    # Sending the same run once more changes nothing.
    steps.play("bad", emit="prefect", run_id=step.outputs["run-id"], job_id="", targeted_retries="0")

    (run_id,) = run_ids(step)
    theirs_made = scene.of_prefect_dbt(run_id)
    theirs = [one for one in scene.until(count + theirs_made, SUCCEEDED) if "unique_id" not in one["payload"]]
    assert len(theirs) == theirs_made == count
    assert described(ours) == described(theirs)
    assert any(labels.get("prefect.asset.owners") for labels, _ in described(ours).values())
    assert any(labels.get("prefect.asset.description") for labels, _ in described(ours).values())
    assert len([one for one in scene.events(SUCCEEDED) if "unique_id" in one["payload"]]) == count


@pytest.mark.timeout(900)
def test_a_node_that_failed_stands_there_as_failed(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(scene.emulator.ca_file))
    monkeypatch.setenv("PREFECT_API_URL", f"{scene.server.url}/api")
    before = {event["id"] for event in scene.events(FAILED)}
    step = Steps(scene.emulator, tmp_path / "job").play("bad", emit="prefect", targeted_retries="0")
    built = {name for name in json.loads(step.outputs["failed-nodes"]) if not name.startswith("test.")}
    assert built
    failed = [one for one in scene.until(len(before) + len(built), FAILED) if one["id"] not in before]
    assert {event["payload"]["unique_id"] for event in failed} == built
    for event in failed:
        assert event["resource"]["prefect.resource.id"].startswith("duckdb://")
        assert event["resource"]["prefect.resource.name"]
        assert event["payload"]["message"]
        assert str(event["payload"]["run_id"]) == step.outputs["run-id"]
        roles = {one["prefect.resource.role"] for one in event["related"]}
        assert roles <= {"asset", "asset-materialized-by"}
