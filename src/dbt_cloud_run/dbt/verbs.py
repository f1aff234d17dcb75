"""dbt's commands: one table of what each of them does, and one way to read the verb of a command line.

Sources: dbt-core 1.3 to 1.12 (`dbt/cli/main.py`, `dbt/task/*.py`) and the documentation of dbt 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dbt_cloud_run.dbt.flags import ALIASES, DBT, Arity
from dbt_cloud_run.dbt.shell import split


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One command of dbt, by what it does."""

    name: str  # `build`, `docs generate`, …; empty where a line has none
    types: frozenset[str] = frozenset()
    """The resource types that it executes by default; empty for a command that selects no nodes to build."""
    executes: bool = False
    """Its run results are those of nodes (or of an operation) that were executed."""
    writes_results: bool = False
    """It writes `run_results.json` whenever it comes to its end, in every version."""
    leaves_artifacts: bool = True
    reads_only: bool = False
    """It may write run results, but executes no node: they say nothing of the warehouse."""
    tests_come_along: bool = False
    """Selecting a node also selects its tests, unless `--indirect-selection` says otherwise."""
    is_operation: bool = False
    """It calls a macro, which may not be repeatable."""

    @property
    def builds(self) -> bool:
        """Whether it executes selected nodes one by one: success means that a node is done, and a retry may select."""
        return bool(self.types)

    @property
    def is_known(self) -> bool:
        return self.name in VERBS


_TESTS = frozenset({"test", "unit_test"})
_BUILT = frozenset({"model", "snapshot", "seed", "saved_query", "exposure", "function"}) | _TESTS


def _building(name: str, types: frozenset[str]) -> Verb:
    return Verb(name=name, types=types, executes=True, writes_results=True, tests_come_along=bool(types & _TESTS))


VERBS: Mapping[str, Verb] = {
    verb.name: verb
    for verb in (
        _building("build", _BUILT),
        _building("run", frozenset({"model"})),
        _building("test", _TESTS),
        _building("seed", frozenset({"seed"})),
        _building("snapshot", frozenset({"snapshot"})),
        # Its file says `args.which` of the command that it continues.
        Verb(name="retry", executes=True, writes_results=True),
        Verb(name="clone", executes=True),
        Verb(name="run-operation", executes=True, is_operation=True),
        Verb(name="compile", reads_only=True),
        Verb(name="docs generate", reads_only=True),
        Verb(name="docs serve", reads_only=True, leaves_artifacts=False),
        Verb(name="list", reads_only=True),
        Verb(name="parse", reads_only=True),
        Verb(name="show", reads_only=True),
        Verb(name="source freshness", reads_only=True),
        Verb(name="deps", reads_only=True, leaves_artifacts=False),
        Verb(name="clean", reads_only=True, leaves_artifacts=False),
        Verb(name="debug", reads_only=True, leaves_artifacts=False),
        Verb(name="init", reads_only=True, leaves_artifacts=False),
    )
}

_OTHER_NAMES: Mapping[str, str] = {
    **ALIASES,
    "generate": "docs generate",
    "docs": "docs generate",
    "freshness": "source freshness",
    "source": "source freshness",
}
"""Second names of commands, and what `args.which` of their files says."""
_GROUPS = frozenset({"docs", "source"})
_NO_VERB = Verb(name="")
_BREAKS = re.compile(r"[\s;&|'\"]+")
_OPERATORS = frozenset(";&|()")


def verb_named(word: str | None) -> Verb:
    """The command of this name, as a line or `args.which` says it; one with no properties for an unknown name."""
    name = (word or "").lower()
    name = _OTHER_NAMES.get(name, name)
    return VERBS.get(name) or Verb(name=name)


def verb_of(line: str | None) -> Verb:
    """The verb of a command line, whether or not the rest of the line is understood."""
    return next(_verbs(line), _NO_VERB)


def runs_operation(line: str) -> bool:
    """Whether a line, understood or not, calls a macro, which may not be repeatable."""
    return any(verb.is_operation for verb in _verbs(line))


def verbs_of(line: str) -> tuple[Verb, ...]:
    """The verbs of all dbt commands of a line, which a shell may run one after another, in order."""
    return tuple(_verbs(line))


def _verbs(line: str | None) -> Iterator[Verb]:
    """The verb of each dbt command on the line; a shell's line may hold several."""
    words = _words(line or "")
    for position, word in enumerate(words):
        before = words[position - 1] if position else ";"
        if word == "dbt" and ("=" in before or not _OPERATORS.isdisjoint(before)):
            yield _first_verb(words, position + 1)


def _words(line: str) -> Sequence[str]:
    try:
        return split(line, at_operators=True)
    except ValueError:
        return [word for word in _BREAKS.split(line) if word]


def _first_verb(words: Sequence[str], position: int) -> Verb:
    """The verb after the word `dbt`, which stands before `position`."""
    while position < len(words):
        word = words[position]
        if not word.startswith("-"):
            following = words[position + 1] if position + 1 < len(words) else ""
            return verb_named(f"{word} {following}" if word in _GROUPS and following else word)
        position += 1 + _values_after(words, position)
    return _NO_VERB


def _values_after(words: Sequence[str], position: int) -> int:
    """How many of the words after this option, which stands before the verb, are its values."""
    word = words[position]
    if "=" in word:
        return 0
    option = DBT.option(word) or (DBT.option(f"-{word[-1]}") if not word.startswith("--") else None)
    if option is not None:
        return 0 if option.arity is Arity.NONE else 1
    # An unknown option takes the next word where that cannot be the verb, or where a verb still follows it.
    following = words[position + 1 : position + 3]
    is_verb = [word in _GROUPS or verb_named(word).is_known for word in following]
    return 0 if not following or following[0].startswith("-") or is_verb in ([True], [True, False]) else 1
