"""What a step is about to do, in words: the job, what it builds, its steps, and where each value that is sent is from.

The log of every step begins with the short form; a dry run has the request itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.decide import Decision
from dbt_cloud_run.start.once import NewRun, StartRequest
from dbt_cloud_run.text import in_one_line

if TYPE_CHECKING:
    from dbt_cloud_run.cloud.models import Job
    from dbt_cloud_run.planned import RetryPlan

_SHOWN_APART = frozenset({"git_sha", "git_branch", "steps_override"})
_LONGEST_VALUE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRequest:
    """A request as it would be sent. `origins` says for each field of the body where its value is from."""

    address: str
    body: Mapping[str, Any]
    origins: Mapping[str, str]

    @property
    def body_text(self) -> str:
        """The body as JSON, with one field a line."""
        return json.dumps(dict(self.body), indent=2, ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What a step would do. `lines` are about the job; `notes` are what else there is to know before it is done."""

    lines: tuple[str, ...] = ()
    request: PlannedRequest | None = None
    plan: RetryPlan | None = None
    notes: tuple[str, ...] = ()


def about_lines(decision: Decision, settings: Settings, *, job: Job | None) -> tuple[str, ...]:
    """Which job, what it builds, the overrides, and the steps: one line each, as far as they are known."""
    overrides = decision.overrides
    origins = origins_of(decision, settings, overrides)
    given = {name: value for name, value in overrides.body().items() if name not in _SHOWN_APART}
    lines = [_job_line(decision, job), f"  builds: {_commit(decision, origins)}"]
    if given:
        shown = (f"{name} = {_short(value)} ({origins[name]})" for name, value in given.items())
        lines.append(f"  overrides: {', '.join(shown)}")
    steps, origin = _steps(decision, job, origins)
    if steps:
        lines.append(f"  steps: {'; '.join(_short(step) for step in steps)}{origin}")
    return tuple(lines)


def origins_of(decision: Decision, settings: Settings, overrides: TriggerOverrides) -> dict[str, str]:
    """For each override where its value is from: an input, the event, or the run that the step attaches to."""
    attached = decision.run if decision.run is not None and not decision.is_ours else None
    found = {}
    for name in overrides.body():
        if getattr(settings.overrides, name) == getattr(overrides, name):
            found[name] = f"input {name.replace('_', '-')}"
        elif attached is not None:
            found[name] = f"run {attached.id}"
        else:
            found[name] = f"event {settings.github.event_name}"
    return found


def planned_request(
    request: StartRequest, decision: Decision, settings: Settings, *, retried: int | None = None
) -> PlannedRequest:
    """The request, with where it goes and where its values are from. `retried` is the run that it retries."""
    account = f"{settings.base_url}/api/v2/accounts/{settings.account_id}"
    if not isinstance(request, NewRun):
        return PlannedRequest(address=f"{account}/runs/{request.run_id}/retry/", body={}, origins={})
    cause = "input cause" if "cause" in settings.given else "default"
    origins = {"cause": f"{cause}, after this step's tag, which is new in each run"}
    origins |= origins_of(decision, settings, decision.overrides)
    if retried is not None:
        origins |= {"git_sha": f"run {decision.tag.root or retried}", "steps_override": "the retry plan"}
    return PlannedRequest(
        address=f"{account}/jobs/{request.job_id}/run/",
        body=request.body,
        origins={name: origins[name] for name in request.body},
    )


def _job_line(decision: Decision, job: Job | None) -> str:
    if job is None:
        return f"Job {decision.job_id}"
    name = f" “{_short(job.name)}”" if job.name else ""
    project = job.project.name if job.project is not None else None
    parts = (
        job.job_type or "",
        f"project {_named(project, job.project_id)}" if job.project_id else "",
        f"environment {_named(_environment(decision, job), job.environment_id)}" if job.environment_id else "",
    )
    about = ", ".join(part for part in parts if part)
    return f"Job {decision.job_id}{name}{f' ({about})' if about else ''}"


def _environment(decision: Decision, job: Job) -> str | None:
    found = job.environment or (decision.run.environment if decision.run is not None else None)
    return found.name if found is not None else None


def _named(name: str | None, number: int | None) -> str:
    return f"“{_short(name)}”" if name else str(number)


def _commit(decision: Decision, origins: Mapping[str, str]) -> str:
    overrides, run = decision.overrides, decision.run or (decision.before[-1] if decision.before else None)
    if run is not None and run.git_sha:
        return f"commit {_short(run.git_sha)} (run {run.id})"
    if overrides.git_sha:
        return f"commit {_short(overrides.git_sha)} ({origins['git_sha']})"
    if overrides.git_branch:
        return f"the newest commit of the branch {_short(overrides.git_branch)} ({origins['git_branch']})"
    return "the newest commit of the branch of the job's environment"


def _steps(decision: Decision, job: Job | None, origins: Mapping[str, str]) -> tuple[Sequence[str], str]:
    """The commands, and where they are from where that is not the job."""
    if decision.overrides.steps_override:
        return decision.overrides.steps_override, f" ({origins['steps_override']})"
    if job is None or not job.execute_steps:
        return (), ""
    docs = decision.overrides.generate_docs_override
    has_docs = bool(job.generate_docs) if docs is None else docs
    steps = list(job.execute_steps)
    return (
        *(["dbt source freshness"] if job.checks_freshness else []),
        *steps,
        *(["dbt docs generate"] if has_docs else []),
    ), ""


def _short(value: object) -> str:
    return in_one_line(str(value), _LONGEST_VALUE)
