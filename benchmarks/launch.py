"""Starts a program and tells its wall time, its peak memory and its exit status.

A process of its own, and a small one: the kernel counts what the parent of a new process has in memory as the peak of
the child, so a large parent would hide what the child needs.
"""

import json
import os
import sys
import time

answer, *command = sys.argv[1:]
started = time.monotonic()
pid = os.posix_spawn(command[0], command, os.environ)
_, status, usage = os.wait4(pid, 0)
ended = time.monotonic()
with open(answer, "w") as file:  # noqa: PTH123 - as few imports as possible
    json.dump(
        {
            "started": started,
            "ended": ended,
            "peak": usage.ru_maxrss * 1024,
            "cpu": usage.ru_utime + usage.ru_stime,
            "status": os.waitstatus_to_exitcode(status),
        },
        file,
    )
