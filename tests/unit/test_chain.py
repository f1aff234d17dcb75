"""The attempts before: which runs belong together, and whether the last one left something out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.start.chain import AmbiguousChainError, Chain, chain_of, find_chain
from dbt_cloud_run.start.tag import RunKey, Tag, cause_text

KEY = RunKey("0123456789", "aaaaaa")
SUCCESS, ERROR, CANCELLED, RUNNING = 10, 20, 30, 3
A_PERSON = {
    "trigger": {"actor": {"type": "t", "id": "1"}},
    "cancellation": {"actor": {"type": "user", "id": "2", "name": "alice"}},
}


def run(number: int, status: int, tag: Tag | None = None, **fields: Any) -> Run:
    cause = cause_text(tag, "nightly") if tag else "Scheduled"
    return Run.model_validate({"id": number, "status": status, "trigger": {"cause": cause}, **fields})


def ours(number: int, status: int, attempt: int = 1, root: int | None = None, **fields: Any) -> Run:
    return run(number, status, replace(Tag.new(KEY, attempt), root=root), **fields)


def part(number: int, status: int, root: int) -> Run:
    return run(number, status, Tag.new(KEY).for_retry(root, is_partial=True))


def ids(*runs: Run, attempt: int = 2) -> list[int] | None:
    chain = find_chain(sorted(runs, key=lambda run: -run.id), KEY, attempt)
    return [run.id for run in chain.runs] if chain else None


def test_without_a_run_of_this_step_there_is_none() -> None:
    assert ids() is None
    assert ids(run(5, ERROR), run(6, ERROR, Tag.new(RunKey("9999999999", "aaaaaa")))) is None


def test_retries_are_followed_by_the_root_in_their_tag_and_by_the_run_that_dbt_cloud_retried() -> None:
    first, second = ours(5, ERROR), ours(8, ERROR, root=5)
    native = run(11, ERROR, retrying_run_id=8)
    copied_cause = Run.model_validate({**second.model_dump(), "id": 14, "retrying_run_id": 11, "status": ERROR})
    later = ours(17, RUNNING, attempt=2, root=5)
    assert ids(first, second) == [5, 8]
    assert ids(first, second, native, copied_cause) == [5, 8, 11, 14]
    assert ids(first, second, native, later, attempt=3) == [5, 8, 11, 17]
    assert ids(first, run(9, ERROR, retrying_run_id=7)) == [5], "a retry of another run"


def test_a_root_that_is_too_old_to_be_listed_is_named() -> None:
    chain = find_chain([ours(8, ERROR, root=5)], KEY, 2)
    assert chain is not None
    assert (chain.root_id, chain.last.id) == (5, 8)


def test_the_newest_chain_counts() -> None:
    assert ids(ours(5, SUCCESS), ours(8, ERROR, attempt=2), attempt=3) == [8]


def test_a_late_duplicate_of_one_request_is_no_run_of_the_chain() -> None:
    first = ours(5, ERROR)
    assert ids(first, Run.model_validate({**first.model_dump(), "id": 6, "status": CANCELLED})) == [5]


@pytest.mark.parametrize(
    "other",
    [ours(8, ERROR), ours(8, RUNNING, attempt=2, root=5), ours(8, RUNNING, attempt=2)],
    ids=["two first runs", "a retry by a sibling", "a run by a sibling"],
)
def test_two_steps_with_one_key_cannot_be_told_apart(other: Run) -> None:
    with pytest.raises(AmbiguousChainError):
        find_chain([ours(5, ERROR), other], KEY, 2)


def test_the_chain_of_a_run_that_this_step_did_not_start_has_its_own_retries_alone() -> None:
    theirs, retry = run(5, ERROR), ours(8, ERROR, root=5)
    assert chain_of(theirs, [theirs, retry, run(9, SUCCESS)], KEY, 2).runs == (theirs, retry)
    assert chain_of(theirs, [theirs, ours(8, ERROR, root=4)], KEY, 2).runs == (theirs,)
    assert chain_of(theirs, [theirs, ours(8, ERROR, root=5, attempt=2)], KEY, 2).runs == (theirs,)


def test_what_was_left_out_stays_so_until_a_run_that_was_asked_for_everything() -> None:
    first, partial = ours(5, ERROR), part(8, ERROR, 5)
    native = run(11, SUCCESS, retrying_run_id=8)
    assert not Chain(5, (first,)).is_partial
    assert Chain(5, (first, partial)).is_partial
    assert Chain(5, (first, partial, native)).is_partial, "dbt Cloud retries what that run was asked for"
    assert not Chain(5, (first, partial, ours(11, SUCCESS, root=5))).is_partial
    assert not Chain(5, (first, run(8, SUCCESS, retrying_run_id=5))).is_partial
    assert not Chain(5, (run(8, SUCCESS, retrying_run_id=5),)).is_partial, "what it retries is not listed"


@pytest.mark.parametrize(
    ("last", "needs"),
    [
        (ours(8, ERROR, root=5), True),
        (part(8, SUCCESS, 5), True),
        (ours(8, CANCELLED, root=5), True),
        (ours(8, SUCCESS, root=5), False),
        (ours(8, RUNNING, root=5), False),
        (part(8, RUNNING, 5), False),
        (ours(8, CANCELLED, root=5, audit=A_PERSON), False),
        (ours(8, CANCELLED, root=5, status_message="Superseded by a newer commit"), False),
    ],
)
def test_a_chain_is_retried_that_has_ended_and_not_well(last: Run, needs: bool) -> None:
    assert Chain(5, (ours(5, ERROR), last)).needs_retry is needs
