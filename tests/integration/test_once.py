"""The trigger and dbt Cloud's own retry over real sockets: each fault, and the number of runs that exist afterwards."""

from __future__ import annotations

import pytest
from standins.cloud_server import JOB, TOKEN, CloudServer, Fault, refusing
from tests.support.write_scene import KEY, Scene, in_scene

from dbt_cloud_run.cloud.errors import NotStarted, RateLimited, Rejected, RetryRefused, Unauthorized, Unconfirmed
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.start.once import NativeRetry, find_started, start_once
from dbt_cloud_run.start.tag import Tag, parse_tag

FOREVER = float("inf")
AMBIGUOUS = ("reset", "silence", 408, 500, 502, 503, 504, "html", "truncated", "empty", "null", "cut")
RUN_PATH = "/run/$"
RETRY_PATH = "/retry/$"
LIST_PATH = r"/runs/$"


@pytest.mark.parametrize("operation", ["trigger", "retry"])
@pytest.mark.parametrize("took_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("times", [1, 2, FOREVER])
@pytest.mark.parametrize("kind", AMBIGUOUS, ids=str)
def test_an_ambiguous_answer_leads_to_exactly_one_run(
    kind: int | str, times: float, took_effect: bool, operation: str
) -> None:
    async def play(scene: Scene) -> None:
        path = RUN_PATH if operation == "trigger" else RETRY_PATH
        scene.server.fault("POST", path, Fault(kind, took_effect=took_effect, times=times))
        send = scene.start if operation == "trigger" else scene.retry
        if took_effect or kind == "cut":  # a body that is cut off belongs to a request that was carried out
            run = await send()
            assert run.id == scene.server.runs[-1]["id"]
            assert scene.started == 1
            assert scene.server.count("POST", path) == 1
        elif times == 1:
            run = await send()
            assert run.id == scene.server.runs[-1]["id"]
            assert scene.started == 1
            assert sum(scene.clock.sleeps) >= 60  # the whole window was waited for
        else:
            with pytest.raises(NotStarted):
                await send()
            assert scene.started == 0
            assert scene.server.count("POST", path) == 2  # once more, and once more only

    in_scene(play)


@pytest.mark.parametrize("times", [1, 2, FOREVER])
@pytest.mark.parametrize("headers", [{}, {"Retry-After": "7"}, {"Retry-After": "Thu, 01 Jan 2026 00:17:40 GMT"}])
def test_a_rate_limit_waits_looks_and_sends(times: float, headers: dict[str, str]) -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RUN_PATH, Fault(429, headers=headers, times=times))
        if times == FOREVER:
            with pytest.raises(NotStarted):
                await scene.start()
            assert scene.started == 0
            return
        await scene.start()
        assert scene.started == 1
        wait = 300 if not headers else 7 if headers["Retry-After"] == "7" else 60
        assert scene.clock.sleeps[0] == pytest.approx(wait)
        kinds = [request.method for request in scene.server.requests]
        assert kinds == ["POST", "GET"] * int(times) + ["POST"]

    in_scene(play)


def test_a_cooldown_longer_than_the_time_left_ends_at_once() -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RUN_PATH, Fault(429, times=FOREVER))
        with pytest.raises(NotStarted, match="longer than the time left"):
            await scene.start(deadline=scene.clock.monotonic() + 120)
        assert scene.clock.sleeps == []

    in_scene(play)


@pytest.mark.parametrize("sleeps", [1, 2, FOREVER])
def test_a_refused_connection_is_tried_again(sleeps: float) -> None:
    async def play(scene: Scene) -> None:
        await scene.server.close()
        with refusing(scene.server, scene.clock, sleeps):
            if sleeps == FOREVER:
                with pytest.raises(NotStarted):
                    await scene.start()
                assert scene.started == 0
                # The next wait, of up to 37.5 s, would not have fitted in.
                assert 180 - 37.5 <= sum(scene.clock.sleeps) <= 180
            else:
                await scene.start()
                assert scene.started == 1
        assert scene.server.count("GET", ".*") == 0  # there is nothing to look for

    in_scene(play)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_any_other_refusal_is_final(status: int) -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RUN_PATH, Fault(status))
        with pytest.raises(Exception, match=str(status)) as caught:
            await scene.start()
        assert scene.started == 0
        assert TOKEN not in str(caught.value)
        assert len(scene.server.requests) == 1

    in_scene(play)


def test_a_redirect_is_final_and_carries_the_token_nowhere() -> None:
    async def play(scene: Scene) -> None:
        async with CloudServer() as other:
            location = f"http://127.0.0.1:{other.port}/api/v2/accounts/1/jobs/7/run/?secret=1"
            scene.server.fault("POST", RUN_PATH, Fault(307, headers={"Location": location}))
            with pytest.raises(Exception, match=r"redirects .* to 127\.0\.0\.1\)") as caught:
                await scene.start()
            assert "secret" not in str(caught.value)
            assert other.connections == 0
            assert scene.started == 0

    in_scene(play)


@pytest.mark.parametrize("kind", ["reset", "silence", 429, 502, "html", "null"], ids=str)
def test_the_look_up_survives_faults_of_its_own(kind: int | str) -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RUN_PATH, Fault(502, took_effect=True))
        scene.server.fault("GET", LIST_PATH, Fault(kind, times=3, headers={"Retry-After": "5"} if kind == 429 else {}))
        run = await scene.start()
        assert run.id == scene.server.runs[-1]["id"]
        assert scene.started == 1

    in_scene(play)


