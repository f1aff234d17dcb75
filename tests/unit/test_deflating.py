"""A file that was compressed while it came goes into the zip file as it is, and reads back the same."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
import zipfile
import zlib
from pathlib import Path

import pytest

from dbt_cloud_run.deflating import SMALLEST, Deflating, Stopped
from dbt_cloud_run.github.artifacts.archive import ArtifactFile, write_archive

CONTENT = b'{"nodes": {' + b'"model.shop.orders": {}, ' * 150_000 + b"}}"


def grown(path: Path, content: bytes = CONTENT, *, piece: int = 300_000, is_whole: bool = True) -> Deflating:
    """The compressed form of a file that is written piece by piece."""
    deflating = Deflating(path, path.with_name(f"{path.name}.packed"))
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(content), piece):
            file.write(content[start : start + piece])
            deflating.grown(min(start + piece, len(content)))
    if is_whole:
        deflating.finish(len(content))
    return deflating


def archived(files: list[ArtifactFile], target: Path) -> zipfile.ZipFile:
    with target.open("wb") as file:
        archive = write_archive(files, file.write, stop=threading.Event())
    assert archive.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
    return zipfile.ZipFile(target)


@pytest.mark.parametrize("piece", [1_000, 999_999, SMALLEST, 2 * SMALLEST, len(CONTENT)])
def test_a_file_is_compressed_as_it_grows(tmp_path: Path, piece: int) -> None:
    deflating = grown(tmp_path / "m", piece=piece)
    found = deflating.result()
    assert found is not None
    assert (found.size, found.checksum) == (len(CONTENT), zlib.crc32(CONTENT))
    compressed = deflating.target.read_bytes()
    assert zlib.decompress(compressed, -15) == CONTENT
    assert found.compressed_size == len(compressed) == deflating.growth()
    assert deflating.growth() == 0


def test_the_file_may_get_another_name_before_it_is_compressed(tmp_path: Path) -> None:
    deflating = grown(tmp_path / "m", is_whole=False)
    (tmp_path / "m").rename(tmp_path / "manifest.json")
    deflating.finish(len(CONTENT))
    found = deflating.result()
    assert found is not None
    assert found.checksum == zlib.crc32(CONTENT)


def test_a_small_file_is_left_to_the_archive(tmp_path: Path) -> None:
    small = CONTENT[: SMALLEST - 1]
    deflating = grown(tmp_path / "m", small)
    assert deflating.result() is None
    with archived([ArtifactFile(tmp_path / "m", "m", deflating)], tmp_path / "zip") as archive:
        assert archive.read("m") == small
    assert not deflating.target.exists()


def test_a_file_that_is_not_kept_leaves_nothing(tmp_path: Path) -> None:
    deflating = grown(tmp_path / "m", is_whole=False)
    deflating.abandon()
    assert deflating.result() is None
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert not any(thread.name == "deflate" for thread in threading.enumerate())


def test_without_room_the_archive_compresses_by_itself(tmp_path: Path) -> None:
    deflating = Deflating(tmp_path / "m", tmp_path / "no such folder" / "m")
    (tmp_path / "m").write_bytes(CONTENT)
    deflating.grown(len(CONTENT))
    deflating.finish(len(CONTENT))
    with archived([ArtifactFile(tmp_path / "m", "m", deflating)], tmp_path / "zip") as archive:
        assert archive.read("m") == CONTENT


def test_the_stream_is_taken_as_it_is_between_other_entries(tmp_path: Path) -> None:
    deflating = grown(tmp_path / "m")
    (tmp_path / "other").write_bytes(b"other" * 100)
    files = [
        ArtifactFile(tmp_path / "other", "a.json"),
        ArtifactFile(tmp_path / "m", "manifest.json", deflating),
        ArtifactFile(tmp_path / "other", "z.json"),
    ]
    with archived(files, tmp_path / "zip") as archive:
        assert archive.testzip() is None
        assert archive.read("manifest.json") == CONTENT
        assert archive.read("a.json") == archive.read("z.json") == b"other" * 100
        held = archive.getinfo("manifest.json")
    data = (tmp_path / "zip").read_bytes()[held.header_offset + 30 + len("manifest.json") :]
    assert data.startswith(deflating.target.read_bytes())
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-tq", str(tmp_path / "zip")], check=True, capture_output=True)  # noqa: S603


@pytest.mark.parametrize("now", [CONTENT.replace(b"orders", b"ORDERS"), CONTENT[:-1], CONTENT + b"\n", b""])
def test_a_file_that_has_changed_is_compressed_as_it_is_now(tmp_path: Path, now: bytes) -> None:
    deflating = grown(tmp_path / "m")
    (tmp_path / "m").write_bytes(now)
    with archived([ArtifactFile(tmp_path / "m", "m", deflating)], tmp_path / "zip") as archive:
        assert archive.read("m") == now


def test_a_stream_that_is_gone_is_made_again(tmp_path: Path) -> None:
    deflating = grown(tmp_path / "m")
    assert deflating.result() is not None
    deflating.target.unlink()
    with archived([ArtifactFile(tmp_path / "m", "m", deflating)], tmp_path / "zip") as archive:
        assert archive.read("m") == CONTENT


def test_bytes_that_cannot_be_compressed_stay_the_same(tmp_path: Path) -> None:
    noise = os.urandom(3 * SMALLEST + 7)
    with archived([ArtifactFile(tmp_path / "m", "m", grown(tmp_path / "m", noise))], tmp_path / "zip") as archive:
        assert archive.read("m") == noise


def test_the_archive_waits_for_a_stream_no_longer_than_it_is_wanted(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    deflating = grown(tmp_path / "m", is_whole=False)
    with (tmp_path / "zip").open("wb") as target, pytest.raises(Stopped):
        write_archive([ArtifactFile(tmp_path / "m", "m", deflating)], target.write, stop=stop)
    deflating.abandon()
