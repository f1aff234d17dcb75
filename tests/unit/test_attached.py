"""Overrides beside `run-id`: which of them fit the run, which contradict it, and which it says nothing of."""

from __future__ import annotations

from typing import Any

import pytest

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.errors import InputProblem, InvalidInputsError
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.start.attached import check_overrides

SHA = "abcdef0123456789abcdef0123456789abcdef01"


def run(trigger: dict[str, Any] | None = None, **fields: Any) -> Run:
    return Run.model_validate({"id": 5, "status": 10, "trigger": trigger or {}, **fields})


def problems(run: Run, **given: Any) -> tuple[InputProblem, ...]:
    """What the inputs are refused for; empty where they are not."""
    try:
        check_overrides(TriggerOverrides(**given), run)
    except InvalidInputsError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(
    ("given", "trigger"),
    [
        ({}, {"schema_override": "a"}),
        ({"schema_override": "a"}, {"schema_override": "a"}),
        ({"threads_override": 4}, {"threads_override": 4, "schema_override": "a"}),
        ({"generate_docs_override": False}, {"generate_docs_override": False}),
        ({"steps_override": ("dbt seed", "dbt build")}, {"steps_override": ["dbt seed", "dbt build"]}),
        ({"github_pull_request_id": 5}, {"github_pull_request_id": 5}),
    ],
)
def test_overrides_that_the_run_was_started_with_pass_in_silence(
    given: Any, trigger: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert problems(run(trigger), **given) == ()
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("given", "stated", "is_same"),
    [
        (SHA, SHA, True),
        (SHA.upper(), SHA, True),
        (SHA, SHA.upper(), True),
        # Either may be abbreviated, to seven characters or more.
        (SHA[:7], SHA, True),
        (SHA, SHA[:7], True),
        (SHA[:6], SHA, False),
        (SHA, SHA[:6], False),
        (SHA[1:], SHA, False),
        # A name that begins with a hash is not that hash.
        (SHA[:7], f"{SHA[:7]}-fix", False),
        (f"{SHA[:7]}-fix", SHA[:7], False),
        ("main", "main", True),
        ("main", "main-2", False),
    ],
)
def test_a_commit_is_the_same_if_one_name_abbreviates_the_other(given: str, stated: str, is_same: bool) -> None:
    for theirs in (run({"git_sha": stated}), run(git_sha=stated)):
        assert (problems(theirs, git_sha=given) == ()) is is_same


@pytest.mark.parametrize("field", ["git_branch", "schema_override", "target_name_override"])
def test_any_other_text_has_to_be_equal_to_the_letter(field: str) -> None:
    for other in (SHA[:7], SHA.upper()):
        assert len(problems(run({field: SHA}), **{field: other})) == 1


@pytest.mark.parametrize("name", ["git_sha", "git_branch"])
def test_what_the_run_built_counts_unless_its_trigger_says_otherwise(name: str) -> None:
    assert problems(run(**{name: "built"}), **{name: "built"}) == ()
    assert len(problems(run(**{name: "built"}), **{name: "other"})) == 1
    assert problems(run({name: "asked"}, **{name: "built"}), **{name: "asked"}) == ()
    assert len(problems(run({name: "asked"}, **{name: "built"}), **{name: "built"})) == 1


def test_every_contradiction_is_named_at_once_with_both_values() -> None:
    theirs = run({"schema_override": "theirs", "threads_override": 8, "steps_override": ["dbt seed", "dbt  run"]})
    given = {"schema_override": "mine", "threads_override": 4, "steps_override": ("dbt test",)}
    assert problems(theirs, **given) == (
        InputProblem("schema-override", "is 'mine', and run-id 5 has 'theirs'. Leave one of them out."),
        InputProblem("threads-override", "is '4', and run-id 5 has '8'. Leave one of them out."),
        InputProblem("steps-override", "is 'dbt test', and run-id 5 has 'dbt seed ; dbt run'. Leave one of them out."),
    )


def test_a_value_is_shown_in_one_line_of_a_bounded_length() -> None:
    (problem,) = problems(run({"schema_override": "x" * 300}), schema_override="a\n  b")
    assert problem.message == f"is 'a b', and run-id 5 has '{'x' * 199}…'. Leave one of them out."


def test_overrides_that_the_run_does_not_state_are_warned_of_together(caplog: pytest.LogCaptureFixture) -> None:
    given = {"git_branch": "main", "schema_override": "mine", "threads_override": 4}
    assert problems(run({"threads_override": 4}), **given) == ()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "whether run 5 was started with git-branch, schema-override:" in record.getMessage()


def test_a_contradiction_is_refused_whatever_else_is_not_stated(caplog: pytest.LogCaptureFixture) -> None:
    (problem,) = problems(run({"threads_override": 8}), threads_override=4, git_sha=SHA)
    assert problem.name == "threads-override"
    assert caplog.text == ""
