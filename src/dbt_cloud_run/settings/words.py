"""What the settings say to people, where it depends on how the inputs are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Parts of messages."""

    missing: Mapping[str, str]
    """The end of the sentence `<input> …` for a required input that is not given, by its name."""

    cause: str
    """The cause of a run for which nothing else is known."""

    no_directory: str
    """What to do where `project-directory` names no folder."""


IN_WORKFLOW: Final = Words(
    missing={
        "api-token": (
            "is missing. Set it from a secret, such as api-token: ${{ secrets.DBT_CLOUD_API_TOKEN }}. A secret that "
            "exists is still empty in a run for a pull request from a fork, in a run by Dependabot (it has secrets of "
            "its own), "
            "in a reusable workflow that is called without `secrets: inherit`, "
            "and when the secret belongs to an environment that the job does not name with `environment:`. "
            "With on-missing-token: skip such runs end green."
        ),
        "account-id": (
            "is missing. It is the first number in dbt Cloud's addresses; set it from a variable, "
            "such as account-id: ${{ vars.DBT_CLOUD_ACCOUNT_ID }}."
        ),
    },
    cause="Triggered from a GitHub workflow",
    no_directory="The repository has to be checked out before this step.",
)
