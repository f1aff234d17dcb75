"""What is known at one moment, and the outcome as far as it goes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.attempts import NOON, attempt, step
from tests.support.values import replace

from dbt_cloud_run.cloud.models import Job, Run
from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.gates import Gate
from dbt_cloud_run.github.events import Commit
from dbt_cloud_run.invariants import Invariant
from dbt_cloud_run.model import Fate, FateKind, Interruption, Limit, LimitReached, RunState, StepError, TriggerOverrides
from dbt_cloud_run.start.decide import Decision
from dbt_cloud_run.start.tag import RunKey, Tag
from dbt_cloud_run.story import Story, decided, known_attempts, outcome_of
from dbt_cloud_run.unknown import Unknown, UnknownKind

GREEN = attempt(1, step(4, "dbt build", {"model.p.a": "success"}))
RED = attempt(1, step(4, "dbt build", {"model.p.a": "error"}))
LATER = NOON + timedelta(minutes=5)


def run(status: int, **fields: Any) -> Run:
    return Run.model_validate({"id": 102, "status": status, "created_at": NOON.isoformat(), **fields})


@pytest.mark.parametrize(
    ("status", "ending"),
    [(1, Ending.QUEUED), (3, Ending.QUEUED), (99, Ending.QUEUED), (10, Ending.SUCCESS), (30, Ending.CANCELLED)],
)
def test_the_current_run_is_the_last_attempt_as_it_was_last_seen(status: int, ending: Ending) -> None:
    first, second = known_attempts(Story(attempts=(RED,), current=run(status)))
    assert first == RED
    assert (second.number, second.run_id, second.ending) == (2, 102, ending)


@pytest.mark.parametrize(("job", "name"), [(Job(id=7, name="Nightly"), "Nightly"), (None, None)])
def test_what_was_decided_is_known_before_anything_is_started(job: Job | None, name: str | None) -> None:
    tag, subject = Tag.new(RunKey("step", "all"), 1), Commit(sha="a" * 40)
    decision = Decision(
        job_id=7, tag=tag, cause="", overrides=TriggerOverrides(), subject=subject, job=job, notes=("one",)
    )
    story = decided(Story(attempts=(RED,)), decision)
    assert (story.job_id, story.step_key, story.job_name) == (7, "step", name)
    assert (story.subject, story.notes, story.attempts) == (subject, ("one",), (RED,))


def test_without_a_current_run_the_attempts_are_those_that_were_read() -> None:
    assert known_attempts(Story(attempts=(RED,))) == (RED,)
    assert known_attempts(Story()) == ()


def test_a_current_run_that_was_not_asked_for_everything_is_no_success() -> None:
    story = Story(attempts=(RED,), current=run(10))
    whole, partial = (outcome_of(replace(story, is_partial=part), now=LATER) for part in (False, True))
    assert Invariant.NOTHING_LEFT_OUT not in {one.invariant for one in whole.contradictions}
    assert partial.ending is Ending.ERROR
    assert partial.contradictions[0].invariant is Invariant.NOTHING_LEFT_OUT


def test_the_results_of_a_current_run_that_has_ended_are_not_known() -> None:
    """A signal may come while they are read: then nothing is counted, and after a retry there is no success."""
    alone = outcome_of(Story(current=run(10)), now=LATER, interruption=Interruption(signum=15))
    assert (alone.ending, alone.unknown_runs) == (Ending.SUCCESS, (102,))
    gated = outcome_of(Story(current=run(10)), now=LATER, fail_on=(Gate.NO_NODES,))
    assert [(gate.unread, gate.commands) for gate in gated.gates.failed] == [((102,), ())]
    set_up = attempt(1, step(1, None, state=RunState.ERROR))
    retried = outcome_of(Story(attempts=(set_up,), current=run(10)), now=LATER)
    assert (retried.ending, retried.failure_kind) == (Ending.ERROR, FailureKind.API)
    assert [one.invariant for one in retried.contradictions] == [Invariant.RESULTS_KNOWN]
    assert outcome_of(Story(current=run(3)), now=LATER).unknown_runs == ()


def test_a_failure_of_a_current_run_is_not_judged_by_results_that_were_not_read() -> None:
    """Of a step that was read, and has no failed node, it would be said that dbt did not come as far as running any."""
    failed = {"id": 1, "index": 1, "name": "Invoke dbt with `dbt build`", "status": 20, "logs": "Something is wrong."}
    story = Story(current=run(20, run_steps=[failed]))
    (attempt,) = known_attempts(story)
    assert attempt.unknown == (Unknown(kind=UnknownKind.RESULTS, why="they have not been read"),)
    assert outcome_of(story, now=LATER).failure_kind is FailureKind.API


def test_the_outcome_has_all_that_is_known() -> None:
    limit = LimitReached(limit=Limit.TOTAL, fate=Fate(kind=FateKind.CANCELLED, run_id=102))
    story = Story(current=run(3), limit=limit, notes=("one",)).with_note("two")
    outcome = outcome_of(story, now=LATER)
    assert (outcome.notes, outcome.limit, outcome.ending) == (("one", "two"), limit, Ending.QUEUED)
    assert outcome.duration_seconds == 300


def test_what_ended_the_step_early_is_the_outcome() -> None:
    story = Story(attempts=(RED,))
    error = StepError(kind=FailureKind.API, message="No answer.")
    assert outcome_of(story, now=LATER, error=error).failure_kind is FailureKind.API
    signal = Interruption(signum=15)
    assert outcome_of(story, now=LATER, interruption=signal).ending is Ending.CANCELLED


def test_a_step_that_starts_nothing_is_skipped_and_says_why() -> None:
    story = Story(job_id=7, skipped="Job 7 is busy.", notes=("one",))
    outcome = outcome_of(story, now=LATER)
    assert (outcome.ending, outcome.failure_kind, outcome.notes) == (
        Ending.SKIPPED,
        FailureKind.NONE,
        ("one", "Job 7 is busy."),
    )
    signal = Interruption(signum=15)
    assert outcome_of(story, now=LATER, interruption=signal).ending is Ending.CANCELLED
    error = StepError(kind=FailureKind.API, message="No answer.")
    assert outcome_of(story, now=LATER, error=error).failure_kind is FailureKind.API


def test_a_condition_of_fail_on_is_judged_by_the_commit_of_the_event() -> None:
    story = Story(attempts=(replace(GREEN, git_sha="b" * 40),), subject=Commit(sha="a" * 40))
    kinds = {
        sha: outcome_of(story, now=LATER, fail_on=(Gate.OTHER_COMMIT,), git_sha=sha).failure_kind
        for sha in (None, "a" * 40, "b" * 40)
    }
    assert kinds == {
        None: FailureKind.OTHER_COMMIT,
        "a" * 40: FailureKind.OTHER_COMMIT,
        "b" * 40: FailureKind.NONE,
    }
