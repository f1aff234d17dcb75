"""The recipes for other services: valid files, whose scripts do with the services' variables what they promise."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml
from standins.emulator import RunningEmulator
from tests.support.command import CommandJob
from tests.support.replayed import job_id
from tools.release import documented_version

from dbt_cloud_run.settings.inputs import INPUTS

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "docs" / "examples"
SCHEMAS = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
HEAD, MERGED = "a" * 40, "b" * 40


@dataclass(frozen=True, kw_only=True)
class Case:
    """A script of a recipe, the variables that the service has for it, and the trigger that it is to send."""

    recipe: str
    job: str
    variables: Mapping[str, str]
    trigger: Mapping[str, Any]
    cause: str


# https://docs.gitlab.com/ci/variables/predefined_variables
GITLAB = {"CI": "true", "GITLAB_CI": "true", "CI_PROJECT_PATH": "acme/shop", "CI_PIPELINE_IID": "42"}
# https://learn.microsoft.com/azure/devops/pipelines/build/variables
AZURE = {"TF_BUILD": "True", "SYSTEM_TEAMPROJECT": "shop", "BUILD_BUILDNUMBER": "20261127.1"}
# https://support.atlassian.com/bitbucket-cloud/docs/variables-and-secrets/
BITBUCKET = {"CI": "true", "BITBUCKET_REPO_FULL_NAME": "acme/shop", "BITBUCKET_BUILD_NUMBER": "42"}
CASES = {
    "gitlab, merge request": Case(
        recipe="gitlab-ci.yml",
        job="dbt merge request",
        # Empty outside of pipelines for merged results.
        variables=GITLAB
        | {"CI_COMMIT_SHA": HEAD, "CI_MERGE_REQUEST_IID": "17", "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": ""},
        trigger={"git_sha": HEAD, "gitlab_merge_request_id": 17, "schema_override": "dbt_cloud_pr_12_17"},
        cause="acme/shop, pipeline 42",
    ),
    "gitlab, merged result": Case(
        recipe="gitlab-ci.yml",
        job="dbt merge request",
        variables=GITLAB
        | {"CI_COMMIT_SHA": MERGED, "CI_MERGE_REQUEST_IID": "17", "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": HEAD},
        trigger={"git_sha": HEAD, "gitlab_merge_request_id": 17, "schema_override": "dbt_cloud_pr_12_17"},
        cause="acme/shop, pipeline 42",
    ),
    "gitlab, schedule": Case(
        recipe="gitlab-ci.yml",
        job="dbt nightly",
        variables=GITLAB | {"CI_COMMIT_SHA": HEAD},
        trigger={"git_sha": HEAD},
        cause="acme/shop, pipeline 42",
    ),
    "azure, pull request": Case(
        recipe="azure-pipelines.yml",
        job="dbt pull request",
        variables=AZURE
        | {
            "BUILD_SOURCEVERSION": MERGED,
            "SYSTEM_PULLREQUEST_SOURCECOMMITID": HEAD,
            "SYSTEM_PULLREQUEST_PULLREQUESTID": "17",
        },
        trigger={"git_sha": HEAD, "azure_pull_request_id": 17, "schema_override": "dbt_cloud_pr_12_17"},
        cause="shop, build 20261127.1",
    ),
    "azure, schedule": Case(
        recipe="azure-pipelines.yml",
        job="dbt nightly",
        variables=AZURE | {"BUILD_SOURCEVERSION": HEAD},
        trigger={"git_sha": HEAD},
        cause="shop, build 20261127.1",
    ),
    "bitbucket, pull request": Case(
        recipe="bitbucket-pipelines.yml",
        job="dbt pull request",
        variables=BITBUCKET | {"BITBUCKET_COMMIT": HEAD, "BITBUCKET_PR_ID": "17"},
        trigger={"git_sha": HEAD, "non_native_pull_request_id": 17, "schema_override": "dbt_cloud_pr_12_17"},
        cause="acme/shop, build 42",
    ),
    "bitbucket, schedule": Case(
        recipe="bitbucket-pipelines.yml",
        job="dbt nightly",
        variables=BITBUCKET | {"BITBUCKET_COMMIT": HEAD},
        trigger={"git_sha": HEAD},
        cause="acme/shop, build 42",
    ),
}


def load(name: str) -> Any:
    return yaml.safe_load((RECIPES / name).read_text(encoding="utf-8"))


def scripts() -> Iterator[tuple[str, str, str]]:
    """(recipe, job, script) of every script that calls the command."""
    for name, job in load("gitlab-ci.yml").items():
        if "script" in job:
            yield "gitlab-ci.yml", name, "\n".join(job["script"])
    for step in load("azure-pipelines.yml")["steps"]:
        if "dbt-cloud-run " in step.get("bash", ""):
            yield "azure-pipelines.yml", step["displayName"], step["bash"]
    pipelines = load("bitbucket-pipelines.yml")["pipelines"]
    for listed in (*pipelines["pull-requests"].values(), *pipelines["custom"].values()):
        for one in listed:
            yield "bitbucket-pipelines.yml", one["step"]["name"], "\n".join(one["step"]["script"])


SCRIPTS = {(recipe, job): script for recipe, job, script in scripts()}


@pytest.mark.parametrize("name", ["gitlab-ci", "azure-pipelines", "bitbucket-pipelines"])
def test_a_recipe_is_valid_by_the_services_own_schema(name: str) -> None:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    jsonschema.validators.validator_for(schema)(schema).validate(load(f"{name}.yml"))


def test_every_script_has_a_case_and_every_recipe_a_test() -> None:
    assert SCRIPTS.keys() == {(case.recipe, case.job) for case in CASES.values()}
    # The others are workflows of GitHub.
    elsewhere = {path.name for path in RECIPES.glob("*.yml") if "\njobs:\n" not in path.read_text(encoding="utf-8")}
    assert elsewhere == {case.recipe for case in CASES.values()}


@pytest.mark.parametrize(("recipe", "job"), SCRIPTS)
def test_a_script_names_options_that_there_are_and_no_token(recipe: str, job: str) -> None:
    used = set(re.findall(r"--([a-z-]+)", SCRIPTS[recipe, job]))
    assert used <= {entry.name for entry in INPUTS if not entry.secret and not entry.only_in_workflow}
    assert "TOKEN" not in SCRIPTS[recipe, job]


def test_the_image_of_the_recipes_is_that_of_this_version() -> None:
    texts = [path.read_text() for path in (*RECIPES.glob("*.yml"), ROOT / "docs" / "outside-github.md")]
    named = {tag for text in texts for tag in re.findall(r"org/dbt-cloud-run:(\S+)", text)}
    assert named == {documented_version()}


@pytest.fixture
def path_with_the_command(tmp_path: Path) -> str:
    """A PATH on which `dbt-cloud-run` is this checkout's, without waits."""
    programs = tmp_path / "programs"
    programs.mkdir()
    command = programs / "dbt-cloud-run"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dbt_cloud_run "$@"\n')
    command.chmod(0o755)
    return f"{programs}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("name", CASES)
