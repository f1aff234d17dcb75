"""A signal in the first moments of a container's first process: it ends the step, and nothing is started."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from standins.runner import POST, STEP
from tests.support.first_moments import Witness
from tests.support.pid_one import ContainedJob, PidOne, why_impossible

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_impossible()), reason=f"NO SIGNAL IS PROVEN HERE: {why_impossible()}"),
]
ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/opt/dbt-cloud-run/venv/bin/python"
SWEEP = [step * 0.05 for step in range(13)]  # seconds after the start


@dataclass
class AsInTheImage(ContainedJob):
    """The script is started by its first line, with this Python in the place of the image's."""

    def start(self, inputs: Mapping[str, str] | None = None, *, script: str = STEP, **options: Any) -> PidOne:
        first = (ROOT / script).read_text().splitlines()[0].removeprefix("#!")
        program, _, rest = first.partition(" ")
        assert PYTHON in rest
        # `env -S` splits at blanks, which the folder of this checkout may have.
        words = rest.replace(PYTHON, f'"{sys.executable}"')
        self.interpreter = (program, f'{words} "{ROOT / script}"')
        return super().start(inputs, script=script, **options)


@pytest.fixture
def witness() -> Iterator[Witness]:
    with Witness() as running:
        yield running


@pytest.fixture
def job(witness: Witness, tmp_path: Path) -> Iterator[AsInTheImage]:
    made = AsInTheImage(tmp_path / "job", inputs=witness.inputs)
    yield made
    made.close()


@pytest.mark.parametrize("script", [STEP, POST])
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("delay", SWEEP)
def test_a_signal_ends_it_at_once_and_nothing_is_started(
    job: AsInTheImage, witness: Witness, script: str, signum: int, status: int, delay: float
) -> None:
    state = {"STATE_run_id": "5", "STATE_target": f"{witness.origin} 1", "STATE_proof": "x"}
    step = job.start(script=script, variables=state if script == POST else {})
    step.wait_until_held()
    time.sleep(delay)
    was_running = step.process.poll() is None
    told = time.monotonic()
    if was_running:
        step.send(signum)
    finished = step.finish(20)
    assert "Traceback" not in finished.log
    assert not witness.triggers_after(told)
    if script == STEP:
        assert finished.status == status
    elif was_running:
        # The post step may have done its work just then.
        assert finished.status in (status, 0)
