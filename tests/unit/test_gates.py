"""The conditions of `fail-on`: what holds, what is not known, and what there is nothing to say about."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.support.attempts import attempt, step
from tests.support.values import replace

from dbt_cloud_run.endings import Ending
from dbt_cloud_run.gates import FailedGate, Gate, GateFindings, NothingSelected
from dbt_cloud_run.github.events import Commit, Head, MergeGroup, Nothing, PullRequest, commits_of
from dbt_cloud_run.ledger.gates import judge_gates, wanted_commits
from dbt_cloud_run.ledger.ledger import build_ledger
from dbt_cloud_run.model import Attempt, FreshnessResult, Outcome, RunState, Step
from dbt_cloud_run.planned import PlannedStep, RetryPlan, StepAction
from dbt_cloud_run.report.gates import cautions, gate_words, quiet_line
from dbt_cloud_run.unknown import Unknown, UnknownKind

SHA, OTHER = "a" * 40, "b" * 40
ALL = tuple(Gate)
BUILT = step(5, "dbt build", {"model.p.a": "success"})
STALE, LATE, FRESH = (
    FreshnessResult(unique_id=f"source.p.raw.{name}", status=status)
    for name, status in (("stale", "error"), ("late", "warn"), ("fresh", "pass"))
)


def judged(*attempts: Attempt, fail_on: Sequence[Gate] = ALL, commits: Sequence[str] = (SHA,)) -> GateFindings:
    return judge_gates(attempts, build_ledger(attempts), fail_on=fail_on, commits=commits)


def failed(*attempts: Attempt, fail_on: Sequence[Gate] = ALL) -> tuple[FailedGate, ...]:
    return judged(*attempts, fail_on=fail_on).failed


def checked(*rows: FreshnessResult, state: RunState = RunState.SUCCESS) -> Step:
    return step(4, "dbt source freshness", state=state, freshness=rows)


def made(*steps: Step, **more: object) -> Attempt:
    return attempt(1, *steps, ending=Ending.SUCCESS, **{"git_sha": SHA, **more})


def test_nothing_holds_of_a_run_that_is_as_it_should_be() -> None:
    assert judged(made(checked(FRESH), BUILT)) == GateFindings()


def test_each_condition_names_what_it_is_about_in_the_contracts_order() -> None:
    warned = step(5, "dbt build", {"model.p.a": "success", "test.p.t": "warn"})
    odd = made(checked(LATE, STALE, FRESH), warned, git_sha=OTHER)
    assert failed(odd) == (
        FailedGate(gate=Gate.STALE_SOURCES, nodes=("source.p.raw.stale",)),
        FailedGate(gate=Gate.SOURCE_WARNINGS, nodes=("source.p.raw.late",)),
        FailedGate(gate=Gate.WARNINGS, nodes=("test.p.t",)),
        FailedGate(gate=Gate.OTHER_COMMIT, commits=(SHA, OTHER)),
    )
    assert failed(odd, fail_on=()) == ()
    assert [found.gate for found in failed(odd, fail_on=(Gate.OTHER_COMMIT, Gate.WARNINGS))] == [
        Gate.WARNINGS,
        Gate.OTHER_COMMIT,
    ]


def test_a_warning_that_a_later_attempt_does_not_repeat_is_none() -> None:
    first = attempt(1, step(5, "dbt build", {"test.p.t": "warn", "model.p.a": "error"}), git_sha=SHA)
    second = replace(made(step(5, "dbt build", {"test.p.t": "pass", "model.p.a": "success"})), number=2, run_id=102)
    assert failed(first, second, fail_on=(Gate.WARNINGS,)) == ()


# -- nothing was selected

NONE = step(5, "dbt build --select tag:none", {}, state=RunState.SUCCESS)


def test_commands_that_selected_nothing_are_named() -> None:
    seeds = step(4, "dbt seed", {}, state=RunState.SUCCESS)
    found = judged(made(seeds, NONE))
    assert found.failed == (FailedGate(gate=Gate.NO_NODES, commands=("dbt seed", "dbt build --select tag:none")),)
    assert found.nothing_selected == NothingSelected(
        commands=("dbt seed", "dbt build --select tag:none"), is_by_state=False
    )


def test_one_node_in_any_attempt_is_something() -> None:
    found = judged(made(NONE, BUILT))
    assert (found.failed, found.nothing_selected) == ((), None)


def test_the_hooks_of_a_project_are_no_selection_and_an_operation_is_one() -> None:
    hooks = step(5, "dbt run", {"operation.p.p-on-run-start-0": "success"})
    assert [found.gate for found in failed(made(hooks))] == [Gate.NO_NODES]
    operation = step(5, "dbt run-operation grant", {"operation.p.grant": "success"})
    assert failed(made(operation), fail_on=(Gate.NO_NODES,)) == ()


def test_a_run_that_executes_nothing_by_its_commands_fails_the_gate_and_is_not_warned_of() -> None:
    compiled = step(5, "dbt compile", {"model.p.a": "success"})
    found = judged(made(compiled), fail_on=(Gate.NO_NODES,))
    assert found.failed == (FailedGate(gate=Gate.NO_NODES),)
    assert found.nothing_selected is None
    assert gate_words(found.failed[0]) == "The run executed no node (fail-on: no-nodes)."


@pytest.mark.parametrize(
    ("command", "is_by_state"),
    [
        ("dbt build --select state:modified+", True),
        ("dbt build -s tag:a,source_status:fresher+", True),
        ("dbt build --exclude result:success", True),
        ("dbt build --select 1+result:error --vars '{a: 1}'", True),
        ("dbt build --select tag:state", False),
        ("dbt build --state target --select tag:none", False),
        ("dbt build", False),
    ],
)
def test_a_selection_by_state_may_select_nothing(command: str, is_by_state: bool) -> None:
    found = judged(made(step(5, command, {}, state=RunState.SUCCESS)), fail_on=())
    outcome = Outcome(ending=Ending.SUCCESS, gates=found)
    assert found.nothing_selected == NothingSelected(commands=(command,), is_by_state=is_by_state)
    sentence = f"Nothing was selected by `{command}`, so no node was executed."
    assert quiet_line(outcome) == (sentence if is_by_state else "")
    assert cautions(outcome) == (() if is_by_state else (sentence,))


def test_where_the_gate_says_it_nothing_else_does() -> None:
    outcome = Outcome(ending=Ending.ERROR, gates=judged(made(NONE), fail_on=(Gate.NO_NODES,)))
    assert (cautions(outcome), quiet_line(outcome)) == ((), "")


# -- what is not known


def unread(kind: UnknownKind, index: int | None = 5) -> tuple[Unknown, ...]:
    return (Unknown(kind=kind, why="HTTP 504", step=index),)


def test_what_could_not_be_read_fails_the_conditions_that_need_it() -> None:
    lost = made(checked(FRESH), step(5, "dbt build", state=RunState.SUCCESS), unknown=unread(UnknownKind.RESULTS))
    assert failed(lost) == (
        FailedGate(gate=Gate.NO_NODES, unread=(101,)),
        FailedGate(gate=Gate.WARNINGS, unread=(101,)),
    )
    assert judged(lost).nothing_selected is None


def test_what_is_known_is_enough() -> None:
    part = made(step(4, "dbt build", {"test.p.t": "warn"}), unknown=unread(UnknownKind.RESULTS))
    assert failed(part) == (FailedGate(gate=Gate.WARNINGS, nodes=("test.p.t",)),)


@pytest.mark.parametrize("state", [RunState.SUCCESS, RunState.ERROR])
@pytest.mark.parametrize("index", [4, None])
def test_freshness_that_could_not_be_read_fails_its_conditions_alone(state: RunState, index: int | None) -> None:
    kind = UnknownKind.FRESHNESS if index else UnknownKind.RESULTS
    found = judged(made(checked(state=state), BUILT, unknown=unread(kind, index)), fail_on=ALL[1:3])
    assert found.failed == tuple(FailedGate(gate=gate, unread=(101,)) for gate in ALL[1:3])
    assert found.unread_freshness == (101,)
    assert found.idle == ()


def test_freshness_that_a_retry_has_is_known() -> None:
    first = attempt(1, checked(state=RunState.ERROR), git_sha=SHA, unknown=unread(UnknownKind.FRESHNESS, 4))
    second = replace(made(checked(FRESH), BUILT), number=2, run_id=102)
    assert judged(first, second) == GateFindings()


def test_steps_that_could_not_be_read_may_have_checked_sources_unless_they_all_ran_again() -> None:
    first = attempt(1, ending=Ending.ERROR, git_sha=SHA, unknown=unread(UnknownKind.STEPS, None))
    second = replace(made(checked(FRESH), BUILT), number=2, run_id=102)
    assert judged(first, second, fail_on=(Gate.STALE_SOURCES,)).unread_freshness == (101,)
    again = (PlannedStep(index=5, command="dbt build", action=StepAction.WHOLE, reason=""),)
    whole = replace(first, plan=RetryPlan(commands=("dbt build",), is_whole=True, steps=again))
    assert judged(whole, second) == GateFindings()


@pytest.mark.parametrize("sha", [None, "main"])
def test_a_commit_that_dbt_cloud_does_not_name_fails_its_condition(sha: str | None) -> None:
    assert failed(made(BUILT, git_sha=sha)) == (FailedGate(gate=Gate.OTHER_COMMIT, unread=(101,)),)


# -- what there is nothing to say about


def test_conditions_that_have_nothing_to_judge_are_idle_and_said_to_be() -> None:
    found = judged(made(BUILT), commits=())
    assert (found.failed, found.idle) == ((), (Gate.STALE_SOURCES, Gate.SOURCE_WARNINGS, Gate.OTHER_COMMIT))
    assert cautions(Outcome(ending=Ending.SUCCESS, gates=found)) == (
        "fail-on: stale-sources has nothing to check: no step of the run checked the freshness of sources.",
        "fail-on: source-warnings has nothing to check: no step of the run checked the freshness of sources.",
        "fail-on: other-commit has nothing to check: no input names a commit, and neither does the event.",
    )


def test_a_run_that_failed_has_the_conditions_that_are_known_to_hold() -> None:
    broken = attempt(1, checked(STALE), step(5, "dbt build", {"model.p.a": "error"}), git_sha=None)
    found = judged(broken)
    assert found.failed == (FailedGate(gate=Gate.STALE_SOURCES, nodes=("source.p.raw.stale",)),)
    assert (found.idle, found.nothing_selected) == ((), None)
    set_up = attempt(1, step(1, None), git_sha=SHA)
    assert judged(set_up) == GateFindings()


@pytest.mark.parametrize("attempts", [(), (attempt(1, ending=Ending.QUEUED, git_sha=OTHER),)])
def test_what_has_not_ended_is_not_judged(attempts: tuple[Attempt, ...]) -> None:
    assert judged(*attempts) == GateFindings()


# -- the commit that is wanted


def test_the_commit_that_was_asked_for_comes_before_those_of_the_event() -> None:
    assert wanted_commits(SHA, (OTHER,)) == (SHA,)
    assert wanted_commits(SHA[:8], (OTHER,)) == (SHA[:8],)
    assert wanted_commits("v1.2", (OTHER,)) == (OTHER,), "a tag is compared by the event's commit"
    assert wanted_commits(None, ()) == ()


def test_a_pull_request_may_be_built_as_its_head_or_as_its_merge_commit() -> None:
    head = Head(sha=SHA, repository="org/repo", is_fork=False)
    both = commits_of(PullRequest(number=1, head=head, merge_sha=OTHER))
    assert both == (SHA, OTHER)
    built = replace(made(BUILT), git_sha=OTHER)
    assert judged(built, fail_on=(Gate.OTHER_COMMIT,), commits=both).failed == ()
    assert commits_of(PullRequest(number=1, head=None)) == ()
    assert commits_of(PullRequest(number=1, head=head, is_open=False)) == ()
    assert commits_of(MergeGroup(head_sha=SHA, number=1)) == (SHA,)
    assert commits_of(Commit(sha=SHA)) == (SHA,)
    assert commits_of(Nothing()) == ()


# -- the words


def test_names_are_shown_as_far_as_a_person_reads_them() -> None:
    many = tuple(f"source.p.raw.s{number}" for number in range(12))
    assert gate_words(FailedGate(gate=Gate.STALE_SOURCES, nodes=many)) == (
        "12 sources are past error_after or could not be checked: "
        f"{', '.join(f'raw.s{number}' for number in range(10))} and 2 more (fail-on: stale-sources)."
    )
    one = FailedGate(gate=Gate.WARNINGS, nodes=("test.p.t",))
    assert gate_words(one) == "1 node ended with a warning: test.p.t (fail-on: warnings)."


@pytest.mark.parametrize("gate", Gate)
def test_each_condition_says_that_it_is_not_known(gate: Gate) -> None:
    words = gate_words(FailedGate(gate=gate, unread=(7, 8)))
    assert "not known" in words
    assert "7, 8" in words
    assert words.endswith(f"(fail-on: {gate.value}).")
