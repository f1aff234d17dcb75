"""How long an artifact upload may take: it may stand still, fail again and again, be slow, or be cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from standins.results_service import SAS, ResultsService
from tests.support.artifact_uploads import QuickClock, Upload, two_files

from dbt_cloud_run.github.artifacts.limits import UploadLimits
from dbt_cloud_run.github.artifacts.upload import (
    ArtifactFile,
    ArtifactUploadError,
    upload_artifact,
)


@pytest.fixture
def service() -> Iterator[ResultsService]:
    with ResultsService() as running:
        yield running


@pytest.fixture
def upload(service: ResultsService, tmp_path: Path) -> Upload:
    (tmp_path / "temp").mkdir()
    return Upload(service, two_files(tmp_path / "files"), tmp_path / "temp")


@contextlib.contextmanager
def swallowing(*, answers: bool = False) -> Iterator[str]:
    """The address of a store that takes bytes, slowly and for ever, and answers nothing; or each time with a 503."""

    def swallow(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = listener.accept()[0]
                threading.Thread(target=serve, args=[connection], daemon=True).start()

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while answers and connection.recv(65536):
                connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            gone.wait(60)

    gone = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        threading.Thread(target=swallow, args=[listener], daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/blob?{SAS}"
        gone.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def test_an_upload_that_stands_still_is_given_up(service: ResultsService, upload: Upload) -> None:
    upload.files[0].path.write_bytes(os.urandom(9_000_000))
    with swallowing() as url:
        service._signed_url = lambda _name, _verb: url
        with pytest.raises(ArtifactUploadError, match=r"no byte was accepted for 0.5 s; 0 bytes had arrived") as caught:
            upload(limits=UploadLimits(stall=0.5, total=600))
    assert "actions/upload-artifact" in caught.value.advice
    assert "sig=" not in str(caught.value)


def test_one_that_fails_again_and_again_is_given_up_in_the_end(service: ResultsService, upload: Upload) -> None:
    class RealWaits(QuickClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            await asyncio.sleep(1.0)

    upload.clock = RealWaits()
    with swallowing(answers=True) as url:
        service._signed_url = lambda _name, _verb: url
        with pytest.raises(ArtifactUploadError, match="The upload was stopped"):
            upload(limits=UploadLimits(stall=2.0, total=2.5))
    lines = [line for line in upload.notes if "repeating it" in line]
    assert lines
    assert lines[0].endswith("repeating it in 3 s, 2 of 5.")
    assert "sig=" not in "".join(lines)


def test_bytes_that_flow_may_take_longer_than_the_limit(service: ResultsService, upload: Upload) -> None:
    """Each part is finished within the limit of standing still, so the limit in all does not count."""
    upload.files[0].path.write_bytes(os.urandom(17_000_000))
    uploaded = upload(limits=UploadLimits(stall=30, total=0))
    assert set(service.artifacts) == {uploaded.name}


def test_time_in_which_there_is_nothing_to_send_does_not_count(service: ResultsService, upload: Upload) -> None:
    """The zip file of a large project grows for longer than the network may stand still."""
    upload.files[0].path.write_bytes(os.urandom(17_000_000))
    first, last = upload.files

    def slow() -> Iterator[ArtifactFile]:
        yield first
        time.sleep(2.5)
        yield last

    upload.files = slow()  # type: ignore[assignment]
    assert upload(limits=UploadLimits(stall=1.5, total=2.0)).size > 17_000_000


def test_a_cancellation_is_none_of_the_limits(service: ResultsService, upload: Upload) -> None:
    async def cancelled() -> None:
        arguments = upload.arguments | {"clock": upload.clock, "mask": print}
        async with asyncio.timeout(0.3):
            await upload_artifact(upload.files, **arguments)

    with swallowing() as url:
        service._signed_url = lambda _name, _verb: url
        with pytest.raises(TimeoutError):
            asyncio.run(cancelled())
