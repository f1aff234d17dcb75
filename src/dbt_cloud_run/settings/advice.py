"""An error as the step ends with it, with the inputs named that it is about."""

from __future__ import annotations

from dbt_cloud_run.cloud.errors import CloudError, Subject
from dbt_cloud_run.errors import ActionError
from dbt_cloud_run.model import StepError
from dbt_cloud_run.settings.settings import Settings

FAULT_ADVICE = "The run in dbt Cloud, if there is one, was left alone. Please report this with the lines in the log."
"""What to do about a fault of this program."""


def step_error(error: ActionError, settings: Settings) -> StepError:
    """The error that ended the step; the account, job or run that dbt Cloud refuses is named by its input."""
    if isinstance(error, CloudError):
        ids = {"account-id": settings.account_id, "job-id": settings.job_id, "run-id": settings.run_id}
        error.name_inputs({Subject(name.removesuffix("-id"), value): name for name, value in ids.items() if value})
    return StepError(kind=error.kind, message=error.message, advice=error.advice, code=error.code)
