"""The examples of the documents, and the project's own workflows: valid, and true to the contract."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml
from tests.support.contract import INPUTS, OUTPUTS

from dbt_cloud_run.settings.inputs import INPUTS as TABLE
from dbt_cloud_run.settings.inputs import PLATFORM_INPUTS
from dbt_cloud_run.settings.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SCHEMAS = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"


def examples() -> list[Any]:
    """Every workflow in the documents, and the project's own."""
    blocks = [
        pytest.param(content, id=f"{path.name}-{number}")
        for path in DOCUMENTS
        for number, block in enumerate(
            re.findall(r"^```ya?ml\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL), 1
        )
        if "jobs" in (content := as_workflow(yaml.safe_load(block))) or path.name == "README.md"
    ]
    folders = (ROOT / ".github/workflows", ROOT / "tests/container/workflows")
    files = sorted(path for folder in folders for path in folder.glob("*.yml"))
    return blocks + [pytest.param(yaml.safe_load(path.read_text()), id=path.name) for path in files]


def as_workflow(content: Any) -> Any:
    """The workflow around the steps that the README shows alone."""
    if not isinstance(content, list):
        return content
    return {"on": "push", "jobs": {"dbt": {"runs-on": "ubuntu-latest", "steps": content}}}


def environment(step: dict[str, Any]) -> dict[str, str]:
    """What the runner makes of `with:`; every expression gives 1."""
    texts = {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in step["with"].items()
    }
    return {f"INPUT_{name.upper()}": re.sub(r"\$\{\{.*?\}\}", "1", text) for name, text in texts.items()}


@pytest.mark.parametrize("workflow", examples())
def test_examples_are_valid_workflows_that_use_declared_inputs_and_outputs(workflow: dict[Any, Any]) -> None:
    readable = {("on" if key is True else key): value for key, value in workflow.items()}  # YAML 1.1 reads `on` as true
    schema = json.loads((SCHEMAS / "github-workflows.json").read_text())
    jsonschema.Draft7Validator(schema).validate(readable)
    for job in readable["jobs"].values():
        ours = [step for step in job.get("steps", []) if re.match(r"org/dbt-cloud-run@|\./$", step.get("uses", ""))]
        for step in ours:
            assert set(step["with"]) <= set(INPUTS) | PLATFORM_INPUTS
            Settings.from_environ(environment(step))  # raises where a value is not accepted
        ids = {step["id"] for step in ours if "id" in step}
        for step_id, output in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", json.dumps(job)):
            assert step_id not in ids or output in OUTPUTS


def test_the_actions_that_are_used_are_pinned_or_listed_as_to_be_pinned() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        for used in re.findall(r"uses: ([^\s#]+)", path.read_text()):
            assert used == "./" or re.search(r"@[0-9a-f]{40}$", used) or f"`{used}`" in contributing, used


@pytest.mark.parametrize("path", sorted((ROOT / "docs/examples").rglob("*.py")), ids=lambda path: path.name)
def test_examples_in_python_can_be_compiled(path: Path) -> None:
    compile(path.read_text(), path.name, "exec")


def test_the_page_on_changing_over_names_inputs_that_there_are() -> None:
    """What stands in the right column alone; the words of other tools stand in the left one."""
    page = (ROOT / "docs/changing-over.md").read_text()
    cells = [line.split(" | ")[1] for line in page.splitlines() if line.startswith("| ") and " | " in line]
    named = {name.split(":")[0] for cell in cells for name in re.findall(r"`([a-z]+(?:-[a-z]+)+(?:: \S+)?)`", cell)}
    assert len(named) > 15
    assert named <= {entry.name for entry in TABLE} | set(OUTPUTS)
