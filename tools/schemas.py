"""Writes the JSON Schemas of `result.json` and `assets.json` from the types that write them: `schemas.py [DIR]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from dbt_cloud_run.report.shapes import VERSION, AssetsFile, Result

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "schemas"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """File name -> schema. Outputs are described in the words of `action.yml`."""
    outputs = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["outputs"]
    result = TypeAdapter(Result).json_schema(mode="serialization")
    for name, declared in outputs.items():
        result["properties"][name]["description"] = declared["description"]
    assets = TypeAdapter(AssetsFile).json_schema(mode="serialization")
    return {
        f"result-v{VERSION}.schema.json": {"$schema": _DIALECT, **_without_titles(result)},
        f"assets-v{VERSION}.schema.json": {"$schema": _DIALECT, **_without_titles(assets)},
    }


def _without_titles(schema: Any) -> Any:
    """Pydantic repeats every name as a title."""
    if isinstance(schema, dict):
        return {
            key: _without_titles(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)
        }
    return [_without_titles(one) for one in schema] if isinstance(schema, list) else schema


def text_of(schema: dict[str, Any]) -> str:
    """The schema as it is committed."""
    return json.dumps(schema, indent=2) + "\n"


def main(folder: Path = FOLDER) -> None:
    for name, schema in schemas().items():
        (folder / name).write_text(text_of(schema), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
