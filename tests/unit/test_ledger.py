"""Every node once, over all steps and attempts."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from tests.support.attempts import attempt, step
from tests.support.values import replace

from dbt_cloud_run.ledger.ledger import build_ledger
from dbt_cloud_run.model import FreshnessResult, RunState, Step
from dbt_cloud_run.planned import Window

A, B, TEST = "model.p.a", "model.p.b", "test.p.t.1"


def statuses(*attempts: object) -> dict[str, str]:
    return {uid: outcome.result.status for uid, outcome in build_ledger(attempts).outcomes.items()}  # type: ignore[arg-type]


def test_nothing_is_nothing() -> None:
    assert statuses() == {}
    assert statuses(attempt(1)) == {}


def test_the_last_result_counts_in_the_order_of_the_first_appearance() -> None:
    ledger = build_ledger(
        [
            attempt(1, step(4, "dbt build", {A: "error", B: "skipped"})),
            attempt(2, step(4, "dbt build", {B: "success", A: "success"})),
        ]
    )
    assert list(ledger.outcomes) == [A, B]
    outcome = ledger.outcomes[A]
    assert (outcome.result.status, outcome.attempt, outcome.run_id, outcome.step_index) == ("success", 2, 102, 4)


def test_only_what_failed_can_recover() -> None:
    first = attempt(1, step(4, "dbt build", {A: "error", B: "skipped"}))
    ledger = build_ledger([first, attempt(2, step(4, "dbt build", {A: "success", B: "success"}))])
    assert {uid for uid, outcome in ledger.outcomes.items() if outcome.recovered} == {A}


@pytest.mark.parametrize("again", ["error", "skipped"])
def test_what_fails_or_is_skipped_again_has_not_recovered(again: str) -> None:
    ledger = build_ledger(
        [attempt(1, step(4, "dbt build", {A: "error"})), attempt(2, step(4, "dbt build", {A: again}))]
    )
    assert not ledger.outcomes[A].recovered


def with_batches(made: Step, **batches: tuple[Window, ...]) -> Step:
    assert made.results is not None
    nodes = tuple(replace(node, **batches) for node in made.results.nodes)
    return replace(made, results=replace(made.results, nodes=nodes))


def test_a_microbatch_model_has_recovered_when_all_of_its_batches_have() -> None:
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)]
    one, two, three = (Window(start, end) for start, end in pairwise(days))
    failed = with_batches(step(4, "dbt run", {A: "partial success"}), batches_done=(one,), batches_failed=(two, three))
    filled = with_batches(step(4, "dbt run", {A: "success"}), batches_done=(two,))
    half = build_ledger([attempt(1, failed), attempt(2, filled)]).outcomes[A]
    assert not half.recovered
    assert half.result.status == "partial success"
    assert half.result.message == "batches that are still missing: 2026-01-03 00:00 to 2026-01-04 00:00"
    rest = with_batches(step(5, "dbt run", {A: "success"}), batches_done=(three,))
    whole = build_ledger([attempt(1, failed), attempt(2, filled, rest)]).outcomes[A]
    assert whole.recovered
    assert whole.result.status == "success"


def test_what_failed_after_it_recovered_has_not() -> None:
    rows = ("error", "success", "error")
    ledger = build_ledger([attempt(n, step(4, "dbt run", {A: status})) for n, status in enumerate(rows, 1)])
    assert not ledger.outcomes[A].recovered


def test_a_failure_and_a_success_in_one_attempt_are_no_recovery() -> None:
    ledger = build_ledger([attempt(1, step(4, "dbt run", {A: "error"}), step(5, "dbt run", {A: "success"}))])
    assert ledger.outcomes[A].result.status == "success"
    assert not ledger.outcomes[A].recovered


def test_a_warning_is_a_recovery() -> None:
    ledger = build_ledger(
        [attempt(1, step(4, "dbt test", {TEST: "error"})), attempt(2, step(4, "dbt test", {TEST: "warn"}))]
    )
    assert ledger.outcomes[TEST].recovered


@pytest.mark.parametrize(
    ("command", "which"),
    [
        ("dbt docs generate", "generate"),
        ("dbt compile", "compile"),
        ("dbt ls", "list"),
        ("dbt parse", "parse"),
        ("dbt show -s a", "show"),
        ("dbt docs generate", None),  # an old file that does not say what made it
        ("dbt compile", None),
    ],
)
def test_steps_that_execute_nothing_change_nothing(command: str, which: str | None) -> None:
    reading = step(5, command, {A: "success", B: "success"}, which=which)
    assert statuses(attempt(1, step(4, "dbt run", {A: "error"}), reading)) == {A: "error"}


@pytest.mark.parametrize(
    "command", ["dbt build", "dbt run", "dbt test", "dbt seed", "dbt snapshot", "dbt clone", "dbt run-operation x"]
)
def test_steps_that_execute_nodes_count(command: str) -> None:
    assert statuses(attempt(1, step(4, command, {A: "success"}))) == {A: "success"}


def test_rows_of_an_unknown_command_are_taken_for_what_they_say() -> None:
    assert statuses(attempt(1, step(4, "dbt something-new", {A: "success"}, which=None))) == {A: "success"}


def test_what_was_built_stays_built_when_it_is_skipped_or_fails_later() -> None:
    first = attempt(1, step(4, "dbt run", {A: "success", B: "error"}))
    ledger = build_ledger([first, attempt(2, step(4, "dbt run", {A: "error"}))])
    built = ledger.outcomes[A].built
    assert built is not None
    assert (built.attempt, built.run_id) == (1, 101)
    assert ledger.outcomes[A].result.status == "error"
    assert ledger.outcomes[B].built is None


@pytest.mark.parametrize(
    ("unique_id", "status", "is_built"),
    [
        (A, "success", True),
        (A, "warn", True),
        ("seed.p.s", "success", True),
        (TEST, "warn", False),
        (A, "reused", False),
        ("exposure.p.e", "no-op", False),
        (A, "partial success", False),
        (A, "error", False),
    ],
)
def test_what_counts_as_built(unique_id: str, status: str, is_built: bool) -> None:
    ledger = build_ledger([attempt(1, step(4, "dbt build", {unique_id: status}, state=RunState.SUCCESS))])
    assert (ledger.outcomes[unique_id].built is not None) is is_built


def test_freshness_is_that_of_the_last_look() -> None:
    def look(number: int, status: str) -> object:
        rows = (FreshnessResult(unique_id="source.p.s.t", status=status),)
        return attempt(number, step(3, "dbt source freshness", freshness=rows, state=RunState.SUCCESS))

    ledger = build_ledger([look(1, "error"), look(2, "pass")])  # type: ignore[list-item]
    assert [row.status for row in ledger.freshness] == ["pass"]
    assert ledger.outcomes == {}


def test_the_command_that_the_file_names_counts_more_than_the_one_of_the_step() -> None:
    compiled = step(4, "dbt build", {A: "success"}, which="compile")
    assert statuses(attempt(1, compiled)) == {}
    built = step(4, "dbt compile", {A: "success"}, which="build")
    assert statuses(attempt(1, built)) == {A: "success"}


def test_a_word_that_is_not_known_has_recovered_where_its_step_succeeded() -> None:
    """And has not where the step failed: the state of the step is part of the judgement."""
    first = attempt(1, step(4, "dbt build", {A: "error"}))
    good = attempt(2, step(4, "dbt build", {A: "a word of tomorrow"}, state=RunState.SUCCESS))
    bad = attempt(2, step(4, "dbt build", {A: "a word of tomorrow"}, state=RunState.ERROR))
    assert build_ledger([first, good]).outcomes[A].recovered
    assert not build_ledger([first, bad]).outcomes[A].recovered


def test_an_outcome_says_whose_it_is_and_where_it_was_built_last() -> None:
    first = attempt(1, step(4, "dbt build", {A: "success"}))
    ledger = build_ledger([first, attempt(2, step(6, "dbt build", {A: "error"}))])
    outcome = ledger.outcomes[A]
    assert (outcome.unique_id, outcome.step_index, outcome.results_path.name) == (A, 6, "step-6.json")
    assert outcome.built is not None
    assert (outcome.built.attempt, outcome.built.run_id, outcome.built.step_index) == (1, 101, 4)
    assert (outcome.built.result.unique_id, outcome.built.result.status) == (A, "success")
