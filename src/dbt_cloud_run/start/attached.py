"""What is asked for beside `run-id`, compared with what the run says of itself."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dbt_cloud_run.commits import is_same_commit
from dbt_cloud_run.errors import InputProblem, InvalidInputsError
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.text import in_one_line

if TYPE_CHECKING:
    from dbt_cloud_run.cloud.models import Run

_logger = logging.getLogger(__name__)

_LONGEST = 200


def check_overrides(given: TriggerOverrides, run: Run) -> None:
    """Compare the overrides that are given with those of the run that the step attaches to.

    Warns of those that the run does not state. Raises `InvalidInputsError` with all that it states otherwise. Source:
    the contract's input `run-id`.
    """
    stated = _stated(run)
    problems, unsaid = [], []
    for field, value in given.body().items():
        name = field.replace("_", "-")
        if field not in stated:
            unsaid.append(name)
        elif not _is_same(field, value, stated[field]):
            problems.append(
                InputProblem(
                    name, f"is {_shown(value)}, and run-id {run.id} has {_shown(stated[field])}. Leave one of them out."
                )
            )
    if problems:
        raise InvalidInputsError(tuple(problems))
    if unsaid:
        _logger.warning(
            "dbt Cloud does not say whether run %s was started with %s: no override changes a run that exists.",
            run.id,
            ", ".join(unsaid),
        )


def _stated(run: Run) -> dict[str, object]:
    """What the run says of itself: its trigger's overrides, and the commit and branch that it built."""
    built = {"git_sha": run.git_sha, "git_branch": run.git_branch}
    return {name: value for name, value in built.items() if value} | run.overrides.body()


def _is_same(field: str, given: object, stated: object) -> bool:
    return is_same_commit(str(given), str(stated)) if field == "git_sha" else given == stated


def _shown(value: object) -> str:
    text = " ; ".join(value) if isinstance(value, list) else str(value)
    return repr(in_one_line(text, _LONGEST))
