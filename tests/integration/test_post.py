"""The post step in this process, against a server on a socket: which run it cancels, and which it leaves alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from standins.cloud_server import ACCOUNT, JOB, CloudServer, FakeClock, Fault, enveloped
from standins.results_service import ResultsService, StoredArtifact
from tests.support.post_job import CAUSE, TAG, Job, serving

from dbt_cloud_run import post
from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import CloudError
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.start.once import NativeRetry, NewRun, save_request
from dbt_cloud_run.state import SavedState


@pytest.fixture
def server() -> Iterator[CloudServer]:
    with serving() as running:
        yield running


@pytest.fixture
def job(server: CloudServer, tmp_path: Path) -> Job:
    return Job(server, tmp_path)


@pytest.fixture
def run(server: CloudServer) -> dict[str, Any]:
    """A run of this step that is active."""
    return server.add_run(cause=CAUSE, status=3)


def test_a_run_that_was_left_behind_is_cancelled(
    job: Job, run: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert job.post(run_id=run["id"]) == 0
    assert run["status"] == 30
    assert f"Run {run['id']} is cancelled" in capsys.readouterr().out


@pytest.mark.parametrize("inputs", [{"cancel-run": "false"}, {"wait": "false"}], ids=str)
def test_what_the_inputs_leave_alone_is_left_alone(
    job: Job, server: CloudServer, run: dict[str, Any], inputs: dict[str, str]
) -> None:
    request = save_request(NewRun(job_id=JOB, baseline_id=0, tag=TAG))
    assert job.post(inputs=inputs, run_id=run["id"]) == job.post(inputs=inputs, pending=request) == 0
    assert run["status"] == 3
    assert server.requests == []


@pytest.mark.parametrize("cause", [None, "by hand", "[dcr 9876543210-abcdef 4be1c2d3a4f5 w1] another"])
def test_a_run_without_proof_is_left_alone(
    job: Job, server: CloudServer, cause: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    other = server.add_run(cause=cause, status=3)
    assert job.post(run_id=other["id"]) == 0
    assert other["status"] == 3
    assert server.count("POST", "") == 0
    assert "is left alone" in capsys.readouterr().out


@pytest.mark.parametrize("of", [500, 501])
def test_a_native_retry_proves_itself_by_what_it_retries(job: Job, server: CloudServer, of: int) -> None:
    retry = server.add_run(retrying_run_id=500, status=3)
    job.post(run_id=retry["id"], proof=f"retry of {of}")
    assert retry["status"] == (30 if of == 500 else 3)


def test_a_run_at_another_host_is_not_touched(job: Job, server: CloudServer, run: dict[str, Any]) -> None:
    """The inputs may have changed since: the token must not go elsewhere, and this run is none of that host's."""
    for target in ("", f"{job.host} 2", f"https://cloud.getdbt.com {ACCOUNT}", f"{job.host}0 {ACCOUNT}", job.host):
        assert job.post(run_id=run["id"], target=target) == 0
    with serving() as other:
        assert job.post(inputs={"host": f"http://127.0.0.1:{other.port}"}, run_id=run["id"]) == 0
        assert other.requests == []
    assert run["status"] == 3
    assert server.requests == []


