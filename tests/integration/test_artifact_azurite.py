"""The upload against an Azure blob server that this project did not write, read back with the official client."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standins.results_service import ResultsService, runtime_token
from tests.support.azurite import Azurite, azurite, install

from dbt_cloud_run.clock import SystemClock
from dbt_cloud_run.github.artifacts.upload import ArtifactFile, ArtifactUploadError, upload_artifact

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("npm"), reason="npm is not there to install Azurite and the official client"),
]
SCRIPT = Path(__file__).parents[1] / "support" / "official_artifact_client.mjs"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with azurite(tmp_path_factory.mktemp("azurite")) as running:
        yield running


@pytest.fixture
def service(storage: Azurite) -> Iterator[ResultsService]:
    permissions = {"put": "cw", "get": "r"}
    with ResultsService(signed_url=lambda name, verb: storage.signed(name, permissions[verb])) as running:
        yield running


def official_client(service: ResultsService, *arguments: str) -> dict[str, Any]:
    node = shutil.which("node")
    assert node
    environ = {"ACTIONS_RESULTS_URL": service.url, "ACTIONS_RUNTIME_TOKEN": runtime_token(), "PATH": os.environ["PATH"]}
    command = [node, str(SCRIPT), str(install()), *arguments]
    result = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)  # noqa: S603
    assert result.returncode == 0, result.stdout + result.stderr
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return answer


def upload(service: ResultsService, files: list[ArtifactFile], name: str) -> Any:
    return asyncio.run(
        upload_artifact(
            files,
            name=name,
            retention_days=3,
            results_url=service.url,
            runtime_token=runtime_token(),
            server_url="https://github.com",
            repository="org/repo",
            run_id="1",
            max_retention=90,
            clock=SystemClock(),
            temp_dir=None,
            mask=lambda _: None,
        )
    )


def test_what_is_uploaded_is_what_the_official_client_reads(service: ResultsService, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "manifest.json").write_bytes(os.urandom(20_000_000))  # three blocks
    (source / "empty").touch()
    (source / "ünï.sql").write_text("select 'Größe'")
    names = {"manifest.json": "manifest.json", "empty": "runs/7/empty", "ünï.sql": "runs/7/step-1/ünï 2.sql"}
    files = [ArtifactFile(source / name, arcname) for name, arcname in names.items()]

    uploaded = upload(service, files, "blocks")
    answer = official_client(service, "read", "blocks", str(target), uploaded.digest)

    assert answer["artifact"]["id"] == uploaded.id
    assert answer["artifact"]["size"] == uploaded.size
    assert answer["artifact"]["digest"] == uploaded.digest
    assert answer["downloaded"].get("digestMismatch", False) is False
    unpacked = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert unpacked == {arcname: (source / name).read_bytes() for name, arcname in names.items()}


def test_the_official_client_gets_along_with_the_service(service: ResultsService, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file.txt").write_text("content")
    uploaded = official_client(service, "write", "theirs", str(tmp_path / "in"), "file.txt")
    official_client(service, "read", "theirs", str(tmp_path / "out"), f"sha256:{uploaded['digest']}")
    assert (tmp_path / "out" / "file.txt").read_text() == "content"


def test_a_wrong_signature_is_refused_and_not_shown(storage: Azurite, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    signed = storage.signed("wrong", "r")  # it may read, not write
    with ResultsService(signed_url=lambda *_: signed) as service, pytest.raises(ArtifactUploadError) as caught:
        upload(service, [ArtifactFile(tmp_path / "file", "file")], "wrong")
    assert "HTTP 403" in str(caught.value)
    assert signed.rpartition("sig=")[2] not in repr(caught.value)
