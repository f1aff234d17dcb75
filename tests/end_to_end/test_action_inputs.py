"""Every input of the contract reaches the wire or the report: one row an input, proven on what really happened.

The rows share a few steps that run side by side against one emulator, which replays recorded runs. Jobs that are
deactivated keep their runs in the queue.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from standins.emulator import RunningEmulator
from tests.support.action import ActionJob, FinishedStep, RunningStep
from tests.support.action_project import BROKEN_RUN, FLAKY_BUILD, action_world, job, recorded, write_action_project
from tests.support.comments_service import TOKEN as GITHUB_TOKEN
from tests.support.comments_service import CommentsService

from dbt_cloud_run.settings.inputs import INPUTS
from dbt_cloud_run.start.tag import parse_tag

pytestmark = pytest.mark.slow

SHA = "1" * 40
# A step is named by its dbt job. REPLAYED run what was recorded, QUEUED_JOBS stay in the queue.
PLAIN, QUIET, LOUD, NATIVE, DELAYED, ATTACHED, COMMENTED = REPLAYED = tuple(range(101, 108))
ANY, TRANSIENT = BROKEN = (111, 112)
OVERRIDES, PATIENT, QUEUED, REUSED, RERUN, MATRIX, BUSY, DRY = QUEUED_JOBS = tuple(range(121, 129))
TWIN, STAGING_TWIN, OTHER_TWIN, SKIPPED = range(131, 135)

GO_ON = {"wait": "false"}
STEPS: dict[int, dict[str, str]] = {
    PLAIN: {},
    OVERRIDES: {
        **GO_ON,
        "api-token": "another-token",
        "cause": "because",
        "git-sha": SHA,
        "git-branch": "topic",
        "schema-override": "elsewhere",
        "target-name-override": "ci",
        "dbt-version-override": "1.10.0-latest",
        "threads-override": "7",
        "timeout-seconds-override": "99",
        "github-pull-request-id": "5",
        "azure-pull-request-id": "6",
        "gitlab-merge-request-id": "7",
        "non-native-pull-request-id": "8",
        "generate-docs-override": "true",
        "steps-override": "dbt seed\n\ndbt run --select checked\n",
    },
    QUIET: {
        "emit": "prefect",
        "targeted-retries": "0",
        "fail-on-error": "false",
        "summary": "false",
        "annotations": "false",
        "upload-artifact": "false",
        "artifacts-path": "some/where",
        "step-artifacts": "none",
    },
    LOUD: {
        "targeted-retries": "0",
        "artifacts": "run_results.json\ncompiled/**/flaky.sql",
        "step-artifacts": "all",
        "artifact-name": "mine",
        "artifact-retention-days": "5",
        "project-directory": "below",
        "pull-request": "off",
        # The event's head is no commit that the run can have built.
        "fail-on": "other-commit",
    },
    COMMENTED: {"git-sha": SHA, "pr-comment": "true", "github-token": GITHUB_TOKEN},
    ANY: {"retry-on": "any", "targeted-retries": "1"},
    TRANSIENT: {},
    NATIVE: {"retry-strategy": "native"},
    DELAYED: {"retry-delay": "12.5"},
    PATIENT: {"poll-interval": "4", "timeout-minutes": "0.4", "cancel-run": "false"},
    QUEUED: {"queue-timeout-minutes": "0.03"},
    STAGING_TWIN: {
        **GO_ON,
        "job-id": "",
        "job-name": "Twin",
        "project-name": "tiny",
        "environment-name": "Staging",
    },
    REUSED: {**GO_ON, "reuse": "same-commit"},
    BUSY: {"when-busy": "skip"},
    DRY: {"dry-run": "true", "git-branch": "topic"},
    SKIPPED: {"api-token": "", "on-missing-token": "skip"},
}
TOKENS = [{"token": "demo-token"}, {"token": "another-token", "name": "another"}]
PULL_REQUEST = {
    "number": 5,
    "state": "open",
    "head": {"sha": SHA, "repo": {"full_name": "org/repo"}},
    "base": {"repo": {"full_name": "org/repo"}},
}
ON_PULL_REQUEST: tuple[str, dict[str, Any]] = ("pull_request", {"pull_request": PULL_REQUEST})


def pull_request_variables(comments: CommentsService) -> dict[str, str]:
    return {"GITHUB_API_URL": comments.url, "GITHUB_REPOSITORY": "org/repo"}


@dataclass
class Scenes:
    """What the steps have done."""

    emulator: RunningEmulator
    comments: CommentsService
    step: Callable[[int], FinishedStep]
    known_run: int  # that ATTACHED attaches to

    def runs(self, job_id: int) -> list[dict[str, Any]]:
        return [run for run in self.emulator.runs() if run["job_definition_id"] == job_id]

    def body(self, job_id: int) -> dict[str, Any]:
        """Of the first trigger that the step sent."""
        self.step(job_id)
        body: dict[str, Any] = self.emulator.requests("POST", f"/jobs/{job_id}/run/")[0]["body"]
        return body

    def gaps(self, job_id: int) -> list[float]:
        """Seconds between two looks at the job's first run."""
        self.step(job_id)
        path = f"/runs/{self.runs(job_id)[0]['id']}/"
        times = [request["time"] for request in self.emulator.requests("GET") if request["path"].endswith(path)]
        return [later - earlier for earlier, later in pairwise(times)]

    def tags(self, job_id: int) -> list[str]:
        found = [parse_tag(run["trigger"]["cause"]) for run in self.runs(job_id)]
        return [tag.key.step for tag in found if tag]


