"""One word for one thing, in what the program says and in the documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.docs import ROOT, documents

SOURCES = ROOT / "src" / "dbt_cloud_run"
# The messages of warehouses, which are what they are.
FOREIGN = SOURCES / "dbt" / "failure_patterns"
# Said of a retry and of a workflow alike: re-run.
OTHER_WORDS = re.compile(r"\b(?:run|runs|ran|runs? it) again\b|\b[Rr]erun\b(?!\s+from point)", re.IGNORECASE)
# The command has no workflow, no `env:` and no job summary; a job can be re-run everywhere.
NEEDS_GITHUB = re.compile(
    r"\bre-run the workflow\b(?! run)|\bin quotes in the workflow\b|\bsee the job summary\b|`env:` of this step\b",
    re.IGNORECASE,
)
# Each has a plainer word.
ODD = re.compile(
    r"\bnot to be had\b|\bso many (?:seconds|minutes|nodes)\b|\b(?:some|no|any)body\b|\banew\b|\bfor want of\b"
    r"|\binside of\b|\bgave no\b|\btold apart\b|\bis no (?:list|path|address|URL|number)\b|\bgoes on in\b",
    re.IGNORECASE,
)


def sentences(path: Path) -> Iterator[str]:
    """The texts of a module that have a blank in them, without its docstrings."""
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        if is_text and " " in node.value:  # type: ignore[attr-defined]
            yield node.value  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(SOURCES.rglob("*.py")) if FOREIGN not in path.parents],
    ids=lambda path: str(path.relative_to(SOURCES)),
)
def test_what_the_program_says(path: Path) -> None:
    for text in sentences(path):
        for pattern in (OTHER_WORDS, NEEDS_GITHUB, ODD):
            assert not pattern.search(text), text


@pytest.mark.parametrize("path", [*documents(), ROOT / "action.yml"], ids=lambda path: str(path.relative_to(ROOT)))
def test_the_documents(path: Path) -> None:
    text = " ".join(path.read_text().split())
    found = [match[0] for pattern in (OTHER_WORDS, ODD) for match in pattern.finditer(text)]
    assert found == []


def test_the_lines_of_documents_are_short() -> None:
    """Tables and addresses apart; `docs/events.md` is made by its rules."""
    long = [
        f"{path.name}:{number}"
        for path in documents()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 165 and not line.startswith("|") and "](http" not in line and path.name != "events.md"
    ]
    assert long == []
