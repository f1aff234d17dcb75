"""Zip files as others read them, with 64-bit fields where they are needed."""

from __future__ import annotations

import io
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.github.artifacts import zip_format
from dbt_cloud_run.github.artifacts.zip_format import Entry, ZipWriter

MOMENT = (2026, 11, 27, 13, 37, 58)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)


def entry(name: str, content: bytes, compressed: bytes) -> Entry:
    return Entry(
        name=name,
        moment=MOMENT,
        mode=0o100644,
        size=len(content),
        compressed_size=len(compressed),
        checksum=zlib.crc32(content),
    )


def written(files: dict[str, bytes]) -> io.BytesIO:
    target = io.BytesIO()
    writer = ZipWriter(target.write)
    for name, content in files.items():
        compressed = zlib.compress(content, 6, -15)
        writer.begin(entry(name, content, compressed))
        target.write(compressed)
    writer.finish()
    return target


@given(st.dictionaries(NAMES, st.binary(max_size=200), max_size=6))
def test_what_is_written_reads_back(files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(written(files)) as archive:
        assert archive.testzip() is None
        assert {info.orig_filename: archive.read(info) for info in archive.infolist()} == files
        assert {info.date_time for info in archive.infolist()} <= {MOMENT}
        assert {info.external_attr >> 16 for info in archive.infolist()} <= {0o100644}


@given(st.dictionaries(NAMES, st.binary(max_size=200), max_size=6), st.sampled_from([0, 10, 40, 150]))
def test_fields_of_64_bits_read_back_wherever_they_begin(files: dict[str, bytes], largest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # As if 32 bits held no more than this.
        patch.setattr(zip_format, "LARGEST", largest)
        target = written(files)
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert {info.orig_filename: archive.read(info) for info in archive.infolist()} == files


def test_more_entries_than_16_bits_hold() -> None:
    files = {f"{number}.sql": b"" for number in range(zip_format.MOST_ENTRIES + 3)}
    with zipfile.ZipFile(written(files)) as archive:
        assert len(archive.infolist()) == len(files)


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        ZipWriter(io.BytesIO().write).begin(entry("a\udcff", b"", b""))
