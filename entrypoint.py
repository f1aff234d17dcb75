#!/opt/dbt-cloud-run/venv/bin/python -Iu
"""The step itself. Isolated (-I): nothing of the checkout or of PYTHON* is loaded; unbuffered (-u): the log is live."""

import gc
import os
import sys

# Hundreds of thousands of small values are made and kept: looking through the old ones again finds nothing.
gc.set_threshold(500_000, 50, 1_000)
os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # it would look through every package for some
try:
    from dbt_cloud_run.network.certificates import read_ahead

    read_ahead(os.environ)
    from dbt_cloud_run.main import main

    status = main(os.environ)
except KeyboardInterrupt:  # before the loop has taken over the signals
    status = 130
try:
    sys.stdout.flush()
finally:
    os._exit(status)  # the memory of a large project need not be taken apart piece by piece before it is given back
