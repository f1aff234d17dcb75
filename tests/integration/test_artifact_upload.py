"""The artifact upload over real sockets: what goes over the wire, and what happens when it does not."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
import resource
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from standins.results_service import SAS, SIGNATURE, Fault, ResultsService, runtime_token
from tests.support.artifact_uploads import QuickClock, Upload, two_files

from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.github.artifacts.upload import (
    ArtifactFile,
    ArtifactUploadError,
    ArtifactUploadUnavailable,
    UploadedArtifact,
    upload_artifact,
)


@pytest.fixture
def service() -> Iterator[ResultsService]:
    with ResultsService() as running:
        yield running


@pytest.fixture
def files(tmp_path: Path) -> list[ArtifactFile]:
    return two_files(tmp_path / "files")


@pytest.fixture
def upload(service: ResultsService, files: list[ArtifactFile], tmp_path: Path) -> Upload:
    temp_dir = tmp_path / "temp"
    temp_dir.mkdir()
    return Upload(service, files, temp_dir)


def entries(blob: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(blob)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_whole_upload_on_the_wire(service: ResultsService, upload: Upload) -> None:
    upload.files[0].path.write_bytes(os.urandom(17_000_000))
    uploaded = upload()
    blob = service.artifacts["dbt-cloud-run-1-2"].blob
    assert entries(blob) == {file.arcname: file.path.read_bytes() for file in upload.files}
    assert list(entries(blob)) == ["manifest.json", "runs/7/step-1/b.json"]
    assert uploaded == UploadedArtifact(
        id=1000,
        url="https://github.com/org/repo/actions/runs/77/artifacts/1000",
        name="dbt-cloud-run-1-2",
        digest=f"sha256:{hashlib.sha256(blob).hexdigest()}",
        size=len(blob),
    )
    assert service.kinds() == ["CreateArtifact", "block", "block", "block", "blocklist", "FinalizeArtifact"]
    ids = {"workflow_run_backend_id": "run-backend", "workflow_job_run_backend_id": "job-backend"}
    assert service.requests[0].json == {**ids, "name": "dbt-cloud-run-1-2", "version": 4}
    assert service.requests[-1].json == {
        **ids,
        "name": "dbt-cloud-run-1-2",
        "size": str(len(blob)),
        "hash": uploaded.digest,
    }
    assert [len(request.body) for request in service.of_kind("block")][:2] == [8 * 1024 * 1024] * 2
    assert service.of_kind("blocklist")[0].headers["x-ms-blob-content-type"] == "application/zip"


def growing(files: list[ArtifactFile], may_go_on: Callable[[], bool]) -> Iterator[ArtifactFile]:
    """The files but the last, and the last one when it may come, or after a while."""
    yield from files[:-1]
    until = time.monotonic() + 20
    while not may_go_on() and time.monotonic() < until:
        time.sleep(0.01)
    yield files[-1]


def test_the_first_block_leaves_while_the_zip_file_grows(service: ResultsService, upload: Upload) -> None:
    upload.files[0].path.write_bytes(os.urandom(17_000_000))
    blocks_at_the_last_file: list[int] = []

    def two_blocks_arrived() -> bool:
        blocks_at_the_last_file[:] = [service.kinds().count("block")]
        return blocks_at_the_last_file == [2]

    files, upload.files = upload.files, growing(upload.files, two_blocks_arrived)  # type: ignore[assignment]
    upload()
    assert blocks_at_the_last_file == [2]
    assert service.kinds() == ["CreateArtifact", "block", "block", "block", "blocklist", "FinalizeArtifact"]
    blob = service.artifacts["dbt-cloud-run-1-2"].blob
    assert entries(blob) == {file.arcname: file.path.read_bytes() for file in files}


def test_a_small_artifact_is_not_announced_before_it_is_whole(service: ResultsService, upload: Upload) -> None:
    """Its name would be taken, also where nothing follows."""
    asked_at_the_last_file: list[int] = []

    def a_while_has_passed() -> bool:
        time.sleep(0.2)
        asked_at_the_last_file[:] = [len(service.requests)]
        return True

    upload.files = growing(upload.files, a_while_has_passed)  # type: ignore[assignment]
    upload()
    assert asked_at_the_last_file == [0]


def test_a_disk_that_is_full_while_blocks_are_sent_ends_the_upload(service: ResultsService, upload: Upload) -> None:
    upload.files[0].path.write_bytes(os.urandom(17_000_000))

    def full() -> bool:
        if service.kinds().count("block") < 2:
            return False
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    upload.files = growing(upload.files, full)  # type: ignore[assignment]
    with pytest.raises(ArtifactUploadError, match=r"could not be written: No space left on device\.") as caught:
        upload()
    assert "Free space" in caught.value.advice
    assert "FinalizeArtifact" not in service.kinds()


def test_a_disk_that_takes_no_more_of_many_small_files_is_named(upload: Upload, tmp_path: Path) -> None:
    """What a buffer still holds is written when the file is closed, and fails once more there."""
    for number in range(300):
        path = tmp_path / f"{number}.sql"
        path.write_bytes(os.urandom(700))
        upload.files.append(ArtifactFile(path, f"compiled/{number}.sql"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(ArtifactUploadError, match=r"zip file of the artifact could not be written"):
            upload()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_signed_query_is_sent_as_it_was_given_without_the_runners_token(
    service: ResultsService, upload: Upload
) -> None:
    upload()
    for request in service.of_kind("block") + service.of_kind("blocklist"):
        assert urlsplit(request.target).query.startswith(f"{SAS}&comp=block")
        assert runtime_token() not in str(request.headers)
        assert request.headers["x-ms-version"]


def test_signatures_are_masked_before_the_blob_is_sent(service: ResultsService, upload: Upload) -> None:
    requests_at_mask: list[int] = []
    masked: list[str] = []

    def mask(value: str) -> None:
        requests_at_mask.append(len(service.requests))
        masked.append(value)

    asyncio.run(upload_artifact(upload.files, mask=mask, clock=upload.clock, **upload.arguments))
    assert masked == ["a%2Bb/c%3D%3d%26d", SIGNATURE, "a%2Bb%2Fc%3D%3D%26d"]
    assert set(requests_at_mask) == {1}


def test_like_act(upload: Upload, files: list[ArtifactFile]) -> None:
    with ResultsService(like_act=True) as act:
        uploaded = upload(results_url=act.url)
        assert set(entries(act.artifacts[uploaded.name].blob)) == {file.arcname for file in files}


def test_nothing_is_left_in_the_temporary_folder(service: ResultsService, upload: Upload) -> None:
    upload()
    service.faults["block"].append(Fault(403))
    with pytest.raises(ArtifactUploadError):
        upload(name="other")
    assert list(upload.arguments["temp_dir"].iterdir()) == []


def test_a_temporary_folder_that_is_not_there_is_no_obstacle(upload: Upload, tmp_path: Path) -> None:
    assert upload(temp_dir=tmp_path / "missing").id == 1000


@pytest.mark.parametrize(
    ("days", "limit", "expires", "noted"),
    [
        (5, 90, "2026-11-27T15:40:45.565Z", False),
        (100, 7, "2026-11-29T15:40:45.565Z", True),
        (100, None, "2027-03-02T15:40:45.565Z", False),
        (None, 90, None, False),
        (0, 90, None, False),
    ],
)
def test_retention_is_bounded(
    service: ResultsService, upload: Upload, days: int | None, limit: int | None, expires: str | None, noted: bool
) -> None:
    upload(retention_days=days, max_retention=limit)
    assert service.requests[0].json.get("expires_at") == expires
    assert bool(upload.notes) is noted


def test_a_name_that_is_not_allowed_is_changed_with_a_note(service: ResultsService, upload: Upload) -> None:
    assert upload(name='a/b: "c"\n').name == "a-b- -c-"
    assert "a-b- -c-" in upload.notes[0]


PASSING = [
    Fault(429),
    Fault(500, b"oops"),
    Fault(502, b"<html>"),
    Fault(503, b'{"msg": "busy"}'),
    Fault(504),
    Fault(),
    Fault(200, b"<html>login</html>"),
    Fault(200, b""),
    Fault(200, b"[]"),
]


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (kind, fault)
        for kind in ("CreateArtifact", "block", "blocklist", "FinalizeArtifact")
        for fault in PASSING
        if fault.status != 200 or "Artifact" in kind  # the body of a storage answer is not read
    ],
)
def test_what_may_pass_is_tried_again(service: ResultsService, upload: Upload, kind: str, fault: Fault) -> None:
    upload.files = upload.files[1:]
    service.faults[kind].extend([fault] * 4)
    uploaded = upload()
    assert set(entries(service.artifacts[uploaded.name].blob)) == {"runs/7/step-1/b.json"}
    assert service.kinds().count(kind) == 5
    assert upload.clock.waits[0] == 3.0
    for wait, shortest in zip(upload.clock.waits[1:], (4.5, 6.75, 10.125), strict=True):
        assert shortest <= wait <= shortest * 1.5


@pytest.mark.parametrize("kind", ["CreateArtifact", "block", "blocklist", "FinalizeArtifact"])
def test_an_answer_is_not_read_beyond_its_limit(service: ResultsService, upload: Upload, kind: str) -> None:
    upload.files = upload.files[1:]
    service.faults[kind].extend([Fault(201, b" " * 2**21 + b"{}")] * 5)
    with pytest.raises(ArtifactUploadError, match="the answer is longer than 1,048,576 bytes"):
        upload()


def test_a_list_of_artifacts_with_an_odd_row_is_read(service: ResultsService, upload: Upload) -> None:
    service.faults["FinalizeArtifact"].extend([Fault(after=True), Fault(400, b"{}")])
    service.faults["ListArtifacts"].append(Fault(200, b'{"artifacts": [null, 7]}'))
    with pytest.raises(ArtifactUploadError, match="refused FinalizeArtifact"):
        upload()


@pytest.mark.parametrize("kind", ["CreateArtifact", "block", "blocklist", "FinalizeArtifact"])
@pytest.mark.parametrize("fault", [Fault(503), Fault()], ids=["503", "reset"])
def test_five_failures_end_it(service: ResultsService, upload: Upload, kind: str, fault: Fault) -> None:
    upload.files = upload.files[1:]
    service.faults[kind].extend([fault] * 5)
    with pytest.raises(ArtifactUploadError, match="failed 5 times") as caught:
        upload()
    assert service.kinds().count(kind) == 5
    assert "in the workspace" in caught.value.advice
    assert_no_secret(caught.value)


@pytest.mark.parametrize("kind", ["CreateArtifact", "block", "blocklist", "FinalizeArtifact"])
@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413])
def test_a_refusal_is_final(service: ResultsService, upload: Upload, kind: str, status: int) -> None:
    upload.files = upload.files[1:]
    service.faults[kind].append(Fault(status, b'{"msg": "no"}'))
    with pytest.raises(ArtifactUploadError, match=f"HTTP {status}") as caught:
        upload()
    assert service.kinds().count(kind) == 1
    assert_no_secret(caught.value)


def assert_no_secret(error: BaseException | None) -> None:
    while error is not None:
        for secret in (SIGNATURE, "a%2Bb/c%3D%3d%26d", runtime_token()):
            assert secret not in f"{error} {error!r} {error.args}"
        error = error.__cause__


def test_a_name_that_is_taken_is_explained(service: ResultsService, upload: Upload) -> None:
    upload()
    with pytest.raises(ArtifactUploadError, match="already has an artifact named 'dbt-cloud-run-1-2'") as caught:
        upload()
    assert "artifact-name" in caught.value.advice
    assert upload.clock.waits == []


@pytest.mark.parametrize("status", [403, 429])
def test_a_used_up_quota_ends_it_at_once(service: ResultsService, upload: Upload, status: int) -> None:
    body = b'{"code": "resource_exhausted", "msg": "insufficient usage to create artifact"}'
    service.faults["CreateArtifact"].append(Fault(status, body))
    with pytest.raises(ArtifactUploadError, match="insufficient usage") as caught:
        upload()
    assert "quota" in caught.value.advice
    assert service.kinds() == ["CreateArtifact"]


@pytest.mark.parametrize("body", [b'{"ok": false}', b'{"ok": true}', b'{"ok": true, "signed_upload_url": "ftp://x/y"}'])
def test_an_answer_without_a_usable_address(service: ResultsService, upload: Upload, body: bytes) -> None:
    service.faults["CreateArtifact"].append(Fault(200, body))
    with pytest.raises(ArtifactUploadError, match="address"):
        upload()


@pytest.mark.parametrize("body", [b'{"ok": false}', b'{"ok": true}', b'{"ok": true, "artifact_id": "x"}'])
def test_an_artifact_that_is_not_accepted(service: ResultsService, upload: Upload, body: bytes) -> None:
    service.faults["FinalizeArtifact"].append(Fault(200, body))
    with pytest.raises(ArtifactUploadError, match="did not accept"):
        upload()


def test_a_lost_answer_to_the_end_of_the_upload_is_looked_up(service: ResultsService, upload: Upload) -> None:
    service.faults["FinalizeArtifact"].append(Fault(after=True))
    assert upload().id == 1000
    assert service.kinds()[-3:] == ["FinalizeArtifact", "FinalizeArtifact", "ListArtifacts"]


def test_a_refused_connection_is_tried_again_and_explained(upload: Upload) -> None:
    with ResultsService() as gone:
        pass
    with pytest.raises(ArtifactUploadError, match="failed 5 times"):
        upload(results_url=gone.url)
    assert len(upload.clock.waits) == 4


def test_a_signal_ends_the_wait(service: ResultsService, upload: Upload) -> None:
    upload.clock = QuickClock(interrupt_at=2)
    service.faults["block"].extend([Fault(503)] * 5)
    with pytest.raises(Interrupted):
        upload()
    assert service.kinds().count("block") == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"server_url": "https://github.example.com"},
        {"server_url": ""},
        {"results_url": None},
        {"results_url": "not an address"},
        {"runtime_token": None},
        {"runtime_token": "nonsense"},
        {"runtime_token": "a.!.c"},
        {"runtime_token": "a.bnVsbA.c"},
        {"runtime_token": runtime_token("Actions.Results:only-one")},
        {"runtime_token": runtime_token("Actions.Results:a:b:c Other.Results:a:b")},
    ],
)
def test_where_there_is_no_service_it_says_so(service: ResultsService, upload: Upload, changes: dict[str, Any]) -> None:
    with pytest.raises(ArtifactUploadUnavailable) as caught:
        upload(**changes)
    assert "actions/upload-artifact" in caught.value.advice
    assert service.requests == []


@pytest.mark.parametrize("server_url", ["https://github.com/", "https://acme.ghe.com", "http://x.localhost:8080"])
def test_where_there_is_a_service(upload: Upload, server_url: str) -> None:
    assert upload(server_url=server_url).url.startswith(server_url.rstrip("/") + "/org/repo/")


def test_files_that_cannot_be_read_are_left_out_with_a_note(upload: Upload, service: ResultsService) -> None:
    folder = upload.files[0].path.parent
    (folder / "link").symlink_to(folder / "b.json")
    os.mkfifo(folder / "fifo")
    odd: Callable[[str, str], ArtifactFile] = lambda name, arcname: ArtifactFile(folder / name, arcname)  # noqa: E731
    upload.files = [
        odd("link", "link"),
        odd("fifo", "fifo"),
        odd("missing", "missing"),
        odd("b.json", "../up"),
        odd("b.json", "same"),
        odd("b.json", "same"),
        odd("b.json", '/a"b:c.json'),
    ]
    uploaded = upload()
    assert set(entries(service.artifacts[uploaded.name].blob)) == {"same", "a_b_c-8c79f332.json"}
    assert len(upload.notes) == 5


def test_no_file_at_all(upload: Upload, service: ResultsService) -> None:
    upload.files = []
    with pytest.raises(ArtifactUploadError, match="no file"):
        upload()
    assert service.requests == []


def test_the_proxy_of_the_environment_is_used(
    service: ResultsService, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", service.url)
    monkeypatch.setenv("NO_PROXY", "")
    service.faults["CreateArtifact"].append(Fault(403))
    with pytest.raises(ArtifactUploadError, match="HTTP 403"):
        upload(results_url="http://results.invalid/")
    assert service.requests[0].target.startswith("http://results.invalid/twirp/")


def test_it_can_be_cancelled_while_it_zips(upload: Upload) -> None:
    with upload.files[0].path.open("wb") as file:
        file.truncate(4 * 2**30)

    async def cancelled() -> None:
        arguments = upload.arguments | {"clock": upload.clock, "mask": print}
        await asyncio.wait_for(upload_artifact(upload.files, **arguments), 0.3)

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())  # waits for its threads
    assert time.monotonic() - started < 5
