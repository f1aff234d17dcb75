"""The recipe that drops the schemas of a closed pull request, run by dbt as the workflow spells it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pytest
import yaml
from tests.support.dbt_project import write_tiny_project

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
KEPT = {"main", "prod", "dbt_cloud_pr_12_51", "dbt_cloud_pr_12_6"}
DROPPED = {"dbt_cloud_pr_12_5", "dbt_cloud_pr_12_5_merge_group"}
PROFILE = {"tiny": {"target": "dev", "outputs": {"dev": {"type": "duckdb", "path": "tiny.duckdb", "schema": "prod"}}}}


def recipe() -> list[list[str]]:
    """The commands of the workflow for job 12 and pull request 5."""
    job = yaml.safe_load((EXAMPLES / "drop-schema.yml").read_text())["jobs"]["drop"]
    values = {"vars.DBT_CLOUD_CI_JOB_ID": "12", "github.event.number": "5"}
    values["env.SCHEMA"] = filled(job["env"]["SCHEMA"], values)
    return [shlex.split(line) for line in filled(job["steps"][0]["with"]["steps-override"], values).splitlines()]


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text as a workflow has it once its expressions are evaluated."""
    return re.sub(r"\$\{\{ (\S+) \}\}", lambda found: values[found[1]], text)


def project(folder: Path) -> Path:
    macro = EXAMPLES / "drop_pull_request_schema.sql"
    write_tiny_project(folder, {f"macros/{macro.name}": macro.read_text(), "profiles.yml": yaml.safe_dump(PROFILE)})
    with duckdb.connect(folder / "tiny.duckdb") as warehouse:
        for name in sorted((KEPT | DROPPED) - {"main"}):
            warehouse.execute(f"create schema {name}; create table {name}.orders as select 1 as id")
    return folder


def dbt(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from dbt.cli.main import cli; cli()", *words, "--profiles-dir", "."]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)  # noqa: S603


def schemas(folder: Path) -> set[str]:
    with duckdb.connect(folder / "tiny.duckdb") as warehouse:
        rows = warehouse.execute("select schema_name from information_schema.schemata where catalog_name = 'tiny'")
        return {name for (name,) in rows.fetchall()}


@pytest.mark.slow
def test_the_schemas_of_the_pull_request_are_dropped_and_no_others(tmp_path: Path) -> None:
    folder = project(tmp_path)
    for program, *words in recipe():
        assert program == "dbt"
        done = dbt(folder, *words)
        assert done.returncode == 0, done.stdout
    assert schemas(folder) == KEPT
    # A workflow may be re-run, and not every pull request was in a merge queue: a schema that is not there is no error.
    assert dbt(folder, *recipe()[0][1:]).returncode == 0
    # A macro with the name of one of dbt's own would take its place.
    assert dbt(folder, "build").returncode == 0


@pytest.mark.slow
def test_no_other_schema_can_be_named(tmp_path: Path) -> None:
    folder = project(tmp_path)
    done = dbt(folder, "run-operation", "drop_pull_request_schema", "--args", "{schema: prod}")
    assert done.returncode == 1
    assert "may be dropped, not prod" in done.stdout
    assert "prod" in schemas(folder)
