#!/opt/dbt-cloud-run/venv/bin/python -Iu
"""The step itself. Isolated (-I): nothing of the checkout or of PYTHON* is loaded; unbuffered (-u): the log is live."""

import os
import sys

try:
    from dbt_cloud_run.main import main

    status = main(os.environ)
except KeyboardInterrupt:  # before the loop has taken over the signals
    status = 130
try:
    sys.stdout.flush()
finally:
    os._exit(status)  # the memory of a large project need not be taken apart piece by piece before it is given back
