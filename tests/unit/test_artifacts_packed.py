"""A file that came compressed goes into the zip file as it came, and reads back the same."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest

from dbt_cloud_run.github.artifacts.archive import ArtifactFile, Stopped, write_archive

CONTENT = b'{"nodes": {' + b'"model.shop.orders": {}, ' * 5_000 + b"}}"


def packed_file(path: Path, content: bytes = CONTENT, name: str = "") -> Path:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename=name, mode="wb", fileobj=buffer, compresslevel=1) as file:
        file.write(content)
    path.write_bytes(buffer.getvalue())
    return path


def archived(files: list[ArtifactFile], target: Path) -> zipfile.ZipFile:
    with target.open("wb") as file:
        archive = write_archive(files, file, stop=threading.Event())
    assert archive.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
    return zipfile.ZipFile(target)


@pytest.mark.parametrize("name", ["", "manifest.json"])
def test_the_stream_is_taken_as_it_is_between_other_entries(tmp_path: Path, name: str) -> None:
    (tmp_path / "m").write_bytes(CONTENT)
    packed = packed_file(tmp_path / "m.gz", name=name)
    (tmp_path / "other").write_bytes(b"other" * 100)
    files = [
        ArtifactFile(tmp_path / "other", "a.json"),
        ArtifactFile(tmp_path / "m", "manifest.json", packed),
        ArtifactFile(tmp_path / "other", "z.json"),
    ]
    with archived(files, tmp_path / "zip") as archive:
        assert archive.testzip() is None
        assert archive.read("manifest.json") == CONTENT
        assert archive.read("a.json") == archive.read("z.json") == b"other" * 100
        assert archive.getinfo("manifest.json").compress_size == packed.stat().st_size - 18 - bool(name) * 14
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-tq", str(tmp_path / "zip")], check=True, capture_output=True)  # noqa: S603


OTHERS = {
    "empty": b"",
    "not gzip": b"not gzip at all, but long enough",
    "of another size": gzip.compress(b"of another size", mtime=0),
    "of the same size": gzip.compress(CONTENT.replace(b"orders", b"ORDERS"), mtime=0),
}


@pytest.mark.parametrize("made", OTHERS.values(), ids=OTHERS)
def test_what_does_not_fit_is_compressed_anew(tmp_path: Path, made: bytes) -> None:
    (tmp_path / "m").write_bytes(CONTENT)
    (tmp_path / "m.gz").write_bytes(made)
    with archived([ArtifactFile(tmp_path / "m", "m", tmp_path / "m.gz")], tmp_path / "zip") as archive:
        assert archive.read("m") == CONTENT
    with archived([ArtifactFile(tmp_path / "m", "m", tmp_path / "none.gz")], tmp_path / "zip") as archive:
        assert archive.read("m") == CONTENT


def test_it_stops_here_too(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(CONTENT)
    stop = threading.Event()
    stop.set()
    files = [ArtifactFile(tmp_path / "m", "m", packed_file(tmp_path / "m.gz"))]
    with (tmp_path / "zip").open("wb") as target, pytest.raises(Stopped):
        write_archive(files, target, stop=stop)
