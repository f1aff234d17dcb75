"""A dbt project for the end-to-end tests of the action: small, owned, described, and with several ways to fail."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from standins.emulator import RunningEmulator, running_emulator
from standins.results_service import ResultsService
from tests.support.action import ActionJob, inputs_for
from tests.support.dbt_project import takes_long, write_tiny_project
from tests.support.recordings import project_recordings

# Each run of a flaky model leaves a file beside the checkout, and it fails until there are more of them than `times`.
FLAKY = """{% macro flaky(times) %}
{% set marks = '../' ~ var('key', 'k') ~ '-' ~ model.name ~ '-' %}
{{ config(pre_hook="copy (select 1 as n) to '" ~ marks ~ "{" ~ "{ invocation_id }" ~ "}'") }}
case when (select count(*) from glob('{{ marks }}*')) <= {{ times }}
then error('Connection reset by peer') end as attempt
{% endmacro %}
"""
SCHEMA = """groups:
  - name: finance
    owner: {name: Finance team, email: finance@example.com}
models:
  - name: first
    description: The numbers, as they came.
    config: {group: finance, tags: [daily]}
    columns:
      - name: n
        data_tests: [not_null]
  - name: after_flaky
    columns:
      - name: doubled
        data_tests: [unique]
  - name: broken
    config: {group: finance}
"""
UNPARSABLE = "{{ exceptions.raise_compiler_error('no such thing') if var('unparsable', false) }}select 1 as n\n"
FILES = {
    "models/schema.yml": SCHEMA,
    "models/calm.sql": "{{ config(materialized='ephemeral') }}\nselect n from {{ ref('first') }}\n",
    "models/flaky.sql": "select n, {{ flaky(var('times', 1)) }} from {{ ref('calm') }}\n",
    "models/after_flaky.sql": "select n * 2 as doubled from {{ ref('flaky') }}\n",
    "models/flaky_later.sql": "-- depends_on: {{ ref('flaky') }}\nselect {{ flaky(1) }}\n",
    "models/stubborn.sql": "select {{ flaky(99) }}\n",
    "models/broken.sql": "select no_such_column from {{ ref('numbers') }}\n",
    "models/after_broken.sql": "select * from {{ ref('broken') }}\n",
    "models/checked.sql": "select 1 as n\n",
    "models/last.sql": "select 1 as n\n",
    "models/slow.sql": takes_long(),
    "models/unparsable.sql": UNPARSABLE,
    "macros/flaky.sql": FLAKY,
    "tests/always_fails.sql": "select n from {{ ref('checked') }}\n",
}
FLAKY_BUILD = "dbt build --select numbers first flaky after_flaky"
BROKEN_RUN = "dbt run --select checked broken after_broken"
GREEN_BUILD = "dbt build --select numbers first"


def write_action_project(folder: Path) -> Path:
    """Write the project."""
    return write_tiny_project(folder, FILES)


def job(job_id: int, *steps: str, **more: Any) -> dict[str, Any]:
    """A job of the configuration."""
    return {"id": job_id, "name": more.pop("name", f"Job {job_id}"), "execute_steps": list(steps), **more}


def variables(**values: Any) -> str:
    """`--vars …` for a command line."""
    return f"--vars '{json.dumps(values)}'"


def recorded(cache: pytest.Cache, folder: Path, *commands: str) -> list[list[str]]:
    """For each command the recordings of a job that runs it, for `replay`: the first run and its native retry."""
    project = write_action_project(folder / "recorded")

    def record(command: str) -> list[str]:
        arguments = ["--job", "1001", "--runs", "2", "--steps", command]
        return [str(path) for path in project_recordings(cache, f"tiny-{command.split()[-1]}", project, arguments)]

    with ThreadPoolExecutor() as pool:
        return list(pool.map(record, commands))


@contextmanager
def action_world(
    folder: Path, jobs: Sequence[dict[str, Any]], *, project: Path | None = None, **config: Any
) -> Iterator[tuple[RunningEmulator, ActionJob]]:
    """An emulator with these jobs, and a workflow's job beside it whose workspace is a checkout of the project."""
    project = project or write_action_project(folder / "project")
    config = {
        "projects": [
            {"id": 10, "name": "tiny", "path": str(project)},
            {"id": 11, "name": "other", "path": str(project)},
        ],
        "environments": [
            {"id": 20, "project_id": 10, "name": "Production", "schema": "analytics"},
            {"id": 21, "project_id": 10, "name": "Staging", "schema": "staging"},
            {"id": 31, "project_id": 11, "name": "Staging", "schema": "staging"},
        ],
        "jobs": list(jobs),
        **config,
    }
    with running_emulator(config=config) as emulator, ResultsService() as results:
        workflow = ActionJob(folder / "runner", inputs_for(emulator), results)
        write_action_project(workflow.workspace)
        try:
            yield emulator, workflow
        finally:
            workflow.close()


def commit(folder: Path, message: str) -> str:
    """Commit everything in a folder, which becomes a repository if it is none; gives the sha."""
    if not (folder / ".git").exists():
        _git(folder, "init", "-q", "-b", "main")
    _git(folder, "add", "-A")
    _git(folder, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", message)
    return _git(folder, "rev-parse", "HEAD")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=30)  # noqa: S603, S607 - in a test's folder
    return done.stdout.strip()
