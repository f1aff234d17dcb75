#!/usr/bin/env -S --block-signal=INT,TERM /opt/dbt-cloud-run/venv/bin/python -Iu
"""The step itself. Isolated (-I): nothing of the checkout or of PYTHON* is loaded; unbuffered (-u): the log is live.

The first process of a container loses every signal that it has no handler for, and Python answers an early one with a
traceback. So `env` blocks both before it becomes Python, and they wait until there is a handler.
"""

import gc
import os
import signal
import sys
from types import FrameType


def _stop(signum: int, _: FrameType | None) -> None:
    """Before the event loop has handlers of its own, nothing has been sent to dbt Cloud yet."""
    os._exit(128 + signum)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
for _signum in _SIGNALS:
    signal.signal(_signum, _stop)
signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

if sys.argv[1:2] == ["dbt-cloud-run"]:
    # `docker run IMAGE dbt-cloud-run …`: the command, in this very process, so that no signal is lost on the way.
    from dbt_cloud_run.__main__ import main as command

    del sys.argv[1]
    command()

# Hundreds of thousands of small values are made and kept: looking through the old ones again finds nothing.
gc.set_threshold(500_000, 50, 1_000)
# Pydantic would look through every package for plugins.
os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
from dbt_cloud_run.network.certificates import read_ahead  # noqa: E402 - with the settings above

read_ahead(os.environ)

from dbt_cloud_run.main import main  # noqa: E402 - the certificates are read meanwhile

status = main(os.environ)
try:
    sys.stdout.flush()
finally:
    # The memory of a large project need not be taken apart piece by piece before it is returned.
    os._exit(status)
