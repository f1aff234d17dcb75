"""The programs that are measured beside others: a type checker does not see them, as the peers' need other packages."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

CLIENTS = Path(__file__).resolve().parents[2] / "benchmarks" / "clients"
OURS = [
    (file.name, node.module, name.name)
    for file in sorted(CLIENTS.glob("*.py"))
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dbt_cloud_run.")
    for name in node.names
]


@pytest.mark.parametrize(("file", "module", "name"), OURS)
def test_what_a_client_imports_of_this_program_is_defined_there(file: str, module: str, name: str) -> None:
    found = getattr(importlib.import_module(module), name)
    assert getattr(found, "__module__", module) == module, f"{file} imports {name} from {module}"


def test_clients_of_this_program_were_found() -> None:
    assert {file for file, _, _ in OURS} == {"our_assets.py", "our_steps.py"}
