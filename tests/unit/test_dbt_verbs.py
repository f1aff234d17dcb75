"""dbt's commands: the table against dbt's own sub-commands, and the verb of lines of every kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.dbt.commands import parse_command
from dbt_cloud_run.dbt.flags import ALIASES, DBT, Command
from dbt_cloud_run.dbt.verbs import VERBS, runs_operation, verb_named, verb_of


def _names(command: Command, prefix: str = "") -> Iterator[str]:
    for name, inner in (command.groups or {}).items():
        if inner.groups is None:
            yield f"{prefix}{name}"
        else:
            yield from _names(inner, f"{name} ")


def test_the_table_has_every_command_of_dbt() -> None:
    assert set(VERBS) == {ALIASES.get(name, name) for name in _names(DBT)}


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        ("dbt build", "build"),
        ("dbt --log-level debug build --what", "build"),
        ("dbt --log-level=debug build --what", "build"),
        ("dbt -t prod run --new", "run"),
        ("dbt -dt prod run --new", "run"),
        ("dbt --what build", "build"),
        ("dbt --what run build", "build"),
        ("dbt --what value test --and-what", "test"),
        ("dbt --what docs generate", "docs generate"),
        ("dbt --what=run docs generate --empty-catalog --what", "docs generate"),
        ("dbt --vars 'test: run' seed --what", "seed"),
        ("dbt ls --what", "list"),
        ("dbt source snapshot-freshness", "source freshness"),
        ("dbt source freshness --what x", "source freshness"),
        ("dbt run 'unbalanced", "run"),
        ("DBT_TARGET=x dbt run", "run"),
        ("cd x; dbt run", "run"),
        ("dbt brand-new", "brand-new"),
        ("dbt run -s dbt test", "run"),
        ("dbt --version", ""),
        ("sqlfluff lint", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_the_verb_is_read_of_every_line(line: str | None, verb: str) -> None:
    assert verb_of(line).name == verb


def test_args_which_names_the_same_commands() -> None:
    assert verb_named("generate") == verb_named("docs generate")
    assert verb_named("freshness") == verb_named("source freshness")
    assert verb_named("Run") == VERBS["run"]
    assert not verb_named("brand-new").executes
    assert not verb_named("brand-new").is_known
    assert not verb_named(None).reads_only


def test_operations_are_seen_even_in_lines_that_are_not_understood() -> None:
    assert runs_operation("dbt run-operation x")
    assert runs_operation("dbt --new run-operation x")
    assert runs_operation("dbt --new x run-operation 'x")
    assert runs_operation("dbt run && dbt run-operation x")
    assert not runs_operation("dbt run -s run-operation")
    assert not runs_operation("dbt run -s dbt run-operation")


@given(st.sampled_from(sorted(DBT.options)), st.sampled_from(sorted(VERBS)), st.sampled_from(sorted(VERBS)))
def test_a_line_that_is_understood_has_one_verb(spelling: str, value: str, verb: str) -> None:
    command = parse_command(f"dbt {spelling} {value.split()[-1]} {verb}") or parse_command(f"dbt {spelling} {verb}")
    if command is not None:
        assert verb_of(command.render()).name == command.verb
