"""Settings as they are read from the environment of a step."""

from __future__ import annotations

import pytest

from dbt_cloud_run.errors import InvalidInputsError
from dbt_cloud_run.settings.inputs import INPUTS
from dbt_cloud_run.settings.settings import Settings

TOKEN = "dbtc_0123456789abcdef"
MINIMUM = {"api-token": TOKEN, "account-id": "1", "job-id": "2"}


def environment(inputs: dict[str, str], **variables: str) -> dict[str, str]:
    """The environment of a step: every input as the runner hands it over, absent ones as empty strings."""
    handed = {f"INPUT_{entry.name.upper()}": inputs.get(entry.name, "") for entry in INPUTS}
    return handed | {f"INPUT_{name.upper()}": value for name, value in inputs.items()} | variables


def read(inputs: dict[str, str], **variables: str) -> Settings:
    return Settings.from_environ(environment(MINIMUM | inputs, **variables))


def problems(inputs: dict[str, str], **variables: str) -> dict[str, str]:
    with pytest.raises(InvalidInputsError) as caught:
        Settings.from_environ(environment(inputs, **variables))
    return {problem.name: problem.message for problem in caught.value.problems}
