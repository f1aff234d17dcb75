"""A Docker socket in front of another one, which gives every build the host's network.

The engine that `tools/e2e/engine` starts has no bridge, so a build has no network unless it asks for the host's, which
act cannot be told to do. Everything but the first line of a build request passes through as it is.

    tools/e2e/build_network.py SOCKET NEW-SOCKET
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys

_BUILD = re.compile(rb"(POST (?:/v[0-9.]+)?/build\?)")
_CHUNK = 65536


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, requests: bool) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            # Clients send the head of a request in one piece.
            writer.write(
                _BUILD.sub(rb"\1networkmode=host&", data, count=1) if requests and _BUILD.match(data) else data
            )
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def _serve(engine: str, path: str) -> None:
    going_on: set[asyncio.Task[None] | None] = set()  # the event loop itself holds tasks by weak references only

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        going_on.add(task := asyncio.current_task())
        there, back = await asyncio.open_unix_connection(engine)
        await asyncio.gather(_copy(reader, back, requests=True), _copy(there, writer, requests=False))
        for stream in (writer, back):
            stream.close()
        going_on.discard(task)

    server = await asyncio.start_unix_server(forward, path)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(*sys.argv[1:3]))
