"""What a step may have done that must not be done twice, where its results or its log do not show all of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.dbt_graphs import generic_test, manifest_of, node, ours
from tests.support.retry_attempts import FAILED, RESET, attempt, results, row, step
from tests.support.values import replace

from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import LONGEST_LOG, RunState
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import PlannedStep, RetryPlan
from dbt_cloud_run.retry import commands
from dbt_cloud_run.retry.plan import plan_retry

TABLE = node("model", "shop", [], "orders", materialized="table")
SLOW = node("model", "shop", [], "slow", materialized="table")
JOURNAL = node("model", "shop", [], "journal", parents=[TABLE["unique_id"]], materialized="incremental")
JOURNAL |= {"relation_name": '"db"."main"."journal"'}
KEYED = node("model", "shop", [], "keyed", materialized="incremental")
KEYED["config"] |= {"unique_key": "id"}
REPORT = node("model", "shop", [], "report", parents=[JOURNAL["unique_id"]])
TEST = generic_test("shop", [], "not_null_orders_id", TABLE["unique_id"])
ALL = (TABLE, SLOW, JOURNAL, KEYED, REPORT, TEST)


def planned(
    command: str, *rows: NodeResult, nodes: tuple[Any, ...] = ALL, log: str = ""
) -> tuple[RetryPlan, PlannedStep]:
    manifest = ours(manifest_of(nodes))
    manifest.metadata.dbt_version = "1.11.0"
    made = plan_retry(attempt((command,), step(4, command, FAILED, *rows, log=log)), manifest)
    return made, made.steps[0]


def _node_line(number: int, words: str, of: int = 2) -> str:
    return f"12:00:00  {number} of {of} {words} ....... [RUN]\n"


@pytest.mark.parametrize(
    ("log", "option", "is_repeated"),
    [
        (_node_line(1, "START sql table model main.orders") + _node_line(1, "ERROR creating main.orders"), "", True),
        (_node_line(1, "SKIP relation main.orders") + _node_line(2, "START sql model main.journal"), "", True),
        (_node_line(1, "ERROR creating sql table model main.orders"), "", False),
        (_node_line(1, "ERROR creating sql table model main.orders"), "--log-level error ", False),
        (_node_line(2, "START sql table model main.orders") + _node_line(2, "ERROR creating main.orders"), "", False),
        (
            _node_line(2, "START sql model main.orders", 3) + "12:00:00  Batch 1 of 3 START batch 2026-01-01 of a.b\n",
            "",
            False,
        ),
        ("12:00:01  Connection reset by peer\n", "", True),
        ("12:00:01  Connection reset by peer\n", "--quiet ", False),
        (" Failed [  0.02s] model main.orders\n".rjust(LONGEST_LOG), "", False),
    ],
)
def test_a_log_that_lacks_lines_does_not_show_that_what_appends_has_not_run(
    log: str, option: str, is_repeated: bool
) -> None:
    made, found = planned(f"dbt {option}run -s orders journal", log=log)
    assert bool(made.commands) is is_repeated
    assert ("it would repeat model.shop.journal" in found.reason) is not is_repeated


@pytest.mark.parametrize(
    ("command", "retried"),
    [
        ("dbt run", "dbt run --select fqn:shop.keyed fqn:shop.orders fqn:shop.slow"),
        ("dbt run -s orders keyed", "dbt run --select fqn:shop.keyed fqn:shop.orders"),
        ("dbt run -s state:modified", None),
        ("dbt run -Z", None),
    ],
)
def test_what_appends_is_not_repeated_where_its_row_may_be_among_those_that_are_lost(
    command: str, retried: str | None
) -> None:
    manifest = ours(manifest_of((TABLE, SLOW, JOURNAL, KEYED)))
    manifest.metadata.dbt_version = "1.11.0"
    made = step(4, command, FAILED, row(KEYED, "error", RESET))
    assert made.results is not None
    made = replace(made, results=replace(made.results, lost_rows=2))
    found = plan_retry(attempt((command,), made), manifest)
    assert found.commands == ((retried,) if retried else ())
    is_in = "orders" not in command
    assert found.is_partial is is_in
    assert ("model.shop.journal" in f"{found.stop_reason}{found.steps[0].left_out}") is is_in
    again = plan_retry(attempt((command,), made), manifest, retry_on="any")
    assert again.commands
    assert not again.is_partial


def test_what_was_cloned_may_be_cloned_again() -> None:
    command = "dbt clone --state prod"
    made, _ = planned(command, row(JOURNAL), row(REPORT, "error", RESET))
    assert (made.commands, made.is_partial) == ((command,), False)


def test_what_an_earlier_command_of_the_same_line_has_appended_is_not_repeated() -> None:
    """The results of a step are those of its last command."""
    line, failed = "dbt run -s journal && dbt test", row(TEST, "error", RESET)
    begins = _node_line(1, "START sql incremental model main.journal", 1)
    built = begins + "12:00:00  1 of 1 OK created sql incremental model main.journal ..... [OK in 0.2s]\n"

    def commands_after(which: str, log: str) -> tuple[str, ...]:
        made = replace(step(4, line, FAILED, log=log), results=results(which, failed))
        return plan_retry(attempt((line,), made), ours(manifest_of(ALL))).commands

    assert commands_after("test", begins + built) == ()
    assert commands_after("test", "") == ()
    assert commands_after("test", begins) == (line,)
    assert commands_after("run", "") == (line,), "the first command failed, so its results are those of all that ran"
    assert planned("dbt deps && dbt test", failed)[0].commands == ("dbt deps && dbt test",)


@pytest.mark.parametrize(
    ("line", "which"),
    [
        ("dbt run -s journal && dbt run -s report", "run"),
        ("dbt run || dbt retry", "run"),  # the results of a retry are named after the command that it continues
        ("dbt deps && dbt build && dbt docs generate", "generate"),
        ("dbt run && dbt clone --state prod", "clone"),
    ],
)
def test_the_results_of_a_later_command_do_not_show_what_an_earlier_one_has_appended(line: str, which: str) -> None:
    begins = _node_line(1, "START sql incremental model main.journal", 1)
    built = begins + "12:00:00  1 of 1 OK created sql incremental model main.journal ..... [OK in 0.2s]\n"

    def commands_after(log: str, state: RunState = FAILED, ending: Ending = Ending.ERROR) -> tuple[str, ...]:
        made = replace(step(4, line, state, log=log), results=results(which, row(REPORT, "error", RESET)))
        return plan_retry(attempt((line,), made, ending=ending), ours(manifest_of(ALL))).commands

    assert commands_after(built) == ()
    assert commands_after("") == ()
    assert commands_after(begins) == (line,), "it was not built"
    assert commands_after(begins, RunState.CANCELLED, Ending.TIMED_OUT) == (), "the warehouse may have finished it"


@pytest.mark.parametrize(
    ("line", "which"),
    [
        ("dbt deps && dbt -Z build", "run"),
        ("dbt run -Z", "build"),
        ("dbt build && dbt docs generate", "build"),
        ("dbt compile && dbt run", "compile"),
    ],
)
def test_the_results_of_the_first_command_that_builds_show_all_that_was_built(line: str, which: str) -> None:
    made = replace(step(4, line, FAILED), results=results(which, row(REPORT, "error", RESET)))
    assert plan_retry(attempt((line,), made), ours(manifest_of(ALL))).commands == (line,)


def test_rows_that_are_lost_are_none_of_what_the_command_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    command = "dbt run -s orders keyed"
    made = step(4, command, FAILED, row(KEYED, "error", RESET))
    assert made.results is not None
    made = replace(made, results=replace(made.results, lost_rows=1))
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", 20)
    found = plan_retry(attempt((command,), made), ours(manifest_of((TABLE, JOURNAL, KEYED))))
    assert (found.commands, found.is_partial) == ((command,), False)


BEGUN = "".join(
    _node_line(n, f"START sql model main.{name}", 3) for n, name in enumerate(("orders", "journal", "keyed"), 1)
)


def cut_off(command: str, *rows: NodeResult, log: str = BEGUN, retry_on: Any = "transient") -> RetryPlan:
    nodes = (TABLE, JOURNAL, KEYED | {"relation_name": '"db"."main"."keyed"'}, REPORT)
    cut = step(4, command, RunState.CANCELLED, *rows, log=log)
    return plan_retry(attempt((command,), cut, ending=Ending.TIMED_OUT), ours(manifest_of(nodes)), retry_on=retry_on)


def test_what_appends_and_was_under_way_when_its_step_was_cut_off_is_left_out() -> None:
    """The warehouse may have finished what dbt did not wait for: a second time, its rows would be there twice."""
    made = cut_off("dbt run", row(TABLE))
    (line,) = made.commands
    assert "fqn:shop.keyed" in line, "a key makes it the same to run it twice"
    assert "journal" not in line
    assert made.is_partial
    (reason,) = (node.reason for node in made.steps[0].left_out if node.unique_id == JOURNAL["unique_id"])
    assert reason == "its result is not known: it may have succeeded, and may not be repeated"
    assert "fqn:shop.journal" in cut_off("dbt run", row(TABLE), retry_on="any").commands[0]


@pytest.mark.parametrize("rows", [(), (row(TABLE),)])
def test_a_selection_that_is_not_known_is_not_run_whole_over_what_was_under_way(rows: tuple[NodeResult, ...]) -> None:
    command = "dbt run -s state:modified+"
    assert (cut_off(command, *rows).commands, cut_off(command, *rows).is_partial) == ((), True)
    assert cut_off(command, *rows, retry_on="any").commands


def test_what_had_not_begun_when_its_step_was_cut_off_is_run() -> None:
    made = cut_off("dbt run", row(TABLE), log=_node_line(1, "START sql model main.orders", 3))
    assert "fqn:shop.journal" in made.commands[0]
    assert not made.is_partial


def test_what_had_failed_before_its_step_was_cut_off_was_not_under_way() -> None:
    made = cut_off("dbt run -Z", row(TABLE), row(JOURNAL, "error", RESET))
    assert (made.commands, made.is_partial) == (("dbt run -Z",), False)


def test_results_of_a_step_that_was_cut_off_show_less_than_its_log() -> None:
    cut = replace(step(4, "dbt run -Z", RunState.CANCELLED, log=BEGUN), results=results("run"))
    made = plan_retry(attempt(("dbt run -Z",), cut, ending=Ending.TIMED_OUT), ours(manifest_of(ALL)))
    assert (made.commands, made.is_partial) == ((), True)
    assert "it would repeat model.shop.journal" in made.steps[0].reason
