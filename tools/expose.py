"""Offer a server on loopback to containers: TLS on another address, with a certificate made at start.

A container action has a network of its own, from which the host's loopback is out of reach, and refuses http to any
other address.

    tools/expose.py --to 127.0.0.1:18000 --address 172.17.0.1 --port 18443 --ca ca.pem
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
import sys
from pathlib import Path

import trustme

_CHUNK = 65536


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _serve(target: tuple[str, int], address: str, port: int, context: ssl.SSLContext) -> None:
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*target)
        except OSError as error:
            print(f"{target[0]}:{target[1]}: {error}", file=sys.stderr)
            writer.close()
            return
        await asyncio.gather(_copy(reader, back), _copy(there, writer))

    server = await asyncio.start_server(forward, address, port, ssl=context)
    print(f"listening on https://{address}:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--address", default="127.0.0.1", help="where to listen")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ca", type=Path, required=True, help="where the certificate of the authority goes")
    options = parser.parse_args()
    host, _, port = options.to.rpartition(":")
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(options.address).configure_cert(context)
    authority.cert_pem.write_to_path(options.ca)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve((host, int(port)), options.address, options.port, context))


if __name__ == "__main__":
    main()
