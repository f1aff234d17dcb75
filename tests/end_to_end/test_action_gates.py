"""`fail-on` against real dbt: what it leaves where nothing was selected, sources are stale and tests warn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest
from tests.support.action import FinishedStep, RunningStep
from tests.support.action_project import GREEN_BUILD, action_world, job
from tests.support.dbt_project import write_tiny_project

pytestmark = pytest.mark.slow

SHA = "1" * 40
NONE, STALE, LATE, WARNED, OTHER, GREEN = range(501, 507)
SOURCES = """sources:
  - name: raw
    schema: analytics
    config: {loaded_at_field: loaded_at}
    tables:
      - name: events
        config: {freshness: {warn_after: {count: 1, period: day}, error_after: {count: 2, period: day}}}
      - name: late
        config: {freshness: {warn_after: {count: 1, period: day}}}
"""
WARNS = """models:
  - name: first
    columns:
      - name: n
        data_tests:
          - accepted_values: {arguments: {values: [1]}, config: {severity: warn}}
"""
FILES = {
    "models/sources.yml": SOURCES,
    "models/warns.yml": WARNS,
    "models/schema.yml": "models: []\n",
    "seeds/events.csv": "id,loaded_at\n1,2024-01-01 00:00:00\n",
    "seeds/late.csv": "id,loaded_at\n1,2024-01-01 00:00:00\n",
}
JOBS = [
    job(NONE, "dbt build --select no_such_model"),
    job(STALE, GREEN_BUILD, run_generate_sources=True),
    job(LATE, "dbt source freshness --select source:raw.late", "dbt run --select first"),
    job(WARNED, GREEN_BUILD),
    job(OTHER, "dbt seed --select numbers"),
    job(GREEN, "dbt seed", "dbt run --select first"),
]
EVERY = "no-nodes, stale-sources, source-warnings, warnings, other-commit"
STEPS = {
    NONE: {"fail-on": EVERY},
    STALE: {"fail-on": "stale-sources, no-nodes"},
    LATE: {"fail-on": EVERY, "git-sha": SHA},
    WARNED: {"fail-on": "warnings", "fail-on-error": "false"},
    OTHER: {"fail-on": "other-commit"},
    GREEN: {"fail-on": "no-nodes, warnings"},
}
Ended = Callable[[int], FinishedStep]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """The step of a job, when it has ended. The first one builds the tables that the others check."""
    folder = tmp_path_factory.mktemp("gates")
    with action_world(folder, JOBS, project=write_tiny_project(folder / "project", FILES)) as (_, workflow):

        def start(job_id: int) -> RunningStep:
            push = ("push", {"after": SHA}) if job_id == OTHER else None
            inputs = {"job-id": str(job_id), "upload-artifact": "false", **STEPS[job_id]}
            return workflow.start(inputs, event=push, variables={"GITHUB_SHA": SHA} if push else None)

        green = start(GREEN).finish(240)
        started = {job_id: start(job_id) for job_id in STEPS if job_id != GREEN}
        yield cache(lambda job_id: green if job_id == GREEN else started[job_id].finish(240))


def verdict(step: FinishedStep) -> tuple[str, str, list[str], int]:
    return step.outputs["status"], step.outputs["failure-kind"], step.value("gates-failed"), step.status


def test_a_run_that_is_as_it_should_be_is_a_success(ended: Ended) -> None:
    step = ended(GREEN)
    assert verdict(step) == ("success", "", [], 0), step.log
    assert (step.outputs["job-id"], step.outputs["job-name"]) == (str(GREEN), f"Job {GREEN}")
    assert (step.outputs["sources-warned"], step.outputs["sources-failed"]) == ("0", "0")


def test_a_selection_that_matches_nothing_fails(ended: Ended) -> None:
    step = ended(NONE)
    assert verdict(step) == ("error", "no-nodes", ["no-nodes"], 1), step.log
    assert step.outputs["nodes-total"] == "0"
    assert step.errors == ["Nothing was selected by `dbt build --select no_such_model` (fail-on: no-nodes)."]
    assert len(step.value("run-ids")) == 1, "nothing is retried for a condition"


def test_stale_sources_fail_a_run_whose_checkbox_step_failed(ended: Ended) -> None:
    step = ended(STALE)
    assert verdict(step) == ("error", "stale-sources", ["stale-sources"], 1), step.log
    assert (step.outputs["sources-failed"], step.outputs["sources-warned"]) == ("1", "1")
    assert any("raw.events (fail-on: stale-sources)" in error for error in step.errors)
    assert "**1 source stale** · 1 source past `warn_after`" in step.summary
    assert "2 sources checked: 1 past warn_after, 1 stale" in step.text


def test_a_source_past_warn_after_fails(ended: Ended) -> None:
    step = ended(LATE)
    assert verdict(step) == ("error", "source-warnings", ["source-warnings"], 1), step.log
    assert step.errors == ["1 source is past warn_after: raw.late (fail-on: source-warnings)."]


def test_a_test_that_warns_fails_and_leaves_the_step_green_where_that_is_asked_for(ended: Ended) -> None:
    step = ended(WARNED)
    assert verdict(step) == ("error", "warnings", ["warnings"], 0), step.log
    assert any("1 node ended with a warning: test.tiny.accepted_values_first_n__1." in error for error in step.errors)


def test_another_commit_than_the_pushed_one_fails(ended: Ended) -> None:
    step = ended(OTHER)
    assert verdict(step) == ("error", "other-commit", ["other-commit"], 1), step.log
    assert step.errors == [f"The run built commit {step.outputs['git-sha']}, not {SHA} (fail-on: other-commit)."]
