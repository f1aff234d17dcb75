"""What a retry of an earlier attempt of the workflow run was to run, and did not report."""

from __future__ import annotations

import pytest
from tests.support.attempts import attempt, step
from tests.support.dbt_graphs import manifest_of, node, ours
from tests.support.values import replace

from dbt_cloud_run.dbt.manifests import Manifests
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Attempt, RunState
from dbt_cloud_run.planned import RetryPlan
from dbt_cloud_run.retry.unrun import never_run

A, B, EPHEMERAL = "model.p.a", "model.p.b", "model.p.e"
FAILED = attempt(1, step(4, "dbt build", {A: "error", B: "skipped", EPHEMERAL: "skipped"}))
NODES = (
    node("model", "p", [], "a"),
    node("model", "p", [], "e", materialized="ephemeral"),
    node("model", "p", [], "b", parents=[A, EPHEMERAL]),
)
MANIFESTS = Manifests(ours(manifest_of(NODES)))


def retry(number: int = 2, **rows: str) -> Attempt:
    return attempt(number, step(4, "dbt build", {f"model.p.{name}": status for name, status in rows.items()}))


@pytest.mark.parametrize(
    ("later", "missing"),
    [
        ([retry(a="success", b="success")], set()),
        ([retry(a="success")], {B}),
        ([retry(a="success", b="skipped")], set()),  # it is reported, so the retry had it
        ([retry(a="success"), retry(3, b="success")], set()),
        ([retry(b="success"), retry(3, a="success")], set()),
        ([], set()),
        ([retry(b="success")], set()),  # a node that failed shows by itself
        ([retry(a="error"), retry(3, a="success")], {B}),
    ],
)
def test_a_node_that_was_skipped_and_that_no_retry_reports_never_ran(later: list[Attempt], missing: set[str]) -> None:
    assert never_run([FAILED, *later], MANIFESTS) == missing


def test_what_a_step_before_has_skipped_and_a_step_after_has_run_is_done() -> None:
    twice = replace(FAILED, steps=(*FAILED.steps, step(5, "dbt run", {B: "success"})))
    assert never_run([twice, retry(a="success")], MANIFESTS) == set()


def test_a_node_that_a_step_had_not_come_to_and_that_no_retry_reports_never_ran() -> None:
    cut_off = attempt(1, step(4, "dbt build", {A: "success"}, state=RunState.CANCELLED), ending=Ending.TIMED_OUT)
    assert never_run([cut_off, attempt(2, step(4, "dbt build", {}), ending=Ending.SUCCESS)], MANIFESTS) == {B}
    assert never_run([cut_off, retry(b="success")], MANIFESTS) == set()


def test_an_attempt_whose_plan_is_known_is_judged_by_that() -> None:
    assert never_run([replace(FAILED, plan=RetryPlan()), retry(a="success")], MANIFESTS) == set()


def test_without_a_manifest_the_results_say_enough() -> None:
    assert B in never_run([FAILED, retry(a="success")], None)


def cut_off(ending: Ending = Ending.TIMED_OUT) -> Attempt:
    return attempt(1, step(4, "dbt build", {A: "success"}, state=RunState.CANCELLED), ending=ending)


NOTHING = attempt(3, step(4, "dbt build", {}), ending=Ending.SUCCESS)


def test_after_an_attempt_whose_plan_is_known_the_others_are_planned_once_more() -> None:
    known = replace(attempt(1, step(4, "dbt build", {A: "error"})), plan=RetryPlan())
    assert never_run([known, replace(FAILED, number=2), retry(3, a="success")], MANIFESTS) == {B}


def test_a_person_who_re_runs_the_workflow_asks_for_what_would_fail_again_too() -> None:
    failed = FAILED.steps[0]
    assert failed.results is not None
    first, *others = failed.results.nodes
    rows = (replace(first, message='Binder Error: Referenced column "x" not found in FROM clause!'), *others)
    hopeless = replace(FAILED, steps=(replace(failed, results=replace(failed.results, nodes=rows)),))
    assert never_run([hopeless, retry(a="error")], MANIFESTS) == {B}


def test_a_run_that_was_cancelled_is_retried_by_a_person_too() -> None:
    assert never_run([cut_off(Ending.CANCELLED), NOTHING], MANIFESTS) == {B}


def test_what_a_step_had_still_to_run_is_known_by_its_own_manifest() -> None:
    run = cut_off()
    newest = ours(manifest_of(NODES[:1]))
    own = Manifests(newest, {(run.run_id, 4): ours(manifest_of(NODES))})
    assert never_run([run, NOTHING], own) == {B}
    assert never_run([run, NOTHING], Manifests(newest)) == set()


def test_what_a_native_retry_had_still_to_run_is_known_by_the_run_before_it() -> None:
    known = replace(cut_off(), plan=RetryPlan())
    second = attempt(2, step(4, "dbt build", state=RunState.SKIPPED), ending=Ending.TIMED_OUT, retried_natively=True)
    assert never_run([known, second, NOTHING], MANIFESTS) == {B}


def test_what_a_later_retry_has_done_does_not_keep_the_rest_of_its_step_from_being_missed() -> None:
    """Which batches of the model failed is not known; a retry has run it since."""
    daily = node("model", "p", [], "daily", materialized="incremental")
    daily["config"] |= {"incremental_strategy": "microbatch", "batch_size": "day", "begin": "2026-01-01"}
    manifest = ours(manifest_of((*NODES, daily)))
    manifest.metadata.dbt_version = "2.0.0"
    made = step(4, "dbt build", {"model.p.daily": "error", A: "error", B: "skipped"})
    assert made.results is not None
    first = attempt(1, replace(made, results=replace(made.results, generated_at=None)))
    assert never_run([first, retry(daily="success", a="success")], Manifests(manifest)) == {B}
