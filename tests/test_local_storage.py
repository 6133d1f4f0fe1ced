"""Keeping files in a folder: the disk's refusals told apart, leftovers swept, and no path outside."""

from __future__ import annotations

import errno
import os
import resource
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.local_storage import LocalStorage
from app.storage import StorageFull, StorageUnavailable, refusals_translated
from tests.storages import files_under, in_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "outputs/3f/3f2c9a52-7d0e-4a52-9c1b-0c8a3d7b6a11/0.png"
LARGE = os.urandom(3 * 1024 * 1024 + 17)


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def storage(data_dir: Path) -> LocalStorage:
    return LocalStorage(data_dir)


@pytest.fixture
def tiny_disk() -> Iterator[int]:
    """The operating system refuses every byte past this size, as a full disk does."""
    size = 64 * 1024
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    yield size
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


async def test_a_full_disk_is_told_as_such_and_leaves_nothing(
    storage: LocalStorage, data_dir: Path, tiny_disk: int
) -> None:
    with pytest.raises(StorageFull):
        await storage.keep(KEY, in_chunks(LARGE[: tiny_disk + 1]), max_bytes=len(LARGE))

    assert files_under(data_dir) == []


def test_no_space_and_no_quota_are_the_same_to_a_caller() -> None:
    with pytest.raises(StorageFull), refusals_translated(KEY), open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
        full.write(b"x")
    with pytest.raises(StorageFull), refusals_translated(KEY):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


async def test_a_file_where_the_folder_should_be_makes_the_storage_unavailable(
    storage: LocalStorage, data_dir: Path
) -> None:
    put(data_dir, b"in the way")

    with pytest.raises(StorageUnavailable):
        await storage.check_writable()
    with pytest.raises(StorageUnavailable) as refused:
        await storage.keep(KEY, in_chunks(b"x"), max_bytes=1)

    assert str(data_dir) not in str(refused.value)


async def test_a_folder_where_the_file_should_be_makes_the_storage_unavailable(
    storage: LocalStorage, data_dir: Path
) -> None:
    (data_dir / KEY).mkdir(parents=True)

    with pytest.raises(StorageUnavailable):
        await storage.keep(KEY, in_chunks(b"x"), max_bytes=1)

    assert files_under(data_dir) == []


async def test_a_usable_storage_passes_its_check_and_keeps_no_trace_of_it(
    storage: LocalStorage, data_dir: Path
) -> None:
    await storage.check_writable()

    assert files_under(data_dir) == []


async def test_the_sweep_removes_old_leftovers_and_nothing_else(storage: LocalStorage, data_dir: Path) -> None:
    await storage.keep(KEY, in_chunks(b"kept"), max_bytes=10)
    old, young = data_dir / ".incoming" / "old", data_dir / ".incoming" / "young"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    for path in (old, data_dir / KEY):
        os.utime(path, (0, 0))

    swept = await storage.sweep()

    assert swept == 1
    assert sorted(files_under(data_dir)) == sorted([young, data_dir / KEY])


async def test_the_sweep_of_a_new_folder_finds_nothing(storage: LocalStorage) -> None:
    assert await storage.sweep() == 0


HOSTILE_KEYS = ["", "/", "/etc/passwd", "../x", "a/../b", "a/..", ".", "a/./b", "a//b", "a/", "A.png", "a\\b", "a\x00"]
ODD_KEYS = ["a b", "a\n", ".incoming/x", "a/.hidden", "ä", "a:b", "~", "%2e%2e/x", "x" * 256, "１"]


@given(key=st.one_of(st.text(max_size=40), st.text(alphabet="ab./\\-_\x00 A", max_size=20)))
def test_a_path_is_given_only_inside_the_folder(key: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.getbasetemp() / "root"

    path = LocalStorage(root).path_of(key)

    assert path is None or (path.resolve().is_relative_to(root.resolve()) and path.resolve() != root.resolve())
