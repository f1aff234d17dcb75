"""The runs: in memory, and real ones on disk too, so that another start on the same state has them."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from dbt_cloud_emulator.cancellations import ActorType, Cancellation, RunEnded
from dbt_cloud_emulator.recording import Replayed
from dbt_cloud_emulator.status import Status
from dbt_cloud_emulator.timing import parse_timestamp, timestamp, utcnow


@dataclass(slots=True)
class Trigger:
    """What a run was triggered with: the API's own names."""

    cause: str
    cause_category: str = "api"
    git_sha: str | None = None
    git_branch: str | None = None
    schema_override: str | None = None
    dbt_version_override: str | None = None
    threads_override: int | None = None
    target_name_override: str | None = None
    generate_docs_override: bool | None = None
    timeout_seconds_override: int | None = None
    steps_override: list[str] | None = None
    github_pull_request_id: int | None = None
    gitlab_merge_request_id: int | None = None
    azure_pull_request_id: int | None = None
    non_native_pull_request_id: int | None = None
    actor: str = ""

    @property
    def pull_request(self) -> tuple[str, int] | None:
        """Provider and number of the pull request that it was triggered for."""
        for name in ("github_pull_request", "gitlab_merge_request", "azure_pull_request", "non_native_pull_request"):
            number = getattr(self, f"{name}_id")
            if number is not None:
                return name, number
        return None


@dataclass(slots=True)
class Step:
    """One step of a run. `kind`: setup, freshness, command or docs."""

    id: int
    index: int
    name: str
    kind: str
    command: str | None = None
    status: int = Status.QUEUED
    status_humanized: str | None = None  # where it is not the status' own word
    started_at: datetime | None = None
    finished_at: datetime | None = None
    wrote_results: bool = False  # a run_results.json of this very step


@dataclass(slots=True)
class Run:
    """One run. `folder` holds `steps/<index>/{console.log,debug.log,artifacts/}` of a real run."""

    id: int
    trigger_id: int
    account_id: int
    project_id: int
    environment_id: int
    job_id: int
    trigger: Trigger
    created_at: datetime
    folder: Path
    status: Status = Status.QUEUED
    status_message: str | None = None
    git_sha: str | None = None
    git_branch: str | None = None
    dbt_version: str | None = None
    retrying_run_id: int | None = None
    dequeued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime | None = None
    saved_at: datetime | None = None  # from then on the artifacts can be read
    retryable_at: datetime | None = None
    hidden_until: datetime | None = None
    hidden_requests: int = 0
    cancelled_by: str | None = None
    cancelled_by_type: ActorType = "service_token"
    is_ending: bool = False  # its cancellation is under way
    planned_end: Cancellation | None = None
    has_docs_generated: bool = False
    has_sources_generated: bool = False
    steps: list[Step] = field(default_factory=list)
    replayed: Replayed | None = None

    def reach(self, step: Step) -> None:
        """A step has begun. Raises RunEnded where this run's planned cancellation is for it."""
        if self.planned_end is not None and self.planned_end.step == step.index:
            raise RunEnded

    def step_folder(self, index: int) -> Path:
        return self.folder / "steps" / str(index)

    def rewritten(self, content: bytes) -> bytes:
        """A file of its recording as this run would have made it; of a real run, the content itself."""
        if self.replayed is None:
            return content
        return self.replayed.rewrite(content, run_id=self.id, job_id=self.job_id, project_id=self.project_id)

    @property
    def failed_step(self) -> Step | None:
        """The step by which the run failed: not one whose failure the platform overlooks."""
        return next((s for s in self.steps if s.status == Status.ERROR and s.kind in ("setup", "command")), None)

    @property
    def artifacts_saved(self) -> bool:
        return self.saved_at is not None and utcnow() >= self.saved_at


class RunStore:
    """All runs by id, oldest first, and the ids to come."""

    def __init__(self, state: Path, id_base: int, keep_runs: int) -> None:
        self.state = state
        self._keep_runs = keep_runs
        self._runs: dict[int, Run] = {}
        self._of_job: dict[int, list[int]] = {}
        self._active: defaultdict[int, list[Run]] = defaultdict(list)  # of each job; complete ones leave when asked for
        (state / "runs").mkdir(parents=True, exist_ok=True)
        self._load()
        highest = max([id_base, *self._runs, *(s.id for r in self._runs.values() for s in r.steps)])
        self._ids = itertools.count(highest + 1)

    def new_id(self) -> int:
        return next(self._ids)

    def add(self, run: Run) -> None:
        """Take a run in, and forget the oldest complete replayed ones beyond the limit."""
        self._runs[run.id] = run
        self._of_job.setdefault(run.job_id, []).append(run.id)
        self._active[run.job_id] = [*self.active(run.job_id), run]
        excess = len(self._runs) - self._keep_runs
        if excess > 0:
            stale = (r for r in self._runs.values() if r.replayed is not None and r.status.is_complete)
            for old in list(itertools.islice(stale, excess)):
                del self._runs[old.id]
                self._of_job[old.job_id].remove(old.id)

    def get(self, run_id: int) -> Run | None:
        return self._runs.get(run_id)

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._runs.values()))

    def of_job(self, job_id: int) -> list[Run]:
        """The job's runs, oldest first."""
        return [self._runs[run_id] for run_id in self._of_job.get(job_id, ())]

    def latest(self, job_id: int) -> Run | None:
        ids = self._of_job.get(job_id)
        return self._runs[ids[-1]] if ids else None

    def active_before(self, run: Run) -> list[Run]:
        """Runs of the same job that came earlier and are not complete."""
        return [other for other in self.active(run.job_id) if other.id < run.id]

    def active(self, job_id: int) -> list[Run]:
        """Runs of the job that are not complete, oldest first."""
        self._active[job_id] = [run for run in self._active[job_id] if not run.status.is_complete]
        return self._active[job_id]

    def find_step(self, step_id: int) -> tuple[Run, Step] | None:
        for run in self._runs.values():
            for step in run.steps:
                if step.id == step_id:
                    return run, step
        return None

    def save(self, run: Run) -> None:
        """Write a real run's facts beside its files."""
        if run.replayed is not None:
            return
        raw = asdict(run)
        del raw["replayed"], raw["folder"], raw["planned_end"]
        run.folder.mkdir(parents=True, exist_ok=True)
        partial = run.folder / "run.json.part"
        partial.write_text(json.dumps(raw, default=_plain), encoding="utf-8")
        partial.replace(run.folder / "run.json")

    def _load(self) -> None:
        for file in sorted((self.state / "runs").glob("*/run.json"), key=lambda f: int(f.parent.name)):
            run = _revive(json.loads(file.read_text(encoding="utf-8")), file.parent)
            if not run.status.is_complete:
                run.status, run.status_message = Status.CANCELLED, "The emulator was stopped while this run was active."
                run.finished_at = run.saved_at = utcnow()
            self._runs[run.id] = run
            self._of_job.setdefault(run.job_id, []).append(run.id)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return timestamp(value)
    raise TypeError(type(value).__name__)


def _revive(raw: dict[str, Any], folder: Path) -> Run:
    def times(cls: type, values: dict[str, Any]) -> dict[str, Any]:
        names = {f.name for f in fields(cls) if "datetime" in str(f.type)}
        return {k: parse_timestamp(v) if k in names and v is not None else v for k, v in values.items()}

    raw["trigger"] = Trigger(**raw["trigger"])
    raw["steps"] = [Step(**times(Step, step)) for step in raw["steps"]]
    raw["status"] = Status(raw["status"])
    return Run(folder=folder, **times(Run, raw))
