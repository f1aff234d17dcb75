"""The post step beside the run: the comment that it marks, what it says, and the clean-up in the step's own process."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import ACCOUNT, JOB, CloudServer
from standins.results_service import SAS, ResultsService
from tests.support.comments_service import TOKEN, CommentsService
from tests.support.post_job import CAUSE, TAG, Job, serving

from dbt_cloud_run import post
from dbt_cloud_run.command.console import PlainConsole
from dbt_cloud_run.console import BaseConsole
from dbt_cloud_run.github.artifacts.limits import UploadLimits
from dbt_cloud_run.github.marker import former_marker
from dbt_cloud_run.process import run_process
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.once import NewRun, save_request
from dbt_cloud_run.state import SavedState

HEAD = "a1" * 20
PENDING = save_request(NewRun(job_id=JOB, baseline_id=0, tag=TAG))
REQUEST = {
    "number": 5,
    "state": "open",
    "head": {"sha": HEAD, "repo": {"full_name": "org/repo"}},
    "base": {"repo": {"full_name": "org/repo"}},
}
PUSHED = ("pull_request", {"action": "synchronize", "number": 5, "pull_request": REQUEST})
COMMENTED = (
    "issue_comment",
    {"action": "created", "issue": {"number": 5, "state": "open", "pull_request": {"url": ""}}},
)
REPORT = f"{former_marker(f'{ACCOUNT}/{JOB}/nightly/dbt/0')}\n✅ Succeeded"
BY_NAME = {"job-id": "", "job-name": "Nightly build"}


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Those of signals are as they were, afterwards."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture
def server() -> Iterator[CloudServer]:
    with serving() as running:
        yield running


@pytest.fixture
def service() -> Iterator[CommentsService]:
    with CommentsService() as running:
        yield running


@pytest.fixture
def job(server: CloudServer, tmp_path: Path) -> Job:
    return Job(server, tmp_path)


@pytest.fixture
def run(server: CloudServer) -> dict[str, Any]:
    """A run of this step that is active."""
    return server.add_run(cause=CAUSE, status=3)


@pytest.fixture
def pull(job: Job, service: CommentsService) -> Job:
    """A job of a pull request, on which the step of an earlier commit has reported its success."""
    job.event = PUSHED
    job.inputs |= {"pr-comment": "true", "github-token": TOKEN}
    job.job.variables = {"GITHUB_API_URL": service.url, "GITHUB_REPOSITORY": "org/repo"}
    service.add(REPORT)
    return job


def warnings(capsys: pytest.CaptureFixture[str]) -> list[str]:
    lines = capsys.readouterr().out.splitlines()
    assert not any(line.startswith("::error") for line in lines), lines
    return [line for line in lines if line.startswith("::warning")]


# -- the comment


@pytest.mark.parametrize("inputs", [{}, BY_NAME, {"pr-comment": "on-failure"}], ids=str)
@pytest.mark.parametrize("ended", ["", "verdict"], ids=["killed", "killed while it published"])
def test_the_green_comment_of_an_earlier_commit_is_marked_after_a_step_that_did_not_report(
    pull: Job,
    service: CommentsService,
    server: CloudServer,
    inputs: dict[str, str],
    ended: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert pull.post(inputs=inputs, job=JOB, ended=ended) == 0
    (comment,) = service.comments
    assert (
        f"There is no report of commit `{HEAD[:10]}`, since the step was ended before it had a result." in comment.body
    )
    assert comment.body.endswith("✅ Succeeded")
    assert (warnings(capsys), server.requests) == ([], [])


def test_the_head_is_looked_up_where_the_event_does_not_name_it(pull: Job, service: CommentsService) -> None:
    pull.event = COMMENTED
    service.pull_request["head"]["sha"] = HEAD
    assert pull.post(job=JOB) == 0
    assert f"There is no report of commit `{HEAD[:10]}`" in service.comments[0].body


@pytest.mark.parametrize(
    ("inputs", "state"),
    [
        ({"pr-comment": "false"}, {}),
        ({}, {"target": ""}),
        ({}, {"published": "true", "ended": "verdict"}),
        # Its run may go on, and the report says so.
        ({}, {"published": "true"}),
    ],
    ids=["no comments wanted", "a step that sent nothing", "published", "published, and its run may go on"],
)
def test_no_other_comment_is_touched(
    pull: Job, service: CommentsService, run: dict[str, Any], inputs: dict[str, str], state: dict[str, str]
) -> None:
    assert pull.post(inputs=inputs, **({"job": JOB, "run_id": run["id"]} | state)) == 0
    assert (service.requests, service.comments[0].body) == ([], REPORT)
    is_left_behind = "ended" not in state and "target" not in state
    assert run["status"] == (30 if is_left_behind else 3)


def test_a_comment_that_cannot_be_marked_is_a_warning_and_the_run_is_cancelled(
    pull: Job, service: CommentsService, run: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    service.statuses["GET"], service.said = [403], "Resource not accessible by integration"
    assert pull.post(job=JOB, run_id=run["id"]) == 0
    assert run["status"] == 30
    (warning,) = warnings(capsys)
    assert "The comment on pull request 5 could not be marked as that of an earlier commit" in warning
    assert "Resource not accessible by integration" in warning


def test_a_service_that_does_not_answer_is_not_waited_for_until_it_does(
    pull: Job, service: CommentsService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(post, "COMMENT_BUDGET", 0.2)
    may_answer, answers = threading.Event(), []

    def answer(*_: object) -> tuple[int, dict[str, str], dict[str, str]]:
        may_answer.wait(20)
        answers.append(404)
        return 404, {}, {}

    monkeypatch.setattr(service, "answer", answer)
    try:
        assert pull.post(job=JOB) == 0
        assert answers == []
    finally:
        may_answer.set()
    assert "The comment on the pull request could not be marked as that of an earlier commit in time." in (
        capsys.readouterr().out
    )


# -- what is said


@pytest.mark.parametrize("address", ["", "javascript:alert(1)", "see https://dbt.example"])
@pytest.mark.parametrize("state", ["run_id", "pending"])
def test_the_warning_names_what_may_be_active_and_no_address_that_is_none(
    job: Job, run: dict[str, Any], state: str, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    what = f"run {run['id']}" if state == "run_id" else "a run that was about to be started"
    saved = {state: run["id"] if state == "run_id" else PENDING, "address": address}
    assert job.post(inputs={"api-token": ""}, **saved) == 0
    (warning,) = warnings(capsys)
    assert f"::Whether {what} is still active in dbt Cloud is not known" in warning
    assert warning.endswith("cancel it if nothing waits for it.")


@pytest.mark.parametrize(("hidden", "count"), [(0, 0), (1, 1), (1000, 1)])
def test_a_search_is_announced_once_and_only_where_it_takes_time(
    job: Job,
    server: CloudServer,
    run: dict[str, Any],
    hidden: int,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(post, "LOOK_PAUSES", (0.01, 0.01, 0.01))
    server.hidden[run["id"]] = hidden
    assert job.post(pending=PENDING) == 0
    announced = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Searching for up to")]
    assert len(announced) == count
    assert all(f"a run of job {JOB} whose cause begins with {TAG}" in line for line in announced)


# -- inputs that are not there, or not valid any more


def test_inputs_that_are_empty_in_the_post_step_are_those_of_the_state(job: Job, run: dict[str, Any]) -> None:
    """The runner hands over none of a nested composite action but those that come from secrets and variables."""
    assert job.post(inputs={"account-id": "", "host": "", "job-id": ""}, job=JOB, run_id=run["id"]) == 0
    assert run["status"] == 30


def test_a_job_that_a_variable_names_needs_no_input_and_no_state(job: Job, run: dict[str, Any]) -> None:
    job.job.variables = {"DBT_CLOUD_JOB_ID": str(JOB)}
    assert job.post(inputs={"job-id": "", "poll-interval": "soon"}, pending=PENDING) == 0
    assert run["status"] == 30


@pytest.mark.parametrize("inputs", [{"poll-interval": "soon"}, BY_NAME | {"poll-interval": "soon"}], ids=str)
def test_a_step_that_was_ended_before_it_knew_the_job_leaves_nothing_to_say(
    job: Job, server: CloudServer, inputs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert job.post(inputs=inputs) == 0
    assert (warnings(capsys), server.requests) == ([], [])


def test_a_step_that_has_published_everything_ends_with_0(job: Job, server: CloudServer) -> None:
    assert job.post(ended="verdict", published="true") == 0
    assert server.requests == []


# -- the artifact


def test_an_upload_that_stands_still_is_given_up_within_the_limits_of_the_post_step(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The runner would kill the post step while the main step's limits hold."""
    limits = UploadLimits(stall=0.3, total=0.6)
    monkeypatch.setattr("dbt_cloud_run.github.artifacts.limits.POST_STEP_LIMITS", limits)
    folder = job.job.workspace / "dbt-cloud"
    folder.mkdir()
    (folder / "assets.json").write_text("{}")
    files = json.dumps({"name": "results", "folder": str(folder), "files": [str(folder / "assets.json")]})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/blob?{SAS}"
        # Without the limits, it ends with a connection that is refused.
        closing = threading.Timer(15, silent.close)
        closing.start()
        with ResultsService(signed_url=lambda _name, _verb: url) as job.results:
            assert job.post(files=files, ended="verdict") == 0
        closing.cancel()
    (warning,) = warnings(capsys)
    assert "The artifact was not uploaded: The upload was stopped, because no byte was accepted for 0.3 s" in warning


