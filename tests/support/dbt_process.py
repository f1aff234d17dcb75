"""dbt as a process of its own, at the time that the environment says (a script: `python dbt_process.py build …`)."""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime
from unittest import mock

from dbt.cli.main import cli

if __name__ == "__main__":
    # Ignored where a shell without job control has put the tests in its background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    now = os.environ.get("CORPUS_NOW")
    if now:
        mock.patch("dbt.task.run.get_invocation_started_at", return_value=datetime.fromisoformat(now)).start()
    cli(sys.argv[1:])
