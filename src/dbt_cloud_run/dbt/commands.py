"""dbt command lines: parsed by dbt's own rules, and written again with another selection.

The rules are those of click's parser and of dbt's `MultiOption` (`dbt/cli/options.py`): options may stand before and
after the sub-command, `--flag=value`, `-sVALUE` and bundled short flags are understood, a list option takes every word
up to the next that begins with a dash. What does not fit is not guessed at: `parse_command` then answers None.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dbt_cloud_run.dbt.flags import ALIASES, DBT, Arity, Command, Option
from dbt_cloud_run.dbt.verbs import verb_named
from dbt_cloud_run.model import Window

SELECTION_OPTIONS = frozenset({"--select", "--models", "--exclude", "--selector"})
INDIRECT_SELECTION = "--indirect-selection"
FAVOR_STATE = "--favor-state"
_EVENT_TIMES = ("--event-time-start", "--event-time-end")

_SHELL_WORDS = frozenset({"&&", "||", ";", "|", "&", ">", ">>", "<"})


@dataclass(frozen=True, slots=True)
class Flag:
    """One option as it was written: its spelling, and its values as words of the command line."""

    spelling: str
    values: tuple[str, ...] = ()
    joined: bool = False  # `--flag=value`
    name: str = ""  # the option's first long name, whatever the spelling
    negated: bool = False

    def words(self) -> list[str]:
        if self.joined:
            return [f"{self.spelling}={self.values[0]}", *self.values[1:]]
        return [self.spelling, *self.values]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a command selects, as terms (a list option's values are split at blanks, as dbt does)."""

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    selector: str | None = None
    indirect: str = "eager"

    @property
    def is_given(self) -> bool:
        return bool(self.select or self.exclude or self.selector)


@dataclass(frozen=True, slots=True)
class DbtCommand:
    """A command line that was understood completely. `parts` are its options and its other words, in order."""

    verb: str  # `build`, `docs generate`, …; aliases resolved
    parts: tuple[Flag | str, ...]

    @property
    def flags(self) -> tuple[Flag, ...]:
        return tuple(part for part in self.parts if isinstance(part, Flag))

    @property
    def is_node_command(self) -> bool:
        return verb_named(self.verb).builds

    def flag(self, name: str) -> Flag | None:
        """The last flag with this long name, which is the one that counts for dbt."""
        return next((flag for flag in reversed(self.flags) if flag.name == name), None)

    def has(self, name: str) -> bool:
        """Whether an on/off option is on."""
        found = self.flag(name)
        return found is not None and not found.negated

    def terms(self, name: str) -> tuple[str, ...]:
        """The values of a list option, of all its occurrences, split at blanks."""
        values = (value for flag in self.flags if flag.name == name for value in flag.values)
        return tuple(term for value in values for term in value.split(" "))

    @property
    def selection(self) -> Selection:
        selector, indirect = self.flag("--selector"), self.flag(INDIRECT_SELECTION)
        return Selection(
            select=self.terms("--select"),
            exclude=self.terms("--exclude"),
            selector=selector.values[0] if selector else None,
            indirect=indirect.values[0].lower() if indirect else "eager",
        )

    def with_selection(
        self, select: Sequence[str], exclude: Sequence[str] = (), *, indirect: str | None = None
    ) -> DbtCommand:
        """The same command over another selection, which replaces the old one; `indirect` None keeps the old mode."""
        dropped = SELECTION_OPTIONS | ({INDIRECT_SELECTION} if indirect else set())
        added = [
            Flag(name, tuple(values), name=name)
            for name, values in (("--select", select), ("--exclude", exclude))
            if values
        ]
        if indirect:
            added.append(Flag(INDIRECT_SELECTION, (indirect,), name=INDIRECT_SELECTION))
        return replace(self, parts=(*self._without(dropped).parts, *added))

    def over(self, window: Window | None) -> DbtCommand:
        """The same command for the batches of this span of event time; None keeps what it says of that."""
        if window is None:
            return self
        ends = (f"{end:%Y-%m-%dT%H:%M:%S}" for end in (window.start, window.end))
        added = [Flag(name, (end,), name=name) for name, end in zip(_EVENT_TIMES, ends, strict=True)]
        return replace(self, parts=(*self._without(_EVENT_TIMES).parts, *added))

    def without_favor_state(self) -> DbtCommand:
        """The same command, which reads from the deferred state only what does not exist in its own schema."""
        off = Flag(f"--no-{FAVOR_STATE.removeprefix('--')}", name=FAVOR_STATE, negated=True)
        return replace(self, parts=(*self._without({FAVOR_STATE}).parts, off))

    def render(self) -> str:
        """The command line, quoted so that `shlex.split` gives the same words again."""
        words = ["dbt"]
        for part in self.parts:
            words.extend([part] if isinstance(part, str) else part.words())
        return shlex.join(words)

    def _without(self, names: Iterable[str]) -> DbtCommand:
        dropped = frozenset(names)
        kept = (part for part in self.parts if isinstance(part, str) or part.name not in dropped)
        return replace(self, parts=tuple(kept))


