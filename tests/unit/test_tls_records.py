"""What a read of a TLS connection returns, over a real one without a network."""

from __future__ import annotations

import contextlib
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from dbt_cloud_run.network.certificates import tls_context

RECORD = 16 * 1024


@dataclass
class Pair:
    """Both ends of a connection, and what is on its way from the server to the client."""

    client: ssl.SSLObject
    server: ssl.SSLObject
    wire: ssl.MemoryBIO

    @classmethod
    def connected(cls, folder: Path) -> Pair:
        authority, bundle = trustme.CA(), folder / "authority.pem"
        authority.cert_pem.write_to_path(bundle)
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("cloud.example").configure_cert(serving)
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = tls_context({"SSL_CERT_FILE": str(bundle)})
        client = context.wrap_bio(back, there, server_hostname="cloud.example")
        server = serving.wrap_bio(there, back, server_side=True)
        for _ in range(3):
            for end in (client, server):
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
        return cls(client, server, back)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.connected(tmp_path)


def test_a_read_returns_all_records_that_are_there(pair: Pair) -> None:
    content = os.urandom(3 * RECORD + 5)
    pair.server.write(content)
    assert pair.client.read(65_536) == content
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.read(65_536)


def test_a_read_returns_no_more_than_was_asked_for(pair: Pair) -> None:
    content = os.urandom(6 * RECORD)
    pair.server.write(content)
    assert pair.client.read(10) == content[:10]
    assert pair.client.read(2 * RECORD) == content[10 : 10 + 2 * RECORD]
    assert pair.client.read(65_536) == content[10 + 2 * RECORD :]


def test_a_part_of_a_record_is_returned_with_its_rest(pair: Pair) -> None:
    pair.server.write(b"x" * 2 * RECORD)
    sent = pair.wire.read()
    pair.wire.write(sent[:-7])
    assert len(pair.client.read(65_536)) == RECORD
    pair.wire.write(sent[-7:])
    assert len(pair.client.read(65_536)) == RECORD


def test_what_came_before_the_end_is_not_lost(pair: Pair) -> None:
    pair.server.write(b"whole")
    with contextlib.suppress(ssl.SSLWantReadError):
        pair.server.unwrap()
    assert pair.client.read(65_536) == b"whole"
    assert pair.client.read(65_536) == b""


def test_a_damaged_record_is_an_error_after_what_came_before_it(pair: Pair) -> None:
    pair.server.write(b"whole")
    whole = pair.wire.read()
    pair.server.write(b"damaged")
    damaged = bytearray(pair.wire.read())
    damaged[-1] ^= 1
    pair.wire.write(whole + bytes(damaged))
    assert pair.client.read(65_536) == b"whole"
    # An end of the connection would make a whole body of what came until then.
    with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
        pair.client.read(65_536)
    with pytest.raises(ssl.SSLError):
        pair.client.read(65_536)


def test_a_buffer_is_filled_as_ever(pair: Pair) -> None:
    pair.server.write(b"whole")
    buffer = bytearray(9)
    assert pair.client.read(9, buffer) == 5  # type: ignore[comparison-overlap]
    assert buffer[:5] == b"whole"
