"""Random histories of attempts: a success only where every invariant holds, and each one that does not is named.

What each invariant says is written here once more, from the contract's words and not from the program's.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.attempts import attempt, step
from tests.support.values import replace

from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.gates import Gate
from dbt_cloud_run.invariants import Invariant
from dbt_cloud_run.ledger.outcome import build_outcome
from dbt_cloud_run.model import Attempt, Interruption, RunState, StepError, TriggerOverrides
from dbt_cloud_run.planned import NOT_STARTED, PlannedNode, PlannedStep, RetryPlan, StepAction
from dbt_cloud_run.report.reasons import reason
from dbt_cloud_run.unknown import Unknown, UnknownKind

NODES = [f"model.p.{name}" for name in "abcd"]
FAILURES = {"error", "fail", "runtime error", "partial success"}
STATUSES = ["success", "pass", "warn", "no-op", "reused", "skipped", *sorted(FAILURES)]
SHA, SHORT, OTHER, BRANCH = "a" * 40, "a" * 8, "b" * 40, "main"
COMMAND, INDEX = "dbt build", 4

UNKNOWNS = st.sampled_from(
    [
        Unknown(kind=UnknownKind.STEPS, why="HTTP 504"),
        Unknown(kind=UnknownKind.RESULTS, why="it is missing", step=INDEX),
        Unknown(kind=UnknownKind.RESULTS, why="it is missing", step=INDEX + 1),
        Unknown(kind=UnknownKind.FRESHNESS, why="it is missing", step=INDEX),
    ]
)
STEPS = st.builds(
    PlannedStep,
    index=st.just(INDEX),
    command=st.just(COMMAND),
    action=st.sampled_from([StepAction.WHOLE, StepAction.NODES]),
    reason=st.just(""),
    nodes=st.lists(
        st.builds(
            PlannedNode,
            unique_id=st.sampled_from(NODES),
            status=st.sampled_from(["skipped", NOT_STARTED]),
            reason=st.just(""),
        )
    ).map(tuple),
)
PLANS = st.builds(
    RetryPlan,
    commands=st.sampled_from([(), (COMMAND,)]),
    is_whole=st.booleans(),
    is_partial=st.booleans(),
    steps=st.just(()) | st.tuples(STEPS),
)


@st.composite
def attempts(draw: st.DrawFn) -> Attempt:
    rows = draw(st.dictionaries(st.sampled_from(NODES), st.sampled_from(STATUSES)))
    state = draw(st.sampled_from([RunState.SUCCESS, RunState.ERROR, RunState.UNKNOWN]))
    made = attempt(
        1,
        step(INDEX, COMMAND, rows, state=state),
        ending=draw(st.sampled_from([*Ending, Ending.SUCCESS, Ending.SUCCESS, Ending.SUCCESS])),
        is_partial=draw(st.booleans()),
        git_sha=draw(st.sampled_from([None, SHA, SHA, OTHER])),
    )
    asked = draw(st.sampled_from([None, SHA, SHORT, BRANCH, OTHER]))
    return replace(
        made,
        overrides=TriggerOverrides(git_sha=asked),
        plan=draw(st.none() | PLANS),
        unknown=draw(st.just(()) | st.tuples(UNKNOWNS)),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Attempt]:
    found = draw(st.lists(attempts(), max_size=4))
    return [replace(one, number=number, run_id=100 + number) for number, one in enumerate(found, start=1)]


def last_statuses(history: Sequence[Attempt]) -> dict[str, str]:
    """The last result of each node."""
    found: dict[str, str] = {}
    for one in history:
        for made in one.steps:
            for row in made.results.nodes if made.results else ():
                found[row.unique_id] = row.status
    return found


def counts(one: Attempt) -> bool:
    """Whether a result of a node is not known; the freshness of sources is none."""
    return any(unknown.kind is not UnknownKind.FRESHNESS for unknown in one.unknown)


def is_repeated(one: Attempt) -> bool:
    """Whether all that is not known of it ran again: by a plan for the whole run, or for the step in question."""
    plan = one.plan
    if plan is None or not plan.commands:
        return False
    indices = {planned.index for planned in plan.steps if planned.action is StepAction.WHOLE}
    return plan.is_whole or all(unknown.step in indices for unknown in one.unknown)


def were_not_run(history: Sequence[Attempt], *statuses: str) -> set[str]:
    """The nodes that a plan had run again, since they had one of these statuses, and that no later attempt reports."""
    found: set[str] = set()
    for one in history:
        found -= set(last_statuses([one]))
        nodes = [node for planned in (one.plan.steps if one.plan else ()) for node in planned.nodes]
        found |= {node.unique_id for node in nodes if node.status in statuses}
    return found


def is_other_commit(asked: str | None, built: str | None) -> bool:
    return asked in (SHA, SHORT, OTHER) and built is not None and asked[0] != built[0]


def broken(history: Sequence[Attempt]) -> set[Invariant]:
    """The invariants that do not hold, by the contract."""
    found = set()
    if FAILURES & set(last_statuses(history).values()):
        found.add(Invariant.NO_NODE_FAILED)
    if history[-1].is_partial or any(one.plan is not None and one.plan.is_partial for one in history):
        found.add(Invariant.NOTHING_LEFT_OUT)
    unknown = [one for one in history if counts(one) and (one is history[-1] or not is_repeated(one))]
    if len(history) > 1 and unknown:
        found.add(Invariant.RESULTS_KNOWN)
    statuses = last_statuses(history)
    skipped = {node for node in were_not_run(history, "skipped", NOT_STARTED) if statuses.get(node) == "skipped"}
    if not unknown and (skipped or were_not_run(history, NOT_STARTED)):
        found.add(Invariant.RETRIED_RAN)
    asked = history[0].overrides.git_sha or history[0].git_sha
    if any(is_other_commit(asked, one.git_sha) for one in history):
        found.add(Invariant.COMMIT_AS_ASKED)
    return found


def retried_in_vain(status: str) -> list[Attempt]:
    """A retry of one node with this status, which the retry does not report."""
    node = PlannedNode(unique_id=NODES[0], status=status, reason="")
    made = PlannedStep(index=INDEX, command=COMMAND, action=StepAction.NODES, reason="", nodes=(node,))
    rows = {} if status == NOT_STARTED else {NODES[0]: status}
    first = attempt(1, step(INDEX, COMMAND, rows), plan=RetryPlan(commands=(COMMAND,), steps=(made,)))
    return [first, attempt(2, step(INDEX, COMMAND, {NODES[1]: "success"}))]


@given(histories())
@example([])
@example(retried_in_vain("skipped"))
@example(retried_in_vain(NOT_STARTED))
def test_a_success_is_one_only_where_every_invariant_holds_and_each_other_is_named(history: list[Attempt]) -> None:
    outcome = build_outcome(history)
    named = {one.invariant for one in outcome.contradictions}
    assert len(named) == len(outcome.contradictions)
    if not history:
        assert (outcome.ending, outcome.failure_kind) == (Ending.ERROR, FailureKind.API)
    elif history[-1].ending is not Ending.SUCCESS:
        assert (outcome.ending, named) == (history[-1].ending, set())
    else:
        assert named == broken(history)
        assert outcome.ending is (Ending.ERROR if named else Ending.SUCCESS)
    assert (outcome.failure_kind is FailureKind.NONE) is (
        outcome.ending in (Ending.SUCCESS, Ending.QUEUED, Ending.SKIPPED, Ending.DRY_RUN)
    )


@given(histories())
def test_each_contradiction_has_words_of_its_own_with_what_it_is_about(history: list[Attempt]) -> None:
    outcome = build_outcome(history)
    words, _ = reason(outcome)
    for one in outcome.contradictions:
        alone = reason(replace(outcome, contradictions=(one,)))[0]
        assert alone
        assert alone in words
        named = (*one.nodes, *map(str, one.runs), *(one.commits or ()))
        assert all(name in alone for name in named)
        assert bool(named) is (one.invariant is not Invariant.NOTHING_LEFT_OUT)


GATES = st.lists(st.sampled_from([Gate.NO_NODES, Gate.WARNINGS, Gate.OTHER_COMMIT]), unique=True)


def held(history: Sequence[Attempt], gate: Gate) -> bool:
    """Whether a condition of `fail-on` holds of a run that succeeded, or is not known not to, by the contract."""
    statuses, last = last_statuses(history), history[-1]
    unread = any(counts(one) and (one is last or not is_repeated(one)) for one in history)
    if gate is Gate.NO_NODES:
        return not statuses
    if gate is Gate.WARNINGS:
        return "warn" in statuses.values() or unread
    return last.git_sha is None or any(one.git_sha not in (None, SHA) for one in history)


@given(histories(), GATES)
def test_a_success_is_one_only_where_no_condition_of_fail_on_holds(history: list[Attempt], fail_on: list[Gate]) -> None:
    without = build_outcome(history)
    outcome = build_outcome(history, fail_on=fail_on, commits=(SHA,))
    failed = [found.gate for found in outcome.gates.failed]
    if without.ending is not Ending.SUCCESS:
        assert (outcome.ending, outcome.failure_kind) == (without.ending, without.failure_kind)
        return
    assert failed == [gate for gate in Gate if gate in fail_on and held(history, gate)]
    assert outcome.ending is (Ending.ERROR if failed else Ending.SUCCESS)
    assert outcome.failure_kind.value == (failed[0].value if failed else "")
    assert [one.invariant for one in outcome.contradictions] == [Invariant.NO_GATE_FAILED] * bool(failed)
    words, _ = reason(outcome)
    assert all(f"(fail-on: {gate.value})" in words for gate in failed)


@given(histories(), st.booleans())
def test_neither_an_error_nor_a_signal_makes_a_success(history: list[Attempt], is_signal: bool) -> None:
    before = build_outcome(history)
    error = None if is_signal else StepError(kind=FailureKind.API, message="No answer.")
    after = build_outcome(history, error=error, interruption=Interruption(signum=15) if is_signal else None)
    if is_signal:
        expected = Ending.SUCCESS if before.ending is Ending.SUCCESS else Ending.CANCELLED
        assert after.ending is expected
    else:
        assert (after.ending, after.failure_kind) == (Ending.ERROR, FailureKind.API)
