"""Keeping files: whole or not at all, under harmless names, with the disk's refusals told apart."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import resource
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.storage import (
    HEAD_BYTES,
    BadKey,
    FileTooLarge,
    LocalStorage,
    StorageFull,
    StorageUnavailable,
    refusals_translated,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

KEY = "outputs/3f/3f2c9a52-7d0e-4a52-9c1b-0c8a3d7b6a11/0.png"
LARGE = os.urandom(3 * 1024 * 1024 + 17)


async def in_chunks(content: bytes, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def everything_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def path_in(storage: LocalStorage, key: str) -> Path:
    path = storage.path_of(key)
    assert path is not None
    return path


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


@pytest.mark.parametrize("content", [b"", b"x", LARGE[:100_000], LARGE], ids=["empty", "byte", "small", "large"])
async def test_a_kept_file_is_found_whole_under_its_location(storage: LocalStorage, content: bytes) -> None:
    kept = await storage.keep(KEY, in_chunks(content), max_bytes=len(LARGE))

    assert path_in(storage, kept.location).read_bytes() == content
    assert kept.location == KEY
    assert kept.size_bytes == len(content)
    assert kept.sha256 == hashlib.sha256(content).hexdigest()
    assert kept.head == content[:HEAD_BYTES]


async def test_the_head_is_complete_when_the_file_comes_in_crumbs(storage: LocalStorage) -> None:
    content = LARGE[: HEAD_BYTES + 100]

    kept = await storage.keep(KEY, in_chunks(content, size=7), max_bytes=len(content))

    assert kept.head == content[:HEAD_BYTES]


async def test_a_file_of_exactly_the_allowed_size_is_kept(storage: LocalStorage) -> None:
    kept = await storage.keep(KEY, in_chunks(b"12345678"), max_bytes=8)

    assert kept.size_bytes == 8


@pytest.mark.parametrize("max_bytes", [7, 2 * 1024 * 1024])
async def test_a_file_past_the_allowed_size_leaves_nothing(
    storage: LocalStorage, data_dir: Path, max_bytes: int
) -> None:
    with pytest.raises(FileTooLarge) as refused:
        await storage.keep(KEY, in_chunks(LARGE), max_bytes=max_bytes)

    assert refused.value.max_bytes == max_bytes
    assert everything_under(data_dir) == []


async def test_keeping_again_replaces_the_file(storage: LocalStorage, data_dir: Path) -> None:
    await storage.keep(KEY, in_chunks(b"old"), max_bytes=10)

    await storage.keep(KEY, in_chunks(b"new"), max_bytes=10)

    assert [path.read_bytes() for path in everything_under(data_dir)] == [b"new"]


async def test_a_source_that_breaks_off_leaves_nothing_and_tells_its_own_error(
    storage: LocalStorage, data_dir: Path
) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield LARGE
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await storage.keep(KEY, breaking(), max_bytes=len(LARGE))

    assert everything_under(data_dir) == []


async def test_nothing_is_visible_before_the_last_byte(storage: LocalStorage) -> None:
    path = path_in(storage, KEY)
    was_visible: list[bool] = []

    async def watching() -> AsyncIterator[bytes]:
        yield LARGE
        was_visible.append(path.exists())
        yield b"the end"

    await storage.keep(KEY, watching(), max_bytes=2 * len(LARGE))

    assert was_visible == [False]
    assert path.exists()


async def test_a_canceled_keep_leaves_no_file_behind(storage: LocalStorage, data_dir: Path) -> None:
    is_writing = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield LARGE
        is_writing.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        keeping = group.create_task(storage.keep(KEY, endless(), max_bytes=2 * len(LARGE)))
        await is_writing.wait()
        assert len(everything_under(data_dir)) == 1
        keeping.cancel()

    assert keeping.cancelled()
    assert everything_under(data_dir) == []


@pytest.mark.parametrize("turns", range(12))
async def test_a_keep_canceled_at_any_moment_leaves_nothing_or_the_whole_file(
    storage: LocalStorage, data_dir: Path, turns: int
) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        keeping = group.create_task(storage.keep(KEY, in_chunks(LARGE), max_bytes=len(LARGE)))
        for _ in range(turns):
            await asyncio.sleep(0)
        keeping.cancel()

    assert [path.read_bytes() for path in everything_under(data_dir)] in ([], [LARGE])


async def test_a_full_disk_is_told_as_such_and_leaves_nothing(
    storage: LocalStorage, data_dir: Path, tiny_disk: int
) -> None:
    with pytest.raises(StorageFull):
        await storage.keep(KEY, in_chunks(LARGE[: tiny_disk + 1]), max_bytes=len(LARGE))

    assert everything_under(data_dir) == []


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

    assert everything_under(data_dir) == []


async def test_a_usable_storage_passes_its_check_and_keeps_no_trace_of_it(
    storage: LocalStorage, data_dir: Path
) -> None:
    await storage.check_writable()

    assert everything_under(data_dir) == []


async def test_deleting_a_folder_spares_its_namesakes(storage: LocalStorage) -> None:
    for key in ("outputs/a/one/0.png", "outputs/a/one/1.png", "outputs/a/one-more/0.png"):
        await storage.keep(key, in_chunks(b"x"), max_bytes=1)

    await storage.delete_prefix("outputs/a/one/")

    found = {key: path_in(storage, key).exists() for key in ("outputs/a/one", "outputs/a/one-more")}
    assert found == {"outputs/a/one": False, "outputs/a/one-more": True}


async def test_deleting_a_single_file_and_what_is_not_there(storage: LocalStorage, data_dir: Path) -> None:
    await storage.keep(KEY, in_chunks(b"x"), max_bytes=1)

    await storage.delete_prefix(KEY)
    await storage.delete_prefix(KEY)
    await storage.delete_prefix("outputs/never/was")

    assert everything_under(data_dir) == []


async def test_the_sweep_removes_old_leftovers_and_nothing_else(storage: LocalStorage, data_dir: Path) -> None:
    await storage.keep(KEY, in_chunks(b"kept"), max_bytes=10)
    old, young = data_dir / ".incoming" / "old", data_dir / ".incoming" / "young"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    for path in (old, data_dir / KEY):
        os.utime(path, (0, 0))

    swept = await storage.sweep()

    assert swept == 1
    assert sorted(everything_under(data_dir)) == sorted([young, data_dir / KEY])


async def test_the_sweep_of_a_new_folder_finds_nothing(storage: LocalStorage) -> None:
    assert await storage.sweep() == 0


HOSTILE_KEYS = ["", "/", "/etc/passwd", "../x", "a/../b", "a/..", ".", "a/./b", "a//b", "a/", "A.png", "a\\b", "a\x00"]
ODD_KEYS = ["a b", "a\n", ".incoming/x", "a/.hidden", "ä", "a:b", "~", "%2e%2e/x", "x" * 256, "１"]


@pytest.mark.parametrize("key", [*HOSTILE_KEYS, *ODD_KEYS])
async def test_a_hostile_key_reaches_no_disk(storage: LocalStorage, data_dir: Path, key: str) -> None:
    with pytest.raises(BadKey):
        await storage.keep(key, in_chunks(b"x"), max_bytes=1)

    assert storage.path_of(key) is None
    assert everything_under(data_dir.parent) == []


@given(key=st.one_of(st.text(max_size=40), st.text(alphabet="ab./\\-_\x00 A", max_size=20)))
def test_a_path_is_given_only_inside_the_folder(key: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.getbasetemp() / "root"

    path = LocalStorage(root).path_of(key)

    assert path is None or (path.resolve().is_relative_to(root.resolve()) and path.resolve() != root.resolve())


async def test_many_files_kept_at_once_do_not_mix(storage: LocalStorage) -> None:
    contents = {f"outputs/aa/{number}/0.bin": bytes([number]) * 5000 for number in range(50)}

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for key, content in contents.items():
            group.create_task(storage.keep(key, in_chunks(content, 1000), max_bytes=5000))

    assert {key: path_in(storage, key).read_bytes() for key in contents} == contents
