"""Bodies and queries are refused as the platform refuses them."""

from __future__ import annotations

from typing import Any

import pytest

from dbt_cloud_emulator.errors import ApiError
from dbt_cloud_emulator.schemas import RUN_RELATED, JobsQuery, RelatedQuery, RunsQuery, TriggerBody, parse

EVERY_OVERRIDE = {
    "cause": "c",
    "git_sha": "a" * 40,
    "git_branch": "main",
    "schema_override": "s",
    "dbt_version_override": "1.11.0",
    "threads_override": 8,
    "target_name_override": "t",
    "generate_docs_override": False,
    "timeout_seconds_override": 60,
    "steps_override": ["dbt build"],
    "github_pull_request_id": 1,
    "gitlab_merge_request_id": 2,
    "azure_pull_request_id": 3,
    "non_native_pull_request_id": 4,
}


def test_every_override_of_the_description_is_taken() -> None:
    assert parse(TriggerBody, EVERY_OVERRIDE).model_dump() == EVERY_OVERRIDE


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"cause": ""}, "cause"),
        ({"cause": "x" * 256}, "cause"),
        ({"cause": 5}, "cause"),
        ({"git_sha": ""}, "git_sha"),
        ({"git_sha": 7}, "git_sha"),
        ({"threads_override": "8"}, "threads_override"),
        ({"threads_override": True}, "threads_override"),
        ({"threads_override": 8.5}, "threads_override"),
        ({"github_pull_request_id": "3209"}, "'3209' is not valid"),
        ({"generate_docs_override": "false"}, "generate_docs_override"),
        ({"generate_docs_override": 0}, "generate_docs_override"),
        ({"steps_override": "dbt build"}, "steps_override"),
        ({"steps_override": [""]}, "steps_override"),
        ({"steps_override": [["dbt"]]}, "steps_override"),
        (
            {"azure_devops_pull_request_id": 1},
            "Additional properties are not allowed ('azure_devops_pull_request_id' was",
        ),
        ({"a": 1, "b": 2}, "('a', 'b' were unexpected)"),
    ],
)
def test_a_trigger_that_is_not_as_described_is_refused_with_the_detail_in_data(
    change: dict[str, Any], detail: str
) -> None:
    with pytest.raises(ApiError) as refused:
        parse(TriggerBody, {"cause": "c", **change})
    assert refused.value.code == 400
    assert detail in str(refused.value.data)


def test_a_cause_is_required_and_may_have_255_characters() -> None:
    assert len(parse(TriggerBody, {"cause": "x" * 255}).cause) == 255
    with pytest.raises(ApiError, match="invalid") as refused:
        parse(TriggerBody, {"git_sha": "abc"})
    assert refused.value.data == "'cause' is a required property"


@pytest.mark.parametrize("written", ["[1,2,3]", "[1, 2, 3]", "1,2,3"])
def test_lists_of_numbers_in_all_written_forms(written: str) -> None:
    assert parse(RunsQuery, {"status__in": written}).status__in == [1, 2, 3]


@pytest.mark.parametrize("written", ['["trigger","run_steps"]', "['trigger', 'run_steps']", "trigger,run_steps"])
def test_related_objects_in_all_written_forms(written: str) -> None:
    assert parse(RelatedQuery, {"include_related": written}).related(RUN_RELATED) == {"trigger", "run_steps"}


@pytest.mark.parametrize(
    "query",
    [
        {"created_at__gte": "2024-01-01"},
        {"limit": "101"},
        {"limit": "0"},
        {"offset": "-1"},
        {"order_by": "status"},
        {"status": "running"},
        {"status__in": "[1,"},
        {"finished_at__range": '["2024-01-01"]'},
        {"finished_at__range": '["yesterday","today"]'},
        {"state": "3"},
    ],
)
def test_a_query_that_is_not_as_described_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ApiError) as refused:
        parse(RunsQuery, query)
    assert refused.value.code == 400
    assert refused.value.data


def test_an_unknown_related_object_is_refused() -> None:
    with pytest.raises(ApiError, match="invalid"):
        parse(RelatedQuery, {"include_related": "steps"}).related(RUN_RELATED)


def test_a_jobs_query_takes_the_documented_filters() -> None:
    query = parse(
        JobsQuery, {"name__icontains": "x", "project_id__in": "[1]", "triggers_schedule": "true", "state": "all"}
    )
    assert query.triggers_schedule is True
    assert query.project_id__in == [1]
