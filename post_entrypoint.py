#!/usr/bin/env -S --block-signal=INT,TERM /opt/dbt-cloud-run/venv/bin/python -Iu
"""The post step, after the job: leaves no run behind that nothing waits for. Interpreter as in `entrypoint.py`."""

import os
import signal
import sys
from types import FrameType


def _stop(signum: int, _: FrameType | None) -> None:
    os._exit(128 + signum)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
for _signum in _SIGNALS:
    signal.signal(_signum, _stop)
signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

from dbt_cloud_run.post import main  # noqa: E402 - the handlers come first

sys.exit(main(os.environ))
