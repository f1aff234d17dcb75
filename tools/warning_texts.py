#!/usr/bin/env python
"""Every warning that the program can write, read off its code; docs/troubleshooting.md explains each of them.

python -m tools.warning_texts   print them; `…` stands for what is only known when the program runs

A sentence becomes a warning where `….warning(…)` or `_warn(…)` is called with it, where it is appended to `warnings`,
and where it is given as `warning=` or `warnings=`. Where one of these passes on what another function has made,
`MAKERS` names the function that makes it.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).resolve().parents[1] / "src" / "dbt_cloud_run"
ANY: Final = "…"

_SETTINGS: Final = (
    "settings/settings.py warnings",
    "settings/settings.py _masked_ids",
    "settings/commands.py odd_commands",
)
_OVERRIDES: Final = ("start/overrides.py _built_beside", "start/overrides.py _without_commit")
_STALE: Final = ("publish/comment.py mark_stale_comment",)
MAKERS: Final[Mapping[str, tuple[str, ...]]] = {
    "main.py run": _SETTINGS,
    "settings/settings.py from_environ": _SETTINGS,
    "main.py _mark_stale_comment": _STALE,
    "post.py _mark_stale": (*_STALE, "post.py _mark_stale"),
    "start/decide.py _overrides": _OVERRIDES,
    "start/overrides.py fill": _OVERRIDES,
    "collect/downloads.py _leave_out": ("collect/downloads.py _overdue",),
    "publish/publish.py _annotate": ("report/gates.py cautions", "report/gates.py _nothing_selected"),
    "publish/publish.py _set_outputs": ("publish/sinks.py set_outputs",),
    "publish/publish.py _write_summary": ("publish/sinks.py write_summary",),
    "publish/publish.py _comment": ("publish/comment.py comment", *_STALE),
    "publish/publish.py _emit": ("emit/emit.py _send",),
    # These pass on what was found above.
    "collect/attempts.py attempt_of": (),
    "collect/collect.py _manifest": (),
    "collect/collect.py _warn": (),
    "collect/collect.py collected": (),
    "github/log.py emit": (),
    "report/pull_request.py comment_place": (),
    "publish/publish.py _warn": (),
    "publish/publish.py publish": (),
    "run_log.py ended": (),
}
"""The functions that pass sentences on, each with the functions that make them: `file function`."""

_HAS_WORDS: Final = re.compile(r"[A-Za-z]{2,}.* .*[a-z]{2,}")
_PLACEHOLDER: Final = re.compile(r"%(?:s|d|r|\.\d+f)|\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Found:
    """A sentence and the function that writes it; no sentence where the function passes on what it is given."""

    place: str  # file and function
    text: str


@dataclass(frozen=True, slots=True)
class _Function:
    place: str
    node: ast.FunctionDef | ast.AsyncFunctionDef
    constants: Mapping[str, ast.expr]  # of its module

    def texts(self, expression: ast.expr) -> list[str]:
        """The forms that the text of an expression can have; `…` alone where it is not written here."""
        match expression:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr(values=parts):
                return ["".join(one) for one in itertools.product(*map(self.texts, parts))]
            case ast.FormattedValue(value=value):
                return self.texts(value)
            case ast.IfExp(body=one, orelse=other):
                return [*self.texts(one), *self.texts(other)]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return [a + b for a, b in itertools.product(self.texts(left), self.texts(right))]
            case ast.Call(func=ast.Attribute(value=text, attr="format" | "replace")):
                return self.texts(text)
            case ast.Name(id=name):
                return self._named(name)
            case ast.ListComp(elt=element):
                return self.texts(element)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                return [text for element in elements for text in self.texts(element)]
        return [ANY]

    def _named(self, name: str) -> list[str]:
        if name in self.constants:
            return self.texts(self.constants[name])
        values = [
            node.value
            for node in ast.walk(self.node)
            if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets)
        ]
        is_text = [value for value in values if isinstance(value, ast.JoinedStr | ast.Constant | ast.IfExp)]
        return [text for value in is_text for text in self.texts(value)] or [ANY]

    def warned_of(self) -> Iterator[ast.expr]:
        """The expressions that become warnings here."""
        for node in ast.walk(self.node):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else ""
            is_list = isinstance(function, ast.Attribute) and ast.unparse(function.value).endswith("warnings")
            if name in ("warning", "_warn") or (name == "append" and is_list):
                yield node.args[0]
            yield from (keyword.value for keyword in node.keywords if keyword.arg in ("warning", "warnings"))

    def made(self) -> Iterator[ast.expr]:
        """The sentences that this function returns, yields or adds to a list of them."""
        for node in ast.walk(self.node):
            match node:
                case ast.Return(value=ast.expr() as value) | ast.Yield(value=ast.expr() as value):
                    yield value
                case ast.AugAssign(value=value):
                    yield value
                case ast.Assign(targets=[ast.Name(id="warnings")], value=value):
                    yield value
                case ast.Call(func=ast.Attribute(attr="append"), args=[value]):
                    yield value


@cache
def _functions() -> dict[str, list[_Function]]:
    found: dict[str, list[_Function]] = {}
    for path in sorted(SOURCES.rglob("*.py")):
        module = ast.parse(path.read_text())
        constants = {
            to.id: node.value
            for node in module.body
            if isinstance(node, ast.Assign)
            for to in node.targets
            if isinstance(to, ast.Name)
        }
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                place = f"{path.relative_to(SOURCES)} {node.name}"
                found.setdefault(place, []).append(_Function(place, node, constants))
    return found


def _tidy(text: str) -> str:
    return re.sub(rf"{ANY}(?:{ANY})+", ANY, _PLACEHOLDER.sub(ANY, text)).strip()


def written() -> set[Found]:
    """What is warned of where it is written, and each place that passes something on."""
    found = set()
    for function in itertools.chain.from_iterable(_functions().values()):
        for expression in function.warned_of():
            texts = [_tidy(text) for text in function.texts(expression)]
            found |= {Found(function.place, text if _HAS_WORDS.search(text) else "") for text in texts}
    return found


def made(place: str) -> set[Found]:
    """The sentences that a function makes for others to warn of."""
    return {
        Found(place, text)
        for function in _functions().get(place, [])
        for expression in function.made()
        for text in map(_tidy, function.texts(expression))
        if _HAS_WORDS.search(text)
    }


def warning_texts() -> list[str]:
    """Every warning, once."""
    makers = {maker for makers in MAKERS.values() for maker in makers}
    found = written().union(*map(made, makers))
    return sorted({one.text for one in found if one.text})


if __name__ == "__main__":
    print("\n".join(warning_texts()))
