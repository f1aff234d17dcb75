"""The rooms of the house: imports point one way only, in the order in which the data flows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2] / "src" / "dbt_cloud_run"
ORDER = (
    *("model", "errors", "clock", "redaction"),  # what travels
    "network",  # how any host is reached
    *("github", "dbt", "cloud"),  # the worlds outside, which do not know each other
    *("settings", "waiting", "start", "collect", "retry", "ledger", "assets", "report", "publish"),  # the sentence
    *("story", "state", "run_log", "process", "loop", "step", "main", "post"),  # what brings them together
)
WORLDS = {"github", "dbt", "cloud"}
VALUES = {"model", "errors", "clock", "redaction"}
SHARED = VALUES | {"network"}


def imports() -> Iterator[tuple[str, str, str]]:
    """(room, room that it imports, file)."""
    for file in sorted(HOUSE.rglob("*.py")):
        inside = file.relative_to(HOUSE)
        room = inside.parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                parts = name.split(".")
                if parts[0] == "dbt_cloud_run" and len(parts) > 1 and parts[1] != room:
                    yield room, parts[1], str(inside)


def test_every_room_has_its_place() -> None:
    rooms = {path.name.removesuffix(".py") for path in HOUSE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms - {"__init__", "__pycache__", "py.typed"} == set(ORDER)


@pytest.mark.parametrize(("room", "imported", "file"), sorted(set(imports())))
def test_imports_point_one_way(room: str, imported: str, file: str) -> None:
    assert ORDER.index(imported) < ORDER.index(room), f"{file} imports {imported}"


@pytest.mark.parametrize("world", sorted(WORLDS))
def test_the_worlds_outside_do_not_know_each_other(world: str) -> None:
    assert {imported for room, imported, _ in imports() if room == world} <= SHARED