# -- the clean-up in the process of the step, where no post step follows


def saved_state(job: Job, /, **state: object) -> SavedState:
    values = {"target": job.target, "proof": TAG.key.step, **state}
    return SavedState.of({name: str(value) for name, value in values.items()})


def in_the_step(
    job: Job, work: Callable[[Settings, BaseConsole], Awaitable[None]], inputs: Mapping[str, str] | None = None
) -> str:
    """Do this in the process of the command; returns its log."""
    environment, stream = job.environment(inputs), io.StringIO()
    settings = Settings.from_environ(environment)

    async def play(console: BaseConsole) -> int:
        await work(settings, console)
        return 0

    status = run_process(
        environment, lambda console: asyncio.run(play(console)), status_of_fault=1, console=PlainConsole(stream)
    )
    assert status == 0, stream.getvalue()
    return stream.getvalue()


def clean_up(job: Job, /, *, inputs: Mapping[str, str] | None = None, **state: object) -> str:
    saved = saved_state(job, **state)
    return in_the_step(job, lambda settings, console: post.clean_up(settings, console, saved), inputs)


@pytest.mark.parametrize("state", ["run_id", "pending"])
def test_the_command_cancels_the_run_that_it_leaves_behind(job: Job, run: dict[str, Any], state: str) -> None:
    said = clean_up(job, **{state: run["id"] if state == "run_id" else PENDING})
    assert run["status"] == 30
    assert f"Run {run['id']} is cancelled" in said