@pytest.mark.parametrize("took_effect", [False, True])
@pytest.mark.parametrize("kind", ["reset", 401, 404, 429, 503, "html"], ids=str)
def test_nothing_is_sent_again_when_the_look_up_cannot_tell(kind: int | str, took_effect: bool) -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RUN_PATH, Fault(504, took_effect=took_effect))
        scene.server.fault("GET", LIST_PATH, Fault(kind, times=FOREVER))
        with pytest.raises(Unconfirmed) as caught:
            await scene.start()
        assert scene.server.count("POST", RUN_PATH) == 1
        assert f"job {JOB}" in str(caught.value)
        assert str(scene.tag) in str(caught.value)

    in_scene(play)


def test_a_look_up_reads_on_beyond_one_page() -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RUN_PATH, Fault(502, took_effect=True))
        for _ in range(140):
            scene.server.add_run(cause="a busy job")
        run = await scene.start()
        assert run.id == scene.server.runs[-1]["id"]
        assert len(scene.server.runs) == 143

    in_scene(play)


def test_a_run_of_another_step_is_never_used() -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RUN_PATH, Fault("reset"))
        scene.server.add_run(cause=f"{Tag.new(KEY)} the same step, another request")
        run = await scene.start()
        cause = scene.server.runs[-1]["trigger"]["cause"]
        assert run.id == scene.server.runs[-1]["id"]
        assert (tag := parse_tag(cause)) is not None
        assert tag.nonce == scene.tag.nonce

    in_scene(play)


def test_a_list_without_causes_tells_nothing() -> None:
    async def play(scene: Scene) -> None:
        scene.server.add_run(trigger=None)
        scene.server.fault("POST", RUN_PATH, Fault("reset"))
        with pytest.raises(Unconfirmed):
            await scene.start()
        assert scene.server.count("POST", RUN_PATH) == 1

    in_scene(play)


def test_the_deadline_cuts_the_window_but_never_leads_to_a_second_request() -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RUN_PATH, Fault("reset"))
        with pytest.raises(Unconfirmed):
            await scene.start(deadline=scene.clock.monotonic() + 10)
        assert scene.server.count("POST", RUN_PATH) == 1

    in_scene(play)


def test_after_a_signal_one_look_finds_what_was_started() -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RUN_PATH, Fault("reset", took_effect=True))
        scene.server.hidden[scene.server._next_id] = 1
        scene.clock.interrupt_after = 0
        with pytest.raises(Interrupted):
            await scene.start()
        async with scene.server.client(scene.clock) as client:
            found = await find_started(client, scene.request)
        assert found is not None
        assert found.id == scene.server.runs[-1]["id"]

    in_scene(play)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_a_refused_retry_says_why(status: int) -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RETRY_PATH, Fault(status))
        with pytest.raises(RetryRefused, match=r"Scripted\.") as caught:
            await scene.retry()
        assert isinstance(caught.value.__cause__, Exception)
        assert scene.started == 0

    in_scene(play)


@pytest.mark.parametrize("answer", [{"job_definition_id": JOB + 1}, {"retrying_run_id": 5}, {"id": 5}, {"id": True}])
def test_an_answer_to_a_retry_that_is_another_run_s_is_not_believed(answer: dict[str, object]) -> None:
    async def play(scene: Scene) -> None:
        scene.server.answer_of_trigger = answer
        run = await scene.retry()
        assert scene.started == scene.server.count("POST", RETRY_PATH) == 1
        assert scene.server.count("GET", LIST_PATH) > 0, "the look-up decides"
        assert (run.id, run.job_definition_id) == (scene.server.runs[-1]["id"], JOB)

    in_scene(play)


def test_a_retry_is_not_refused_but_unauthorized_with_a_bad_token() -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RETRY_PATH, Fault(401))
        with pytest.raises(Unauthorized):
            await scene.retry()

    in_scene(play)


def test_what_is_sent_is_the_overrides_and_a_tagged_cause() -> None:
    async def play(scene: Scene) -> None:
        await scene.start()
        trigger = scene.server.runs[-1]["trigger"]
        assert trigger == {"git_sha": "abc", "cause": f"{scene.tag} nightly"}
        (request,) = scene.server.requests
        assert request.headers["authorization"] == f"Token {TOKEN}"
        assert request.headers["user-agent"].startswith("dbt-cloud-run/")

    in_scene(play)


def test_the_server_s_words_are_in_the_error_without_the_token() -> None:
    async def play(scene: Scene) -> None:
        scene.server.fault("POST", RUN_PATH, Fault(400))
        with pytest.raises(Rejected, match=r"Scripted\. token \*\*\*"):
            await scene.start()

    in_scene(play)


def test_a_cooldown_of_another_request_holds_the_trigger_back() -> None:
    async def play(scene: Scene) -> None:
        reader = Reader(scene.clock)
        reader.rate_limit.observe(RateLimited("Too many requests."))
        async with scene.server.client(scene.clock) as client:
            await start_once(scene.request, client, reader)
            assert scene.clock.sleeps == [pytest.approx(300)]
            reader.rate_limit.observe(RateLimited("Too many requests."))
            late = scene.clock.monotonic() + 120
            with pytest.raises(NotStarted, match="longer than the time left"):
                await start_once(NativeRetry(job_id=JOB, run_id=scene.failed), client, reader, deadline=late)
        assert scene.started == 1

    in_scene(play)