def start_all(emulator: RunningEmulator, workflow: ActionJob, comments: CommentsService) -> dict[int, RunningStep]:
    variables = pull_request_variables(comments)
    started = {}
    for job_id, inputs in STEPS.items():
        is_of_pull_request = job_id in (LOUD, COMMENTED)
        started[job_id] = workflow.start(
            {"job-id": str(job_id), **inputs},
            event=ON_PULL_REQUEST if is_of_pull_request else None,
            variables=variables if is_of_pull_request else None,
        )
    return started


@pytest.fixture(scope="module")
def scenes(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenes]:
    folder = tmp_path_factory.mktemp("inputs")
    cache_of = pytestconfig.cache
    assert cache_of is not None
    flaky, broken = recorded(cache_of, folder, FLAKY_BUILD, BROKEN_RUN)
    jobs = [job(job_id, FLAKY_BUILD, replay=flaky) for job_id in REPLAYED]
    jobs += [job(job_id, BROKEN_RUN, replay=broken) for job_id in BROKEN]
    jobs += [job(job_id, "dbt build", deactivated=True) for job_id in QUEUED_JOBS]
    twins = {TWIN: 20, STAGING_TWIN: 21, OTHER_TWIN: 31}
    jobs += [
        job(twin, "dbt build", name="Twin", environment_id=where, deactivated=True) for twin, where in twins.items()
    ]
    with (
        action_world(folder, jobs, behaviour={"replay_speed": 0}, tokens=TOKENS) as (emulator, workflow),
        CommentsService() as comments,
    ):
        write_action_project(workflow.workspace / "below")
        emulator.trigger(REUSED, git_sha=SHA)
        emulator.trigger(BUSY)
        known_run = emulator.trigger(ATTACHED)["id"]
        started = start_all(emulator, workflow, comments)
        started[ATTACHED] = workflow.start({"job-id": "", "run-id": str(known_run)})
        for attempt, more in ((1, {}), (2, {"resume": "off"})):
            workflow.run({"job-id": str(RERUN), **GO_ON, **more}, attempt=attempt)
        started[COMMENTED].finish(240)
        workflow.run(
            {"job-id": str(COMMENTED), **STEPS[COMMENTED], "comment-key": "second"},
            event=ON_PULL_REQUEST,
            variables=pull_request_variables(comments),
        )
        for index in ("0", "1"):
            workflow.run({"job-id": str(MATRIX), **GO_ON, "strategy-job-index": index})
        yield Scenes(emulator, comments, cache(lambda job_id: started[job_id].finish(240)), known_run)


Proof = Callable[[Scenes], object]


