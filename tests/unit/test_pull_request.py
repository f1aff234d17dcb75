"""What is filled from the event of a pull request or a merge group, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.start.pull_request import PULL_REQUEST_EVENTS, head_sha, pull_request_overrides

NONE = TriggerOverrides()
PULL = {
    "number": 42,
    "pull_request": {
        "number": 42,
        "state": "open",
        "head": {"sha": "f00d", "ref": "feature", "repo": {"full_name": "acme/shop"}},
        "base": {"sha": "beef", "ref": "main", "repo": {"full_name": "Acme/Shop"}},
    },
}
GROUP = {
    "action": "checks_requested",
    "merge_group": {"head_sha": "cafe", "head_ref": "refs/heads/gh-readonly-queue/release/1.0/pr-42-beef01"},
}
FILLED = TriggerOverrides(git_sha="f00d", github_pull_request_id=42, schema_override="dbt_cloud_pr_7_42")


def changed(path: str, value: Any) -> dict[str, Any]:
    event = copy.deepcopy(PULL)
    *folders, name = path.split(".")
    inner: Any = event
    for folder in folders:
        inner = inner[folder]
    inner[name] = value
    return event


def fill(
    event: dict[str, Any] = PULL,
    given_: TriggerOverrides = NONE,
    *,
    name: str = "pull_request",
    job_type: str | None = "ci",
    mode: Any = "auto",
) -> TriggerOverrides:
    return pull_request_overrides(name, event, job_type, mode, given_, 7)


@pytest.mark.parametrize("name", PULL_REQUEST_EVENTS)
@pytest.mark.parametrize(("mode", "job_type"), [("auto", "ci"), ("on", "ci"), ("on", "scheduled"), ("on", None)])
def test_an_open_pull_request_is_filled_in(name: str, mode: str, job_type: str | None) -> None:
    assert fill(name=name, mode=mode, job_type=job_type) == FILLED


def test_a_merge_group_has_a_schema_of_its_own() -> None:
    assert fill(GROUP, name="merge_group") == TriggerOverrides(
        git_sha="cafe", github_pull_request_id=42, schema_override="dbt_cloud_pr_7_42_merge_group"
    )
    nameless = {"merge_group": {"head_sha": "cafe", "head_ref": "refs/heads/else"}}
    assert fill(nameless, name="merge_group") == TriggerOverrides(git_sha="cafe")
    assert fill({**GROUP, "action": "destroyed"}, name="merge_group") == NONE


def test_what_is_given_stays() -> None:
    mine = TriggerOverrides(git_sha="mine", github_pull_request_id=1, schema_override="s", threads_override=4)
    assert fill(given_=mine) == mine
    branch = fill(given_=TriggerOverrides(git_branch="feature"))
    assert (branch.git_branch, branch.git_sha, branch.github_pull_request_id) == ("feature", None, 42)
    assert fill(given_=TriggerOverrides(github_pull_request_id=3)).schema_override == "dbt_cloud_pr_7_3"


@pytest.mark.parametrize("event_name", ["push", "schedule", "workflow_dispatch", "issue_comment", ""])
@pytest.mark.parametrize("mode", ["auto", "on"])
def test_other_events_fill_nothing(event_name: str, mode: str) -> None:
    assert fill(name=event_name, mode=mode, job_type="scheduled") == NONE


def test_a_closed_pull_request_and_off_fill_nothing() -> None:
    assert fill(changed("pull_request.state", "closed"), job_type="scheduled") == NONE
    assert fill(mode="off", job_type="scheduled") == NONE
    assert fill(changed("pull_request.head.repo", None), mode="off") == NONE


@pytest.mark.parametrize("job_type", ["scheduled", "other", "merge", None])
@pytest.mark.parametrize(("name", "event"), [("pull_request", PULL), ("merge_group", GROUP)])
def test_a_job_of_another_type_fails_unless_the_commit_is_given(
    job_type: str | None, name: str, event: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="not the pull request"):
        fill(event, name=name, job_type=job_type)
    for mine in (TriggerOverrides(git_sha="x"), TriggerOverrides(git_branch="x")):
        assert fill(event, mine, name=name, job_type=job_type) == mine


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("repo", [{"full_name": "mallory/shop"}, None, {}])
def test_a_head_in_a_fork_is_refused(repo: Any, mode: str) -> None:
    event = changed("pull_request.head.repo", repo)
    with pytest.raises(ConfigError, match="fork"):
        fill(event, mode=mode)
    assert fill(event, TriggerOverrides(git_sha="given"), mode=mode).git_sha == "given"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["head", "sha", "repo"]), inner),
    max_leaves=5,
)


@given(st.sampled_from([*PULL_REQUEST_EVENTS, "merge_group"]), JSON, JSON)
def test_a_payload_of_any_shape_is_read_without_a_crash(name: str, pull: Any, group: Any) -> None:
    event = {"pull_request": pull, "merge_group": group}
    fill(event, name=name)
    head_sha(event)
