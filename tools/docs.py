#!/usr/bin/env python
"""Fill the generated parts of the documents: tables of inputs and outputs, errors, and the example files.

python -m tools.docs          write them
python -m tools.docs --check  exit 1 where a document differs, or a link or an anchor leads nowhere

A generated part stands between `<!-- begin: NAME -->` and `<!-- end: NAME -->`. NAME is `inputs`, `outputs`, `errors`,
or the path of an example below `docs/examples/`. An image is named by the version that has what the documents describe.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from tools.release import documented_version

from dbt_cloud_run.errors import ActionError
from dbt_cloud_run.settings import inputs

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "docs"
EXAMPLES: Final = DOCS / "examples"
_BLOCK: Final = re.compile(r"<!-- begin: (?P<name>[\w./-]+) -->\n(?P<body>.*?)<!-- end: (?P=name) -->", re.DOTALL)
_IMAGE: Final = re.compile(r"(?<=ghcr\.io/org/dbt-cloud-run:)\d+\.\d+\.\d+")
_LANGUAGES: Final = {".yml": "yaml", ".py": "python", ".sh": "bash", ".sql": "sql", ".json": "json"}

_TYPES: Final = {
    "integer": "integer",
    "decimal": "number",
    "boolean": "boolean",
    "choice": "choice",
    "poll_interval": "number, or `auto`",
    "lines": "lines",
    "artifact_paths": "lines",
    "commands": "lines, or a list",
    "token": "secret",
    "base_url": "host",
}


def documents() -> list[Path]:
    """Every page that people read."""
    top = (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"))
    return [*top, *sorted(DOCS.rglob("*.md"))]


# -- generated parts


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _type_of(entry: inputs.Input) -> str:
    name = entry.parse.__qualname__.split(".")[0]
    return _TYPES.get(name, "text")


def _default_of(entry: inputs.Input) -> str:
    shown = entry.shown_default
    if entry.required:
        return "required"
    is_prose = " " in shown and "{" not in shown
    return shown if not shown or is_prose else f"`{'`, `'.join(shown.splitlines())}`"


def _inputs() -> str:
    parts = []
    for title, group in inputs.GROUPS.items():
        rows = ((f"`{one.name}`", _type_of(one), _default_of(one), one.description) for one in group)
        parts.append(f"### {title}\n\n{_table(('input', 'type', 'default', 'what it does'), iter(rows))}")
    return "\n".join(parts)


def _outputs() -> str:
    declared = yaml.safe_load((ROOT / "action.yml").read_text())["outputs"]
    return _table(("output", "value"), ((f"`{name}`", entry["description"]) for name, entry in declared.items()))


def error_classes() -> list[type[ActionError]]:
    """Every class of error that a user can see, by its code."""
    _import_all()
    found: list[type[ActionError]] = []
    classes = [ActionError]
    while classes:
        children = classes.pop().__subclasses__()
        classes.extend(children)
        found.extend(child for child in children if child.__module__.startswith("dbt_cloud_run."))
    return sorted(set(found), key=lambda one: one.code)


def _errors() -> str:
    parts = []
    for one in error_classes():
        what = (one.__doc__ or "").split("\n\n")[0]
        parts.append(f"### `[{one.code}]`\n\n{' '.join(what.split())}\n\n**What to do:** {one.remedy}\n")
    return "\n".join(parts)


def _import_all() -> None:
    """The classes of errors are known when the modules that define them are imported."""
    import importlib
    import pkgutil

    import dbt_cloud_run

    for module in pkgutil.walk_packages(dbt_cloud_run.__path__, "dbt_cloud_run."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _example(name: str) -> str:
    path = EXAMPLES / name
    return f"```{_LANGUAGES[path.suffix]}\n{path.read_text()}```\n"


def generated(name: str) -> str:
    """The text between the two markers of this name."""
    made = {"inputs": _inputs, "outputs": _outputs, "errors": _errors}
    return made[name]() if name in made else _example(name)


def examples() -> list[Path]:
    """Every file that a page shows or links."""
    return sorted(path for path in EXAMPLES.rglob("*") if path.is_file())


def filled(text: str) -> str:
    """The document with all of its generated parts made from what they are about, and with the image's version."""

    def fill(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- begin: {name} -->\n{generated(name)}<!-- end: {name} -->"

    return _IMAGE.sub(documented_version(), _BLOCK.sub(fill, text))


# -- links


def _tokens(path: Path) -> list[Token]:
    return MarkdownIt("gfm-like", {"linkify": False}).parse(path.read_text())


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a document, and those that it sets itself."""
    found: set[str] = set()
    tokens = _tokens(path)
    for before, token in itertools.pairwise(tokens):
        if before.type == "heading_open":
            words = "".join(child.content for child in token.children or ())
            slug = re.sub(r"[^\w\- ]", "", words.lower()).strip().replace(" ", "-")
            number = 0
            while (name := f"{slug}-{number}" if number else slug) in found:
                number += 1
            found.add(name)
    return found | set(re.findall(r'<a (?:id|name)="([^"]+)"', path.read_text()))


def broken_links(path: Path) -> Iterator[str]:
    """Each link of the document that leads nowhere in the repository."""
    targets = re.findall(r'(?:src|srcset|href)="([^"]+)"', path.read_text())
    for token in _tokens(path):
        for child in token.children or ():
            targets += [str(child.attrs[name]) for name in ("href", "src") if name in child.attrs]
    for target in targets:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not there.exists():
            yield f"{target}: there is no such file"
        elif parts.fragment and there.suffix == ".md" and unquote(parts.fragment) not in anchors(there):
            yield f"{target}: there is no such heading"


def main(arguments: list[str]) -> int:
    """Exit status: 1 where `--check` finds something."""
    problems = []
    # Examples first: they become parts of documents.
    for path in (*examples(), *documents()):
        text = path.read_text()
        if filled(text) != text:
            if "--check" in arguments:
                problems.append(
                    f"{path.relative_to(ROOT)}: a generated part is not up to date; run python -m tools.docs"
                )
            else:
                path.write_text(filled(text))
    for path in documents():
        problems += [f"{path.relative_to(ROOT)}: {problem}" for problem in broken_links(path)]
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
