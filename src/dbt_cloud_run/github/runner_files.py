"""The files through which a step talks to the runner: whether they can be written, before anything is started."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from dbt_cloud_run.errors import ConfigError

RUNNER_FILES: Final = ("GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY")


def require_runner_files(environ: Mapping[str, str]) -> None:
    """See to it that outputs, state and summary can be written. Nothing is written.

    A variable that is not set, or that names no file, is no error: the step does not run on a runner then.

    Raises:
        ConfigError: a file that is there cannot be written.
    """
    refused: dict[str, str] = {}
    for name in RUNNER_FILES:
        try:
            os.close(os.open(environ.get(name, ""), os.O_WRONLY | os.O_APPEND))
        except FileNotFoundError:
            continue
        except OSError as error:
            refused[name] = error.strerror or type(error).__name__
    if not refused:
        return
    names = ", ".join(refused)
    raise ConfigError(
        f"{names} cannot be written ({next(iter(refused.values()))}): the step, which runs as user {os.geteuid()}, "
        "could neither report what it does nor be cleaned up after. Nothing was started.",
        "Container actions have to run as root with Docker's usual capabilities: remove `--user` and `--cap-drop` from "
        "the options of the container or the runner.",
    )