def sent(field: str, value: object) -> Proof:
    """The trigger's body has this, and a trigger without the input has no such field."""
    return lambda scenes: scenes.body(OVERRIDES)[field] == value and field not in scenes.body(PLAIN)


def files(job_id: int) -> Callable[[Scenes], set[str]]:
    def found(scenes: Scenes) -> set[str]:
        folder = scenes.step(job_id).folder
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

    return found


def of_steps(names: set[str]) -> set[str]:
    return {name.rpartition("/")[2] for name in names if name.startswith("runs/")}


quiet_files, loud_files, plain_files = files(QUIET), files(LOUD), files(PLAIN)

ROWS: dict[str, Proof] = {
    "api-token": lambda s: s.body(OVERRIDES) and s.runs(OVERRIDES)[0]["audit"]["trigger"]["actor"]["name"] == "another",
    "on-missing-token": lambda s: s.step(SKIPPED).status == 0 and s.step(SKIPPED).outputs["status"] == "skipped",
    "account-id": lambda s: s.emulator.requests("POST", f"/api/v2/accounts/1/jobs/{PLAIN}/run/"),
    "host": lambda s: s.step(PLAIN).outputs["run-url"].startswith(s.emulator.base_url) and s.runs(PLAIN),
    "job-id": lambda s: s.step(PLAIN) and s.runs(PLAIN),
    "job-name": lambda s: s.step(STAGING_TWIN).outputs["status"] == "queued" and s.runs(STAGING_TWIN),
    "project-name": lambda s: s.step(STAGING_TWIN) and not s.runs(OTHER_TWIN),
    "environment-name": lambda s: s.step(STAGING_TWIN) and not s.runs(TWIN),
    "when-busy": lambda s: s.step(BUSY).outputs["status"] == "skipped" and len(s.runs(BUSY)) == 1,
    "run-id": lambda s: (
        s.step(ATTACHED).value("run-ids")[0] == s.known_run and s.runs(ATTACHED)[0]["trigger"]["cause"] == "test"
    ),
    "dry-run": lambda s: (
        (s.step(DRY).outputs["status"], s.runs(DRY)) == ("dry-run", [])
        and '"git_branch": "topic"' in s.step(DRY).log
        and not s.step(DRY).state
    ),
    "reuse": lambda s: s.step(REUSED).outputs["run-id"] == str(s.runs(REUSED)[0]["id"]) and len(s.runs(REUSED)) == 1,
    "resume": lambda s: len(s.runs(RERUN)) == 2 and len(set(s.tags(RERUN))) == 1,
    "cause": lambda s: s.body(OVERRIDES)["cause"].endswith("] because"),
    "git-sha": sent("git_sha", SHA),
    "git-branch": sent("git_branch", "topic"),
    "schema-override": sent("schema_override", "elsewhere"),
    "target-name-override": sent("target_name_override", "ci"),
    "dbt-version-override": sent("dbt_version_override", "1.10.0-latest"),
    "threads-override": sent("threads_override", 7),
    "timeout-seconds-override": sent("timeout_seconds_override", 99),
    "github-pull-request-id": sent("github_pull_request_id", 5),
    "azure-pull-request-id": sent("azure_pull_request_id", 6),
    "gitlab-merge-request-id": sent("gitlab_merge_request_id", 7),
    "non-native-pull-request-id": sent("non_native_pull_request_id", 8),
    "generate-docs-override": sent("generate_docs_override", True),
    "steps-override": sent("steps_override", ["dbt seed", "dbt run --select checked"]),
    # The event is that of a pull request, and the job's type is not ci: only `off` lets it pass, with nothing filled.
    "pull-request": lambda s: s.step(LOUD).outputs["attempts"] == "1" and s.body(LOUD).keys() == {"cause"},
    "targeted-retries": lambda s: (s.step(QUIET).outputs["attempts"], s.step(PLAIN).outputs["attempts"]) == ("1", "2"),
    "retry-on": lambda s: (s.step(ANY).outputs["attempts"], s.step(TRANSIENT).outputs["attempts"]) == ("2", "1"),
    "retry-strategy": lambda s: (
        s.step(NATIVE).outputs["attempts"] == "2"
        and s.emulator.requests("POST", f"/runs/{s.runs(NATIVE)[0]['id']}/retry/")
    ),
    "retry-delay": lambda s: (
        re.search(r"Waiting 1?\d(\.\d+)? s before the retry", s.step(DELAYED).log)
        and "Waiting" not in s.step(PLAIN).log
    ),
    "wait": lambda s: s.step(OVERRIDES).outputs["status"] == "queued",
    "timeout-minutes": lambda s: (
        s.step(PATIENT).outputs["status"] == "timed-out" and "timeout-minutes" in s.step(PATIENT).summary
    ),
    "queue-timeout-minutes": lambda s: (
        s.step(QUEUED).outputs["status"] == "timed-out" and "queue-timeout-minutes" in s.step(QUEUED).summary
    ),
    "poll-interval": lambda s: max(s.gaps(PATIENT)) >= 3.9 and len(s.gaps(PATIENT)) <= 8,
    "cancel-run": lambda s: (
        (s.step(PATIENT).status, s.runs(PATIENT)[0]["status_humanized"]) == (1, "Queued")
        and s.step(QUEUED)
        and s.runs(QUEUED)[0]["is_cancelled"]
    ),
    "fail-on-error": lambda s: (
        (s.step(QUIET).outputs["status"], s.step(QUIET).status) == ("error", 0) and s.step(LOUD).status == 1
    ),
    "fail-on": lambda s: (
        s.step(LOUD).value("gates-failed") == ["other-commit"] and s.step(PLAIN).value("gates-failed") == []
    ),
    "artifacts": lambda s: (
        "compiled/tiny/models/flaky.sql" in loud_files(s)
        and "manifest.json" not in loud_files(s)
        and "manifest.json" in plain_files(s)
    ),
    "step-artifacts": lambda s: (
        of_steps(quiet_files(s)) == set()
        and of_steps(plain_files(s)) == {"run_results.json"}
        and {"run_results.json", "manifest.json", "flaky.sql"} <= of_steps(loud_files(s))
    ),
    "artifacts-path": lambda s: (
        s.step(QUIET).outputs["artifacts-path"] == "some/where" and "result.json" in quiet_files(s)
    ),
    "upload-artifact": lambda s: s.step(QUIET).outputs["artifact-id"] == "" and s.step(PLAIN).uploaded(),
    "artifact-name": lambda s: s.step(LOUD).outputs["artifact-name"] == "mine" and s.step(LOUD).uploaded(),
    "artifact-retention-days": lambda s: "expires_at" in stored(s, LOUD) and "expires_at" not in stored(s, PLAIN),
    "summary": lambda s: s.step(QUIET).summary == "" and s.step(PLAIN).summary,
    "annotations": lambda s: not annotated_files(s, QUIET) and annotated_files(s, LOUD),
    "project-directory": lambda s: annotated_files(s, LOUD) == ["below/models/flaky.sql"],
    "pr-comment": lambda s: "flaky" in s.comments.comments[0].body,
    # A request with another token gets a 401.
    "github-token": lambda s: s.comments.comments and not s.step(COMMENTED).warnings,
    "emit": lambda s: any("PREFECT_API_URL" in text for text in s.step(QUIET).warnings),
    "comment-key": lambda s: len(s.comments.comments) == 2,
    "strategy-job-index": lambda s: len(set(s.tags(MATRIX))) == 2,
}


def annotated_files(scenes: Scenes, job_id: int) -> list[str]:
    found = [command.properties.get("file") for command in scenes.step(job_id).annotations("error")]
    return [file for file in found if file]


def stored(scenes: Scenes, job_id: int) -> dict[str, Any]:
    """What the artifact was created with."""
    step = scenes.step(job_id)
    assert step.results is not None
    return step.results.artifacts[step.outputs["artifact-name"]].fields


def test_no_input_is_left_out() -> None:
    assert ROWS.keys() == {entry.name for entry in INPUTS}


@pytest.mark.parametrize("name", ROWS)
def test_the_input_does_what_it_says(scenes: Scenes, name: str) -> None:
    assert ROWS[name](scenes)
