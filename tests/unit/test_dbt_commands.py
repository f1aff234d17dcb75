"""dbt command lines: our table against dbt's own definitions, parsing against click, and the round trip."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from dbt.cli.flags import args_to_context
from dbt.cli.main import cli
from dbt.cli.options import MultiOption
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dbt_cloud_run.dbt import verbs
from dbt_cloud_run.dbt.commands import DbtCommand, parse_command, same_command, why_not_understood
from dbt_cloud_run.dbt.flags import DBT, Arity, Command
from dbt_cloud_run.dbt.shell import split
from dbt_cloud_run.dbt.verbs import runs_operation


def _defined(group: click.Group, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield prefix, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _defined(command, (*prefix, name))
        else:
            yield (*prefix, name), command


def _known(command: Command, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command]]:
    yield prefix, command
    for name, inner in (command.groups or {}).items():
        yield from _known(inner, (*prefix, name))


def _arity(option: click.Parameter) -> Arity:
    if isinstance(option, MultiOption):
        return Arity.MANY
    return Arity.NONE if isinstance(option, click.Option) and option.is_flag else Arity(option.nargs)


OPTIONS = json.loads((Path(__file__).parents[1] / "support" / "dbt_options.json").read_text(encoding="utf-8"))
KINDS = {"none": Arity.NONE, "off": Arity.NONE, "one": Arity.ONE, "many": Arity.MANY}
BUILDING = {"build", "run", "test", "seed", "snapshot"}


@pytest.mark.parametrize("version", sorted(OPTIONS))
def test_the_options_of_every_version_are_known(version: str) -> None:
    """`tools/dbt_options.py` makes the list; of the new engine, only the commands that a retry edits are compared."""
    mine = {" ".join(path): command.options for path, command in _known(DBT)}
    listed = OPTIONS[version]
    for name in BUILDING if version.startswith("2") else mine.keys() & listed.keys():
        for spelling, how in {**listed["everywhere"], **listed.get(name, {})}.items():
            assert spelling in mine[name], f"{name} {spelling}"
            assert mine[name][spelling].arity is KINDS[how], f"{name} {spelling}"


def test_table_has_what_the_installed_dbt_defines() -> None:
    theirs = {
        path: (
            {
                (name, _arity(option), name in option.secondary_opts)
                for option in command.params
                if isinstance(option, click.Option)
                for name in (*option.opts, *option.secondary_opts)
            },
            sum(isinstance(option, click.Argument) for option in command.params),
        )
        for path, command in _defined(cli)
    }
    mine = {
        path: (
            {(name, option.arity, name in option.negations) for name, option in command.options.items()},
            command.arguments,
        )
        for path, command in _known(DBT)
    }
    assert mine.keys() == theirs.keys()
    listed = {spelling for commands in OPTIONS.values() for options in commands.values() for spelling in options}
    for path, (options, arguments) in theirs.items():
        assert options <= mine[path][0], path
        assert arguments == mine[path][1], path
        others = {name for name, _, negated in mine[path][0] - options if not negated}
        assert others <= listed, path


@pytest.mark.parametrize(
    ("line", "verb", "select", "exclude"),
    [
        ("dbt build --brand-new-flag", "build", (), ()),
        ("dbt build --brand-new-flag x -s a", "build", ("a",), ()),
        ("dbt build --brand-new=x --other-new -s a b", "build", ("a", "b"), ()),
        ("dbt --brand-new build -s a", "build", ("a",), ()),
        ("dbt --brand-new value build -s a", "build", ("a",), ()),
        ("dbt build --brand-new run test -s a", "build", ("a",), ()),
        ("dbt run -s a # and no more", "run", ("a",), ()),
        ("dbt run -s a#b # $X `y` 'z", "run", ("a#b",), ()),
        ("dbt run \\\n  -s a \\\n  b", "run", ("a", "b"), ()),
        ("dbt run --vars \"{d: '$TODAY'}\" -s a", "run", ("a",), ()),
        ("dbt run --vars '{d: $TODAY}' -s a", "run", ("a",), ()),
        ("dbt build --static-analysis off --v2-parser x --no-hints-enabled -s a", "build", ("a",), ()),
        ("dbt build", "build", (), ()),
        ("dbt run -s a b --exclude c", "run", ("a", "b"), ("c",)),
        ("dbt run --select a --select b", "run", ("a", "b"), ()),
        ("dbt run -m a", "run", ("a",), ()),
        ("dbt run --models a", "run", ("a",), ()),
        ("dbt run --model a", "run", ("a",), ()),
        ("dbt run --select=a b", "run", ("a", "b"), ()),
        ("dbt run -sa", "run", ("a",), ()),
        ("dbt run -xs a", "run", ("a",), ()),
        ('dbt run --select "a b" c', "run", ("a", "b", "c"), ()),
        ("dbt run --select 'a;b' 'c|d' 'e#f'", "run", ("a;b", "c|d", "e#f"), ()),
        ("dbt --debug --target prod build -s +a,tag:b+ @c", "build", ("+a,tag:b+", "@c"), ()),
        ("dbt --warn-error test --vars '{a: \"-s x\"}' -s b", "test", ("b",), ()),
        ("dbt build --vars -s --exclude b", "build", (), ("b",)),
        ("  dbt   seed\n--full-refresh ", "seed", (), ()),
        ("dbt docs generate --no-compile -s a", "docs generate", ("a",), ()),
        ("dbt source snapshot-freshness -s source:a", "source freshness", ("source:a",), ()),
        ("dbt ls -m a", "list", ("a",), ()),
        ("dbt run-operation grant --args '{x: 1}'", "run-operation", (), ()),
    ],
)
def test_lines_are_understood(line: str, verb: str | None, select: tuple[str, ...], exclude: tuple[str, ...]) -> None:
    command = parse_command(line)
    if verb is None:
        assert command is None
        return
    assert command is not None
    assert (command.verb, command.selection.select, command.selection.exclude) == (verb, select, exclude)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "dbt",
        "dbt docs",
        "dbt build 'unbalanced",
        "dbt build -Z",
        "dbt build a",
        "dbt build --select",
        "dbt build --full-refresh=true",
        "dbt build --help",
        "dbt build -- a",
        "dbt run-operation",
        "dbt run-operation a b",
        "dbt nonsense",
        "dbt run && dbt test",
        "dbt run --select a && dbt test",
        "dbt run | tee log",
        "dbt run --select a; dbt test",
        "dbt run --select a&&dbt test",
        "dbt run -s a 2>log",
        "dbt run -s a\ndbt test",
        "dbt run --vars $VARS",
        "dbt run $FLAGS",
        "dbt run `flags`",
        "dbt run -s$MODELS",
        'dbt run -s"$MODELS"',
        'dbt run "--vars" "$A" --vars \'$A\'',
        'dbt "$VERB"',
        'dbt run "$FLAG"',
        "dbt --a-new run --b-new x test",
        "dbt --brand-new run run-operation x y",
        "DBT_TARGET=x dbt run",
        "cd x; dbt run",
        "sqlfluff lint",
    ],
)
def test_what_is_not_understood_is_not_edited(line: str) -> None:
    assert parse_command(line) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dbt run -Zs a", "`-Z`"),
        ("dbt run && dbt test", "`&`"),
        ("dbt run 'a", "a quote that is not closed"),
        ("dbt run $X", "`$X`"),
        ("dbt nonsense", "`nonsense`"),
        ("dbt --a-new run --b-new x test", "write it as `--a-new=value`"),
        ("dbt run\ndbt test", "a second command"),
        ("sqlfluff lint", "not a dbt command"),
    ],
)
def test_what_is_not_understood_is_named(line: str, words: str) -> None:
    assert words in why_not_understood(line)


def _line(line: str) -> DbtCommand:
    command = parse_command(line)
    assert command is not None
    return command


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dbt build --select tag:daily", "dbt build --select fqn:s.a --indirect-selection empty"),
        ("dbt build --store-failures -s x", "dbt build --store-failures --select fqn:s.a --indirect-selection empty"),
        ("dbt build --select=x y --exclude z", "dbt build --select fqn:s.a --indirect-selection empty"),
        ("dbt build --selector nightly -x", "dbt build -x --select fqn:s.a --indirect-selection empty"),
        (
            "dbt --indirect-selection cautious build -s x",
            "dbt build --select fqn:s.a --indirect-selection empty",
        ),
        (
            "dbt build -m x --vars '{a: 1}' --defer --state prod --favor-state -t ci --full-refresh --sample '2 days'",
            (
                "dbt build --vars '{a: 1}' --defer --state prod --favor-state -t ci --full-refresh --sample '2 days' "
                "--select fqn:s.a --indirect-selection empty"
            ),
        ),
        (
            "dbt build -s x --resource-type model test",
            "dbt build --resource-type model test --select fqn:s.a --indirect-selection empty",
        ),
    ],
)
def test_selection_is_replaced_and_the_rest_stays(line: str, expected: str) -> None:
    assert _line(line).with_selection(["fqn:s.a"], indirect="empty").render() == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('dbt run --vars "{d: $TODAY}" -s x', 'dbt run --vars "{d: $TODAY}" --select fqn:s.a'),
        ("dbt run --vars '{d: $TODAY}' -s x", "dbt run --vars '{d: $TODAY}' --select fqn:s.a"),
        ('dbt run --vars="{d: `date`}" -s x  # nightly', 'dbt run --vars="{d: `date`}" --select fqn:s.a'),
        ('dbt run -s "$MODELS"', "dbt run --select fqn:s.a"),
        ('dbt run --vars "{d: \\$1}" -s x', "dbt run --vars '{d: $1}' --select fqn:s.a"),
        ("dbt run --new x --newer -s y", "dbt run --new x --newer --select fqn:s.a"),
    ],
)
def test_what_a_shell_puts_in_is_written_as_it_was(line: str, expected: str) -> None:
    made = _line(line).with_selection(["fqn:s.a"]).render()
    assert made == expected
    assert _line(made).render() == made


def test_same_words_are_the_same_command() -> None:
    assert same_command("dbt run  -s 'a b'", 'dbt run -s "a b"')
    assert not same_command("dbt run -s a b", "dbt run -s 'a b'")
    assert same_command("dbt run 'x", "dbt  run 'x")


values = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="$`"), min_size=1, max_size=12
).filter(lambda text: not text.startswith("-") and text not in {"&&", "||", ";", "|", "&", ">", ">>", "<", "2>&1"})


@st.composite
def lines(draw: st.DrawFn) -> str:
    """Random command lines of the node commands, with options before and after the verb."""
    verb = draw(st.sampled_from(["build", "run", "test", "seed", "snapshot"]))
    inner = (DBT.groups or {})[verb]
    words = ["dbt"]
    places = ((DBT, False), (inner, True))
    used: set[str] = set()
    for command, after in places:
        if after:
            words.append(verb)
        for spelling in draw(st.lists(st.sampled_from(sorted(command.options)), max_size=5, unique=True)):
            option = command.options[spelling]
            if option.name in used:
                continue
            used.add(option.name)
            given = draw(st.lists(values, min_size=1, max_size=3))
            if option.arity is Arity.NONE:
                words.append(spelling)
            elif spelling.startswith("--") and draw(st.booleans()):
                words += [f"{spelling}={given[0]}", *(given[1:] if option.arity is Arity.MANY else [])]
            else:
                words += [spelling, *(given if option.arity is Arity.MANY else given[:1])]
    return shlex.join(words)


@given(lines())
def test_parse_render_parse_is_the_identity(line: str) -> None:
    command = _line(line)
    assert parse_command(command.render()) == command


@settings(max_examples=60)
@given(lines())
def test_selection_is_read_as_click_reads_it(line: str) -> None:
    command = _line(line)
    kept = [
        part for part in command.parts if isinstance(part, str) or part.name in {"--select", "--exclude", "--selector"}
    ]
    plain = DbtCommand(command.verb, tuple(kept))
    context = args_to_context([*shlex.split(plain.render())[1:], "--profiles-dir", "."])
    chosen = plain.selection
    for name, mine in (("select", chosen.select), ("exclude", chosen.exclude)):
        theirs = context.params[name] or ()
        assert mine == tuple(term for value in theirs for term in value.split(" "))
    assert context.params["selector"] == chosen.selector


@pytest.mark.parametrize("text", ["dbt build" + "\n" * 100_000 + "x", "dbt build" + " \n" * 50_000 + "dbtx"])
def test_a_name_of_a_hundred_thousand_line_ends_is_read_in_one_go(text: str) -> None:
    """Where each line end is looked at once for each other one, this does not end within the time of a test."""
    assert parse_command(text) is None
    assert not runs_operation(text)


LONG_NAMES = {
    "backticks": "`" * 4_000_000,
    "backticks in quotes": 'dbt build "' + "`" * 4_000_000 + '"',
}


@pytest.mark.parametrize("text", LONG_NAMES.values(), ids=LONG_NAMES)
def test_a_name_of_millions_of_characters_is_read_in_one_go(text: str) -> None:
    """Where a word is copied for each character of it, this does not end within the time of a test."""
    assert not runs_operation(text)
    assert not same_command(text, f"{text} x")


class Counted(list[str]):
    """Words that count how many of them are read, one at a time or as a part of the line."""

    read = 0

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        Counted.read += len(found) if isinstance(key, slice) else 1
        return found


def test_each_word_of_many_commands_is_read_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "split", lambda line, **options: Counted(split(line, **options)))
    monkeypatch.setattr(Counted, "read", 0)
    assert not runs_operation("dbt;" * 3_000)
    assert 3_000 < Counted.read < 30_000
    assert runs_operation("dbt;" * 3_000 + "dbt run-operation grant")


SHELL_TEXT = st.text(st.sampled_from("ab=-#`$;&|()<>'\" \t\n\\\x0bé"), max_size=30)


def by_the_standard_library(line: str, *, at_operators: bool) -> list[str] | None:
    try:
        if not at_operators:
            return shlex.split(line)
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        return list(lexer)
    except ValueError:
        return None


def by_split(line: str, *, at_operators: bool) -> list[str] | None:
    try:
        return split(line, at_operators=at_operators)
    except ValueError:
        return None


@given(SHELL_TEXT, st.booleans())
@example("a'b'#c\n;;d", True)
@example("a'b'#c\n;;d", False)
@example("\"\\a\\\"\\\\\" '' x''", False)
@example("a\\", True)
@example("'a", False)
def test_a_line_is_split_as_by_the_standard_library(line: str, at_operators: bool) -> None:
    assert by_split(line, at_operators=at_operators) == by_the_standard_library(line, at_operators=at_operators)


@pytest.mark.parametrize(
    "line", ["dbt build\ndbt test", "dbt build\n\n  \tdbt test", "\ndbt build \n dbt\ttest", "dbt\ndbt"]
)
def test_a_second_command_is_seen_on_any_line(line: str) -> None:
    assert parse_command(line) is None
