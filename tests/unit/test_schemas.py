"""The files for programs keep to their schemas, the schemas to the types, and both to what was promised."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.support import report_scenarios as scenarios
from tests.support.contract import OUTPUTS
from tools.schemas import FOLDER, schemas, text_of

from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.model import Outcome
from dbt_cloud_run.report import files
from dbt_cloud_run.report.report import Report
from dbt_cloud_run.report.result import about, result_values
from dbt_cloud_run.report.shapes import VERSION

RECORDED = Path(__file__).parents[1] / "recorded"
REPORTS = {
    "green": scenarios.green,
    "billed": scenarios.billed,
    "failed": scenarios.failed,
    "cancelled": scenarios.cancelled,
    "setup failed": scenarios.setup_failed,
    "hostile": scenarios.hostile,
    "skipped": lambda: Report(outcome=Outcome(ending=Ending.SKIPPED)),
    "config": lambda: Report(outcome=Outcome(ending=Ending.ERROR, failure_kind=FailureKind.CONFIG)),
}


def committed(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def validator(schema: Any) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    return jsonschema.Draft202012Validator(schema, format_checker=checker)


def closed(schema: Any) -> Any:
    """The schema as it would be if no field could be added: what is written has no field that is not described."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    return {**found, "additionalProperties": False} if "properties" in found else found


def written(data: Report, folder: Path) -> Iterator[tuple[str, Any]]:
    files.write_result(folder / "result.json", result_values(data))
    files.write_assets(folder / "assets.json", data.assets, about(data))
    for kind in ("result", "assets"):
        yield kind, json.loads((folder / f"{kind}.json").read_text(encoding="utf-8"))


def test_the_committed_schemas_are_those_of_the_types() -> None:
    for name, schema in schemas().items():
        path = FOLDER / name
        assert path.read_text(encoding="utf-8") == text_of(schema), "run tools/schemas.py"


@pytest.mark.parametrize("name", REPORTS)
def test_what_is_written_is_what_the_schemas_describe(name: str, tmp_path: Path) -> None:
    for kind, content in written(REPORTS[name](), tmp_path):
        validator(closed(schemas()[f"{kind}-v{VERSION}.schema.json"])).validate(content)
        assert content["schema_version"] == VERSION


def test_the_result_holds_every_output() -> None:
    assert set(OUTPUTS) <= set(schemas()[f"result-v{VERSION}.schema.json"]["required"])
    assert set(OUTPUTS) <= set(result_values(scenarios.green()))


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*-v*.json")), ids=lambda file: file.stem)
def test_a_file_of_an_earlier_release_keeps_to_the_schema_of_its_version(file: Path) -> None:
    kind, version = file.stem.split("-")[:2]
    content = committed(file)
    assert f"v{content['schema_version']}" == version
    validator(committed(FOLDER / f"{kind}-{version}.schema.json")).validate(content)


def test_every_version_has_its_schema_and_recorded_files() -> None:
    names = {f"{kind}-v{version}" for kind in ("result", "assets") for version in range(1, VERSION + 1)}
    assert {path.name.removesuffix(".schema.json") for path in FOLDER.glob("*.schema.json")} == names
    assert {"-".join(path.stem.split("-")[:2]) for path in RECORDED.glob("*-v*.json")} == names


def test_a_file_with_a_field_of_a_later_release_is_valid() -> None:
    for kind in ("result", "assets"):
        content = committed(RECORDED / f"{kind}-v1-full.json") | {"of a later release": 1}
        validator(committed(FOLDER / f"{kind}-v1.schema.json")).validate(content)


@pytest.mark.parametrize(("field", "value"), [("run-ids", 7), ("attempts", "2"), ("schema_version", 2), ("cost", [])])
def test_the_schema_refuses_what_would_be_a_change(field: str, value: Any) -> None:
    content = committed(RECORDED / "result-v1-full.json") | {field: value}
    with pytest.raises(jsonschema.ValidationError):
        validator(committed(FOLDER / "result-v1.schema.json")).validate(content)


def test_what_the_run_was_about() -> None:
    content = result_values(scenarios.billed())
    assert content["job"] == {"id": 12345, "name": "Nightly build"}
    assert (content["environment"]["name"], content["branch"], content["schema"]) == ("Production", "main", None)
    assert content["versions"]["dbt"] == "1.11.0"
    nothing = result_values(Report(outcome=Outcome(ending=Ending.SKIPPED)))
    assert nothing["project"] == {"id": None, "name": None}
    assert (nothing["cost"], nothing["saved"]) == (None, None)


def test_costs_and_what_was_saved() -> None:
    content = result_values(scenarios.billed())
    assert content["cost"] is not None
    assert content["saved"] is not None
    assert content["saved"]["cost"] is not None
    assert content["cost"]["is_complete"]
    plan = scenarios.billed().outcome.attempts[0].plan
    assert plan is not None
    assert content["saved"]["nodes"] == plan.saved.nodes == 9
    assert content["saved"]["cost"]["bytes_billed"] == plan.saved.cost.bytes_billed
    assert content["cost"]["bytes_billed"] > plan.saved.cost.bytes_billed > 10**9
    free = result_values(scenarios.recovered())
    assert (free["cost"], free["saved"] and free["saved"]["cost"]) == (None, None)
