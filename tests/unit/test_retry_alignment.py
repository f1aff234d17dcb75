"""Which listed steps are the commands that a run was asked for, and which dbt Cloud added."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.support.retry_attempts import ORDERS, attempt, row, step
from tests.support.values import replace

from dbt_cloud_run.model import Attempt, RunState, Step
from dbt_cloud_run.retry.alignment import align, has_started, hides_failure, is_lint
from dbt_cloud_run.unknown import Unknown, UnknownKind

BUILD, TEST, DOCS, FRESHNESS, DEPS = "dbt build", "dbt test", "dbt docs generate", "dbt source freshness", "dbt deps"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def matched(made: Attempt) -> list[tuple[str, int | None]]:
    """Each asked command, and the index of its step."""
    return [(one.command, one.step.index if one.step else None) for one in align(made).asked]


def added(made: Attempt) -> list[int]:
    return [one.index for one in align(made).added]


def test_commands_are_matched_in_order_and_the_rest_is_added() -> None:
    made = attempt((BUILD, TEST), step(4, BUILD), step(5, TEST), step(6, DOCS))
    assert matched(made) == [(BUILD, 4), (TEST, 5)]
    assert added(made) == [1, 2, 3, 6]


def test_the_same_command_twice_is_two_steps() -> None:
    made = attempt((BUILD, TEST, BUILD), step(4, BUILD), step(5, TEST), step(6, BUILD))
    assert matched(made) == [(BUILD, 4), (TEST, 5), (BUILD, 6)]


def test_a_command_with_other_quotes_is_the_same() -> None:
    made = attempt(("dbt build --select 'a b'",), step(4, 'dbt build  --select "a b"'))
    assert matched(made) == [("dbt build --select 'a b'", 4)]


def test_a_command_that_is_not_listed_before_one_that_started_was_passed_over() -> None:
    made = attempt((BUILD, TEST, "dbt run"), step(5, TEST))
    first, second, third = align(made).asked
    assert first.step is not None
    assert (first.step.index, first.step.name, first.step.command, first.step.state) == (
        0,
        BUILD,
        BUILD,
        RunState.SUCCESS,
    )
    assert first.is_started
    assert second.step is not None
    assert second.step.index == 5
    assert third.step is None
    assert not third.is_started


def test_a_command_is_not_passed_over_by_one_that_has_not_started() -> None:
    made = attempt((BUILD, TEST), step(5, TEST, RunState.SKIPPED))
    assert matched(made) == [(BUILD, None), (TEST, 5)]
    assert not any(one.is_started for one in align(made).asked)


# -- steps that are called otherwise


def test_dbt_retry_stands_for_the_next_command_alone() -> None:
    made = attempt((BUILD, TEST), step(4, "dbt retry"), step(5, TEST))
    assert matched(made) == [(BUILD, 4), (TEST, 5)]
    only = attempt((BUILD, TEST), step(4, BUILD), step(5, "dbt retry"), step(6, "dbt retry"))
    assert matched(only) == [(BUILD, 4), (TEST, 5)]
    assert 6 in added(only)


@pytest.mark.parametrize(
    ("shown", "asked", "is_it"),
    [
        ("dbt build --target ci", BUILD, True),
        ("dbt build --target ci", "dbt run", False),
        ("dbt docs generate --target ci", DOCS, False),
        ("dbt deps --upgrade", DEPS, False),
        ("dbt frobnicate --x", "dbt frobnicate", False),
        ("dbt source freshness --target ci", FRESHNESS, True),
    ],
)
def test_the_next_command_may_have_options_that_were_added(shown: str, asked: str, is_it: bool) -> None:
    found = align(replace(attempt((asked,), step(4, shown)), steps=(step(4, shown),))).asked
    assert (found[0].step is not None) is is_it


def test_only_the_next_command_is_taken_for_one_with_other_options() -> None:
    made = attempt((BUILD, TEST), step(4, "dbt test --target ci"))
    assert matched(made) == [(BUILD, None), (TEST, None)]


# -- what dbt Cloud adds


@pytest.mark.parametrize("checks_freshness", [True, False])
def test_a_freshness_step_of_the_platform_s_comes_first(*, checks_freshness: bool) -> None:
    made = attempt((BUILD, FRESHNESS), step(4, FRESHNESS), step(5, BUILD), step(6, FRESHNESS))
    made = replace(made, checks_freshness=checks_freshness)
    assert matched(made) == [(BUILD, 5), (FRESHNESS, 6)]
    assert added(made) == [1, 2, 3, 4]


def test_a_freshness_step_that_was_asked_for_and_is_the_only_one_is_the_platform_s_where_it_adds_one() -> None:
    made = attempt((FRESHNESS, BUILD), step(4, FRESHNESS, RunState.ERROR))
    assert matched(made) == [(FRESHNESS, 4), (BUILD, None)]
    checked = replace(made, checks_freshness=True)
    assert matched(checked) == [(FRESHNESS, None), (BUILD, None)]
    assert 4 in added(checked)


def test_deps_of_the_platform_s_come_first() -> None:
    made = attempt((DEPS, BUILD), step(4, DEPS), step(5, BUILD))
    assert matched(made) == [(DEPS, 4), (BUILD, 5)]
    assert added(made) == [1, 2, 3]


@pytest.mark.parametrize(
    ("flags", "commands"),
    [
        ({}, [FRESHNESS, BUILD, DOCS]),
        ({"generates_docs": True}, [FRESHNESS, BUILD]),
        ({"checks_freshness": True}, [BUILD, DOCS]),
        ({"checks_freshness": True, "generates_docs": True}, [BUILD]),
    ],
)
def test_without_a_list_of_what_was_asked_all_is_that_dbt_cloud_does_not_add(
    flags: dict[str, bool], commands: list[str]
) -> None:
    made = replace(attempt((), step(4, FRESHNESS), step(5, BUILD), step(6, DOCS)), **flags)
    assert [one.command for one in align(made).asked] == commands


# -- single steps


@pytest.mark.parametrize("state", list(RunState))
def test_a_step_has_started_by_its_state_or_by_what_it_left(state: RunState) -> None:
    bare = step(4, BUILD, state)
    is_known = state in (RunState.SUCCESS, RunState.ERROR, RunState.RUNNING)
    is_before = state in (RunState.SKIPPED, RunState.QUEUED, RunState.STARTING)
    assert has_started(bare) is is_known
    left = (replace(bare, started_at=NOON), replace(bare, log="x"), step(4, BUILD, state, row(ORDERS)))
    assert [has_started(one) for one in left] == [not is_before] * 3
    assert has_started(replace(bare, log=" \n")) is is_known


@pytest.mark.parametrize(
    ("made", "is_it"),
    [
        (step(4, "dbt sqlfluff lint"), True),
        (step(4, "dbt lint"), True),
        (step(4, "dbt build --select lint"), False),
        (step(4, "dbt build lint"), True),
        (step(4, None, name="Run `lint`"), True),
        (step(4, None, name="Linting: models"), True),
        (step(4, None, name="Linter"), True),
        (step(4, None, name="Run XLint"), False),
        (step(4, None, name="Create profile from connection lint"), False),
        (step(4, None, name="Clone git repository"), False),
    ],
)
def test_a_lint_step_is_known_by_its_words(made: Step, is_it: bool) -> None:
    assert is_lint(made) is is_it


@pytest.mark.parametrize(
    ("failed", "checks_freshness", "is_hidden"),
    [
        (FRESHNESS, True, True),  # a run goes on after the platform's own check
        (FRESHNESS, False, False),
        (BUILD, True, False),
        (BUILD, False, False),
        (None, False, True),
    ],
)
def test_a_failure_is_hidden_unless_a_command_that_is_listed_shows_it(
    failed: str | None, checks_freshness: bool, is_hidden: bool
) -> None:
    unread = Unknown(kind=UnknownKind.STEPS, why="The steps could not be read.")
    steps = [step(4 + number, each, _state(each == failed)) for number, each in enumerate((FRESHNESS, BUILD))]
    made = attempt((BUILD, TEST), *steps, checks_freshness=checks_freshness, unknown=(unread,))
    assert hides_failure(made) is is_hidden
    assert not hides_failure(replace(made, unknown=()))


def _state(has_failed: bool) -> RunState:
    return RunState.ERROR if has_failed else RunState.SUCCESS
