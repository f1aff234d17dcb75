"""Serving on loopback, with or without TLS."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import trustme
import uvicorn

from dbt_cloud_emulator.app import create_app
from dbt_cloud_emulator.config import EmulatorConfig
from dbt_cloud_emulator.errors import ConfigError
from dbt_cloud_emulator.gate import ConnectionProtocol

HOST = "127.0.0.1"


class _Server(uvicorn.Server):
    """Says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self._announcement = announcement

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's own, but a signal that has been obeyed is not raised again: what follows shall be cleaned up."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._announcement, flush=True)


def serve(config: EmulatorConfig, state: Path, *, port: int, tls: bool) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status. Raises ConfigError for a port that is not free."""
    # with the protocol named, asyncio turns Nagle's algorithm off: 40 ms less for each answer
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(f"--port {port}: {error}") from error
    url = f"{'https' if tls else 'http'}://{HOST}:{listener.getsockname()[1]}"
    announcement = f"listening on {url}"
    certificate: str | None = None
    if tls:
        authority = trustme.CA()
        ca_file, chain = state / "ca.pem", state / "server.pem"
        authority.cert_pem.write_to_path(ca_file)
        issued = authority.issue_cert(HOST, "localhost")
        chain.touch(mode=0o600)
        chain.write_bytes(b"".join(blob.bytes() for blob in (issued.private_key_pem, *issued.cert_chain_pems)))
        certificate = str(chain)
        announcement += f"\nCA certificate: {ca_file}"
    settings = uvicorn.Config(
        create_app(config, state, url),
        http=ConnectionProtocol,
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        ssl_certfile=certificate,
        ssl_keyfile=certificate,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
        server_header=False,
    )
    logging.basicConfig(level=logging.WARNING)
    _Server(settings, announcement).run(sockets=[listener])
    return 0
