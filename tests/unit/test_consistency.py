"""One truth in several files: inputs, outputs, versions, examples, entry points."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
import yaml
from tests.support.contract import INPUTS, OUTPUTS
from tools.release import changelog_sections, documented_version, image_name

from dbt_cloud_run import __version__
from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.model import Outcome
from dbt_cloud_run.report.outputs import build_outputs
from dbt_cloud_run.report.report import Report
from dbt_cloud_run.settings.inputs import INPUTS as TABLE

ROOT = Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def rows(text: str, columns: int) -> list[list[str]]:
    """The rows of the tables whose first cell is one name in code quotes."""
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines()]
    return [row for row in cells if len(row) == columns and re.fullmatch(r"`[a-z-]+`", row[0])]


def section(title: str) -> str:
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_the_table_of_inputs_keeps_the_contract() -> None:
    table = [(entry.name, entry.shown_default, entry.required, entry.variable, entry.description) for entry in TABLE]
    assert table == [
        (entry.name, entry.default, entry.required, entry.variable, entry.meaning) for entry in INPUTS.values()
    ]


def test_action_yml_declares_the_inputs_of_the_contract() -> None:
    assert list(ACTION["inputs"]) == list(INPUTS)
    for (name, declared), entry in zip(ACTION["inputs"].items(), TABLE, strict=True):
        assert declared["description"] == INPUTS[name].meaning, name
        assert declared.get("required", False) == INPUTS[name].required, name
        assert str(declared.get("default", "")).rstrip("\n") == entry.declared_default, name


def test_the_readme_names_inputs_and_outputs_of_the_contract() -> None:
    assert {row[0].strip("`") for row in rows(section("Inputs"), 3)} <= set(INPUTS)
    lines = [line for line in section("Outputs").splitlines() if line.startswith("| `")]
    named = {name for line in lines for name in re.findall(r"`([a-z-]+)`", line.split("|")[1])}
    assert named
    assert named <= set(OUTPUTS)


def test_every_choice_and_variable_is_described() -> None:
    for entry in INPUTS.values():
        named = set(re.findall(r"`([^`]+)`", entry.meaning)) | {entry.default}
        if entry.choices not in ((), ("true", "false")):
            assert set(entry.choices) <= named, entry.name
        assert {word for word in named if word.startswith("DBT_")} == {entry.variable} - {""}, entry.name


def test_action_yml_describes_the_outputs_of_the_contract() -> None:
    assert [(name, entry["description"]) for name, entry in ACTION["outputs"].items()] == list(OUTPUTS.items())


def test_the_outputs_that_are_set_are_those_that_are_declared() -> None:
    assert list(build_outputs(Report(outcome=Outcome(ending=Ending.SKIPPED)))) == list(ACTION["outputs"])


def test_the_words_of_status_and_failure_kind_are_described() -> None:
    for name, words in (("status", Ending), ("failure-kind", FailureKind)):
        described = set(re.findall(r"`([a-z-]+)`", ACTION["outputs"][name]["description"]))
        assert described - {"fail-on"} == {word.value for word in words if word.value}


def test_one_version() -> None:
    assert next(name for name in changelog_sections() if name != "Unreleased") == __version__
    major = __version__.split(".")[0]
    for path in DOCUMENTS:
        assert set(re.findall(r"org/dbt-cloud-run@(\S+?)[`\s]", path.read_text())) <= {f"v{major}"}
        assert set(re.findall(r"ghcr\.io/org/dbt-cloud-run:(\S+)", path.read_text())) <= {documented_version()}
    assert f"oci://ghcr.io/org/dbt-cloud-run:{documented_version()} " in (ROOT / "SECURITY.md").read_text()


def test_action_yml_names_the_dockerfile_or_this_repositorys_image_by_digest() -> None:
    (repository,) = set(re.findall(r"uses: (\S+/dbt-cloud-run)@", README))
    image = ACTION["runs"]["image"]
    assert image == "Dockerfile" or re.fullmatch(
        rf"docker://{re.escape(image_name(repository))}@sha256:[0-9a-f]{{64}}", image
    )


def test_action_yml_runs_two_entry_points_and_the_second_one_always() -> None:
    assert set(ACTION["runs"]) == {"using", "image", "entrypoint", "post-entrypoint", "post-if"}
    assert ACTION["runs"]["using"] == "docker"
    assert ACTION["runs"]["post-if"] == "always()"


@pytest.mark.parametrize("script", ["entrypoint.py", "post_entrypoint.py", "command_entrypoint.py"])
def test_entry_points_are_where_action_yml_and_the_image_have_them(script: str) -> None:
    key = {"entrypoint.py": "entrypoint", "post_entrypoint.py": "post-entrypoint"}.get(script)
    assert key is None or ACTION["runs"][key] == f"/opt/dbt-cloud-run/app/{script}"
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(rf"^COPY .*\b{re.escape(script)}\b.* /opt/dbt-cloud-run/app/$", dockerfile, flags=re.MULTILINE)
    first = (ROOT / script).read_text().splitlines()[0]
    assert first == "#!/usr/bin/env -S --block-signal=INT,TERM /opt/dbt-cloud-run/venv/bin/python -Iu"
    # Linux cuts a longer first line.
    assert len(first) < 127
    assert (ROOT / script).stat().st_mode & stat.S_IXUSR
