"""The rule of `when-busy`: which active run of the job stands in the way of a new one. Pure, on the job's newest runs.

The list is read before the trigger, and another step may trigger right after it: a run that was triggered is always
waited for, whatever else runs by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.start.chain import tag_of
from dbt_cloud_run.start.overrides import pull_request_of

if TYPE_CHECKING:
    from dbt_cloud_run.cloud.models import Run


def busy_with(runs: Sequence[Run], overrides: TriggerOverrides, *, is_ci: bool, step_key: str) -> Run | None:
    """The oldest active run that this step did not start and that builds where the new one would; None: none does.

    For a continuous integration job that is a run of the same pull request. A run whose trigger dbt Cloud does not show
    may build there.
    """
    for run in sorted(runs, key=lambda run: run.id):
        tag = tag_of(run)
        is_active = not run.state.is_terminal and run.finished_at is None
        is_own = tag is not None and tag.key.step == step_key
        if is_active and not is_own and builds_there(run, overrides, is_ci=is_ci):
            return run
    return None


def builds_there(run: Run, ours: TriggerOverrides, *, is_ci: bool) -> bool:
    """Whether the run builds, or may build, where a run of the same job with these overrides would."""
    theirs = run.overrides
    if run.trigger is None:
        return True
    if is_ci and pull_request_of(ours) is not None:
        return pull_request_of(theirs) == pull_request_of(ours)
    return theirs.schema_override == ours.schema_override


def busy_words(job_id: int, run: Run, overrides: TriggerOverrides, *, is_ci: bool) -> str:
    """That the job is busy, and with what, as one sentence."""
    pull_request = pull_request_of(overrides)
    if run.trigger is None:
        where = "may build into the same schema, which dbt Cloud does not say"
    elif is_ci and pull_request:
        where = f"is for pull request {pull_request[1]}, too"
    elif overrides.schema_override:
        where = f"builds into the schema {overrides.schema_override}, too"
    else:
        where = "builds into the same schema"
    return f"Job {job_id} is busy: run {run.id} ({run.state.value}) {where}."


def job_is_busy(words: str) -> ConfigError:
    """The error of `when-busy: fail`."""
    return ConfigError(
        f"{words} Nothing was started, because when-busy is `fail`.",
        "Re-run the job when that run has ended, or set when-busy to `queue`.",
    )