def test_a_recipe_runs_the_job_and_retries_it(
    name: str, replaying: RunningEmulator, tmp_path: Path, path_with_the_command: str
) -> None:
    case = CASES[name]
    workspace = tmp_path / "checkout"
    workspace.mkdir()
    replaying.clear_requests()
    project = {
        "DBT_CLOUD_API_TOKEN": replaying.token,
        "DBT_CLOUD_ACCOUNT_ID": "1",
        "DBT_CLOUD_HOST": replaying.base_url,
        "DBT_CLOUD_JOB_ID": str(job_id(1, "bad")),
        "DBT_CLOUD_CI_JOB_ID": str(job_id(1, "bad")),
        # What a project may set without a change of the recipe.
        "DBT_CLOUD_RUN_RETRY_DELAY": "0",
        "DBT_CLOUD_RUN_POLL_INTERVAL": "1",
    }
    done = subprocess.run(  # noqa: S603 - the recipe's own script
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", SCRIPTS[case.recipe, case.job]],  # noqa: S607
        cwd=workspace,
        env=CommandJob(tmp_path).environment() | {"PATH": path_with_the_command} | project | dict(case.variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = replaying.requests("POST", "/run/")
    assert first["body"].pop("cause").endswith(f"] {case.cause}")
    assert first["body"] == case.trigger
    assert second["body"].items() >= case.trigger.items()
    (result,) = workspace.glob("dbt-cloud/*/result.json")
    outputs = json.loads(result.read_text(encoding="utf-8"))
    assert (outputs["status"], outputs["attempts"]) == ("success", 2)
    assert replaying.token not in done.stdout
    assert not re.search(r"^::|##(vso)?\[", done.stdout, re.MULTILINE)
