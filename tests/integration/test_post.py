"""The post step as the runner starts it, over real sockets: what it cancels, and all that it leaves alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from standins.cloud_server import JOB, TOKEN, CloudServer

from dbt_cloud_run import post
from dbt_cloud_run.start.once import NativeRetry, NewRun, save_request
from dbt_cloud_run.start.tag import RunKey, Tag, cause_text

KEY = RunKey("0123456789", "abcdef")
TAG = Tag.new(KEY)
RUNNING, CANCELLED, SUCCESS = 3, 30, 10


@contextmanager
def serving() -> Iterator[CloudServer]:
    """A server in a thread of its own: the post step has the main thread, as its signal handlers need it."""
    server, loop, ready = CloudServer(), asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        async with server:
            ready.set()
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(20)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


@pytest.fixture
def server() -> Iterator[CloudServer]:
    with serving() as running:
        yield running


def play(server: CloudServer, inputs: dict[str, str] | None = None, **state: str) -> None:
    host = f"http://127.0.0.1:{server.port}"
    given = {"api-token": TOKEN, "account-id": "1", "host": host, "job-id": str(JOB), **(inputs or {})}
    saved = {"target": f"{host} 1", "proof": KEY.step, **state}
    environ = {f"INPUT_{name.upper()}": value for name, value in given.items()}
    environ |= {f"STATE_{name}": value for name, value in saved.items()}
    assert post.main(environ) == 0, "it does not decide the job's result"


def left(server: CloudServer, tag: Tag | None = TAG, **fields: Any) -> dict[str, Any]:
    """A run that is active."""
    return server.add_run(status=RUNNING, cause=cause_text(tag, "nightly") if tag else "a person's", **fields)


def test_a_run_that_was_left_behind_is_cancelled_and_waited_for(server: CloudServer) -> None:
    run = left(server)
    play(server, run_id=str(run["id"]))
    assert run["status"] == CANCELLED
    assert [request.method for request in server.requests] == ["GET", "POST", "GET"]


@pytest.mark.parametrize(
    "tag",
    [None, Tag.new(RunKey("9999999999", "abcdef"))],
    ids=["no tag", "the tag of another step"],
)
def test_a_run_that_does_not_show_that_this_step_started_it_is_left_alone(
    tag: Tag | None, server: CloudServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run = left(server, tag)
    play(server, run_id=str(run["id"]))
    assert run["status"] == RUNNING
    assert server.count("POST", ".*") == 0
    assert "is left alone" in capsys.readouterr().out


@pytest.mark.parametrize(("retried", "is_ours"), [(55, True), (56, False), (None, False)])
def test_a_retry_of_dbt_clouds_own_is_ours_by_the_run_that_it_retries(
    retried: int | None, is_ours: bool, server: CloudServer
) -> None:
    run = left(server, None, retrying_run_id=retried)
    play(server, run_id=str(run["id"]), proof="retry of 55")
    assert (run["status"] == CANCELLED) is is_ours


@pytest.mark.parametrize("target", ["https://cloud.getdbt.com 1", "", "http://127.0.0.1:1 1"])
def test_nothing_is_sent_where_the_state_is_about_another_host(target: str, server: CloudServer) -> None:
    run = left(server)
    play(server, run_id=str(run["id"]), target=target)
    assert server.requests == []


def test_nothing_is_sent_where_the_state_is_about_another_account(server: CloudServer) -> None:
    left(server)
    play(server, {"account-id": "2"}, run_id=str(server.runs[0]["id"]))
    assert server.requests == []


@pytest.mark.parametrize(
    ("inputs", "state"),
    [
        ({"cancel-run": "false"}, {}),
        ({"wait": "false"}, {}),
        ({"api-token": "", "on-missing-token": "skip"}, {}),
        ({"job-id": "no number"}, {}),
        ({}, {"ended": "verdict"}),
        ({}, {"ended": "error"}),
        ({}, {"run_id": ""}),
        ({}, {"run_id": "1 or 2"}),
    ],
)
def test_nothing_is_sent_where_nothing_is_to_be_cancelled(
    inputs: dict[str, str], state: dict[str, str], server: CloudServer
) -> None:
    run = left(server)
    play(server, inputs, **{"run_id": str(run["id"]), **state})
    assert server.requests == []
    assert run["status"] == RUNNING


def test_a_run_that_has_ended_stays_as_it_ended(server: CloudServer) -> None:
    run = left(server) | {"status": SUCCESS}
    server.runs[0]["status"] = SUCCESS
    play(server, run_id=str(run["id"]))
    assert server.count("POST", ".*") == 0


@pytest.mark.parametrize("kind", ["trigger", "retry"])
def test_the_run_of_a_request_that_was_not_answered_is_found_and_cancelled(kind: str, server: CloudServer) -> None:
    first = server.add_run(status=20)
    if kind == "trigger":
        run, request = left(server), NewRun(job_id=JOB, baseline_id=first["id"], tag=TAG)
        play(server, pending=save_request(request))
    else:
        run = left(server, None, retrying_run_id=first["id"])
        play(server, pending=save_request(NativeRetry(job_id=JOB, run_id=first["id"])))
    assert run["status"] == CANCELLED
    assert server.count("POST", "/(run|retry)/$") == 0, "it can never start one"


def test_a_retry_that_does_not_say_what_it_retries_is_not_taken_for_nothing(
    server: CloudServer, capsys: pytest.CaptureFixture[str]
) -> None:
    first = server.add_run(status=20)
    run = server.add_run(status=RUNNING, trigger={"cause": "Retry", "cause_category": "rerun"})
    play(server, pending=save_request(NativeRetry(job_id=JOB, run_id=first["id"])))
    said = capsys.readouterr().out
    assert "No run was left behind" not in said
    assert "could not be found out" in said
    assert run["status"] == RUNNING
