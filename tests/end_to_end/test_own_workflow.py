"""CI uses the action on itself: the very steps of ci.yml, on the events on which CI runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from standins.emulator import RunningEmulator, running_emulator
from standins.results_service import ResultsService
from tests.support.action import ActionJob, FinishedStep

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
STEPS = WORKFLOW["jobs"]["action"]["steps"]
OURS = {step["id"]: step for step in STEPS if step.get("uses") == "./"}
CHECKS = next(step for step in STEPS if step.get("name") == "Both told the truth")
PULL = {
    "number": 5,
    "pull_request": {
        "number": 5,
        "state": "open",
        "head": {"sha": "f" * 40, "ref": "feature", "repo": {"full_name": "someone/fork"}},
        "base": {"sha": "b" * 40, "ref": "main", "repo": {"full_name": "acme/shop"}},
    },
}


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[RunningEmulator]:
    with running_emulator(state=tmp_path / "emulator") as running:
        yield running


def inputs_of(step: Mapping[str, Any], host: str) -> dict[str, str]:
    return {name: host if "steps.emulator" in text else text for name, text in step["with"].items()}


def told_the_truth(played: Mapping[str, FinishedStep], workspace: Path) -> subprocess.CompletedProcess[str]:
    """The last step's own script; GitHub's shell is bash with these options."""
    environment = {"PATH": os.environ["PATH"], "OUTCOME": "success" if played["failing"].status == 0 else "failure"}
    environment |= {name.upper(): json.dumps(step.outputs) for name, step in played.items()}
    assert set(environment) - {"PATH"} == set(CHECKS["env"])
    command = [shutil.which("bash") or "bash", "-eo", "pipefail", "-c", CHECKS["run"]]
    return subprocess.run(  # noqa: S603 - the workflow's own script
        command, cwd=workspace, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("jq") is None, reason="ci.yml's own checks are made with jq")
@pytest.mark.parametrize("event", [("push", {}), ("pull_request", PULL)], ids=["push", "pull_request"])
def test_the_steps_of_ci_pass_their_own_checks(
    emulator: RunningEmulator, tmp_path: Path, event: tuple[str, dict[str, Any]]
) -> None:
    with ResultsService() as results:
        job = ActionJob(tmp_path / "job", results=results)
        played = {
            name: job.run(inputs_of(step, emulator.base_url), event=event, variables={"GITHUB_ACTION": name})
            for name, step in OURS.items()
        }
        done = told_the_truth(played, job.workspace)
        assert done.returncode == 0, done.stdout + done.stderr + "\n".join(step.log for step in played.values())
