"""Answers without an end, or with too much in few bytes, over real sockets: bounded in memory, on disk and in time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path

import pytest
from standins.cloud_server import FakeClock
from tests.support.tcp_server import tcp_server

from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.errors import Ambiguous, CloudError, TooLarge
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.redaction import Secret

MIB = 1024**2
LINE = b"12:00:00  1 of 2 OK created sql table model shop.orders .... [OK in 0.10s]\\n"
LOG = LINE * (35 * MIB // len(LINE))  # of each of two steps
TAIL = b"Done. PASS=1 WARN=0 ERROR=1 SKIP=0 TOTAL=2"

Body = Callable[[], Iterable[bytes]]


@contextlib.asynccontextmanager
async def served(body: Body, *, encoding: str = "", pause: float = 0.0, status: int = 200) -> AsyncIterator[str]:
    """A server that answers every request with this body, without saying how long it is."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        encoded = f"Content-Encoding: {encoding}\r\n" if encoding else ""
        writer.write(f"HTTP/1.1 {status} Scripted\r\nConnection: close\r\n{encoded}\r\n".encode())
        for piece in body():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    async with tcp_server(answer) as port:
        yield f"http://127.0.0.1:{port}"


def run_answer() -> Iterator[bytes]:
    yield b'{"data": {"id": 7, "status": 20, "run_steps": ['
    yield b'{"index": 4, "name": "Invoke dbt with `dbt build`", "status": 20, "logs": "'
    yield from (LOG[at : at + MIB] for at in range(0, len(LOG), MIB))
    yield TAIL + b'", "debug_logs": "'
    yield from (LOG[at : at + MIB] for at in range(0, len(LOG), MIB))
    yield b'"}, {"index": 5, "name": "Invoke dbt with `dbt test`", "status": 10, "logs": "short"}'
    yield b']}, "status": {"code": 200}}'


def compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    made = zlib.compressobj(6, wbits=31)
    for piece in pieces:
        if packed := made.compress(piece):
            yield packed
    yield made.flush()


@functools.cache
def bomb(head: bytes) -> bytes:
    """80 MiB in less than 100 KiB."""
    made = zlib.compressobj(9, wbits=31)
    return made.compress(head) + b"".join(made.compress(b"0" * MIB) for _ in range(80)) + made.flush()


def ask(
    body: Body,
    asked: Callable[[CloudClient], Awaitable[object]],
    *,
    read_timeout: float = 30.0,
    **options: object,
) -> object:
    async def play() -> object:
        async with (
            served(body, **options) as url,  # type: ignore[arg-type]
            CloudClient(url, 1, Secret("token"), FakeClock(), connect_timeout=1, read_timeout=read_timeout) as client,
        ):
            return await asked(client)

    return asyncio.run(play())


@contextlib.contextmanager
def within(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_an_answer_of_seventy_megabytes_is_read_with_the_end_of_each_log(encoding: str) -> None:
    body = run_answer if not encoding else lambda: compressed(run_answer())
    with within(24 * MIB):
        run = ask(body, lambda client: client.get_run(7, ("run_steps",)), encoding=encoding)
    assert isinstance(run, Run)
    first, second = run.steps
    assert first.log.endswith(TAIL.decode())
    assert len(first.log) > 200_000
    assert first.command == "dbt build"
    assert second.log == "short"


def test_an_answer_that_inflates_without_an_end_is_refused_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbt_cloud_run.cloud.transport.UNQUESTIONED_JSON", 64 * MIB)
    packed = bomb(b'{"data": {"id": 7, "status_message": "')
    with within(16 * MIB), pytest.raises(TooLarge):
        ask(lambda: [packed], lambda client: client.get_run(7), encoding="gzip")


def test_an_answer_of_too_much_that_is_no_log_is_refused() -> None:
    body = lambda: itertools.chain([b'{"data": ['], itertools.repeat(b"1," * 500_000, 80))  # noqa: E731
    with pytest.raises(TooLarge, match="64 MiB"):
        ask(body, lambda client: client.list_artifacts(7))


def test_of_an_error_without_an_end_only_the_beginning_is_read() -> None:
    body = lambda: itertools.chain([b"<title>Sorry</title>"], itertools.repeat(b"x" * 100_000))  # noqa: E731
    with pytest.raises(Ambiguous, match=r"503 .*Sorry"):
        ask(body, lambda client: client.get_run(7), status=503)


def download(folder: Path) -> Callable[[CloudClient], Awaitable[object]]:
    packed = folder / "packed"
    return lambda client: client.download(7, "run_results.json", folder / "run_results.json", packed=packed)


def test_a_file_that_inflates_without_an_end_leaves_nothing_on_the_disk(tmp_path: Path) -> None:
    packed = bomb(b"{")
    with within(8 * MIB), pytest.raises(TooLarge, match="200 times"):
        ask(lambda: [packed], download(tmp_path), encoding="gzip")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_never_ends_is_cut_at_its_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbt_cloud_run.cloud.inflating.LARGEST_BODY", 20 * MIB)
    with pytest.raises(TooLarge, match="GiB"):
        ask(lambda: itertools.repeat(b"x" * 100_000), download(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("status", [200, 503])
def test_a_body_that_trickles_is_cut(tmp_path: Path, encoding: str, status: int) -> None:
    packed = b"".join(compressed([bytes(range(256)) * 40]))
    body = lambda: itertools.cycle(packed[at : at + 1] for at in range(2000))  # noqa: E731
    began = time.monotonic()
    with pytest.raises(CloudError, match="in time"):
        ask(body, download(tmp_path), read_timeout=0.3, pause=0.02, encoding=encoding, status=status)
    # Not how fast it is: that it ends at all, where each byte comes well within the time of a read.
    assert time.monotonic() - began < 30
    assert list(tmp_path.iterdir()) == []


def test_a_head_that_trickles_is_cut(tmp_path: Path) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.transport.is_closing():
            writer.write(b"X-More: 1\r\n")
            await asyncio.sleep(0.05)

    async def play() -> None:
        async with tcp_server(answer) as port:
            url = f"http://127.0.0.1:{port}"
            async with CloudClient(
                url, 1, Secret("token"), FakeClock(), connect_timeout=0.2, read_timeout=0.2
            ) as client:
                await download(tmp_path)(client)

    with pytest.raises(CloudError, match="in time"):
        asyncio.run(play())


def test_a_body_that_is_slow_but_moves_is_read_to_its_end(tmp_path: Path) -> None:
    body = lambda: itertools.repeat(b"x" * 1000, 60)  # noqa: E731
    ask(body, download(tmp_path), read_timeout=0.2, pause=0.02)
    assert (tmp_path / "run_results.json").stat().st_size == 60_000
