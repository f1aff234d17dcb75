"""One truth in several files: inputs, outputs, versions, examples, entry points."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml
from tools.release import changelog_sections

from dbt_cloud_run import __version__
from dbt_cloud_run.model import Ending, FailureKind, Outcome
from dbt_cloud_run.report.data import ReportData
from dbt_cloud_run.report.outputs import build_outputs
from dbt_cloud_run.settings.inputs import INPUTS, PLATFORM_INPUTS, Input
from dbt_cloud_run.settings.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCHEMAS = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"

# What workflows elsewhere rely on: names, and the defaults that people read. A rename is a new major version.
PUBLIC_INPUTS = {
    "api-token": "",
    "on-missing-token": "fail",
    "account-id": "",
    "host": "cloud.getdbt.com",
    "job-id": "",
    "job-name": "",
    "project-name": "",
    "environment-name": "",
    "run-id": "",
    "reuse": "never",
    "resume": "unfinished",
    "cause": "repository, workflow, run number, actor",
    "git-sha": "",
    "git-branch": "",
    "schema-override": "",
    "target-name-override": "",
    "dbt-version-override": "",
    "threads-override": "",
    "timeout-seconds-override": "",
    "github-pull-request-id": "",
    "generate-docs-override": "",
    "steps-override": "",
    "pull-request": "auto",
    "targeted-retries": "3",
    "retry-on": "transient",
    "retry-strategy": "nodes",
    "retry-delay": "30",
    "wait": "true",
    "timeout-minutes": "0",
    "queue-timeout-minutes": "0",
    "poll-interval": "auto",
    "cancel-run": "true",
    "fail-on-error": "true",
    "artifacts": "manifest.json\nrun_results.json\ncatalog.json\nsources.json",
    "step-artifacts": "results",
    "artifacts-path": "dbt-cloud/<job-id>",
    "upload-artifact": "true",
    "artifact-name": "dbt-cloud-run-<job-id>-<run-id>",
    "artifact-retention-days": "the repository's",
    "summary": "true",
    "annotations": "true",
    "project-directory": ".",
    "pr-comment": "false",
    "github-token": "${{ github.token }}",
}
PUBLIC_OUTPUTS = [
    "status",
    "failure-kind",
    "run-id",
    "run-url",
    "git-sha",
    "run-ids",
    "attempts",
    "nodes-total",
    "nodes-succeeded",
    "nodes-warned",
    "nodes-failed",
    "nodes-skipped",
    "counts",
    "failed-nodes",
    "recovered-nodes",
    "failed-owners",
    "assets",
    "assets-count",
    "assets-path",
    "artifacts-path",
    "artifact-id",
    "artifact-url",
    "artifact-name",
    "duration-seconds",
    "queued-seconds",
]


def rows(text: str, columns: int) -> list[list[str]]:
    """The rows of the tables whose first cell is one name in code quotes."""
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines()]
    return [row for row in cells if len(row) == columns and re.fullmatch(r"`[a-z-]+`", row[0])]


def section(title: str) -> str:
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def readme_default(entry: Input) -> str:
    if entry.required:
        return "required"
    if entry.computed and "<" not in entry.computed:
        return entry.computed
    return f"`{'`, `'.join(entry.shown_default.splitlines())}`" if entry.shown_default else ""


def test_nothing_public_was_renamed_or_changed() -> None:
    table = {entry.name: entry.shown_default for entry in INPUTS}
    assert {name: table[name] for name in PUBLIC_INPUTS} == PUBLIC_INPUTS
    assert set(table) - set(PUBLIC_INPUTS) == {"strategy-job-index"}
    assert list(ACTION["outputs"]) == PUBLIC_OUTPUTS


def test_action_yml_declares_the_table_of_inputs() -> None:
    declared = [
        (name, entry["description"], entry.get("required", False), str(entry.get("default", "")).rstrip("\n"))
        for name, entry in ACTION["inputs"].items()
    ]
    assert declared == [(entry.name, entry.description, entry.required, entry.declared_default) for entry in INPUTS]


def test_readme_describes_the_table_of_inputs() -> None:
    expected = [[f"`{entry.name}`", readme_default(entry), entry.description] for entry in INPUTS]
    assert rows(section("Inputs"), 3) == expected


def test_every_input_has_a_field_in_the_settings() -> None:
    elsewhere = {"host": "base_url"} | dict.fromkeys(("git_sha", "git_branch", "github_pull_request_id"), "overrides")
    for entry in INPUTS:
        overrides = "overrides" if entry.field.endswith("_override") else entry.field
        assert elsewhere.get(entry.field, overrides) in Settings.model_fields, entry.name


def test_no_input_is_read_that_is_not_declared() -> None:
    known = {entry.name.upper() for entry in INPUTS}
    read = {
        match
        for path in (ROOT / "src/dbt_cloud_run").rglob("*.py")
        for match in re.findall(r"INPUT_([A-Z][A-Z_-]+)", path.read_text())
    }
    assert {name.replace("_", "-") for name in read} <= known


def test_readme_and_action_yml_describe_the_same_outputs() -> None:
    declared = [[f"`{name}`", entry["description"]] for name, entry in ACTION["outputs"].items()]
    assert rows(section("Outputs"), 2) == declared


def test_the_outputs_that_are_set_are_those_that_are_declared() -> None:
    assert list(build_outputs(ReportData(outcome=Outcome(ending=Ending.SKIPPED)))) == list(ACTION["outputs"])


def test_the_words_of_status_and_failure_kind_are_described() -> None:
    for name, words in (("status", Ending), ("failure-kind", FailureKind)):
        described = set(re.findall(r"`([a-z-]+)`", ACTION["outputs"][name]["description"]))
        assert described == {word.value for word in words if word.value}


def test_one_version() -> None:
    assert next(name for name in changelog_sections() if name != "Unreleased") == __version__
    major = __version__.split(".")[0]
    for path in DOCUMENTS:
        assert set(re.findall(r"org/dbt-cloud-run@(\S+?)[`\s]", path.read_text())) <= {f"v{major}"}
    assert f"oci://ghcr.io/org/dbt-cloud-run:{__version__} " in (ROOT / "SECURITY.md").read_text()


def test_action_yml_names_the_dockerfile_or_an_image_by_digest() -> None:
    image = ACTION["runs"]["image"]
    assert image == "Dockerfile" or re.fullmatch(r"docker://ghcr\.io/\S+@sha256:[0-9a-f]{64}", image)


@pytest.mark.parametrize("script", ["entrypoint.py", "post_entrypoint.py"])
def test_entry_points_are_where_action_yml_and_the_image_have_them(script: str) -> None:
    key = "entrypoint" if script == "entrypoint.py" else "post-entrypoint"
    assert ACTION["runs"][key] == f"/opt/dbt-cloud-run/app/{script}"
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(rf"^COPY .*\b{re.escape(script)}\b.* /opt/dbt-cloud-run/app/$", dockerfile, flags=re.MULTILINE)
    assert (ROOT / script).read_text().startswith("#!/opt/dbt-cloud-run/venv/bin/python -Iu\n")
    assert (ROOT / script).stat().st_mode & stat.S_IXUSR


def examples() -> list[Any]:
    """Every YAML block of the documents, and the project's own workflows."""
    blocks = [
        pytest.param(yaml.safe_load(block), id=f"{path.name}-{number}")
        for path in DOCUMENTS
        for number, block in enumerate(
            re.findall(r"^```ya?ml\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL), 1
        )
    ]
    folders = (ROOT / ".github/workflows", ROOT / "tests/container/workflows")
    files = sorted(path for folder in folders for path in folder.glob("*.yml"))
    return blocks + [pytest.param(yaml.safe_load(path.read_text()), id=path.name) for path in files]


@pytest.mark.parametrize("workflow", examples())
def test_examples_are_valid_workflows_that_use_declared_inputs_and_outputs(workflow: dict[Any, Any]) -> None:
    readable = {("on" if key is True else key): value for key, value in workflow.items()}  # YAML 1.1 reads `on` as true
    schema = json.loads((SCHEMAS / "github-workflows.json").read_text())
    jsonschema.Draft7Validator(schema).validate(readable)
    for job in readable["jobs"].values():
        ours = [step for step in job.get("steps", []) if re.match(r"org/dbt-cloud-run@|\./$", step.get("uses", ""))]
        for step in ours:
            assert set(step["with"]) <= set(ACTION["inputs"]) | PLATFORM_INPUTS
        ids = {step["id"] for step in ours if "id" in step}
        for step_id, output in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", json.dumps(job)):
            assert step_id not in ids or output in ACTION["outputs"]


def test_the_actions_that_are_used_are_pinned_or_listed_as_to_be_pinned() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        for used in re.findall(r"uses: ([^\s#]+)", path.read_text()):
            assert used == "./" or re.search(r"@[0-9a-f]{40}$", used) or f"`{used}`" in contributing, used
