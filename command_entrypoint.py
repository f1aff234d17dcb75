#!/usr/bin/env -S --block-signal=INT,TERM /opt/dbt-cloud-run/venv/bin/python -Iu
"""The command in the image, for a shell that runs in it. Interpreter as in `entrypoint.py`."""

from dbt_cloud_run.__main__ import main

main()
