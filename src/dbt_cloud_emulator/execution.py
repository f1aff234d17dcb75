"""A run on real dbt: check out, write the profile, `dbt deps`, then the job's steps, each a process of its own.

Steps share one `target/`, as on the platform: a command that writes no results leaves those of the step before it to be
saved again. DuckDB lets one process at a time write to a database, so the dbt commands of an environment take turns; a
step that waits for its turn is Starting.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

from dbt_cloud_emulator.checkout import CheckoutError, Workspaces, check_out
from dbt_cloud_emulator.config import EmulatorConfig, JobConfig
from dbt_cloud_emulator.processes import DbtProcess, Launcher
from dbt_cloud_emulator.status import Status
from dbt_cloud_emulator.store import Run, RunStore, Step
from dbt_cloud_emulator.timing import utcnow

DOCS = "dbt docs generate"
FRESHNESS = "dbt source freshness"
HIDDEN_VARIABLES = ("DBT_", "INPUT_", "GITHUB_", "ACTIONS_", "RUNNER_")


def planned_commands(job: JobConfig, run: Run, store: RunStore, retry_name: str) -> list[tuple[str, str, str]]:
    """A run's commands as (kind, name, command line): freshness first, docs last, a retry from the failed step on."""
    retried = store.get(run.retrying_run_id) if run.retrying_run_id else None
    trigger = retried.trigger if retried is not None else run.trigger
    docs = trigger.generate_docs_override if trigger.generate_docs_override is not None else job.generate_docs
    commands = [("command", c, c) for c in (trigger.steps_override or job.execute_steps)]
    if retried is not None:
        failed, rest = split_at_failure(retried, job, store)
        name = "dbt retry" if retry_name == "dbt retry" else failed
        return [("command", name, "dbt retry"), *((kind, c, c) for kind, c in rest)]
    if job.run_generate_sources:
        commands.insert(0, ("freshness", FRESHNESS, FRESHNESS))
    if docs:
        commands.append(("docs", DOCS, DOCS))
    return commands


def split_at_failure(run: Run, job: JobConfig, store: RunStore) -> tuple[str, list[tuple[str, str]]]:
    """The command at which a run failed, and (kind, command) of those that it never reached."""
    failed = run.failed_step
    commands = planned_commands(job, run, store, "original")
    done = sum(1 for step in run.steps if step.kind != "setup" and failed is not None and step.index <= failed.index)
    if not done:
        return (failed.name if failed else ""), [(kind, name) for kind, name, _ in commands]
    return commands[done - 1][1], [(kind, name) for kind, name, _ in commands[done:]]


