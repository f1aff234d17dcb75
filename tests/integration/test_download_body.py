"""Bodies of downloads, from a real socket: unpacked as they come, and compressed for the artifact meanwhile."""

from __future__ import annotations

import asyncio
import gzip
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.cloud.client import CloudClient, DownloadedFile
from dbt_cloud_run.cloud.errors import Unreadable
from dbt_cloud_run.redaction import Secret

CONTENT = b'{"results": [' + b"1, " * 900_000 + b"1]}"
BODIES = {
    "gzip.json": gzip.compress(CONTENT),
    "members.json": gzip.compress(CONTENT[:1000]) + gzip.compress(CONTENT[1000:]),
    "cut.json": gzip.compress(CONTENT)[:-20],
    "damaged.json": gzip.compress(CONTENT)[:500] + b"\0" * 500,
    "empty.json": b"",
    "small.json": gzip.compress(b"{}"),
    "plain.json": CONTENT,
    "part.json": CONTENT[:1000],
}
DATES: list[str] = []
"""The `Date` of each answer."""


@pytest.fixture
def url() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            self.send_response_only(206 if name == "part.json" else 200)
            for date in DATES:
                self.send_header("Date", date)
            if name not in ("plain.json", "part.json"):
                self.send_header("Content-Encoding", "gzip")
            body = BODIES.get(name, b"{}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def download(url: str, name: str, folder: Path) -> DownloadedFile:
    async def fetch() -> DownloadedFile | None:
        async with CloudClient(url, 1, Secret("secret-token"), SystemClock()) as client:
            return await client.download(7, name, folder / name, packed=folder / "packed")

    found = asyncio.run(fetch())
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["gzip.json", "members.json", "plain.json"])
def test_a_body_arrives_whole_and_is_compressed_meanwhile(url: str, tmp_path: Path, name: str) -> None:
    found = download(url, name, tmp_path)
    assert found.path.read_bytes() == CONTENT
    assert (found.size, found.wire_bytes) == (len(CONTENT), len(BODIES[name]))
    assert found.packed is not None
    assert found.packed.result() is not None
    assert zlib.decompress(found.packed.target.read_bytes(), -15) == CONTENT


@pytest.mark.parametrize("name", ["cut.json", "damaged.json"])
def test_damage_is_seen(url: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(Unreadable, match="decompressed"):
        download(url, name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_body_is_an_empty_file(url: str, tmp_path: Path) -> None:
    found = download(url, "empty.json", tmp_path)
    assert (found.size, found.packed) == (0, None)


def test_a_small_body_is_left_to_the_archive(url: str, tmp_path: Path) -> None:
    found = download(url, "small.json", tmp_path)
    assert (found.path.read_bytes(), found.packed) == (b"{}", None)
    assert [path.name for path in tmp_path.iterdir()] == ["small.json"]


def test_a_part_of_a_file_is_not_taken_for_it(url: str, tmp_path: Path) -> None:
    """No part was asked for: whoever answers with one has not understood the request."""
    with pytest.raises(Unreadable, match="206"):
        download(url, "part.json", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_date_that_no_clock_shows_is_none(url: str) -> None:
    async def seen() -> None:
        async with CloudClient(url, 1, Secret("secret-token"), SystemClock()) as client:
            with pytest.raises(Unreadable):
                await client.get_run(7)
            await asyncio.sleep(0.01)
            assert client.server_now() is None

    DATES.append("Fri, 31 Dec 9999 23:59:59 GMT")
    try:
        asyncio.run(seen())
    finally:
        DATES.clear()