@pytest.mark.parametrize("inputs", [{"account-id": "2"}, {"host": "http://127.0.0.1:9"}], ids=str)
def test_where_the_inputs_name_another_account_by_now_a_warning_names_the_run(
    job: Job, run: dict[str, Any], inputs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Inputs are evaluated once more after the job: a later step may have changed a variable that they come from."""
    assert job.post(inputs=inputs, run_id=run["id"], address="https://dbt.example/runs/5/") == 0
    (warning,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("::warning")]
    assert f"Whether run {run['id']} is still active in dbt Cloud is not known" in warning
    assert "account-id or host names another account in the post step" in warning
    assert warning.endswith("https://dbt.example/runs/5/")
    for state in ({"ended": "verdict"}, {"cancel": "false"}):
        assert job.post(inputs=inputs, run_id=run["id"], **state) == 0
    assert "::warning" not in capsys.readouterr().out


@pytest.mark.parametrize("ended", ["verdict", "error", "wait: false"])
def test_after_a_step_that_ended_by_itself_there_is_nothing_to_do(
    job: Job, server: CloudServer, run: dict[str, Any], ended: str
) -> None:
    assert job.post(run_id=run["id"], ended=ended) == 0
    assert server.requests == []


@pytest.mark.parametrize("state", [{}, {"run_id": "0"}, {"run_id": "x"}, {"pending": "[]"}], ids=str)
def test_without_a_run_there_is_nothing_to_do(job: Job, server: CloudServer, state: dict[str, str]) -> None:
    assert job.post(**state) == 0
    assert server.requests == []


@pytest.mark.parametrize(
    ("inputs", "why"),
    [({"api-token": ""}, "api-token is missing"), ({"account-id": "x"}, "account-id, host or api-token is not valid")],
)
def test_without_what_it_needs_a_warning_names_the_run(
    job: Job,
    server: CloudServer,
    run: dict[str, Any],
    inputs: dict[str, str],
    why: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert job.post(inputs=inputs, run_id=run["id"], address="https://dbt.example/runs/5/") == 0
    assert server.requests == []
    out = capsys.readouterr().out
    assert f"because {why} in the post step" in out
    assert "https://dbt.example/runs/5/" in out


@pytest.mark.parametrize(
    "inputs",
    [{"poll-interval": "soon"}, {"job-id": "x"}, {"artifacts-path": "linked"}, {"artifacts-path": "", "job-name": "a"}],
    ids=str,
)
def test_another_input_that_is_not_valid_any_more_is_no_reason_to_leave_a_run_behind(
    job: Job, server: CloudServer, run: dict[str, Any], inputs: dict[str, str]
) -> None:
    """Such as a folder in whose place a later step of the job has put a link."""
    job.job.workspace.mkdir(exist_ok=True)
    (job.job.workspace / "linked").symlink_to("/tmp")
    assert job.post(inputs=inputs, run_id=run["id"]) == 0
    assert run["status"] == 30


def test_an_input_that_is_not_valid_any_more_does_not_cancel_what_is_left_alone(
    job: Job, server: CloudServer, run: dict[str, Any]
) -> None:
    inputs = {"poll-interval": "soon", "cancel-run": "false"}
    assert job.post(inputs=inputs, run_id=run["id"], cancel="false") == 0
    assert run["status"] == 3
    assert server.requests == []


def test_a_run_that_has_ended_is_not_cancelled(
    job: Job, server: CloudServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = server.add_run(cause=CAUSE, status=10)
    assert job.post(run_id=ended["id"]) == 0
    assert server.count("POST", "") == 0
    assert f"Run {ended['id']} has ended: success." in capsys.readouterr().out


def test_the_run_of_a_request_in_flight_is_found_and_cancelled(
    job: Job, server: CloudServer, run: dict[str, Any]
) -> None:
    theirs = server.add_run(cause="by hand", status=3)
    server.hidden[run["id"]] = 1  # it shows up with the second look
    job.post(pending=save_request(NewRun(job_id=JOB, baseline_id=0, tag=TAG)))
    assert (run["status"], theirs["status"]) == (30, 3)
    assert server.count("GET", r"/runs/$") == 2


def test_the_native_retry_of_a_request_in_flight_is_found_and_cancelled(job: Job, server: CloudServer) -> None:
    failed = server.add_run(status=20)
    retry = server.add_run(retrying_run_id=failed["id"], status=3)
    job.post(pending=save_request(NativeRetry(job_id=JOB, run_id=failed["id"])))
    assert retry["status"] == 30


def test_a_request_that_started_nothing_leaves_nothing_behind(
    job: Job, server: CloudServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(post, "LOOK_PAUSES", (0.01, 0.01))
    theirs = server.add_run(cause="by hand", status=3)
    job.post(pending=save_request(NewRun(job_id=JOB, baseline_id=0, tag=TAG)))
    assert theirs["status"] == 3
    assert server.count("GET", r"/runs/$") == 3
    assert "No run was left behind." in capsys.readouterr().out


@pytest.mark.parametrize(
    "request_",
    [NewRun(job_id=JOB, baseline_id=None, tag=TAG), NativeRetry(job_id=JOB, run_id=1)],
    ids=["no baseline", "a run that may be its retry"],
)
def test_a_request_whose_run_cannot_be_ruled_out_is_said(
    job: Job,
    server: CloudServer,
    request_: NewRun | NativeRetry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(post, "LOOK_PAUSES", (0.01, 0.01))
    server.add_run(cause="by hand", status=3)
    job.post(pending=save_request(request_))
    said = capsys.readouterr().out
    assert "No run was left behind." not in said
    assert "::warning::Whether a run was left behind in dbt Cloud could not be determined" in said
    if isinstance(request_, NewRun):
        assert f"Look in dbt Cloud for {request_.what_to_look_for}." in said


def test_a_run_that_cannot_be_seen_is_said(
    job: Job, server: CloudServer, run: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    server.fault("GET", r"/runs/\d+/$", Fault(403))
    assert job.post(run_id=run["id"]) == 0
    assert run["status"] == 3
    assert "could not be determined" in capsys.readouterr().out


def test_a_new_run_may_be_unknown_for_a_while(job: Job, server: CloudServer, run: dict[str, Any]) -> None:
    server.fault("GET", r"/runs/\d+/$", Fault(404, times=2))
    job.post(run_id=run["id"])
    assert run["status"] == 30


def test_a_cancellation_that_takes_its_time_is_said(
    job: Job,
    server: CloudServer,
    run: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("dbt_cloud_run.waiting.cancel.CANCEL_BUDGET", 0.0)
    # The cancellation is accepted, and changes nothing yet.
    monkeypatch.setattr(CloudServer, "_handle", lambda _server, _request: enveloped(run))
    job.post(run_id=run["id"])
    assert "is being cancelled, and has not ended yet" in capsys.readouterr().out


# -- a signal, and how long it takes


def in_scene(server: CloudServer, clock: FakeClock, work: Callable[[CloudClient, Reader], Awaitable[object]]) -> object:
    async def play() -> object:
        async with server.client(clock) as client:
            return await work(client, Reader(clock))

    return asyncio.run(play())


def saved_state(**state: object) -> SavedState:
    return SavedState.from_environ({f"STATE_{name}": str(value) for name, value in state.items()})


def test_a_signal_ends_the_search(
    job: Job, server: CloudServer, run: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    server.hidden[run["id"]] = 1000
    sender = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    sender.start()
    assert job.post(pending=save_request(NewRun(job_id=JOB, baseline_id=0, tag=TAG))) == 0
    sender.join()
    assert "received a signal" in capsys.readouterr().out
    assert server.count("GET", r"/runs/$") < 7


@pytest.mark.parametrize("kind", ["none", 503, "silence"])
def test_after_a_signal_the_cancellation_is_asked_for_once_more_and_no_longer(
    server: CloudServer, run: dict[str, Any], monkeypatch: pytest.MonkeyPatch, kind: int | str
) -> None:
    monkeypatch.setattr(post, "LAST_WORD", 0.2)
    clock = FakeClock()
    clock.interrupt_after = 0
    server.fault("POST", r"/cancel/$", Fault(503))
    if kind != "none":
        server.fault("POST", r"/cancel/$", Fault(kind))

    async def cancel(client: CloudClient, reader: Reader) -> None:
        # The client itself would wait longer.
        client._transport._http.timeout = httpx.Timeout(20.0)
        client._transport._total_timeout = 20.0
        with pytest.raises(Interrupted):
            await asyncio.wait_for(post._cancel(client, reader, Run.model_validate(run)), 2.5)

    in_scene(server, clock, cancel)
    assert server.count("POST", r"/cancel/$") == 2
    assert run["status"] == (30 if kind == "none" else 3)


@pytest.mark.parametrize("state", ["run_id", "pending"])
def test_a_server_that_fails_for_good_costs_a_minute(server: CloudServer, run: dict[str, Any], state: str) -> None:
    clock = FakeClock()
    server.fault("GET", r"/runs/", Fault(503, times=float("inf")))
    request = save_request(NewRun(job_id=JOB, baseline_id=0, tag=TAG))
    saved = saved_state(**{state: run["id"] if state == "run_id" else request})
    clock.on_sleep = lambda: None if clock.now < 1000 + 600 else pytest.fail("it is never given up")
    with pytest.raises(CloudError):
        in_scene(server, clock, lambda client, reader: post._left_behind(client, reader, saved))
    assert 55 <= clock.now - 1000 <= 61


def test_the_first_look_is_made_at_once_and_the_run_is_read_with_its_trigger(
    server: CloudServer, run: dict[str, Any]
) -> None:
    clock = FakeClock()
    pending = saved_state(pending=save_request(NewRun(job_id=JOB, baseline_id=0, tag=TAG)))
    found = in_scene(server, clock, lambda client, reader: post._left_behind(client, reader, pending))
    assert isinstance(found, Run)
    assert clock.sleeps == [0.0]
    by_id = saved_state(run_id=run["id"])
    in_scene(server, clock, lambda client, reader: post._left_behind(client, reader, by_id))
    assert server.requests[-1].query == {"include_related": "trigger"}
    assert in_scene(server, clock, lambda client, reader: post._left_behind(client, reader, saved_state())) is None


# -- what the main step had no time to upload


def files_of(job: Job, *names: str, folder: str = "dbt-cloud/7") -> str:
    root = job.job.workspace / folder
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / name).write_text(name)
    return json.dumps({"name": "results", "folder": str(root), "files": [str(root / name) for name in names]})


def test_the_artifact_is_uploaded_once(job: Job, server: CloudServer) -> None:
    with ResultsService() as job.results:
        files = files_of(job, "assets.json", "result.json")
        assert job.post(files=files, ended="verdict") == 0
        assert job.results.artifacts["results"].is_final
        before = len(job.results.requests)
        job.post(files=files, ended="verdict", published="true")
        job.post(files=files, ended="verdict", inputs={"upload-artifact": "false"})
        assert len(job.results.requests) == before
    assert server.requests == []


def test_a_name_that_the_ended_step_had_announced_gets_a_number(job: Job) -> None:
    with ResultsService() as job.results:
        job.results.artifacts["results"] = StoredArtifact(1, "results", {})
        job.post(files=files_of(job, "assets.json"), ended="verdict", inputs={"artifact-name": "results"})
        assert job.results.artifacts["results-2"].is_final


def test_the_run_of_a_step_that_ended_by_itself_is_left_alone_when_its_files_are_uploaded(
    job: Job, server: CloudServer, run: dict[str, Any]
) -> None:
    with ResultsService() as job.results:
        job.post(files=files_of(job, "assets.json"), ended="error", run_id=run["id"])
        assert job.results.artifacts["results"].is_final
    assert run["status"] == 3
    assert server.requests == []


def test_a_fault_of_this_program_does_not_decide_the_job_s_result(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> SavedState:
        raise RuntimeError("broken")

    monkeypatch.setattr(SavedState, "from_environ", broken)
    assert job.post() == 0
    assert "::error" in capsys.readouterr().out


def test_an_upload_that_fails_is_a_warning(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert job.post(files=files_of(job, "assets.json"), ended="verdict") == 0
    assert "::warning" in (said := capsys.readouterr().out)
    assert "The artifact was not uploaded" in said


def test_no_file_from_elsewhere_is_uploaded(job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with ResultsService() as job.results:
        inside = json.loads(files_of(job, "assets.json"))
        inside["files"].append(str(secret))
        job.post(files=json.dumps(inside), ended="verdict")
        assert b"secret" not in job.results.artifacts["results"].blob
        outside = {"name": "stolen", "folder": str(tmp_path), "files": [str(secret)]}
        job.post(files=json.dumps(outside), ended="verdict")
        assert "stolen" not in job.results.artifacts
    assert "The artifact was not uploaded" in capsys.readouterr().out