class Execution:
    """Runs real dbt for runs of the engine."""

    def __init__(self, config: EmulatorConfig, store: RunStore) -> None:
        self._config = config
        self._store = store
        self._launcher = Launcher()
        self._workspaces = Workspaces(store.state / "workspaces")
        self._turns: defaultdict[Path, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def close(self) -> None:
        await self._launcher.close()

    async def execute(self, run: Run, job: JobConfig) -> Status:
        """Run all steps; returns SUCCESS or ERROR. Cancelling the task kills what it started."""
        environment = self._config.environment(run.environment_id)
        project = self._config.project(run.project_id)
        run.folder.mkdir(parents=True, exist_ok=True)
        with self._workspaces.borrow(environment.id) as workspace:
            step = self._begin(run, "setup", "Clone git repository")
            snapshots = self._store.state / "snapshots" / str(project.id)
            try:
                checkout = await check_out(project, environment, run.trigger, workspace, snapshots)
            except CheckoutError as error:
                self._log(run, step, str(error))
                self._end(step, Status.ERROR)
                return Status.ERROR
            run.git_sha, run.git_branch = checkout.git_sha, checkout.git_branch
            self._log(run, step, checkout.log)
            if self._config.behaviour.partial_parse:
                await asyncio.to_thread(self._workspaces.restore_parse, workspace, checkout.folder)
            self._end(step, Status.SUCCESS)

            step = self._begin(run, "setup", f"Create profile from connection {environment.connection_name}")
            try:
                database = self._write_profile(run, job, checkout.folder)
            except (ValueError, OSError, yaml.YAMLError) as error:
                self._log(run, step, f"{error}\n")
                self._end(step, Status.ERROR)
                return Status.ERROR
            self._log(run, step, "Wrote profiles.yml\n")
            self._end(step, Status.SUCCESS)

            commands = [("setup", "dbt deps", "dbt deps")]
            commands += planned_commands(job, run, self._store, self._config.behaviour.retry_step_name)
            verdict = await self._commands(run, commands, checkout.folder, database)
            await asyncio.to_thread(self._workspaces.keep_parse, workspace, checkout.folder)
            return verdict

    async def _commands(self, run: Run, commands: list[tuple[str, str, str]], project: Path, database: Path) -> Status:
        verdict = Status.SUCCESS
        for kind, name, command in commands:
            title = f"Invoke dbt with `{name}`"
            if verdict is Status.ERROR:
                if self._config.behaviour.list_skipped_steps:
                    step = Step(self._store.new_id(), len(run.steps) + 1, title, kind, command)
                    step.status, step.status_humanized = self._config.behaviour.skipped_step_status, "Skipped"
                    run.steps.append(step)
                continue
            step = self._begin(run, kind, title, command)
            code = await self._dbt(run, step, project, database)
            self._end(step, Status.SUCCESS if code == 0 else Status.ERROR)
            if code == 0:
                run.has_docs_generated |= kind == "docs"
                run.has_sources_generated |= kind == "freshness"
            elif kind in ("setup", "command"):
                verdict = Status.ERROR
        return verdict

    def _begin(self, run: Run, kind: str, name: str, command: str | None = None) -> Step:
        step = Step(self._store.new_id(), len(run.steps) + 1, name, kind, command)
        step.status, step.started_at = Status.RUNNING, utcnow()
        run.steps.append(step)
        run.step_folder(step.index).mkdir(parents=True, exist_ok=True)
        run.reach(step)
        return step

    @staticmethod
    def _end(step: Step, status: Status) -> None:
        step.status, step.finished_at = status, utcnow()

    @staticmethod
    def _log(run: Run, step: Step, text: str) -> None:
        with (run.step_folder(step.index) / "console.log").open("a", encoding="utf-8") as file:
            file.write(text)

    async def _dbt(self, run: Run, step: Step, project: Path, database: Path) -> int:
        """Run one command in turn, and save what it left in `target/`; returns its exit code."""
        try:
            words = shlex.split(step.command or "")
        except ValueError as error:
            self._log(run, step, f"{error}: {step.command}\n")
            return 2
        if not words or words[0] != "dbt":
            self._log(run, step, f"Only dbt commands can be run, not {step.command!r}\n")
            return 2
        variables = self._variables(run, step)
        if run.retrying_run_id and step.command == "dbt retry":
            variables["DBT_STATE"] = str(self._retried_state(run.retrying_run_id))
        environment = self._config.environment(run.environment_id)
        step.status = Status.STARTING
        async with self._turns[database]:
            step.status, step.started_at = Status.RUNNING, utcnow()
            before = _stamp(project / "target" / "run_results.json")
            process = await self._launcher.start(
                words[1:],
                cwd=project,
                env=variables,
                output=run.step_folder(step.index) / "console.log",
                executable=environment.dbt_executable,
            )
            try:
                code = await process.wait()
            except asyncio.CancelledError as reason:
                await self._stopped(run, step, project, process, timed_out="timeout" in reason.args)
                raise
            step.wrote_results = _stamp(project / "target" / "run_results.json") not in (before, None)
            await asyncio.to_thread(self._save, run, step, project)
        return code

    async def _stopped(self, run: Run, step: Step, project: Path, process: DbtProcess, *, timed_out: bool) -> None:
        """End a command early: after a timeout it may write its results, after a cancel it may not."""
        await process.stop(signal.SIGINT if timed_out else signal.SIGKILL)
        if timed_out:
            await asyncio.to_thread(self._save, run, step, project)

    def _retried_state(self, run_id: int) -> Path:
        retried = self._store.get(run_id)
        if retried is None or retried.failed_step is None:
            raise RuntimeError(f"run {run_id} has no failed step")
        return retried.step_folder(retried.failed_step.index) / "artifacts"

    @staticmethod
    def _save(run: Run, step: Step, project: Path) -> None:
        folder = run.step_folder(step.index)
        target, log = project / "target", folder / "logs" / "dbt.log"
        if step.kind != "setup" and target.is_dir():
            shutil.copytree(target, folder / "artifacts", dirs_exist_ok=True)
            if log.is_file():
                (folder / "artifacts" / "logs").mkdir(exist_ok=True)
                shutil.copyfile(log, folder / "artifacts" / "logs" / "dbt.log")
        if log.is_file():
            log.replace(folder / "debug.log")

    def _write_profile(self, run: Run, job: JobConfig, project: Path) -> Path:
        """`profiles.yml` for this run; returns the database file, which belongs to the environment and stays."""
        environment = self._config.environment(run.environment_id)
        raw = yaml.safe_load((project / "dbt_project.yml").read_text(encoding="utf-8"))
        profile = raw.get("profile") if isinstance(raw, dict) else None
        if not isinstance(profile, str):
            raise ValueError("dbt_project.yml names no profile")
        name = environment.database or str(raw.get("name") or "warehouse")
        warehouse = self._store.state / "warehouse" / str(environment.id)
        warehouse.mkdir(parents=True, exist_ok=True)
        database = (warehouse / f"{name}.duckdb").resolve()
        trigger = run.trigger
        output: dict[str, Any] = {
            "type": "duckdb",
            "path": str(database),
            "schema": trigger.schema_override or job.job_schema or environment.target_schema,
            "threads": trigger.threads_override or job.settings.threads,
        }
        target = trigger.target_name_override or environment.target_name or job.settings.target_name
        outputs = {**{name: output | extra for name, extra in environment.targets.items()}, target: output}
        (run.folder / "profile").mkdir(exist_ok=True)
        (run.folder / "profile" / "profiles.yml").write_text(
            json.dumps({profile: {"target": target, "outputs": outputs}}), encoding="utf-8"
        )
        return database

    def _variables(self, run: Run, step: Step) -> dict[str, str]:
        environment = self._config.environment(run.environment_id)
        facts = {
            "RUN_ID": run.id,
            "JOB_ID": run.job_id,
            "PROJECT_ID": run.project_id,
            "ENVIRONMENT_ID": run.environment_id,
            "ACCOUNT_ID": run.account_id,
            "RUN_REASON": run.trigger.cause,
            "RUN_REASON_CATEGORY": run.trigger.cause_category,
            "GIT_SHA": run.git_sha,
            "GIT_BRANCH": run.git_branch,
            "PR_ID": run.trigger.pull_request[1] if run.trigger.pull_request else None,
        }
        cloud = {f"DBT_CLOUD_{name}": str(value) for name, value in facts.items() if value is not None}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(HIDDEN_VARIABLES)}
        return {
            **inherited,
            "DBT_PROFILES_DIR": str((run.folder / "profile").resolve()),
            "DBT_LOG_PATH": str((run.step_folder(step.index) / "logs").resolve()),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DBT_VERSION_CHECK": "false",
            "DBT_USE_COLORS": "true",
            "DBT_USE_COLORS_FILE": "false",
            "PYTHONUNBUFFERED": "1",
            **cloud,
            **{f"DBT_ENV_CUSTOM_ENV_{name}": value for name, value in cloud.items()},
            **environment.variables,
        }


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_ino
