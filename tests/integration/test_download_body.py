"""Bodies of downloads, from a real socket: unpacked as they come, kept packed where that is of use."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.cloud.client import CloudClient, DownloadedFile
from dbt_cloud_run.cloud.errors import Unreadable

CONTENT = b'{"results": [' + b"1, " * 300_000 + b"1]}"
BODIES = {
    "gzip.json": gzip.compress(CONTENT),
    "members.json": gzip.compress(CONTENT[:1000]) + gzip.compress(CONTENT[1000:]),
    "cut.json": gzip.compress(CONTENT)[:-20],
    "damaged.json": gzip.compress(CONTENT)[:500] + b"\0" * 500,
    "empty.json": b"",
    "plain.json": CONTENT,
}


@pytest.fixture
def url() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            self.send_response(200)
            if name != "plain.json":
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(BODIES[name])))
            self.end_headers()
            self.wfile.write(BODIES[name])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def download(url: str, name: str, folder: Path) -> DownloadedFile:
    async def fetch() -> DownloadedFile | None:
        async with CloudClient(url, 1, SecretStr("secret-token"), SystemClock()) as client:
            return await client.download(7, name, folder / name, packed=folder / "packed.gz")

    found = asyncio.run(fetch())
    assert found is not None
    return found


def test_one_member_is_kept_as_it_came(url: str, tmp_path: Path) -> None:
    found = download(url, "gzip.json", tmp_path)
    assert found.path.read_bytes() == CONTENT
    assert (found.size, found.wire_bytes) == (len(CONTENT), len(BODIES["gzip.json"]))
    assert found.packed is not None
    assert found.packed.read_bytes() == BODIES["gzip.json"]


@pytest.mark.parametrize("name", ["members.json", "plain.json"])
def test_other_bodies_arrive_whole_but_are_not_reused(url: str, tmp_path: Path, name: str) -> None:
    found = download(url, name, tmp_path)
    assert found.path.read_bytes() == CONTENT
    assert found.packed is None


@pytest.mark.parametrize("name", ["cut.json", "damaged.json"])
def test_damage_is_seen(url: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(Unreadable, match="decompressed"):
        download(url, name, tmp_path)
    assert not (tmp_path / name).exists()


def test_an_empty_body_is_an_empty_file(url: str, tmp_path: Path) -> None:
    found = download(url, "empty.json", tmp_path)
    assert (found.size, found.packed) == (0, None)