@pytest.mark.parametrize(
    ("inputs", "state"),
    [({}, {"ended": "verdict"}), ({}, {"run_id": ""}), ({}, {"cancel": "false"}), ({"cancel-run": "false"}, {})],
    ids=["ended by itself", "no run", "left alone", "left alone by the input"],
)
def test_the_command_leaves_alone_what_the_post_step_would(
    job: Job, server: CloudServer, run: dict[str, Any], inputs: dict[str, str], state: dict[str, str]
) -> None:
    assert clean_up(job, inputs=inputs, **({"run_id": run["id"]} | state)) == ""
    assert (run["status"], server.requests) == (3, [])


def test_the_clean_up_of_the_step_itself_leaves_the_comment_to_its_report(
    pull: Job, service: CommentsService, run: dict[str, Any]
) -> None:
    clean_up(pull, run_id=run["id"], job=JOB)
    assert run["status"] == 30
    assert (service.requests, service.comments[0].body) == ([], REPORT)


def test_another_signal_during_the_clean_up_ends_it_with_a_warning(
    job: Job, server: CloudServer, run: dict[str, Any]
) -> None:
    server.hidden[run["id"]] = 1000
    sender = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    sender.start()
    said = clean_up(job, pending=PENDING)
    sender.join()
    assert "Warning: Another signal was received before the run was known to have ended: check it in dbt Cloud." in said
    assert server.count("GET", r"/runs/$") < 7
