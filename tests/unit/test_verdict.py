"""How the whole ended, what kind of failure it was, and the invariants of a success."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.support.attempts import attempt, step
from tests.support.values import replace

from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.invariants import Contradiction, Invariant
from dbt_cloud_run.ledger.ledger import build_ledger
from dbt_cloud_run.ledger.verdict import Verdict, failure_kind, unknown_runs
from dbt_cloud_run.ledger.verdict import verdict as judged_with_ledger
from dbt_cloud_run.model import Attempt, RunState, Step, TriggerOverrides
from dbt_cloud_run.planned import NOT_STARTED, PlannedNode, PlannedStep, RetryPlan, StepAction
from dbt_cloud_run.unknown import Unknown, UnknownKind

COMPILATION = "Encountered an error:\nCompilation Error in model a (models/a.sql)\n  no such thing\n"
NETWORK = "Database Error\n  could not connect to server: Connection timed out\n"
CLONE = step(1, None)
GREEN = attempt(1, step(4, "dbt build", {"model.p.a": "success"}))
RED = attempt(1, step(4, "dbt build", {"model.p.a": "error"}))


UNREAD = Unknown(kind=UnknownKind.RESULTS, why="run_results.json is missing", step=4)
STEPS_UNREAD = Unknown(kind=UnknownKind.STEPS, why="HTTP 504")
SHA, OTHER = "a" * 40, "b" * 40


def verdict(attempts: Sequence[Attempt]) -> Verdict:
    return judged_with_ledger(attempts, build_ledger(attempts))


def left_out(made: Attempt) -> Attempt:
    return replace(made, plan=RetryPlan(commands=("dbt run",), is_partial=True))


def broken(attempts: Sequence[Attempt]) -> list[Invariant]:
    return [one.invariant for one in verdict(attempts).contradictions]


def test_the_last_attempt_decides() -> None:
    assert verdict([RED, replace(GREEN, number=2)]) == Verdict(Ending.SUCCESS, FailureKind.NONE)
    assert verdict([GREEN, replace(RED, number=2)]) == Verdict(Ending.ERROR, FailureKind.NODES)


def test_without_an_attempt_there_is_an_error() -> None:
    assert verdict([]) == Verdict(Ending.ERROR, FailureKind.API)


LEFT_OUT = (Contradiction(invariant=Invariant.NOTHING_LEFT_OUT),)


def test_a_failure_that_was_left_out_stays_one_even_if_the_last_run_is_green() -> None:
    assert verdict([left_out(RED), GREEN]) == Verdict(Ending.ERROR, FailureKind.NODES, LEFT_OUT)
    compilation = attempt(1, step(4, "dbt build", log=COMPILATION))
    assert verdict([left_out(compilation), GREEN]) == Verdict(Ending.ERROR, FailureKind.COMPILE, LEFT_OUT)


def test_what_an_earlier_workflow_run_left_out_stays_a_failure_until_a_retry_takes_it() -> None:
    part = replace(GREEN, number=2, is_partial=True)
    assert verdict([RED, part]) == Verdict(Ending.ERROR, FailureKind.NODES, LEFT_OUT)
    assert verdict([RED, part, replace(GREEN, number=3)]) == Verdict(Ending.SUCCESS, FailureKind.NONE)


def test_a_plan_that_leaves_nothing_out_leaves_no_failure() -> None:
    retried = replace(RED, plan=RetryPlan(commands=("dbt run",)))
    assert verdict([retried, GREEN]) == Verdict(Ending.SUCCESS, FailureKind.NONE)


# -- the invariants of a success


def test_a_success_with_a_failed_node_is_none() -> None:
    odd = attempt(1, step(4, "dbt build", {"model.p.a": "error"}), ending=Ending.SUCCESS)
    found = verdict([odd])
    assert (found.ending, found.failure_kind) == (Ending.ERROR, FailureKind.NODES)
    assert found.contradictions == (Contradiction(invariant=Invariant.NO_NODE_FAILED, nodes=("model.p.a",)),)


def test_a_failure_that_no_retry_took_is_one_whatever_the_last_run_says() -> None:
    other = attempt(2, step(4, "dbt build", {"model.p.b": "success"}))
    assert broken([RED, other]) == [Invariant.NO_NODE_FAILED]


@pytest.mark.parametrize("status", ["warn", "no-op", "reused", "a word of tomorrow"])
def test_a_warning_and_a_word_that_is_not_known_are_no_failures_of_a_step_that_succeeded(status: str) -> None:
    made = step(4, "dbt build", {"model.p.a": status}, state=RunState.SUCCESS)
    assert verdict([attempt(1, made)]).ending is Ending.SUCCESS


def planned(made: Attempt, *nodes: str) -> Attempt:
    """The attempt with a plan that re-runs these nodes of its step 4."""
    listed = tuple(PlannedNode(unique_id=node, status="", reason="") for node in nodes)
    again = PlannedStep(index=4, command="dbt build", action=StepAction.NODES, reason="", nodes=listed)
    return replace(made, plan=RetryPlan(commands=("dbt build -s a",), steps=(again,)))


HALF = attempt(1, step(4, "dbt build", {"model.p.a": "error", "model.p.b": "skipped"}))
BOTH = attempt(2, step(4, "dbt build", {"model.p.a": "success", "model.p.b": "success"}))


def test_a_node_that_was_to_be_re_run_and_that_no_retry_reports_is_no_success() -> None:
    first, second = planned(HALF, "model.p.a", "model.p.b"), replace(GREEN, number=2, run_id=102)
    found = verdict([first, second])
    assert (found.ending, found.failure_kind) == (Ending.ERROR, FailureKind.NODES)
    assert found.contradictions == (Contradiction(invariant=Invariant.RETRIED_RAN, nodes=("model.p.b",)),)
    assert broken([first, BOTH]) == []
    assert broken([planned(HALF, "model.p.a"), second]) == [], "no plan was made for it"
    assert broken([first, planned(second, "model.p.b"), replace(GREEN, number=3)]) == [Invariant.RETRIED_RAN]


def test_a_node_that_never_started_and_that_no_retry_reports_is_no_success() -> None:
    """The name by which a plan has it run may select nothing: dbt then ends well, and reports nothing."""
    cut_off = attempt(1, step(4, "dbt build", {"model.p.a": "success"}), ending=Ending.TIMED_OUT)
    listed = ("model.p.b", "exposure.p.e")
    nodes = tuple(PlannedNode(unique_id=node, status=NOT_STARTED, reason="") for node in listed)
    again = PlannedStep(index=4, command="dbt build", action=StepAction.NODES, reason="", nodes=nodes)
    first = replace(cut_off, plan=RetryPlan(commands=("dbt build -s b",), steps=(again,)))
    idle = attempt(2, step(4, "dbt build", {}), ending=Ending.SUCCESS)
    found = verdict([first, idle])
    assert (found.ending, found.failure_kind) == (Ending.ERROR, FailureKind.NODES)
    # Not every dbt lists exposures.
    assert found.contradictions == (Contradiction(invariant=Invariant.RETRIED_RAN, nodes=("model.p.b",)),)
    assert broken([first, attempt(2, step(4, "dbt build", {"model.p.b": "success"}))]) == []
    # What a step before has built is not what this step had still to do.
    before = replace(first, steps=(step(3, "dbt run", {"model.p.b": "success"}), *first.steps))
    assert broken([before, idle]) == [Invariant.RETRIED_RAN]


def test_a_node_that_the_retry_skips_is_reported_by_it_and_one_whose_result_is_not_known_may_have_run() -> None:
    first = planned(HALF, "model.p.a", "model.p.b")
    idle = step(4, "dbt build", {"model.p.a": "success", "model.p.b": "skipped"}, state=RunState.SUCCESS)
    assert broken([first, attempt(2, idle)]) == [], "the new engine skips what has nothing to do"
    unread = replace(GREEN, number=2, run_id=102, unknown=(UNREAD,))
    assert broken([first, unread]) == [Invariant.RESULTS_KNOWN]


def test_results_that_could_not_be_read_leave_the_verdict_without_a_retry_and_no_success_after_one() -> None:
    unread = replace(GREEN, unknown=(UNREAD,))
    assert verdict([unread]).ending is Ending.SUCCESS
    assert unknown_runs([unread]) == (101,)
    after = verdict([RED, replace(unread, number=2, run_id=102)])
    assert (after.ending, after.failure_kind) == (Ending.ERROR, FailureKind.API)
    assert after.contradictions == (Contradiction(invariant=Invariant.RESULTS_KNOWN, runs=(102,)),)


@pytest.mark.parametrize(
    ("unknown", "plan", "is_known"),
    [
        (UNREAD, RetryPlan(commands=("dbt build",), is_whole=True), True),
        (STEPS_UNREAD, RetryPlan(commands=("dbt build",), is_whole=True), True),
        (
            UNREAD,
            RetryPlan(
                commands=("dbt build",),
                steps=(PlannedStep(index=4, command="dbt build", action=StepAction.WHOLE, reason=""),),
            ),
            True,
        ),
        (
            UNREAD,
            RetryPlan(
                commands=("dbt build", "dbt test"),
                steps=(
                    PlannedStep(index=3, command="dbt build", action=StepAction.WHOLE, reason=""),
                    PlannedStep(index=4, command="dbt test", action=StepAction.NODES, reason=""),
                ),
            ),
            False,
        ),
        (UNREAD, RetryPlan(commands=("dbt build -s a",)), False),
        (STEPS_UNREAD, RetryPlan(commands=("dbt build -s a",)), False),
        (UNREAD, None, False),
    ],
)
def test_what_was_not_known_is_no_matter_once_all_of_it_ran_again(
    unknown: Unknown, plan: RetryPlan | None, is_known: bool
) -> None:
    first = replace(RED, unknown=(unknown,), plan=plan)
    assert broken([first, replace(GREEN, number=2)]) == ([] if is_known else [Invariant.RESULTS_KNOWN])


def test_another_commit_than_the_one_asked_for_is_no_success() -> None:
    asked = replace(GREEN, overrides=TriggerOverrides(git_sha=SHA), git_sha=SHA)
    assert verdict([asked]).ending is Ending.SUCCESS
    found = verdict([replace(asked, git_sha=OTHER)])
    assert (found.ending, found.failure_kind) == (Ending.ERROR, FailureKind.OTHER_COMMIT)
    assert found.contradictions[0].commits == (SHA, OTHER)
    assert verdict([replace(asked, git_sha=None)]).ending is Ending.SUCCESS


def test_a_retry_of_another_commit_than_the_first_run_s_is_no_success() -> None:
    assert broken([replace(RED, git_sha=SHA), replace(GREEN, git_sha=OTHER)]) == [Invariant.COMMIT_AS_ASKED]


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        (Ending.SUCCESS, FailureKind.NONE),
        (Ending.QUEUED, FailureKind.NONE),
        (Ending.CANCELLED, FailureKind.CANCELLED),
        (Ending.SUPERSEDED, FailureKind.CANCELLED),
        (Ending.TIMED_OUT, FailureKind.TIMEOUT),
    ],
)
def test_some_endings_are_a_kind_of_their_own(ending: Ending, kind: FailureKind) -> None:
    assert failure_kind(replace(RED, ending=ending)) is kind


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ([CLONE], FailureKind.SETUP),
        ([step(3, "dbt deps")], FailureKind.SETUP),
        ([], FailureKind.SETUP),
        ([step(4, "dbt build", log=COMPILATION)], FailureKind.COMPILE),
        ([step(4, "dbt build", log=NETWORK)], FailureKind.SETUP),
        ([step(4, "dbt build", {"test.p.t": "fail"})], FailureKind.NODES),
        ([step(4, "dbt source freshness")], FailureKind.FRESHNESS),
        ([step(4, "dbt --quiet source freshness")], FailureKind.FRESHNESS),
        ([step(4, "dbt sqlfluff lint")], FailureKind.LINT),
        ([replace(step(4, None), name="Lint with SQLFluff")], FailureKind.LINT),
        ([replace(step(2, None), name="Create profile from connection lint")], FailureKind.SETUP),
        ([step(4, "dbt run -s lint", {"model.p.lint": "error"})], FailureKind.NODES),
        (
            [step(4, "dbt build", {"model.p.a": "success"}, state=RunState.SUCCESS), step(5, "dbt deps")],
            FailureKind.SETUP,
        ),
    ],
)
def test_the_first_step_that_failed_gives_the_kind(steps: list[Step], kind: FailureKind) -> None:
    assert failure_kind(attempt(1, *steps, ending=Ending.ERROR)) is kind


@pytest.mark.parametrize(
    ("command", "log", "kind"),
    [
        ("dbt build", "Running 2 of 2", FailureKind.API),
        ("dbt build", NETWORK, FailureKind.API),
        ("dbt build", "Done. PASS=1 WARN=0 ERROR=1 SKIP=0 TOTAL=2", FailureKind.NODES),
        ("dbt build", COMPILATION, FailureKind.COMPILE),
        ("dbt deps", NETWORK, FailureKind.SETUP),
        ("dbt source freshness", "", FailureKind.FRESHNESS),
    ],
)
@pytest.mark.parametrize("index", [4, None])
def test_without_the_results_that_a_step_may_have_its_log_gives_the_kind(
    command: str, log: str, kind: FailureKind, index: int | None
) -> None:
    unknown = (Unknown(kind=UnknownKind.RESULTS, step=index, why="dbt Cloud did not answer"),)
    assert failure_kind(attempt(1, step(4, command, log=log), ending=Ending.ERROR, unknown=unknown)) is kind


def test_a_checkbox_step_is_named_only_where_nothing_else_failed() -> None:
    freshness = step(3, "dbt source freshness")
    build = step(4, "dbt build", {"model.p.a": "error"})
    asked = ("dbt build",)
    both = attempt(1, freshness, build, asked=asked, checks_freshness=True)
    assert failure_kind(both) is FailureKind.NODES
    alone = attempt(1, freshness, asked=asked, checks_freshness=True)
    assert failure_kind(alone) is FailureKind.FRESHNESS
    by_command = attempt(1, freshness, build, asked=("dbt source freshness", "dbt build"))
    assert failure_kind(by_command) is FailureKind.FRESHNESS


def test_nodes_that_failed_tell_where_no_step_is_known_to_have() -> None:
    odd = attempt(1, step(4, "dbt build", {"model.p.a": "error"}, state=RunState.UNKNOWN), ending=Ending.ERROR)
    assert failure_kind(odd) is FailureKind.NODES


@pytest.mark.parametrize(
    ("words", "flags", "kind"),
    [
        ("dbt docs generate", {"generates_docs": True}, FailureKind.NODES),
        ("dbt docs generate", {}, FailureKind.COMPILE),
        ("dbt docs generate", {"checks_freshness": True}, FailureKind.COMPILE),
        ("dbt source freshness", {"generates_docs": True}, FailureKind.FRESHNESS),
        ("dbt source freshness", {}, FailureKind.FRESHNESS),
        ("dbt run", {"generates_docs": True, "checks_freshness": True}, FailureKind.COMPILE),
    ],
)
def test_only_what_the_job_s_settings_add_comes_last(words: str, flags: dict[str, bool], kind: FailureKind) -> None:
    build = step(5, "dbt build", {"model.p.a": "error"})
    made = attempt(1, step(4, words), build, asked=("dbt build",), **flags)
    assert failure_kind(made) is kind


def test_what_was_asked_for_does_not_come_last_even_where_the_job_adds_such_a_step_too() -> None:
    build = step(5, "dbt build", {"model.p.a": "error"})
    asked = ("dbt source freshness", "dbt build")
    made = attempt(1, step(4, "dbt source freshness"), build, asked=asked, checks_freshness=True)
    assert failure_kind(made) is FailureKind.FRESHNESS


def test_a_step_without_a_command_that_failed_is_the_set_up() -> None:
    made = attempt(1, step(1, None), step(4, "dbt build", {"model.p.a": "error"}), asked=("dbt build",))
    assert failure_kind(made) is FailureKind.SETUP


def test_the_kind_of_what_was_left_out_is_never_none() -> None:
    green = left_out(attempt(1, step(4, "dbt build", {"model.p.a": "success"})))
    assert verdict([green, replace(GREEN, number=2)]).failure_kind is FailureKind.NODES
    partial = replace(GREEN, number=2, is_partial=True)
    assert verdict([GREEN, partial]).failure_kind is FailureKind.NODES


def test_another_commit_names_its_run() -> None:
    first, second = replace(GREEN, git_sha=SHA), replace(GREEN, number=2, run_id=102, git_sha=OTHER)
    (found,) = verdict([first, second]).contradictions
    assert (found.runs, found.commits) == ((102,), (SHA, OTHER))


def test_where_the_failed_step_is_not_known_failed_nodes_say_what_failed() -> None:
    unread = replace(
        attempt(1, step(4, "dbt build", {"model.p.a": "error"}, state=RunState.RUNNING)), ending=Ending.ERROR
    )
    assert failure_kind(replace(unread, unknown=(STEPS_UNREAD,))) is FailureKind.NODES
    fine = attempt(1, step(4, "dbt build", {"model.p.a": "success"}), ending=Ending.ERROR)
    assert failure_kind(replace(fine, unknown=(STEPS_UNREAD,))) is FailureKind.API
