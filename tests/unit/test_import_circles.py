"""No module needs itself, by whatever way: imports inside functions and for type checkers count, too."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "src"


def module_name(file: Path, root: Path) -> str:
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def import_graph(root: Path, package: str) -> dict[str, set[str]]:
    """The modules of a package, each with those of the package that it imports anywhere in its text."""
    files = {module_name(file, root): file for file in sorted((root / package).rglob("*.py"))}
    graph: dict[str, set[str]] = {}
    for name, file in files.items():
        home = name if file.name == "__init__.py" else name.rpartition(".")[0]
        found: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = home.split(".")[: len(home.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                # `from a import b` imports the module a.b where there is one, and else a name out of a.
                found |= {path if (path := f"{base}.{alias.name}") in files else base for alias in node.names}
        graph[name] = (found & set(files)) - {name}
    return graph


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """The modules of a circle, the first one again at its end; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


@pytest.mark.parametrize("package", ["dbt_cloud_emulator", "dbt_cloud_run"])
def test_no_module_imports_itself_by_way_of_others(package: str) -> None:
    graph = import_graph(SOURCES, package)
    assert len(graph) > 20
    assert circle(graph) == []


@pytest.mark.parametrize("package", ["benchmarks", "demo", "standins", "tests", "tools"])
def test_nothing_around_the_sources_does_so_either(package: str) -> None:
    graph = import_graph(SOURCES.parent, package)
    assert len(graph) > 1
    assert circle(graph) == []


@pytest.mark.parametrize(
    "text",
    [
        "from house import kitchen",
        "import house.kitchen",
        "from house.kitchen import pot",
        "from . import kitchen",
        "from .kitchen import pot",
        "def cook():\n    from house.kitchen import pot",
        "if TYPE_CHECKING:\n    from house.kitchen import pot",
    ],
)
def test_every_form_of_an_import_is_seen(tmp_path: Path, text: str) -> None:
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "__init__.py").write_text("")
    (tmp_path / "house" / "kitchen.py").write_text("import house.cellar\n")
    (tmp_path / "house" / "cellar.py").write_text(text)
    assert set(circle(import_graph(tmp_path, "house"))) == {"house.kitchen", "house.cellar"}


@pytest.mark.parametrize("package", ["dbt_cloud_emulator", "dbt_cloud_run"])
def test_what_is_installed_needs_nothing_of_the_repository(package: str) -> None:
    tops = set()
    for file in (SOURCES / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            tops |= {name.partition(".")[0] for name in names}
    assert "pydantic" in tops
    assert tops.isdisjoint({"benchmarks", "demo", "standins", "tests"})
