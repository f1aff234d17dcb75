"""The configuration of the emulator: what an account holds, and how the platform behaves where its behaviour is open.

A file is YAML or JSON. Unknown keys are refused. Paths are relative to the file. `docs()` prints every key.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dbt_cloud_emulator.cancellations import Cancellation
from dbt_cloud_emulator.errors import ConfigError
from dbt_cloud_emulator.faults import Fault

SHIPPED_PROJECT = Path(__file__).parent / "projects" / "shop"
DEMO_TOKEN = "demo-token"  # noqa: S105 -- a public name, for loopback only

Permission = Literal["account_admin", "job_admin", "job_runner", "job_viewer", "readonly"]
JobType = Literal["ci", "scheduled", "other", "merge", "exposure_sync", "adaptive", "hybrid"]
NonNegative = Annotated[float, Field(ge=0)]


class Part(BaseModel):
    """A part of the configuration: unknown keys are an error."""

    model_config = ConfigDict(extra="forbid")


class AccountConfig(Part):
    id: int = 1
    name: str = "Emulated account"
    run_slots: int = Field(8, ge=1, description="runs that may be active at the same time")
    unpaid: bool = Field(False, description="every request is answered as for an account without a paid plan")


class TokenConfig(Part):
    token: str = Field(min_length=1)
    name: str = "service token"
    account_ids: list[int] | None = Field(None, description="accounts it sees; all when left out")
    project_ids: list[int] | None = Field(None, description="projects it sees; all when left out")
    permission: Permission = Field(
        "job_admin", description="job_runner sees jobs and runs only; *_viewer may not write"
    )
    ip_blocked: bool = Field(False, description="answer 403 as an IP restriction does")


class ProjectConfig(Part):
    id: int = 10
    account_id: int = 1
    name: str
    path: Path | None = Field(None, description="the dbt project; with a .git in it, runs check out a commit")
    repository: str | None = Field(None, description="a git repository instead of a path")
    subdirectory: str = Field("", description="where the dbt project lies in the repository")


class EnvironmentConfig(Part):
    id: int = 20
    project_id: int = 10
    name: str = "Production"
    database: str = Field("", description="name of the DuckDB database; the project's name when left out")
    target_schema: str = Field("main", alias="schema")
    connection_name: str = "DuckDB"
    credentials_id: int | None = None
    target_name: str | None = None
    branch: str | None = Field(None, description="custom branch; the repository's HEAD when left out")
    dbt_version: str = "1.11.0-latest"
    dbt_executable: str | None = Field(None, description="another dbt than that of this Python environment")
    variables: dict[str, str] = Field(default_factory=dict, description="environment variables of every dbt command")
    targets: dict[str, dict[str, Any]] = Field(default_factory=dict, description="more outputs of the profile")
    type: str = "deployment"
    deployment_type: str | None = "production"


class Execution(Part):
    timeout_seconds: int = Field(0, ge=0)


class JobSettings(Part):
    threads: int = Field(4, ge=1)
    target_name: str = "default"


class Triggers(Part):
    github_webhook: bool = False
    git_provider_webhook: bool = False
    schedule: bool = False
    on_merge: bool = False
    custom_branch_only: bool = False


class JobConfig(Part):
    id: int
    name: str
    environment_id: int = 20
    project_id: int | None = Field(None, description="that of the environment when left out")
    execute_steps: list[str] = Field(min_length=1)
    description: str = ""
    job_type: JobType = "other"
    generate_docs: bool = False
    run_generate_sources: bool = False
    execution: Execution = Field(default_factory=Execution)
    settings: JobSettings = Field(default_factory=JobSettings)
    triggers: Triggers = Field(default_factory=Triggers)
    job_schema: str | None = Field(None, alias="schema", description="that of the environment when left out")
    dbt_version: str | None = None
    state: Literal[1, 2] = 1
    deactivated: bool = Field(False, description="triggered runs stay in the queue")
    replay: list[Path] = Field(
        default_factory=list, description="recordings: first run, first retry, …; the last one stays"
    )
    replay_order: Literal["attempt", "sequence"] = Field(
        "attempt", description="attempt: a retry plays the next recording; sequence: every run does, round and round"
    )


class Behaviour(Part):
    """Switches where the platform is not documented, varies, or lags."""

    strict: bool = Field(
        False,
        description="refuse what the description does not list and released clients send: further fields in bodies, "
        "account_id in queries, include_related twice, a POST without its last slash",
    )
    queued_seconds: NonNegative = Field(0, description="every run stays queued for at least so long")
    starting_seconds: NonNegative = Field(0, description="… and starting")
    list_skipped_steps: bool = Field(True, description="steps after a failed one are listed as Skipped")
    skipped_step_status: int = 30
    can_retry_delay: NonNegative = Field(0, description="seconds with RETRY_NO_RUN_RESULTS after a failed run's end")
    artifacts_delay: NonNegative = Field(0, description="seconds from a run's end until artifacts_saved")
    logs_delay: NonNegative = Field(0, description="seconds from a step's end until its logs are served")
    steps_delay: NonNegative = Field(0, description="seconds from a run's end in which `run_steps` is empty")
    step_end_delay: NonNegative = Field(0, description="seconds from a run's end in which its last step still runs")
    heavy_log_bytes: int = Field(0, ge=0, description="by so much the log of a run's last step is longer")
    step_names: Literal["plain", "decorated"] = Field(
        "plain", description="decorated: blanks at the end, and the schema override in the name of the profile's step"
    )
    audit: bool = Field(True, description="false: `audit` is null, whether asked for or not")
    saved_without_artifacts: bool = Field(
        True, description="false: artifacts_saved stays false where no step left an artifact"
    )
    cancel_delay: NonNegative = Field(0, description="seconds from a cancel until the run shows it")
    hidden_requests: int = Field(0, ge=0, description="reads of a new run that are answered 404")
    hidden_seconds: NonNegative = Field(0, description="seconds in which a new run is answered 404")
    supersede: bool = Field(True, description="a CI run for a newer commit of a pull request cancels the older one")
    ci_needs_pull_request: bool = Field(
        False, description="true: 400 for a CI job without a pull request id and a sha or branch"
    )
    partial_parse: bool = Field(True, description="dbt may use what it parsed in an earlier run of the environment")
    missing_artifact_status: Literal[200, 404] = Field(
        404, description="200: an empty body for an artifact that is not there"
    )
    retry_step_name: Literal["dbt retry", "original"] = "dbt retry"
    retry_inherits_overrides: bool = True
    retry_refusal_status: int = 400
    cancel_complete_status: int = Field(
        200, description="answer to the cancel of a complete run: 200 leaves it as it is"
    )
    keep_runs: int = Field(5000, ge=1, description="complete replayed runs that are remembered")
    replay_speed: NonNegative = Field(1, description="0: at once")


class EmulatorConfig(Part):
    accounts: list[AccountConfig] = Field(default_factory=lambda: [AccountConfig()], min_length=1)
    tokens: list[TokenConfig] = Field(default_factory=lambda: [TokenConfig(token=DEMO_TOKEN)], min_length=1)
    projects: list[ProjectConfig] = Field(default_factory=list)
    environments: list[EnvironmentConfig] = Field(default_factory=list)
    jobs: list[JobConfig] = Field(default_factory=list)
    behaviour: Behaviour = Field(default_factory=Behaviour)
    faults: list[Fault] = Field(default_factory=list, description="as a POST to /__emulator__/faults")
    cancellations: list[Cancellation] = Field(
        default_factory=list, description="as a POST to /__emulator__/cancellations"
    )
    id_base: int = Field(70_471_823_000_000, ge=0, description="ids of runs, triggers and steps are above it")
    ui_url: str | None = Field(None, description="start of `href`; the emulator's own URL when left out")

    @model_validator(mode="after")
    def _refers_to_what_exists(self) -> EmulatorConfig:
        projects = {project.id: project for project in self.projects}
        environments = {environment.id: environment for environment in self.environments}
        accounts = {account.id for account in self.accounts}
        for name, ids in (
            ("project", [p.id for p in self.projects]),
            ("environment", [e.id for e in self.environments]),
            ("job", [j.id for j in self.jobs]),
        ):
            if len(set(ids)) != len(ids):
                raise ValueError(f"two {name}s have the same id")
        for project in self.projects:
            if project.account_id not in accounts:
                raise ValueError(f"project {project.id}: no account {project.account_id}")
        for environment in self.environments:
            if environment.project_id not in projects:
                raise ValueError(f"environment {environment.id}: no project {environment.project_id}")
        for job in self.jobs:
            if job.environment_id not in environments:
                raise ValueError(f"job {job.id}: no environment {job.environment_id}")
            job.project_id = job.project_id or environments[job.environment_id].project_id
            if job.project_id not in projects:
                raise ValueError(f"job {job.id}: no project {job.project_id}")
        return self

    def account_of(self, job: JobConfig) -> int:
        return self.project(job.project_id).account_id

    def project(self, project_id: int | None) -> ProjectConfig:
        return next(project for project in self.projects if project.id == project_id)

    def environment(self, environment_id: int) -> EnvironmentConfig:
        return next(environment for environment in self.environments if environment.id == environment_id)

    def job(self, job_id: int) -> JobConfig | None:
        return next((job for job in self.jobs if job.id == job_id), None)


def load_config(path: Path | None, projects: list[Path], replay: Path | None = None) -> EmulatorConfig:
    """The configuration in `path`, or a default one; `projects` go to those projects that name no folder of their own.

    `replay` gives every job without recordings that one. Raises ConfigError.
    """
    raw = _read(path) if path else {}
    base = path.parent.resolve() if path else Path.cwd()
    try:
        config = EmulatorConfig.model_validate(raw if raw.get("projects") else {**_default(projects), **raw})
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'config'}: {e['msg']}" for e in error.errors()]
        raise ConfigError("the configuration is not valid: " + "; ".join(lines)) from error
    _place(config, base, list(projects))
    for job in config.jobs:
        job.replay = [base / recording for recording in job.replay] or ([replay.resolve()] if replay else [])
        for recording in job.replay:
            if not (recording / "recording.json").is_file():
                raise ConfigError(f"job {job.id}: {recording} is not a recording; make one with the command `record`")
    return config


def _place(config: EmulatorConfig, base: Path, folders: list[Path]) -> None:
    for project in config.projects:
        if project.repository is not None:
            local = base / project.repository
            project.repository = str(local.resolve()) if local.is_dir() else project.repository
            continue
        if project.path is None:
            project.path = folders.pop(0) if folders else SHIPPED_PROJECT
        project.path = (base / project.path).resolve()
        if not (project.path / project.subdirectory / "dbt_project.yml").is_file():
            raise ConfigError(f"project {project.name}: there is no dbt_project.yml in {project.path}")


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: a mapping was expected")
    return raw


def _default(folders: list[Path]) -> dict[str, Any]:
    """Account 1 and, for the n-th project from 0: project 10+n, environment 20+n, jobs 1001+100n to 1005+100n."""
    projects, environments, jobs = [], [], []
    for number, folder in enumerate(folders or [SHIPPED_PROJECT]):
        project, environment, job = 10 + number, 20 + number, 1000 + 100 * number
        projects.append({"id": project, "name": folder.resolve().name, "path": str(folder.resolve())})
        environments.append({"id": environment, "project_id": project, "name": "Production", "schema": "analytics"})
        jobs += [
            {"id": job + 1, "name": "Build", "execute_steps": ["dbt build"]},
            {
                "id": job + 2,
                "name": "Nightly build",
                "execute_steps": ["dbt build"],
                "generate_docs": True,
                "run_generate_sources": True,
                "job_type": "scheduled",
            },
            {"id": job + 3, "name": "Seed, run, test", "execute_steps": ["dbt seed", "dbt run", "dbt test"]},
            {"id": job + 4, "name": "CI", "execute_steps": ["dbt build"], "job_type": "ci"},
            {"id": job + 5, "name": "Build and docs", "execute_steps": ["dbt build"], "generate_docs": True},
        ]
        for entry in jobs[-5:]:
            entry["environment_id"] = environment
    return {"projects": projects, "environments": environments, "jobs": jobs}
