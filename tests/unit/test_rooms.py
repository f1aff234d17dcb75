"""The rooms of the house: imports point one way only, in the order in which the data flows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2] / "src" / "dbt_cloud_run"
TRAVELS = (
    *("cancellation", "commits", "cost", "endings", "gates", "invariants", "unknown", "planned"),
    *("node_results", "model"),
)
ORDER = (
    *TRAVELS,
    *("errors", "clock", "redaction", "text", "console"),
    *("threads", "deflating"),  # blocking work; files that are compressed as they grow
    "network",  # how any host is reached
    *("github", "dbt", "cloud"),  # the worlds outside, which do not know each other
    # the sentence
    *("settings", "waiting", "start", "collect", "retry", "ledger", "assets", "report", "emit", "publish"),
    *("story", "state", "run_log", "process", "loop", "dry_run", "step", "main", "post"),  # what brings them together
    *("command", "__main__"),  # the way in that is not GitHub's
)
WORLDS = {"github", "dbt", "cloud"}
VALUES = {*TRAVELS, "errors", "clock", "redaction", "text", "console"}
SHARED = VALUES | {"threads", "deflating", "network"}


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


LONGEST_FUNCTION, LONGEST_FILE = 50, 400
SOURCES = HOUSE.parent
FILES = sorted(SOURCES.rglob("*.py"))

# Where an import inside a function buys start-up time: the first request goes out before the report, the ledger and
# dbt's artifacts are loaded, and before what reads its answer.
# `github/` and `network/` do so for libraries that are large or seldom needed.
# `__main__` and `command` do so for handlers of signals that come first, and for an optional library.
LATE_IMPORTS = {"step.py", "main.py", "story.py", "run_log.py", "post.py", "__main__.py", "command/main.py"} | {
    "cloud/client.py"
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCES)))
def test_no_function_and_no_file_is_long(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}
    assert len(text.splitlines()) <= LONGEST_FILE


def test_imports_inside_functions_are_where_they_buy_time() -> None:
    late = set()
    for file in HOUSE.rglob("*.py"):
        functions = (
            node
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        )
        if any(isinstance(node, ast.Import | ast.ImportFrom) for one in functions for node in ast.walk(one)):
            late.add(file.relative_to(HOUSE).as_posix())
    assert {name for name in late if name.partition("/")[0] not in ("github", "network")} == LATE_IMPORTS


def test_every_room_has_its_place() -> None:
    rooms = {path.name.removesuffix(".py") for path in HOUSE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms - {"__init__", "__pycache__", "py.typed"} == set(ORDER)


@pytest.mark.parametrize(("room", "imported", "file"), sorted(set(imports())))
def test_imports_point_one_way(room: str, imported: str, file: str) -> None:
    assert ORDER.index(imported) < ORDER.index(room), f"{file} imports {imported}"


@pytest.mark.parametrize("world", sorted(WORLDS))
def test_the_worlds_outside_do_not_know_each_other(world: str) -> None:
    assert {imported for room, imported, _ in imports() if room == world} <= SHARED
