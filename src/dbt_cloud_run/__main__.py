"""`dbt-cloud-run`, and `python -m dbt_cloud_run`."""

from __future__ import annotations

import gc
import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def _stop(signum: int, _: FrameType | None) -> None:
    """Before the event loop has handlers of its own, nothing has been sent to dbt Cloud yet."""
    os._exit(128 + signum)


def main() -> NoReturn:
    """Run the command, and end the process with its status."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _stop)
    # Where the image's entry point has blocked them.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    # As in the action's entry point: small values are kept, and pydantic has no plugins.
    gc.set_threshold(500_000, 50, 1_000)
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    # Imported with the handlers in place: a Ctrl-C leaves no traceback.
    from dbt_cloud_run.command.main import command

    try:
        status = command()
    except SystemExit as ended:
        # --help and --version.
        status = ended.code if isinstance(ended.code, int) else 0
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        status = status or 1
    finally:
        # The memory of a large project need not be taken apart piece by piece before it is returned.
        os._exit(status)


if __name__ == "__main__":
    main()
