"""dbt command lines: parsed by dbt's own rules, and written again with another selection.

The rules are those of click's parser and of dbt's `MultiOption` (`dbt/cli/options.py`): options may stand before and
after the sub-command, `--flag=value`, `-sVALUE` and bundled short flags are understood, a list option takes every word
up to the next that begins with a dash. An unknown option is read in every way that makes sense; where the ways differ
in what is run, or there is none, `parse_command` returns None.
"""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from dbt_cloud_run.dbt.flags import ALIASES, DBT, Arity, Command, Option
from dbt_cloud_run.dbt.shell import NotACommandError, split, words_of
from dbt_cloud_run.dbt.verbs import verb_named
from dbt_cloud_run.planned import Window

SELECTION_OPTIONS = frozenset({"--select", "--models", "--exclude", "--selector"})
INDIRECT_SELECTION = "--indirect-selection"
FAVOR_STATE = "--favor-state"
_EVENT_TIMES = ("--event-time-start", "--event-time-end")

_MOST_UNKNOWN = 4
"""Unknown options of one line that are read in every way; a line with more is not understood."""


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
    written: tuple[tuple[str, str], ...] = ()  # words that a shell would change, and how they are written

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
        """The command line, quoted so that `shlex.split` returns the same words again."""
        words = ["dbt"]
        for part in self.parts:
            words.extend([part] if isinstance(part, str) else part.words())
        written = dict(self.written)
        return " ".join(written.get(word) or shlex.quote(word) for word in words)

    def is_fixed(self, terms: Iterable[str]) -> bool:
        """Whether these terms are what they say: none is filled in by a shell."""
        return not self.written or all("$" not in term and "`" not in term for term in terms)

    def _without(self, names: Iterable[str]) -> DbtCommand:
        dropped = frozenset(names)
        kept = (part for part in self.parts if isinstance(part, str) or part.name not in dropped)
        return replace(self, parts=tuple(kept))


def parse_command(line: str) -> DbtCommand | None:
    """Understand a dbt command line completely, or return None: it must then be run as it is, or not at all."""
    try:
        found = words_of(line)
    except NotACommandError:
        return None
    written = {word.value: word.written for word in found if word.written is not None}
    # A word that a shell changes must not be mistaken for one that says the same literally.
    if not found or found[0].value != "dbt" or any(word.written != written.get(word.value) for word in found):
        return None
    words = [word.value for word in found[1:]]
    if not _are_whole(words, written):
        return None
    kept = tuple((value, spelling) for value, spelling in written.items() if spelling is not None)
    readings = _readings(words)
    if not readings or any(_effect(reading) != _effect(readings[0]) for reading in readings):
        return None
    return replace(readings[0], written=kept)


def why_not_understood(line: str) -> str:
    """In words for people, what `parse_command` stumbles over, and what would help."""
    try:
        words = [word.value for word in words_of(line)]
    except NotACommandError as error:
        return f"it is not one plain command: {error}"
    if not words or words[0] != "dbt":
        return "it is not a dbt command"
    parser = _Parser(words[1:], ())
    parser.parse()
    if parser.unknown:
        return (
            f"`{parser.stopped_at}` is not a known option: write it as `{parser.stopped_at}=value`, or after the rest"
        )
    return (
        f"`{parser.stopped_at}` is not known to dbt there" if parser.stopped_at else "it has no verb, or lacks a value"
    )


def _are_whole(words: Sequence[str], written: Mapping[str, str | None]) -> bool:
    """Whether no word that a shell changes is a flag of its own, or part of a short one."""
    said = frozenset(words)
    return all(
        not value.startswith("-") or (value.startswith("--") and "=" in value) for value in written if value in said
    )


def _readings(words: Sequence[str]) -> list[DbtCommand]:
    """The command, by every number of values that its unknown options may take; those without any first."""
    known = _Parser(words, ())
    strict = known.parse()
    if strict is not None or not known.unknown:
        return [strict] if strict is not None else []
    found: list[DbtCommand] = []
    for count in range(1, _MOST_UNKNOWN + 1):
        exact = [_Parser(words, arities) for arities in product((Arity.NONE, Arity.ONE, Arity.MANY), repeat=count)]
        parsed = [(parser, parser.parse()) for parser in exact]
        found += [command for parser, command in parsed if command is not None and parser.unknown == count]
        if all(parser.unknown <= count for parser in exact):
            break
    return found


def _effect(command: DbtCommand) -> tuple[object, ...]:
    """What must not depend on how an unknown option is read."""
    names = {"--full-refresh", "--event-time-start", "--event-time-end", "--sample", FAVOR_STATE, "--empty"}
    names |= {"--resource-types", "--exclude-resource-types"}
    flags = tuple((flag.name, flag.values, flag.negated) for flag in command.flags if flag.name in names)
    return command.verb, command.selection, flags


def same_command(one: str, other: str) -> bool:
    """Whether two lines are the same words, however they are quoted or spaced."""
    if one == other:
        return True
    try:
        return split(one) == split(other)
    except ValueError:
        return one.split() == other.split()


class _NotUnderstoodError(Exception):
    pass


_LONG = re.compile(r"--[a-z][a-z0-9-]*")
_NO_COMMAND = frozenset({"--help"})
"""Options with which nothing is run."""


class _Parser:
    """One reading of a line. `arities`: the numbers of values of its unknown options, in their order."""

    def __init__(self, words: Sequence[str], arities: Sequence[Arity]) -> None:
        self.unknown = 0  # options that were met and are not known
        self.stopped_at = ""  # the word that was not understood
        self._words = deque(words)
        self._arities = arities
        self._command: Command = DBT
        self._verb: list[str] = []
        self._parts: list[Flag | str] = []
        self._arguments = 0

    def parse(self) -> DbtCommand | None:
        try:
            while self._words:
                self._parts.extend(self._next(self._words.popleft()))
        except (_NotUnderstoodError, IndexError) as error:
            self.stopped_at = str(error) if isinstance(error, _NotUnderstoodError) else ""
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
        option = self._command.option(spelling) or self._unknown_option(spelling, is_joined=bool(equals))
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

    def _unknown_option(self, spelling: str, *, is_joined: bool) -> Option:
        if not _LONG.fullmatch(spelling) or spelling in _NO_COMMAND:
            raise _NotUnderstoodError(spelling)
        if is_joined:
            return Option((spelling,), Arity.ONE)
        self.unknown += 1
        # A word with a dash is taken for the next option, although a parser would take it for the value.
        if self._arity_of_unknown(spelling) is not Arity.NONE and (not self._words or self._words[0].startswith("-")):
            raise _NotUnderstoodError(spelling)
        return Option((spelling,), self._arity_of_unknown(spelling))

    def _arity_of_unknown(self, spelling: str) -> Arity:
        if self.unknown > len(self._arities):
            raise _NotUnderstoodError(spelling)
        return self._arities[self.unknown - 1]

    def _option(self, spelling: str) -> Option:
        option = self._command.option(spelling)
        if option is None:
            raise _NotUnderstoodError(spelling)
        return option

    def _flag(self, spelling: str, option: Option, first: str | None, *, joined: bool = False) -> Flag:
        values: list[str] = []
        if option.arity is not Arity.NONE:
            values.append(self._words.popleft() if first is None else first)
        if option.arity is Arity.MANY:
            while self._words and not self._words[0].startswith("-"):
                values.append(self._words.popleft())
        return Flag(spelling, tuple(values), joined, _canonical(option), spelling in option.negations)


def _canonical(option: Option) -> str:
    return "--select" if "--models" in option.names else option.name
