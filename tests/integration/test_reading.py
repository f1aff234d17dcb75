"""Reads over real sockets: poll, list and download against each fault; and what the session does on the wire."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme
from standins.cloud_server import ACCOUNT, JOB, TOKEN, CloudServer, FakeClock, Fault, refusing
from tests.support.notes import kept_notes
from tests.support.tcp_server import tcp_server

from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import (
    CloudError,
    Forbidden,
    NotFound,
    Rejected,
    Unauthorized,
    Unreachable,
    UntrustedCertificate,
)
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.redaction import Secret

FOREVER = float("inf")
FAULTS = ("reset", "silence", 408, 429, 500, 502, 503, 504, "html", "truncated", "empty", "null", "cut", "trickle")
OF_THE_BODY = ("html", "truncated", "empty", "null")  # a file's content is judged by who decodes it
ARTIFACT = b'{"metadata": {}, "results": [' + b'{"unique_id": "model.shop.orders"},' * 5000 + b"{}]}"
READS = {"poll": r"/runs/\d+/$", "list": r"/runs/$", "download": r"/artifacts/run_results.json$"}
CASES = [(what, kind) for what in READS for kind in FAULTS if what != "download" or kind not in OF_THE_BODY]


class Scene:
    def __init__(
        self, server: CloudServer, client: CloudClient, clock: FakeClock, folder: Path, notes: list[str]
    ) -> None:
        self.server, self.client, self.clock, self.folder, self.notes = server, client, clock, folder, notes
        self.reader = Reader(clock)
        self.run_id = server.add_run(status=3)["id"]
        server.files[self.run_id, "run_results.json", 4] = ARTIFACT

    @property
    def target(self) -> Path:
        return self.folder / "run_results.json"

    async def read(self, what: str, seconds: float | None = 180.0, grace: float | None = None) -> object:
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "poll": lambda: self.client.get_run(self.run_id),
            "list": lambda: self.client.list_runs(JOB),
            "download": lambda: self.client.download(self.run_id, "run_results.json", self.target, step=4),
        }
        deadline = None if seconds is None else self.reader.within(seconds)
        until = None if grace is None else self.reader.within(grace)
        return await self.reader.read(calls[what], deadline=deadline, tolerate_404_until=until)


@pytest.fixture
def scene(tmp_path: Path) -> Callable[[Callable[[Scene], Awaitable[None]]], None]:
    def play(body: Callable[[Scene], Awaitable[None]]) -> None:
        async def run() -> None:
            clock = FakeClock()
            with kept_notes() as notes:
                async with CloudServer() as server, server.client(clock) as client:
                    await body(Scene(server, client, clock, tmp_path, notes))

        asyncio.run(run())

    return play


Play = Callable[[Callable[[Scene], Awaitable[None]]], None]


@pytest.mark.parametrize("times", [1, 2, FOREVER])
@pytest.mark.parametrize(("what", "kind"), CASES, ids=str)
def test_a_read_outlives_every_passing_fault(scene: Play, what: str, times: float, kind: int | str) -> None:
    async def body(scene: Scene) -> None:
        headers = {"Retry-After": "3"} if kind == 429 else {}
        scene.server.fault("GET", READS[what], Fault(kind, times=times, headers=headers))
        # A fault for ever is waited for until the deadline; a short one where real time passes.
        seconds = 180.0 if kind not in ("silence", "trickle") else 5.0
        if times == FOREVER:
            with pytest.raises(Unreachable) as caught:
                await scene.read(what, seconds)
            assert isinstance(caught.value.__cause__, CloudError)
            assert seconds - 3 <= sum(scene.clock.sleeps) <= seconds + 0.1
            assert TOKEN not in str(caught.value)
            assert list(scene.folder.iterdir()) == []
        else:
            assert await scene.read(what, seconds) is not None
            assert scene.server.count("GET", READS[what]) == times + 1
            assert len(scene.notes) == times
            if what == "download":
                assert scene.target.read_bytes() == ARTIFACT
                assert list(scene.folder.iterdir()) == [scene.target]

    scene(body)


def test_a_page_instead_of_the_api_s_answer_leads_to_the_host(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.server.fault("GET", READS["list"], Fault("html", times=FOREVER))
        with pytest.raises(Unreachable, match="Check that `host` is the host of dbt Cloud"):
            await scene.read("list")

    scene(body)


@pytest.mark.parametrize("has_contact", [True, False])
def test_a_host_that_was_never_known_is_not_waited_for_long(
    scene: Play, monkeypatch: pytest.MonkeyPatch, *, has_contact: bool
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def body(scene: Scene) -> None:
        if has_contact:
            await scene.read("list")
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        async with CloudClient("https://cloud.misspelt.example", ACCOUNT, Secret(TOKEN), scene.clock) as client:
            scene.client = client
            with pytest.raises(Unreachable, match="Check `host`"):
                await scene.read("list", 180.0)
        assert sum(scene.clock.sleeps) == pytest.approx(180 if has_contact else 20)

    scene(body)


@pytest.mark.parametrize(("answers", "waited"), [("certificate", 0), ("plain text", 20)])
def test_a_host_that_is_not_verified_is_not_waited_for_long(scene: Play, answers: str, waited: float) -> None:
    async def body(scene: Scene) -> None:
        served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(served)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        tls = served if answers == "certificate" else None
        async with tcp_server(answer, tls) as port:
            address = f"https://127.0.0.1:{port}"
            async with CloudClient(address, ACCOUNT, Secret(TOKEN), scene.clock) as client:
                scene.client = client
                with pytest.raises(Unreachable if waited else UntrustedCertificate, match="SSL"):
                    await scene.read("list")
        assert sum(scene.clock.sleeps) == pytest.approx(waited)

    scene(body)


@pytest.mark.parametrize("sleeps", [1, 2, FOREVER])
def test_a_refused_read_is_repeated(scene: Play, sleeps: float) -> None:
    async def body(scene: Scene) -> None:
        await scene.server.close()
        with refusing(scene.server, scene.clock, sleeps):
            if sleeps == FOREVER:
                with pytest.raises(Unreachable, match="could not be reached"):
                    await scene.read("poll")
                assert sum(scene.clock.sleeps) == pytest.approx(180)
            else:
                assert await scene.read("poll")

    scene(body)


@pytest.mark.parametrize(("status", "error"), [(401, Unauthorized), (403, Forbidden), (404, NotFound), (400, Rejected)])
def test_what_does_not_pass_stops_at_once(scene: Play, status: int, error: type[CloudError]) -> None:
    async def body(scene: Scene) -> None:
        scene.server.fault("GET", READS["poll"], Fault(status, times=FOREVER))
        with pytest.raises(error) as caught:
            await scene.read("poll", None)
        assert caught.value.advice
        assert len(scene.server.requests) == 1
        if status == 401:
            assert "127.0.0.1" in caught.value.advice
            assert "access URL" in caught.value.advice

    scene(body)


def test_a_new_run_may_be_unknown_for_a_minute(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.server.fault("GET", READS["poll"], Fault(404, times=4))
        assert await scene.read("poll", None, grace=60.0)
        scene.server.fault("GET", READS["poll"], Fault(404, times=FOREVER))
        with pytest.raises(NotFound):
            await scene.read("poll", None, grace=60.0)
        assert 60 <= sum(scene.clock.sleeps) < 60 + 1.25 * (30 + 15)

    scene(body)


def test_a_limit_without_a_time_costs_five_minutes_and_holds_all_reads_back(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.server.fault("GET", READS["poll"], Fault(429))
        before = scene.clock.monotonic()
        await asyncio.gather(scene.read("poll", None), scene.read("list", None))
        assert scene.clock.monotonic() - before >= 300
        assert scene.reader.rate_limit.minimum_interval == 15.0

    scene(body)


def test_a_limit_longer_than_the_deadline_ends_with_a_clear_error(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.server.fault("GET", READS["poll"], Fault(429))
        with pytest.raises(Unreachable, match="longer than the time left"):
            await scene.read("poll", 90.0)
        with pytest.raises(Unreachable, match="rate limit holds"):
            await scene.read("list", 90.0)
        assert scene.clock.sleeps == []
        assert scene.server.count("GET", READS["list"]) == 0

    scene(body)


@pytest.mark.parametrize("value", ["3600", "999999999", "9" * 40, "Fri, 31 Dec 2099 23:59:59 GMT"])
@pytest.mark.parametrize("status", [429, 503])
def test_no_answer_keeps_a_run_unseen_for_more_than_some_minutes(scene: Play, status: int, value: str) -> None:
    async def body(scene: Scene) -> None:
        scene.server.fault("GET", READS["poll"], Fault(status, headers={"Retry-After": value}))
        assert await scene.read("poll", None)
        assert sum(scene.clock.sleeps) <= 300

    scene(body)


@pytest.mark.parametrize("hours", [-1, 0, 1])
@pytest.mark.parametrize("status", [429, 503])
def test_a_date_to_wait_for_is_read_by_the_server_s_own_clock(scene: Play, status: int, hours: int) -> None:
    async def body(scene: Scene) -> None:
        there = scene.clock.utcnow() + timedelta(hours=hours)
        scene.server.now = lambda: there
        until = format_datetime(there + timedelta(seconds=120), usegmt=True)
        scene.server.fault("GET", READS["poll"], Fault(status, headers={"Retry-After": until}))
        assert await scene.read("poll", None)
        assert sum(scene.clock.sleeps) == pytest.approx(120, abs=1)

    scene(body)


def test_the_server_s_time_goes_on_between_its_answers(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        assert scene.client.server_now() is None
        scene.server.now = None
        await scene.read("poll")
        assert scene.client.server_now() is None
        scene.server.now = lambda: datetime(2030, 1, 1, tzinfo=UTC)
        await scene.read("download")
        await scene.clock.sleep(90)
        assert scene.client.server_now() == datetime(2030, 1, 1, 0, 1, 30, tzinfo=UTC)

    scene(body)


@pytest.mark.parametrize("name", ["n" * 255, "n" * 228, "ä" * 120, "\U0001f600" * 63])
def test_a_file_may_have_the_longest_name_that_there_is(scene: Play, name: str) -> None:
    async def body(scene: Scene) -> None:
        scene.server.files[scene.run_id, name, None] = b"select 1"
        file = await scene.client.download(scene.run_id, name, scene.folder / name)
        assert file is not None
        assert (scene.folder / name).read_bytes() == b"select 1"

    scene(body)


def test_half_a_pair_of_surrogates_is_replaced(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        run = scene.server.runs[0]
        run["status_message"] = "broken \ud83d, whole \U0001f600"
        run["git_branch"] = "\udc00"
        found = await scene.client.get_run(scene.run_id)
        assert found.status_message == "broken \ufffd, whole \U0001f600"
        assert found.git_branch == "\ufffd"

    scene(body)


def test_a_signal_ends_the_waiting(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.server.fault("GET", READS["poll"], Fault(503, times=FOREVER))
        scene.clock.interrupt_after = 2
        with pytest.raises(Interrupted):
            await scene.read("poll", None)

    scene(body)


def test_without_a_deadline_a_read_never_gives_up(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.server.fault("GET", READS["poll"], Fault(503, times=40))
        assert await scene.read("poll", None)
        assert max(scene.clock.sleeps) <= 37.5

    scene(body)


def test_one_connection_serves_all(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        for _ in range(5):
            await scene.read("poll")
            await scene.read("download")
        assert scene.server.connections == 1

    scene(body)


def test_a_download_is_compressed_on_the_wire_and_whole_on_disk(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        file = await scene.client.download(scene.run_id, "run_results.json", scene.target, step=4)
        assert file is not None
        assert file.size == len(ARTIFACT) == scene.target.stat().st_size
        assert file.wire_bytes < file.size / 10
        assert scene.server.requests[-1].query == {"step": "4"}
        assert await scene.client.download(scene.run_id, "manifest.json", scene.folder / "m.json") is None
        assert list(scene.folder.iterdir()) == [scene.target]

    scene(body)


def test_a_failed_download_leaves_what_was_there(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.target.write_text("old")
        scene.server.fault("GET", READS["download"], Fault("cut"))
        with pytest.raises(CloudError):
            await scene.client.download(scene.run_id, "run_results.json", scene.target, step=4)
        assert scene.target.read_text() == "old"
        assert list(scene.folder.iterdir()) == [scene.target]

    scene(body)


def test_an_endless_answer_is_given_up(scene: Play) -> None:
    async def body(scene: Scene) -> None:
        scene.server.fault("GET", READS["poll"], Fault("dribble"))
        async with scene.server.client(scene.clock, connect_timeout=0.2, read_timeout=0.2) as client:
            with pytest.raises(CloudError, match="in time"):
                await client.get_run(scene.run_id)

    scene(body)


@pytest.mark.parametrize(("silence", "is_said"), [(0.02, True), (10.0, False)])
def test_a_long_wait_for_one_answer_has_a_line(
    scene: Play, silence: float, is_said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbt_cloud_run.clock.LONGEST_SILENCE", silence)

    async def body(scene: Scene) -> None:
        scene.server.fault("GET", READS["poll"], Fault("silence"))
        assert await scene.read("poll")
        words = f"Waiting for the answer of 127.0.0.1 to GET /api/v2/accounts/1/runs/{scene.run_id}/."
        assert (words in scene.notes) == is_said

    scene(body)
