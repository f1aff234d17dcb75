"""Zip files of any size, without holding them in memory."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from tests.support.notes import kept_notes

from dbt_cloud_run.github.artifacts.archive import ArtifactFile, Stopped, write_archive
from dbt_cloud_run.github.artifacts.zip_format import MOST_NAME_BYTES


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_a_big_file_is_streamed(tmp_path: Path) -> None:
    source = sparse(tmp_path / "manifest.json", 60_000_000)
    tracemalloc.start()
    try:
        with (tmp_path / "zip").open("wb") as target:
            files = [ArtifactFile(source, "manifest.json")]
            archive = write_archive(files, target.write, stop=threading.Event())
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()
    written = (tmp_path / "zip").read_bytes()
    assert (archive.size, archive.sha256) == (len(written), hashlib.sha256(written).hexdigest())


@pytest.mark.slow
def test_a_file_over_four_gigabytes(tmp_path: Path) -> None:
    source = sparse(tmp_path / "big", 2**32 + 5)
    with (tmp_path / "zip").open("wb") as target:
        write_archive([ArtifactFile(source, "big")], target.write, stop=threading.Event())
    source.unlink()
    with zipfile.ZipFile(tmp_path / "zip") as archive, archive.open("big") as entry:
        assert archive.getinfo("big").file_size == 2**32 + 5
        assert sum(len(chunk) for chunk in iter(lambda: entry.read(2**22), b"")) == 2**32 + 5


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (100, 100))  # before 1980, where the format begins
    digests = set()
    for names in ("abc", "cab"):
        files = [ArtifactFile(tmp_path / name, name) for name in names]
        with (tmp_path / "zip").open("wb") as target:
            digests.add(write_archive(files, target.write, stop=threading.Event()).sha256)
    assert len(digests) == 1


def test_it_ends_when_the_result_is_not_needed(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with (tmp_path / "zip").open("wb") as target, pytest.raises(Stopped):
        write_archive([ArtifactFile(sparse(tmp_path / "x", 10), "x")], target.write, stop=stop)
    assert (tmp_path / "zip").stat().st_size < 200


def test_a_full_disk_is_an_error_of_the_target(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(os.urandom(3_000_000))
    with Path("/dev/full").open("wb", buffering=0) as target, pytest.raises(OSError, match="space"):
        write_archive([ArtifactFile(tmp_path / "x", "x")], target.write, stop=threading.Event())


def test_a_name_that_is_not_allowed_never_takes_the_place_of_one_that_is(tmp_path: Path) -> None:
    names = ["a:b.sql", "a?b.sql", "a_b.sql", "x:y/c", "x_y/c"]
    for number, name in enumerate(names):
        (tmp_path / str(number)).write_text(name)
    with kept_notes() as notes, (tmp_path / "zip").open("wb") as target:
        files = (ArtifactFile(tmp_path / str(number), name) for number, name in enumerate(names))
        write_archive(files, target.write, stop=threading.Event())
    with zipfile.ZipFile(tmp_path / "zip") as archive:
        held = {name: archive.read(name).decode() for name in archive.namelist()}
    assert held["a_b.sql"] == "a_b.sql"
    assert held["x_y/c"] == "x_y/c"
    assert sorted(held.values()) == sorted(names)
    assert notes == []


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["a_b", "a:b/c.sql"], id="a folder beside a file of the name that it would get"),
        pytest.param(["a:b/c.sql", "a?b/c.sql", "a_b/c.sql"], id="folders that differ in such a character alone"),
        pytest.param(["n" * 250 + ":.sql"], id="as long as a name can be"),
        pytest.param(["\u00e4" * 125 + "?" + ".sql"], id="as long as a name can be, in bytes"),
        pytest.param(["a." + "s" * 252 + "?"], id="with an end that is as long"),
        pytest.param(["f/" + "n" * 251 + ":/" + "n" * 251 + ":"], id="folder and file as long as names can be"),
    ],
)
def test_files_whose_names_are_not_allowed_can_be_unpacked(names: list[str], tmp_path: Path) -> None:
    for number, name in enumerate(names):
        (tmp_path / str(number)).write_text(name)
    with (tmp_path / "zip").open("wb") as target:
        files = [ArtifactFile(tmp_path / str(number), name) for number, name in enumerate(names)]
        assert write_archive(files, target.write, stop=threading.Event()).files == len(names)
    with zipfile.ZipFile(tmp_path / "zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    unpacked = [path for path in (tmp_path / "unpacked").rglob("*") if path.is_file()]
    assert sorted(path.read_text() for path in unpacked) == sorted(names)


def test_a_name_that_no_zip_file_can_hold_costs_that_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("select 1")
    longest, too_long = "n" * MOST_NAME_BYTES, "\u00e4" * (MOST_NAME_BYTES // 2 + 1)
    with kept_notes() as notes, (tmp_path / "zip").open("wb") as target:
        files = [ArtifactFile(tmp_path / "f", name) for name in (longest, too_long)]
        assert write_archive(files, target.write, stop=threading.Event()).files == 1
    with zipfile.ZipFile(tmp_path / "zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [longest]
    assert len(notes) == 1
    assert "is not in the artifact" in notes[0]


@pytest.mark.parametrize("surrogate", [0xDCFF, 0xD800])
def test_a_name_that_is_no_text_is_marked(tmp_path: Path, surrogate: int) -> None:
    """File systems hold bytes that are no UTF-8, such as in `artifacts-path`."""
    (tmp_path / "f").write_text("select 1")
    with (tmp_path / "zip").open("wb") as target:
        write_archive([ArtifactFile(tmp_path / "f", f"a{chr(surrogate)}.sql")], target.write, stop=threading.Event())
    with zipfile.ZipFile(tmp_path / "zip") as archive:
        (held,) = archive.namelist()
        assert archive.read(held) == b"select 1"
    assert re.fullmatch(r"a_-[0-9a-f]{8}\.sql", held)


def test_names_that_differ_by_case_or_by_unicode_s_form_alone_are_two_files(tmp_path: Path) -> None:
    names = ["\u00e9.sql", "e\u0301.sql", "A.sql", "a.sql", "\ufb01.sql", "fi.sql"]
    for number in range(len(names)):
        (tmp_path / str(number)).write_text(f"-- {number}")
    with (tmp_path / "zip").open("wb") as target:
        files = [ArtifactFile(tmp_path / str(number), name) for number, name in enumerate(names)]
        assert write_archive(files, target.write, stop=threading.Event()).files == len(names)
    with zipfile.ZipFile(tmp_path / "zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            name: f"-- {number}".encode() for number, name in enumerate(names)
        }
