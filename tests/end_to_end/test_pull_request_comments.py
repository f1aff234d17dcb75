"""What is reported on a pull request is what was built of it: steps as real processes, and GitHub's API beside them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from standins.emulator import RunningEmulator
from tests.support.action import ActionJob, FinishedStep
from tests.support.action_project import BROKEN_RUN, GREEN_BUILD, action_world, job, recorded
from tests.support.comments_service import TOKEN, CommentsService

pytestmark = pytest.mark.slow

SNAPSHOT = Path(__file__).resolve().parents[1] / "snapshots" / "comments.md"
MODELS, TESTS, NIGHTLY = 201, 202, 203
FIRST, SECOND, THIRD = ("a1" * 20, "b2" * 20, "c3" * 20)
STEPS = {MODELS: "__org_dbt-cloud-run", TESTS: "__org_dbt-cloud-run_2", NIGHTLY: "__org_dbt-cloud-run_3"}


@dataclass
class PullRequest:
    """A pull request on which the steps of one workflow run for each push."""

    emulator: RunningEmulator
    workflow: ActionJob
    comments: CommentsService
    pushes: int = 0
    head: str = ""

    def push(self, sha: str) -> None:
        self.pushes, self.head = self.pushes + 1, sha
        self.comments.pull_request["head"]["sha"] = sha

    def run(self, dbt_job: int, event: tuple[str, dict[str, Any]] | None = None, **inputs: str) -> FinishedStep:
        given = {name.replace("_", "-"): text for name, text in inputs.items()}
        defaults = {"job-id": str(dbt_job), "pr-comment": "true", "github-token": TOKEN, "targeted-retries": "0"}
        return self.workflow.run(
            {**defaults, **given}, event=event or self.event(), variables=self.variables(STEPS[dbt_job])
        )

    def event(self, **changes: Any) -> tuple[str, dict[str, Any]]:
        request = {
            "number": 5,
            "state": "open",
            "head": {"sha": self.head, "repo": {"full_name": "org/repo"}},
            "base": {"repo": {"full_name": "org/repo"}},
        }
        return "pull_request", {"action": "synchronize", "number": 5, "pull_request": request | changes}

    def variables(self, action: str) -> Mapping[str, str]:
        return {
            "GITHUB_API_URL": self.comments.url,
            "GITHUB_REPOSITORY": "org/repo",
            "GITHUB_WORKFLOW_REF": f"org/repo/.github/workflows/dbt.yml@refs/pull/5/merge{self.pushes}",
            "GITHUB_ACTION": action,
            "GITHUB_RUN_ID": str(1000 + self.pushes),
        }

    @property
    def bodies(self) -> list[str]:
        """The comments, without their hidden lines, and without what differs from machine to machine."""
        return [self._plain(comment.body) for comment in self.comments.comments]

    def _plain(self, body: str) -> str:
        text = "\n".join(line for line in body.splitlines() if not line.startswith("<!--"))
        text = text.replace(self.emulator.base_url, "https://cloud.getdbt.com")
        text = re.sub(r"\b7047\d{10}\b", "70403", text)
        return re.sub(r"\b(\d+m )?\d+(\.\d+)? ?s\b", "N s", text)


@pytest.fixture(scope="module")
def world(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningEmulator, ActionJob]]:
    folder = tmp_path_factory.mktemp("comments")
    assert pytestconfig.cache is not None
    green, broken = recorded(pytestconfig.cache, folder, GREEN_BUILD, BROKEN_RUN)
    jobs = [
        job(MODELS, GREEN_BUILD, name="Models", job_type="ci", replay=green[:1]),
        job(TESTS, BROKEN_RUN, name="Tests", job_type="ci", replay=[broken[0], green[0]], replay_order="sequence"),
        job(NIGHTLY, GREEN_BUILD, name="Nightly", job_type="scheduled", replay=green[:1]),
    ]
    with action_world(folder, jobs, behaviour={"replay_speed": 0}) as (emulator, workflow):
        yield emulator, workflow


@pytest.fixture
def pull(world: tuple[RunningEmulator, ActionJob]) -> Iterator[PullRequest]:
    emulator, workflow = world
    with CommentsService() as comments:
        yield PullRequest(emulator, workflow, comments)
    emulator.clear_faults()


def test_the_comments_of_a_workflow_over_three_pushes(pull: PullRequest) -> None:
    """Two steps; in the second push, dbt Cloud refuses to start one of them."""
    shown = []
    for number, sha in enumerate((FIRST, SECOND, THIRD), start=1):
        pull.push(sha)
        if number == 2:
            pull.emulator.add_fault(method="POST", path=rf"/jobs/{MODELS}/run/$", status=403, times=1)
        statuses = [pull.run(dbt_job).outputs["status"] for dbt_job in (MODELS, TESTS)]
        shown.append(f"# Push {number} ({sha[:7]}): {' and '.join(statuses)}\n")
        shown += [f"## Comment {place}\n\n{body}\n" for place, body in enumerate(pull.bodies, start=1)]
    text = "\n".join(shown)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8")
    assert len(pull.comments.comments) == 2


def test_two_steps_with_the_same_key_leave_the_red_of_the_one(pull: PullRequest) -> None:
    """A reusable workflow that is called twice with the same inputs: only comment-key could tell its calls apart."""
    pull.push(FIRST)
    # The job fails every second time.
    if pull.run(TESTS).outputs["status"] == "success":
        pull.comments.comments.clear()
        assert pull.run(TESTS).outputs["status"] == "error"
    green = pull.run(TESTS)
    assert green.outputs["status"] == "success"
    (body,) = pull.bodies
    assert "❌" in body
    (warning,) = [text for text in green.warnings if "comment-key" in text]
    assert "has reported a failure there" in warning


def test_a_commit_that_is_not_the_heads_is_not_reported(pull: PullRequest) -> None:
    pull.push(FIRST)
    step = pull.run(MODELS, git_sha=THIRD)
    assert step.outputs["status"] == "success"
    assert pull.bodies == []
    (warning,) = [text for text in step.warnings if "No comment" in text]
    assert THIRD[:10] in warning
    assert FIRST[:10] in warning


@pytest.mark.parametrize(("built", "why"), [(THIRD, "built another commit"), (None, "does not report which commit")])
def test_a_green_comment_is_marked_where_the_next_push_is_not_what_was_built(
    built: str | None, why: str, pull: PullRequest
) -> None:
    pull.push(FIRST)
    pull.run(NIGHTLY, git_sha=FIRST)
    pull.push(SECOND)
    pull.emulator.add_fault(method="GET", path=r"/runs/\d+/$", effect="patch", patch={"git_sha": built}, times=None)
    step = pull.run(NIGHTLY, pull_request="off")
    (body,) = pull.bodies
    assert step.outputs["status"] == "success"
    assert body.startswith("> ⚠️ **This report is of an earlier commit** (`a1a1a1a1a1`).")
    assert f"There is no report of commit `{SECOND[:10]}`, since " in body
    assert why in body


def test_the_report_of_a_merge_commit_is_not_taken_for_one_of_an_earlier_push(pull: PullRequest) -> None:
    pull.push(FIRST)
    merge = dict(pull.variables(STEPS[MODELS])) | {"GITHUB_SHA": THIRD, "GITHUB_REF": "refs/pull/5/merge"}
    inputs = {"job-id": str(MODELS), "git-sha": THIRD, "pr-comment": "true", "github-token": TOKEN}
    pull.workflow.run(inputs, event=pull.event(), variables=merge)
    pull.emulator.add_fault(method="POST", path=rf"/jobs/{MODELS}/run/$", status=403, times=1)
    pull.workflow.run(inputs, event=pull.event(), variables=merge | {"GITHUB_RUN_ATTEMPT": "2"})
    (body,) = pull.bodies
    assert "earlier commit" not in body


def test_the_merge_commit_of_the_event_is_reported_as_such(pull: PullRequest) -> None:
    pull.push(FIRST)
    variables = {"GITHUB_SHA": THIRD, "GITHUB_REF": "refs/pull/5/merge"}
    pull.workflow.run(
        {"job-id": str(MODELS), "git-sha": THIRD, "pr-comment": "true", "github-token": TOKEN},
        event=pull.event(),
        variables=dict(pull.variables(STEPS[MODELS])) | variables,
    )
    (body,) = pull.bodies
    assert f"Built: merge commit {THIRD[:10]} of {FIRST[:10]} and the base branch." in body


ISSUE = {"number": 5, "state": "open", "pull_request": {"url": "…"}}
COMMENTED = ("issue_comment", {"action": "created", "issue": ISSUE})


def test_a_comment_event_builds_the_head_that_github_names(pull: PullRequest) -> None:
    pull.push(SECOND)
    step = pull.run(MODELS, event=COMMENTED)
    body = pull.emulator.requests("POST", f"/jobs/{MODELS}/run/")[-1]["body"]
    assert (body["git_sha"], body["github_pull_request_id"]) == (SECOND, 5)
    assert body["schema_override"] == f"dbt_cloud_pr_{MODELS}_5"
    assert step.outputs["git-sha"] == SECOND
    assert len(pull.bodies) == 1


def test_without_the_head_a_comment_event_starts_nothing(pull: PullRequest) -> None:
    pull.push(SECOND)
    before = len(pull.emulator.runs())
    pull.comments.statuses["GET"], pull.comments.said = [403], "Resource not accessible by integration"
    step = pull.run(MODELS, event=COMMENTED)
    assert (step.status, step.outputs["failure-kind"]) == (1, "config")
    assert "Resource not accessible by integration" in step.errors[0]
    assert len(pull.emulator.runs()) == before


def test_another_job_on_a_comment_event_builds_as_ever_and_is_reported_nowhere(pull: PullRequest) -> None:
    pull.push(SECOND)
    step = pull.run(NIGHTLY, event=COMMENTED)
    body = pull.emulator.requests("POST", f"/jobs/{NIGHTLY}/run/")[-1]["body"]
    assert body.keys() == {"cause"}
    assert step.outputs["status"] == "success"
    assert any("nothing is reported there" in text for text in step.warnings)
    assert pull.comments.requests == []


def test_a_closed_pull_request_is_not_reported_on(pull: PullRequest) -> None:
    pull.push(FIRST)
    name, payload = pull.event(state="closed")
    step = pull.run(NIGHTLY, event=(name, payload | {"action": "closed"}))
    assert step.outputs["status"] == "success"
    assert pull.bodies == []


def test_a_merge_group_is_built_and_not_reported(pull: PullRequest) -> None:
    group = {"head_sha": THIRD, "head_ref": "refs/heads/gh-readonly-queue/main/pr-5-abc123"}
    step = pull.run(MODELS, event=("merge_group", {"action": "checks_requested", "merge_group": group}))
    body = pull.emulator.requests("POST", f"/jobs/{MODELS}/run/")[-1]["body"]
    assert (body["git_sha"], body["github_pull_request_id"]) == (THIRD, 5)
    assert step.outputs["status"] == "success"
    assert pull.bodies == []


def test_the_post_step_of_a_step_that_was_ended_marks_the_comment(pull: PullRequest) -> None:
    pull.push(FIRST)
    pull.run(MODELS)
    pull.push(SECOND)
    inputs = {"job-id": str(MODELS), "pr-comment": "true", "github-token": TOKEN}
    variables = dict(pull.variables(STEPS[MODELS]))
    killed = {"STATE_target": f"{pull.emulator.base_url} 1", "STATE_job": str(MODELS)}
    post = pull.workflow.start(inputs, script="post_entrypoint.py", event=pull.event(), variables=variables | killed)
    assert post.finish().status == 0
    (body,) = pull.bodies
    assert body.startswith("> ⚠️ **This report is of an earlier commit** (`a1a1a1a1a1`).")


@pytest.mark.parametrize(
    ("inputs", "is_marked"),
    [({"api_token": ""}, True), ({"poll_interval": "soon"}, True), ({"steps_override": "make"}, False)],
    ids=["no token", "another input", "one that the comment is found by"],
)
def test_a_step_whose_inputs_are_not_valid_marks_the_comment(
    inputs: dict[str, str], is_marked: bool, pull: PullRequest
) -> None:
    pull.push(FIRST)
    pull.run(MODELS)
    before = len(pull.emulator.runs())
    pull.push(SECOND)
    step = pull.run(MODELS, **inputs)
    assert (step.status, step.outputs["failure-kind"], step.warnings) == (1, "config", [])
    assert len(pull.emulator.runs()) == before
    (body,) = pull.bodies
    assert body.startswith("> ⚠️ **This report is of an earlier commit** (`a1a1a1a1a1`).") is is_marked
    assert ("since the inputs of the step are not valid" in body) is is_marked
