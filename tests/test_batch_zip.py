"""Archives as a stream, read by Python's own reader and, where it is installed, by Info-ZIP's."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.zips import ZipStream

STAMP = (2026, 11, 21, 17, 30, 58)


def archive(files: dict[str, list[bytes]]) -> bytes:
    zipped = ZipStream(STAMP)
    sent = []
    for name, pieces in files.items():
        sent += [zipped.begin(name), *map(zipped.data, pieces), zipped.end()]
    return b"".join([*sent, zipped.finish()])


@given(st.dictionaries(st.text("abcäöü0-_.", min_size=1), st.lists(st.binary(max_size=50), max_size=3), max_size=5))
def test_what_goes_in_comes_out(files: dict[str, list[bytes]]) -> None:
    with zipfile.ZipFile(io.BytesIO(archive(files))) as read:
        assert read.testzip() is None
        assert {name: read.read(name) for name in read.namelist()} == {n: b"".join(p) for n, p in files.items()}


def test_a_file_has_the_time_and_the_rights_of_an_ordinary_one() -> None:
    with zipfile.ZipFile(io.BytesIO(archive({"a.png": [b"x"]}))) as read:
        (found,) = read.infolist()

    assert found.date_time == STAMP
    assert found.external_attr >> 16 == 0o100644
    assert found.compress_type == zipfile.ZIP_STORED


def test_sizes_and_places_beyond_four_gigabytes_are_kept_whole() -> None:
    zipped = ZipStream(STAMP)
    begun = zipped.begin("large")
    piece = bytes(1024)
    sent = zipped.data(piece)
    zipped._offset += 5 * 2**30  # As if that much had been sent between.
    zipped._size += 5 * 2**30
    zipped.end()
    zipped.begin("behind")
    zipped.end()
    directory = zipped.finish()

    class Holey(io.RawIOBase):
        """The archive without the five gigabytes nobody reads."""

        def __init__(self) -> None:
            self.at = 0

        def seekable(self) -> bool:
            return True

        def seek(self, offset: int, whence: int = 0) -> int:
            self.at = offset + {0: 0, 1: self.at, 2: zipped._offset}[whence]
            return self.at

        def tell(self) -> int:
            return self.at

        def read(self, size: int = -1) -> bytes:
            start = zipped._offset - len(directory)
            whole = size if size >= 0 else zipped._offset - self.at
            found = directory[max(0, self.at - start) : self.at - start + whole] if self.at + whole > start else b""
            self.at += len(found)
            return found

    with zipfile.ZipFile(Holey()) as read:
        large, behind = read.infolist()

    assert (begun[:4], len(sent)) == (b"PK\x03\x04", 1024)
    assert large.file_size == 5 * 2**30 + 1024
    assert behind.header_offset > 5 * 2**30


def test_more_than_65535_files_are_counted() -> None:
    with zipfile.ZipFile(io.BytesIO(archive({f"{number}": [] for number in range(65_540)}))) as read:
        assert len(read.namelist()) == 65_540


def test_info_zip_reads_it(tmp_path: Path) -> None:
    if (program := shutil.which("unzip")) is None:
        (pytest.fail if os.environ.get("TEST_REQUIRE_ALL") else pytest.skip)("unzip is not installed")
    path = tmp_path / "some.zip"
    path.write_bytes(archive({"a/b.txt": [b"hello ", b"there"], "manifest.json": [b"{}"]}))

    told = subprocess.run([program, "-t", str(path)], capture_output=True, check=False, timeout=20)

    assert told.returncode == 0, told.stdout
