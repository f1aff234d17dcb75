"""Read which options each command of dbt takes, from dbt-core's own wheels, into the list that the tests compare with.

    python tools/dbt_options.py dbt_core-1.*.whl > tests/support/dbt_options.json

The wheels are read, not imported: an old dbt does not run beside the installed one. Options of the new engine come from
its `--help` and are kept by hand.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

EVERYWHERE = "global_flags"


def options_of(wheel: Path) -> dict[str, dict[str, str]]:
    """command → spelling → `none`, `one`, `many`, or `off` for a negation."""
    with zipfile.ZipFile(wheel) as archive:
        params = ast.parse(archive.read("dbt/cli/params.py"))
        main = ast.parse(archive.read("dbt/cli/main.py"))
    known = dict(_definitions(params))
    shared = _decorators(next(node for node in main.body if getattr(node, "name", "") == EVERYWHERE))
    found: dict[str, dict[str, str]] = {}
    for node in main.body:
        if isinstance(node, ast.FunctionDef) and (name := _command(node)) is not None:
            names = [*_decorators(node), *shared]
            found[name] = {spelling: how for one in names for spelling, how in known.get(one, {}).items()}
    return found


def _definitions(module: ast.Module) -> Iterator[tuple[str, dict[str, str]]]:
    for node in module.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(value, ast.Call) and isinstance(target, ast.Name):
            yield target.id, dict(_spellings(value))


def _spellings(call: ast.Call) -> Iterator[tuple[str, str]]:
    settings = {one.arg: one.value for one in call.keywords}
    is_flag = "is_flag" in settings or any("/" in text for text in _texts(call))
    kind = "none" if is_flag else "many" if "MultiOption" in ast.dump(settings.get("cls", ast.Constant(0))) else "one"
    action = settings.get("is_flag")
    if isinstance(action, ast.Constant) and action.value is False:
        kind = "one"
    for text in _texts(call):
        for position, part in enumerate(text.split("/")):
            if part.startswith("-"):
                yield part, "off" if position else kind


def _texts(call: ast.Call) -> list[str]:
    return [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]


def _command(node: ast.FunctionDef) -> str | None:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) in (
            "cli.command",
            "docs.command",
            "source.command",
        ):
            group = ast.unparse(decorator.func).partition(".")[0]
            name = _texts(decorator)[0]
            return name if group == "cli" else f"{group} {name}"
        if ast.unparse(decorator).startswith("click.group"):
            return ""
    return None


def _decorators(node: ast.stmt) -> list[str]:
    return re.findall(
        r"\bp\.(\w+)", ast.unparse(node).partition(f"def {getattr(node, 'name', '')}(")[0] or ""
    ) or re.findall(r"\bp\.(\w+)", ast.unparse(node))


def main() -> None:
    found = {}
    for wheel in sorted(map(Path, sys.argv[1:])):
        version = wheel.name.split("-")[1]
        found[version] = options_of(wheel)
    json.dump(found, sys.stdout, indent=1, sort_keys=True)


if __name__ == "__main__":
    main()
