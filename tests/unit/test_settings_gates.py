"""The inputs that decide whether something is started and when a success is none: `when-busy` and `fail-on`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dbt_cloud_run.errors import InvalidInputsError
from dbt_cloud_run.gates import Gate
from dbt_cloud_run.settings.settings import Settings

MINIMUM = {"api-token": "dbtc_0123456789abcdef", "account-id": "1", "job-id": "2"}
REQUEST = {
    "number": 5,
    "state": "open",
    "head": {"sha": "a" * 40, "repo": {"full_name": "o/r"}},
    "base": {"repo": {"full_name": "o/r"}},
}


def read(inputs: dict[str, str], **variables: str) -> Settings:
    given = {f"INPUT_{name.upper()}": text for name, text in (MINIMUM | inputs).items()}
    return Settings.from_environ(given | variables)


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("", ()),
        ("warnings", (Gate.WARNINGS,)),
        ("other-commit, No-Nodes", (Gate.NO_NODES, Gate.OTHER_COMMIT)),
        ("stale-sources\nsource-warnings\n", (Gate.STALE_SOURCES, Gate.SOURCE_WARNINGS)),
        ("- warnings\n- warnings", (Gate.WARNINGS,)),
        ('["no-nodes", "warnings"]', (Gate.NO_NODES, Gate.WARNINGS)),
        ("no-nodes warnings", (Gate.NO_NODES, Gate.WARNINGS)),
    ],
)
def test_conditions_are_read_as_people_write_lists(text: str, conditions: tuple[Gate, ...]) -> None:
    assert read({"fail-on": text}).fail_on == conditions


@pytest.mark.parametrize("text", ["warning", "no-nodes, everything", "none", "true", "stale sources"])
def test_an_unknown_condition_is_an_error_that_lists_the_known_ones(text: str) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        read({"fail-on": text})
    (problem,) = caught.value.problems
    assert problem.name == "fail-on"
    assert "must be a list of no-nodes, stale-sources, source-warnings, warnings, other-commit" in problem.message


def test_conditions_of_a_run_that_is_not_waited_for_are_warned_of() -> None:
    assert any(
        "fail-on is judged only" in warning for warning in read({"fail-on": "warnings", "wait": "false"}).warnings
    )
    assert not any("fail-on" in warning for warning in read({"fail-on": "warnings"}).warnings)


def event(folder: Path, name: str, payload: dict[str, Any]) -> dict[str, str]:
    path = folder / "event.json"
    path.write_text(json.dumps(payload), encoding="utf-8")
    return {"GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(path), "GITHUB_REPOSITORY": "o/r"}


GROUP = {"head_sha": "a" * 40, "head_ref": "refs/heads/gh-readonly-queue/main/pr-5-abc123"}
NAMED = [
    ("pull_request", {"pull_request": REQUEST}),
    ("pull_request_target", {"pull_request": REQUEST}),
    ("pull_request", {}),
    ("merge_group", {"action": "checks_requested", "merge_group": GROUP}),
    ("issue_comment", {"issue": {"number": 5, "state": "open", "pull_request": {"url": "…"}}}),
]
UNNAMED = [
    ("push", {"after": "a" * 40}),
    ("schedule", {}),
    ("pull_request", {"action": "closed", "pull_request": REQUEST | {"state": "closed"}}),
    ("issue_comment", {"issue": {"number": 5, "state": "open"}}),
]


@pytest.mark.parametrize(("name", "payload"), NAMED)
def test_a_busy_job_cannot_be_skipped_where_that_would_be_a_green_check(
    name: str, payload: dict[str, Any], tmp_path: Path
) -> None:
    variables = event(tmp_path, name, payload)
    with pytest.raises(InvalidInputsError) as caught:
        read({"when-busy": "skip"}, **variables)
    (problem,) = caught.value.problems
    assert (problem.name, f"on the event {name}" in problem.message) == ("when-busy", True)
    assert read({"when-busy": "fail"}, **variables).when_busy == "fail"
    assert read({"when-busy": "skip", "run-id": "3"}, **variables).when_busy == "skip", "it decides nothing then"


@pytest.mark.parametrize(("name", "payload"), UNNAMED)
def test_a_busy_job_can_be_skipped_elsewhere(name: str, payload: dict[str, Any], tmp_path: Path) -> None:
    assert read({"when-busy": "skip"}, **event(tmp_path, name, payload)).when_busy == "skip"
