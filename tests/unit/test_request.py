"""What a step says of itself before it starts: the job, what it builds, its steps, and where each value is from."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.deciding import settings_of

from dbt_cloud_run.cloud.models import Job, Run
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.decide import Decision
from dbt_cloud_run.start.once import NativeRetry
from dbt_cloud_run.start.request import about_lines, origins_of, planned_request
from dbt_cloud_run.start.tag import RunKey, Tag

TAG = Tag(RunKey("0123456789", "abcdef"), "0123456789ab")
NEWEST = "the newest commit of the branch of the job's environment"


def run(number: int = 5, **fields: Any) -> Run:
    return Run.model_validate({"id": number, "status": 10, **fields})


def decision(overrides: dict[str, Any] | None = None, **fields: Any) -> Decision:
    fields = {"tag": TAG, "cause": "nightly", **fields}
    return Decision(job_id=7, overrides=TriggerOverrides(**overrides or {}), **fields)


def settings(**inputs: str) -> Settings:
    return settings_of(variables={"GITHUB_EVENT_NAME": "pull_request"}, **inputs)


def lines(about: Decision, job: dict[str, Any] | None = None, **inputs: str) -> list[str]:
    found = Job.model_validate(job) if job is not None else None
    return list(about_lines(about, settings(**inputs), job=found))


# -- the job


@pytest.mark.parametrize(
    ("job", "line"),
    [
        (None, "Job 7"),
        ({}, "Job 7"),
        ({"name": "Nightly"}, "Job 7 “Nightly”"),
        ({"name": "a\n  b"}, "Job 7 “a b”"),
        ({"job_type": "ci"}, "Job 7 (ci)"),
        ({"project_id": 10}, "Job 7 (project 10)"),
        ({"environment_id": 20}, "Job 7 (environment 20)"),
        ({"project_id": 10, "project": {"id": 10, "name": "shop"}}, "Job 7 (project “shop”)"),
        ({"environment_id": 20, "environment": {"id": 20, "name": "prod"}}, "Job 7 (environment “prod”)"),
        ({"environment_id": 20, "environment": {"id": 20}}, "Job 7 (environment 20)"),
        (
            {"name": "Nightly", "job_type": "scheduled", "project_id": 10, "environment_id": 20},
            "Job 7 “Nightly” (scheduled, project 10, environment 20)",
        ),
    ],
)
def test_the_job_is_named_as_far_as_it_is_known(job: dict[str, Any] | None, line: str) -> None:
    assert lines(decision(), job)[0] == line


def test_the_environment_is_named_by_the_run_where_the_job_does_not_name_it() -> None:
    theirs = run(environment={"id": 20, "name": "prod"})
    assert lines(decision(run=theirs), {"environment_id": 20})[0] == "Job 7 (environment “prod”)"
    named = {"environment_id": 20, "environment": {"id": 20, "name": "staging"}}
    assert lines(decision(run=theirs), named)[0] == "Job 7 (environment “staging”)"


# -- what it builds


@pytest.mark.parametrize(
    ("about", "words"),
    [
        (decision(), NEWEST),
        (decision({"git_sha": "beef"}), "commit beef (input git-sha)"),
        (decision({"git_branch": "main"}), "the newest commit of the branch main (event pull_request)"),
        (decision(run=run(git_sha="cafe")), "commit cafe (run 5)"),
        (decision({"git_sha": "beef"}, run=run(git_sha="cafe")), "commit cafe (run 5)"),
        (decision({"git_sha": "beef"}, run=run()), "commit beef (input git-sha)"),
        # The last of the runs before is the one that is retried.
        (decision(before=(run(3, git_sha="a"), run(4, git_sha="b"), run(5, git_sha="c"))), "commit c (run 5)"),
        (decision(before=(run(3, git_sha="a"),)), "commit a (run 3)"),
        (decision(run=run(git_sha="c"), before=(run(3, git_sha="a"),)), "commit c (run 5)"),
    ],
)
def test_what_is_built_is_the_commit_of_the_run_or_else_what_is_asked_for(about: Decision, words: str) -> None:
    assert lines(about, git_sha="beef")[1] == f"  builds: {words}"


# -- its steps


@pytest.mark.parametrize(
    ("overrides", "job", "steps"),
    [
        ({}, None, None),
        ({}, {}, None),
        ({}, {"execute_steps": []}, None),
        ({}, {"execute_steps": ["dbt seed", "dbt build"]}, "dbt seed; dbt build"),
        ({}, {"execute_steps": ["dbt build"], "generate_docs": True}, "dbt build; dbt docs generate"),
        ({"generate_docs_override": False}, {"execute_steps": ["dbt build"], "generate_docs": True}, "dbt build"),
        (
            {"generate_docs_override": True},
            {"execute_steps": ["dbt build"], "generate_docs": False},
            "dbt build; dbt docs generate",
        ),
        ({}, {"execute_steps": ["dbt build"], "generate_sources": True}, "dbt source freshness; dbt build"),
        ({}, {"execute_steps": ["dbt build"], "run_generate_sources": True}, "dbt source freshness; dbt build"),
        ({"steps_override": ("dbt test",)}, {"execute_steps": ["dbt build"]}, "dbt test (event pull_request)"),
        ({"steps_override": ("dbt test",)}, None, "dbt test (event pull_request)"),
    ],
)
def test_the_steps_are_those_of_the_job_with_what_dbt_cloud_adds_unless_they_are_overridden(
    overrides: dict[str, Any], job: dict[str, Any] | None, steps: str | None
) -> None:
    found = [line for line in lines(decision(overrides), job) if line.startswith("  steps: ")]
    assert found == ([f"  steps: {steps}"] if steps else [])


def test_overrides_are_shown_in_one_line_without_what_has_a_line_of_its_own() -> None:
    about = decision(
        {"git_sha": "beef", "steps_override": ("dbt test",), "threads_override": 4, "schema_override": "s"}
    )
    shown = lines(about, threads_override="4")
    assert (
        shown[2]
        == "  overrides: schema_override = s (event pull_request), threads_override = 4 (input threads-override)"
    )
    assert len(shown) == 4
    assert len(lines(decision({"git_sha": "beef"}))) == 2


# -- where the values are from


@pytest.mark.parametrize(
    ("about", "origin"),
    [
        (decision({"schema_override": "s", "threads_override": 4}), "event pull_request"),
        (decision({"schema_override": "s", "threads_override": 4}, run=run(), is_ours=False), "run 5"),
        # A run that this step has started has them from where the step had them.
        (decision({"schema_override": "s", "threads_override": 4}, run=run()), "event pull_request"),
        (decision({"schema_override": "s", "threads_override": 4}, is_ours=False), "event pull_request"),
    ],
)
def test_a_value_is_from_its_input_or_the_run_that_is_attached_to_or_the_event(about: Decision, origin: str) -> None:
    found = origins_of(about, settings(threads_override="4"), about.overrides)
    assert found == {"threads_override": "input threads-override", "schema_override": origin}


@pytest.mark.parametrize(("inputs", "origin"), [({}, "default"), ({"cause": "by hand"}, "input cause")])
def test_the_request_of_a_trigger_says_where_its_cause_is_from(inputs: dict[str, str], origin: str) -> None:
    about, given = decision({"schema_override": "s"}), settings(**inputs)
    planned = planned_request(about.new_run(), about, given)
    assert planned.address == f"{given.base_url}/api/v2/accounts/1/jobs/7/run/"
    assert planned.body == {"cause": f"{TAG} nightly", "schema_override": "s"}
    assert planned.origins == {
        "cause": f"{origin}, after this step's tag, which is new in each run",
        "schema_override": "event pull_request",
    }


@pytest.mark.parametrize(("root", "pinned_to"), [(None, "run 5"), (3, "run 3")])
def test_a_retry_has_its_commit_from_the_first_run_and_its_steps_from_the_plan(
    root: int | None, pinned_to: str
) -> None:
    about = decision({"git_sha": "beef", "schema_override": "s"}, tag=TAG.for_retry(root) if root else TAG)
    overrides = TriggerOverrides(git_sha="cafe", schema_override="s", steps_override=("dbt build -s a",))
    planned = planned_request(about.request(TAG, overrides, 9), about, settings(git_sha="beef"), retried=5)
    origins = dict(planned.origins)
    assert origins.pop("cause").startswith("default")
    assert origins == {
        "git_sha": pinned_to,
        "schema_override": "event pull_request",
        "steps_override": "the retry plan",
    }


def test_dbt_clouds_own_retry_sends_no_values() -> None:
    given = settings()
    planned = planned_request(NativeRetry(job_id=7, run_id=5), decision({"schema_override": "s"}), given, retried=5)
    assert planned.address == f"{given.base_url}/api/v2/accounts/1/runs/5/retry/"
    assert (planned.body, planned.origins) == ({}, {})
    assert planned.body_text == "{}"


def test_the_body_is_shown_with_one_field_a_line_and_its_letters_as_they_are() -> None:
    about = decision({"schema_override": "größe"}, cause="é")
    text = planned_request(about.new_run(), about, settings()).body_text
    assert text == f'{{\n  "cause": "{TAG} é",\n  "schema_override": "größe"\n}}'
