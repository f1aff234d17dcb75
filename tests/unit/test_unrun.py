"""What a retry of an earlier attempt of the workflow run was to run, and did not report."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.attempts import attempt, step
from tests.support.dbt_graphs import manifest_of, node, ours

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