def parse_command(line: str) -> DbtCommand | None:
    """Understand a dbt command line completely, or answer None: it must then be run as it is, or not at all."""
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    # `$` and backticks would be quoted when written again, which changes what a shell would make of them.
    if not words or words[0] != "dbt" or "$" in line or "`" in line or _is_for_a_shell(line, words):
        return None
    return _Parser(words[1:]).parse()


def _is_for_a_shell(line: str, words: Sequence[str]) -> bool:
    """Whether a shell would see more in the line than one command: `a; b`, `a|b`, `2>log`, a comment, a second line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    unquoted = list(lexer)  # cut at operators and comments, unless they are quoted
    return unquoted != words or not _SHELL_WORDS.isdisjoint(words) or _has_second_command(line)


def _has_second_command(line: str) -> bool:
    first_words = [part.split(maxsplit=1)[0] for part in line.split("\n") if not part.isspace() and part]
    return "dbt" in first_words[1:]


def same_command(one: str, other: str) -> bool:
    """Whether two lines are the same words, however they are quoted or spaced."""
    if one == other:
        return True
    try:
        return shlex.split(one) == shlex.split(other)
    except ValueError:
        return one.split() == other.split()


class _NotUnderstoodError(Exception):
    pass


class _Parser:
    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)
        self._command: Command = DBT
        self._verb: list[str] = []
        self._parts: list[Flag | str] = []
        self._arguments = 0

    def parse(self) -> DbtCommand | None:
        try:
            while self._words:
                self._parts.extend(self._next(self._words.pop(0)))
        except (_NotUnderstoodError, IndexError):
            return None
        if self._command.groups is not None or (self._verb == ["run-operation"] and not self._arguments):
            return None
        verb = " ".join(self._verb)
        return DbtCommand(ALIASES.get(verb, verb), tuple(self._parts))

    def _next(self, word: str) -> Iterator[Flag | str]:
        if word.startswith("--"):
            yield self._long(word)
        elif word.startswith("-") and len(word) > 1:
            yield from self._short(word)
        else:
            yield self._plain(word)

    def _plain(self, word: str) -> str:
        if self._command.groups is None:
            self._arguments += 1
            if self._arguments > self._command.arguments:
                raise _NotUnderstoodError(word)
        elif word in self._command.groups:
            self._command = self._command.groups[word]
            self._verb.append(word)
        else:
            raise _NotUnderstoodError(word)
        return word

    def _long(self, word: str) -> Flag:
        spelling, equals, value = word.partition("=")
        option = self._option(spelling)
        if equals and option.arity is Arity.NONE:
            raise _NotUnderstoodError(word)
        return self._flag(spelling, option, value if equals else None, joined=bool(equals))

    def _short(self, word: str) -> Iterator[Flag]:
        for position, letter in enumerate(word[1:], start=2):
            option = self._option(f"-{letter}")
            attached = word[position:]
            if option.arity is Arity.NONE:
                yield self._flag(f"-{letter}", option, None)
                continue
            yield self._flag(f"-{letter}", option, attached or None)
            return

    def _option(self, spelling: str) -> Option:
        option = self._command.option(spelling)
        if option is None:
            raise _NotUnderstoodError(spelling)
        return option

    def _flag(self, spelling: str, option: Option, first: str | None, *, joined: bool = False) -> Flag:
        values: list[str] = []
        if option.arity is not Arity.NONE:
            values.append(self._words.pop(0) if first is None else first)
        if option.arity is Arity.MANY:
            while self._words and not self._words[0].startswith("-"):
                values.append(self._words.pop(0))
        return Flag(spelling, tuple(values), joined, _canonical(option), spelling in option.negations)


def _canonical(option: Option) -> str:
    return "--select" if "--models" in option.names else option.name
