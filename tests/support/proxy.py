"""A proxy as a process of its own, that tunnels (CONNECT) for those who know its password, and lists what it was asked.

python -m tests.support.proxy [USER:PASSWORD]
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[2]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _serve(credentials: str) -> None:
    wanted = f"proxy-authorization: basic {base64.b64encode(credentials.encode()).decode()}".lower()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split(" ", 2)
        is_known = not credentials or any(line.lower() == wanted for line in head.splitlines())
        status = 200 if is_known and method == "CONNECT" else 407 if not is_known else 405
        print(f"{status} {method} {target}", flush=True)
        if status != 200:
            writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            writer.close()
            return
        host, _, port = target.rpartition(":")
        there, back = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_copy(reader, back), _copy(there, writer))

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Proxy:
    """A running proxy; `url` has its credentials."""

    def __init__(self, process: subprocess.Popen[str], log: Path, credentials: str) -> None:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, log.read_text()
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{credentials}@{self.address}" if credentials else f"http://{self.address}"
        self._process, self._log = process, log

    def stop(self) -> list[str]:
        """End it; the lines are `STATUS METHOD TARGET`."""
        self._process.terminate()
        assert self._process.stdout is not None
        lines = self._process.stdout.read().splitlines()
        self._process.wait(10)
        return lines


@contextlib.contextmanager
def running_proxy(tmp_path: Path, credentials: str = "") -> Iterator[Proxy]:
    """A proxy; credentials as they stand in a URL, so percent-encoded where they must be."""
    command = [sys.executable, __file__, unquote(credentials)]
    log = tmp_path / "proxy.log"
    with log.open("w") as errors:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)  # noqa: S603
    try:
        yield Proxy(process, log, credentials)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def tls_front(url: str, authority: Path) -> Iterator[str]:
    """The address of a TLS server in front of a plain one. The certificate of its authority is written to a file."""
    command = [sys.executable, "-u", str(ROOT / "tools/expose.py"), "--ca", str(authority)]
    command += ["--to", url.partition("://")[2].partition("/")[0]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own tool
        try:
            assert process.stdout is not None
            yield process.stdout.readline().removeprefix("listening on ").strip()
        finally:
            process.terminate()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(sys.argv[1]))
