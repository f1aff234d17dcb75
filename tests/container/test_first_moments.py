"""A hundred containers that receive a signal 0 to 600 ms after `docker run`, on a machine that is busy meanwhile."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.container_step import INTERRUPT_SECONDS, MAIN, ContainerStep
from tests.support.first_moments import Witness

pytestmark = pytest.mark.container
TRIES, LATEST = 100, 0.6  # seconds
PROGRAMS = ("/usr/bin/env", "env", "/opt/dbt-cloud-run/venv/bin/python")


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """As many processes that only work as a machine of two cores has, and one more."""
    working = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        yield
    finally:
        for process in working:
            process.kill()
            process.wait()


def is_there() -> bool:
    """Whether the container's first process exists: seen from outside, it is a process like any other."""
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = line.read_bytes().decode(errors="replace").split("\0")
            if words[0] in PROGRAMS and MAIN in " ".join(words):
                return True
    return False


def test_no_signal_is_lost_and_no_run_is_started_after_it(image: str, tmp_path: Path) -> None:
    found: Counter[str] = Counter()
    with Witness() as witness, busy():
        for number in range(TRIES):
            witness.triggers.clear()
            step = ContainerStep(image=image, folder=tmp_path / str(number), inputs=witness.inputs, services={})
            started = step.start(MAIN)
            time.sleep(random.uniform(0, LATEST))  # noqa: S311 - no secret
            had_begun = is_there()
            told = time.monotonic()
            started.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(INTERRUPT_SECONDS)
            status = started.process.poll()
            if status is None:
                started.kill()
            late = any(at > told for at in witness.triggers)
            words = [f"status {status}", "traceback" * ("Traceback" in started.log), "run started" * late]
            found[f"{'after' if had_begun else 'before'}: {', '.join(filter(None, words))}"] += 1
    print(dict(found))
    assert {what for what in found if what.startswith("after")} <= {"after: status 130"}, dict(found)
    assert not any("traceback" in what for what in found), dict(found)
