"""dbt as a process of its own, at the time that the environment says (a script: `python dbt_process.py build …`)."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from unittest import mock

from dbt.cli.main import cli

if __name__ == "__main__":
    now = os.environ.get("CORPUS_NOW")
    if now:
        mock.patch("dbt.task.run.get_invocation_started_at", return_value=datetime.fromisoformat(now)).start()
    cli(sys.argv[1:])
